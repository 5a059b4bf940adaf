//! The pipeline files that ship, and what a person is told about one that is wrong.

use std::path::Path;

use swath::config::Pipeline;
use swath::tiler::Dilation;

fn shipped() -> Vec<std::path::PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    let all = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let mut files: Vec<_> = all.filter(|file| file.extension().is_some_and(|e| e == "toml")).collect();
    files.sort();
    files
}

#[test]
fn every_shipped_file_loads_and_says_what_it_is_for() {
    let files = shipped();
    assert!(files.len() >= 2);
    for file in files {
        Pipeline::load(&file, &[]).unwrap_or_else(|e| panic!("{e}"));
        let text = std::fs::read_to_string(&file).unwrap();
        for line in ["# What it is:", "# What it costs:", "# What to expect:"] {
            assert!(text.contains(line), "{} lacks `{line}`", file.display());
        }
    }
}

#[test]
fn the_demo_has_the_classes_of_the_sample_scenes() {
    let demo = Pipeline::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/demo.toml"), &[]).unwrap();
    assert_eq!(demo.classes.classes(), swath::synth::class_table());
}

fn refusal(change: (&str, &str), settings: &[&str]) -> String {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/single.toml")).unwrap();
    assert!(text.contains(change.0), "{}", change.0);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("p.toml");
    std::fs::write(&file, text.replacen(change.0, change.1, 1)).unwrap();
    let settings: Vec<String> = settings.iter().map(|s| (*s).to_owned()).collect();
    let text = Pipeline::load(&file, &settings).unwrap_err().to_string();
    assert!(text.contains("p.toml") || !settings.is_empty(), "{text}");
    text
}

#[test]
fn a_wrong_pipeline_file_is_refused_with_the_remedy() {
    let cases = [
        (("dilation = 128", "dilatoin = 128"), "did you mean `dilation`?"),
        (("dilation = 128", "dilatoin = 128"), "line 3"),
        (("\"resnet34\"", "\"resnet43\""), "did you mean `resnet34`?"),
        (("value = 2", "value = 1"), "`water` and `transport` both have value 1"),
        (("value = 8", "value = 800"), "outputs.mask_bits = 16"),
        (("id = 3", "id = 4"), "ids count 0, 1, 2"),
        (("bands = [1, 2, 3]", "bands = [1, 2]"), "2 bands, 3 means"),
        (("bands = [1, 2, 3]", "bands = [0, 2, 3]"), "counts bands from 1"),
        (("std = [0.229", "std = [0.0"), "every std above 0"),
        (("output_stride = 16", "output_stride = 32"), "it takes `16`, `8`"),
        (("weights = \"../data", "seed = 1\nweights = \"../data"), "both `weights` and `seed`"),
        (
            ("network = \"deeplabv3plus\"", "preset = \"naic2020/danet-resnet101\""),
            "`preset` says all about the network",
        ),
        (("network = \"deeplabv3plus\"", "preset = \"x\"\nnetwork = \"unet\""), "both `network` and `preset`"),
        (("network = \"deeplabv3plus\"", "preset = \"none\""), "no network is called `none`"),
        (("batch = \"auto\"", "batch = 0"), "from 1"),
        (("\"256MiB\"", "\"lots\""), "is not a size"),
        (("#2a6fb0", "blue"), "is not a colour"),
        (("weight = 1.0", "weight = -1.0"), "must be 0 or more"),
        (("centres = [1024", "centres = [0"), "one or more sizes of 1 to 65536 pixels"),
    ];
    for (change, words) in cases {
        let text = refusal(change, &[]);
        assert!(text.contains(words), "`{words}` is not in: {text}");
    }
}

#[test]
fn settings_change_values_and_say_what_they_cannot_change() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/single.toml");
    let set = |s: &str| Pipeline::load(&file, &[s.to_owned()]);
    assert_eq!(set("tiler.dilation=64").unwrap().tiling.dilation, Dilation::all(64));
    assert_eq!(set("tiler.dilation=[64, 0]").unwrap().tiling.dilation, Dilation { x: 64, y: 0 });
    assert_eq!(set("members.0.weight=2").unwrap().members[0].weight.to_bits(), 2f64.to_bits());
    assert!(set("outputs.mask_bits=16").is_ok());
    for (setting, words) in [
        ("tiler.dilatoin=3", "did you mean `dilation`?"),
        ("members.3.weight=2", "the list has 1"),
        ("tiler", "key=value"),
    ] {
        let text = set(setting).unwrap_err().to_string();
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn paths_in_a_file_are_relative_to_the_file() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/single.toml");
    let pipeline = Pipeline::load(&file, &[]).unwrap();
    let swath::config::Weights::File(path) = &pipeline.members[0].weights else { panic!("no file") };
    assert!(path.starts_with(file.parent().unwrap()), "{}", path.display());
}
