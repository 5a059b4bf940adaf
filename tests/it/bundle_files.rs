//! Bundles through the command line: weights files that say what they are, in place of a pipeline file and as members.
#![cfg(feature = "gdal")]

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use swath::config::Pipeline;

use crate::support::command::{Workdir, geotiff, reference, with_scenes};
use crate::support::memory::values;

/// What the bundle `b.safetensors` says, but for the member's weights. Nothing in it is what it would be if left out.
const INPUT: &str =
    "[input]\nbands = [1]\ndivide = { u8 = 2 }\nmean = [3.0]\nstd = [2.5]\nnodata = \"any\"\nresolution = 0.5\n";
const TILER: &str = "[tiler]\nstrategy = \"fixed\"\ncentre = 64\ndilation = 16\nwhole_max = 60\n";
const NETWORK: &str = "[[members]]\nnetwork = \"deeplabv3plus\"\nbackbone = \"resnet18\"\noutput_stride = 8\n";
const CLASSES: &str = "[nodata]\nvalue = 9\n[[classes]]\nid = 0\nname = \"water\"\nvalue = 3\ncolor = \"#102030\"\n\
                       [[classes]]\nid = 1\nname = \"road\"\nvalue = 5\ncolor = \"#112030\"\n";

/// A pipeline file of that with other weights.
fn file(weights: &str) -> String {
    format!("{INPUT}{TILER}{NETWORK}weights = '{weights}'\n{CLASSES}")
}

/// A tensor that no network has: where networks are fake, nobody looks.
fn tensors() -> Vec<u8> {
    let values: Vec<u8> = (0..4096u16).flat_map(|i| (f32::from(i) / 64.0).sin().to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, vec![64, 64], &values).unwrap();
    safetensors::serialize([("w", view)], None).unwrap()
}

/// Scenes, weights `w.safetensors` with `w.toml`, and the bundle made of them.
fn prepared() -> Workdir {
    let work = with_scenes(&[(130, 140), (40, 30)]);
    work.write("w.safetensors", tensors());
    work.write("w.toml", file("w.safetensors"));
    bundled(&work, "w.toml", "b.safetensors");
    work
}

/// The same with weights that fit: a build with networks looks, where they are fake too.
fn runnable() -> Workdir {
    let work = prepared();
    #[cfg(feature = "torch")]
    {
        let pipeline = Pipeline::load(&work.path("w.toml"), &[]).unwrap();
        crate::support::save_weights(&pipeline.members[0].spec, &work.path("w.safetensors"));
        std::fs::remove_file(work.path("b.safetensors")).unwrap();
        bundled(&work, "w.toml", "b.safetensors");
    }
    work
}

fn bundled(work: &Workdir, pipeline: &str, bundle: &str) {
    work.swath(&["weights", "convert", "w.safetensors", "-o", bundle, "--pipeline", pipeline]).expect(0);
}

fn run<'a>(pipeline: &'a str, settings: &[&'a str]) -> Vec<&'a str> {
    let command = ["run", pipeline, "-i", "in", "-o", "out", "--backend", "fake", "--devices", "cpu"];
    [&command[..], settings].concat()
}

#[test]
fn a_bundle_runs_as_the_equal_pipeline_file_does() {
    let (work, bundle, none) = (runnable(), "b.safetensors", &[][..]);
    work.write("p.toml", file(bundle));
    let expected = reference(&work, &run("p.toml", none));
    assert!(expected.contains_key("masks/s0.png"), "{:?}", expected.keys());
    assert!(reference(&work, &run(bundle, none)) == expected);
    work.write("alone.toml", format!("[[members]]\nweights = '{bundle}'\n"));
    assert!(reference(&work, &run("alone.toml", none)) == expected, "the path alone");
    let shown = work.swath(&["weights", "inspect", bundle, "--pipeline"]).expect(0);
    work.write("copy/copy.toml", shown);
    assert!(reference(&work, &run("copy/copy.toml", none)) == expected, "as inspect prints it");
    let behind = ["run", "-i", "in", bundle, "-o", "out", "--backend", "fake"];
    assert!(reference(&work, &behind) == expected, "behind -i");
    let more = ["--set", "outputs.color=true"];
    let changed = reference(&work, &run("p.toml", &more));
    assert!(changed != expected && reference(&work, &run(bundle, &more)) == changed, "with a setting");
    // In another folder, and compressed.
    work.swath(&["weights", "compress", bundle, "--lossless", "-o", "small"]).expect(0);
    work.write("p.toml", file("small/b.swz"));
    let expected = reference(&work, &run("p.toml", none));
    assert!(reference(&work, &run("small/b.swz", none)) == expected, "compressed");
}

#[test]
fn every_command_with_a_pipeline_takes_a_bundle() {
    let work = runnable();
    let bundle = "b.safetensors";
    work.swath(&["plan", bundle, "-i", "in", "--backend", "fake"]).says(0, &["2 scenes"]);
    work.swath(&["plan", bundle, "-i", "in", "--backend", "fake", "--save", "plan.jsonl"]).expect(0);
    let masks = reference(&work, &run(bundle, &[]));
    work.swath(&["run", "--plan", "plan.jsonl", "-o", "out"]).expect(0);
    assert!(masks["masks/s0.png"] == std::fs::read(work.path("out/masks/s0.png")).unwrap());
    work.swath(&["resume", "out"]).says(0, &["2 scenes"]);
    // Which of the classes masks have depends on the weights.
    let told = work.swath(&["eval", "out/masks", "--truth", "out/masks", "--pipeline", bundle]).expect(0);
    assert!(told.contains("road") || told.contains("water"), "{told}");
    let size = swath::geom::Size::new(40, 30);
    geotiff(&work.path("data/images/a.tif"), size, &values(size, 7, 1));
    let truth = image::GrayImage::from_pixel(40, 30, image::Luma([5]));
    std::fs::create_dir_all(work.path("data/masks")).unwrap();
    truth.save(work.path("data/masks/a.png")).unwrap();
    work.swath(&["data", "stats", bundle, "-i", "data"]).says(0, &["road"]);
    work.swath(&["data", "stats", bundle, "-i", "data", "--write", "new.toml"])
        .says(2, &["`b.safetensors` is a bundle, whose weights need the mean and std"]);
    let bench = ["bench", "pipeline", bundle, "-i", "in", "--backend", "fake", "--devices", "cpu"];
    work.swath(&bench).expect(0);
    work.swath(&["bench", "forward", bundle, "--backend", "fake", "--devices", "cpu", "--side", "64"]).expect(0);
    assert!(!work.path("new.toml").exists());
    let tune = ["tune", bundle, "--backend", "fake", "--device", "cpu", "--crops", "64x64", "--repeats", "1"];
    work.swath(&tune).says(0, &["member0"]);
}

#[test]
fn a_pipeline_that_says_otherwise_is_refused_with_both_values() {
    let work = prepared();
    let text = file("b.safetensors");
    let two = "\n[[classes]]\nid = 2\nname = \"x\"\nvalue = 7\ncolor = \"#000000\"\n";
    let seven = CLASSES.to_owned() + two;
    for (ours, other, words) in [
        ("\"deeplabv3plus\"", "\"unet\"", ["members.0.network", "is unet here", "deeplabv3plus in"]),
        ("\"resnet18\"", "\"resnet34\"", ["members.0.backbone", "is resnet34 here", "resnet18 in"]),
        ("output_stride = 8", "output_stride = 16", ["members.0.output_stride", "is 16 here", "8 in"]),
        ("output_stride = 8", "rates = [1, 2, 3]", ["members.0.rates", "is [1, 2, 3] here", "[12, 24, 36] in"]),
        ("output_stride = 8", "decoder_channels = 64", ["members.0.decoder_channels", "is [64] here", "[256] in"]),
        ("output_stride = 8", "attention = \"scse\"", ["members.0.attention", "is scse here", "none in"]),
        ("bands = [1]", "bands = [2]", ["input.bands", "is [2] here", "[1] in"]),
        ("{ u8 = 2 }", "{ u8 = 3, u16 = 9 }", ["input.divide.u8", "is 3 here", "2 in"]),
        ("mean = [3.0]", "mean = [3.1]", ["input.mean", "is [3.1] here", "[3] in"]),
        ("std = [2.5]", "std = [2]", ["input.std", "is [2] here", "[2.5] in"]),
        ("nodata = \"any\"", "nodata = \"all\"", ["input.nodata", "is all here", "any in"]),
        ("resolution = 0.5", "resolution = 1", ["input.resolution", "is 1 here", "0.5 in"]),
        ("nodata = \"any\"", "nodata = \"any\"\nnodata_value = 4", ["input.nodata_value", "is 4 here", "none in"]),
        ("nodata = \"any\"", "nodata = \"any\"\napply_scale = true", ["input.apply_scale", "is true", "false in"]),
        ("\"road\"", "\"street\"", ["classes.1.name", "is street here", "road in"]),
        ("value = 5", "value = 6", ["classes.1.value", "is 6 here", "5 in"]),
        (CLASSES, &seven, ["classes", "is 3 of them here", "2 in"]),
    ] {
        assert!(text.contains(ours), "{ours}");
        work.write("p.toml", text.replacen(ours, other, 1));
        let says = [&["`p.toml`, line ", "the weights `b.safetensors`: take it out"][..], &words].concat();
        work.swath(&["plan", "p.toml", "-i", "in", "-o", "out", "--backend", "fake"]).says(12, &says);
    }
    work.swath(&run("p.toml", &[])).says(12, &["`classes`: it is 3 of them here, and 2 in"]);
    let preset = NETWORK.split_once("network").unwrap().0.to_owned() + "preset = \"naic2020/danet-resnet101\"\n";
    work.write("p.toml", text.replacen(NETWORK, &preset, 1));
    work.swath(&run("p.toml", &[])).says(12, &["members.0.preset", "naic/danet/resnet101 here", "deeplabv3plus"]);
    work.write("p.toml", text.replacen(NETWORK, "[[members]]\ninput = { mean = [7] }\n", 1));
    work.swath(&run("p.toml", &[])).says(12, &["members.0.input.mean", "is [7] here"]);
    // The setting is named where that is what has to go.
    work.write("p.toml", &text);
    for pipeline in ["p.toml", "b.safetensors"] {
        let says = ["--set input.mean=[4.0]", "`input.mean`: it is [4] here, and [3] in the weights `b.safetensors`"];
        work.swath(&run(pipeline, &["--set", "input.mean=[4.0]"])).says(12, &says);
    }
    assert!(!work.path("out").exists());
    // What is the same, or more, is no contradiction.
    let more = work.write("p.toml", text.replacen("{ u8 = 2 }", "{ u8 = 2, u16 = 9 }", 1));
    assert_eq!(Pipeline::load(&more, &[]).unwrap().members[0].input.divide.len(), 2);
}

#[test]
fn members_take_what_is_theirs_and_agree_on_the_rest() {
    let work = runnable();
    let other = |change: (&str, &str)| {
        work.write("other.toml", file("w.safetensors").replacen(change.0, change.1, 1));
        std::fs::remove_file(work.path("o.safetensors")).unwrap_or_default();
        bundled(&work, "other.toml", "o.safetensors");
    };
    let two = "[[members]]\nweights = 'b.safetensors'\n[[members]]\nweights = 'o.safetensors'\n";
    work.write("two.toml", two);
    // Each has its own mean; what is left out is as both have it.
    other(("mean = [3.0]", "mean = [1.0]"));
    let explicit = NETWORK.to_owned() + "weights = 'o.safetensors'\ninput = { mean = [1.0] }\n";
    work.write("explicit.toml", file("b.safetensors").replacen("mean = [3.0]\n", "", 1) + &explicit);
    let expected = reference(&work, &run("explicit.toml", &[]));
    assert!(reference(&work, &run("two.toml", &[])) == expected);
    let text = file("b.safetensors").replacen("mean = [3.0]\n", "", 1) + &explicit;
    work.write("explicit.toml", text.replacen("[nodata]\nvalue = 9", "[nodata]\nvalue = 8", 1));
    work.write("two.toml", two.to_owned() + "[nodata]\nvalue = 8\n");
    let expected = reference(&work, &run("explicit.toml", &[]));
    assert!(reference(&work, &run("two.toml", &[])) == expected, "with a value of its own for nodata");
    // Beside weights that say nothing, `[input]` is of those.
    let plain = format!("{INPUT}{TILER}{NETWORK}weights = 'w.safetensors'\n{two}{CLASSES}");
    work.write("plain.toml", &plain);
    work.swath(&run("plain.toml", &[])).says(12, &["`input.mean`: it is [3] here, and [1] in", "o.safetensors"]);
    work.write("plain.toml", plain.replacen("mean = [3.0]\n", "", 1));
    work.swath(&run("plain.toml", &[])).says(2, &["`input` lacks the key `mean`"]);
    let own = "weights = 'w.safetensors'\ninput = { mean = [3] }\n";
    work.write("plain.toml", plain.replacen("mean = [3.0]\n", "", 1).replacen("weights = 'w.safetensors'\n", own, 1));
    work.swath(&run("plain.toml", &[])).expect(0);
    work.write("plain.toml", plain.replacen("nodata = \"any\"\n", "", 1).replacen("mean = [3.0]\n", "", 1));
    work.swath(&run("plain.toml", &[])).says(12, &["`input.nodata`: it is all here, and any in", "has its default"]);
    // There is one way to read a scene, and one table of classes.
    other(("resolution = 0.5", "resolution = 0.25"));
    work.swath(&run("two.toml", &[])).says(
        12,
        &["`input.resolution`: it is 0.5 here, and 0.25 in the weights `o.safetensors`", "run these weights by"],
    );
    other(("name = \"road\"", "name = \"rail\""));
    work.swath(&run("two.toml", &[])).says(12, &["`classes.1.name`: it is road here, and rail in"]);
}

#[test]
fn what_a_bundle_says_goes_along() {
    let work = prepared();
    let pipeline = |file: &str| work.swath(&["weights", "inspect", file, "--pipeline"]).expect(0).replace(file, "FILE");
    let original = pipeline("b.safetensors");
    assert!(original.contains("bands = [1]") && original.contains("output_stride = 8"), "{original}");
    let convert = |from: &str, to: &str| {
        work.swath(&["weights", "convert", from, "-o", to, "--dtype", "f16"]).expect(0);
        assert_eq!(pipeline(to), original, "{to}");
    };
    convert("b.safetensors", "half.safetensors");
    for how in ["--lossless", "--bits=2", "--budget=6kB"] {
        work.swath(&["weights", "compress", "b.safetensors", how, "-o", "z", "--overwrite"]).expect(0);
        assert_eq!(pipeline("z/b.swz"), original, "{how}");
    }
    convert("z/b.swz", "back.safetensors");
    let says = "bundle  smp/deeplabv3plus/resnet18, bands [1], pixels of 0.5 m, classes water, road\n";
    work.swath(&["weights", "inspect", "z/b.swz"]).says(0, &[says]);
    let ran = work.swath(&["weights", "inspect", "z/b.swz", "--json"]);
    let sheet: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(sheet["metadata"]["swath.bundle"], "1");
    assert!(sheet["bundle"].as_str().unwrap().starts_with("smp/deeplabv3plus"), "{ran:?}");
    // Said anew, of the only member or of the one with these weights.
    let new = ["weights", "convert", "b.safetensors", "-o", "new.safetensors", "--pipeline"];
    work.write(
        "seed.toml",
        file("").replacen("weights = ''", "seed = 1", 1).replacen("mean = [3.0]", "mean = [8.0]", 1),
    );
    work.swath(&[&new[..], &["seed.toml", "--set", "input.std=[9.0]"]].concat()).expect(0);
    assert!(["mean = [8.0]", "std = [9.0]"].iter().all(|word| pipeline("new.safetensors").contains(word)));
    let again = ["b.safetensors", "--set", "input.bands=[2]", "--overwrite"];
    work.swath(&[&new[..], &again].concat()).expect(0);
    assert_eq!(pipeline("new.safetensors"), original.replacen("bands = [1]", "bands = [2]", 1));
    work.write("two.toml", file("w.safetensors") + NETWORK + "seed = 1\n");
    work.swath(&[&new[..], &["two.toml", "--overwrite"]].concat())
        .says(2, &["`b.safetensors` is the weights of no member of `two.toml`, which has several"]);
}

#[test]
fn weights_that_are_no_bundle_are_told_apart() {
    let work = prepared();
    let none = "bundle  no: a pipeline file has to say which network, input and classes these weights are for\n";
    work.swath(&["weights", "inspect", "w.safetensors"]).says(0, &[none]);
    let says = [
        "`w.safetensors`: these are weights, and they do not say what they are for",
        "swath weights convert 'w.safetensors' -o BUNDLE.safetensors --pipeline PIPELINE.toml",
    ];
    work.swath(&run("w.safetensors", &[])).says(2, &says);
    work.swath(&["weights", "inspect", "w.safetensors", "--pipeline"]).says(2, &says);
    work.write("alone.toml", format!("{INPUT}[[members]]\nweights = 'w.safetensors'\n{CLASSES}"));
    work.swath(&run("alone.toml", &[]))
        .says(2, &["`members.0`: it has neither `network` nor `preset`, nor weights that say"]);
    work.swath(&run("alone.toml", &["--set", "members.0.weights=gone.pth"]))
        .says(12, &["--set members.0.weights=gone.pth", "there is no `network`, and the weights cannot say it"]);

    // Another key of its metadata, or another value.
    let changed = |key: &str, value: &str| {
        let bytes = std::fs::read(work.path("b.safetensors")).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let mut metadata = header.metadata().clone().unwrap();
        metadata.insert(key.to_owned(), value.to_owned());
        let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
        work.write("c.safetensors", safetensors::serialize(tensors, Some(metadata)).unwrap());
    };
    work.write("c.toml", "[[members]]\nweights = 'c.safetensors'\n");
    work.write("named.toml", file("c.safetensors"));
    for (key, value, word) in [
        ("swath.bundle", "2", "bundle of format 2, and this version of swath reads 1"),
        ("swath.form", "folded", "a bundle whose tensors are folded"),
        ("swath.pipeline", "[inputs]", "a bundle has one member"),
    ] {
        changed(key, value);
        for pipeline in ["c.safetensors", "c.toml", "named.toml"] {
            work.swath(&run(pipeline, &[])).says(12, &["c.safetensors`", word]);
        }
        work.swath(&["weights", "inspect", "c.safetensors"]).says(0, &["bundle  ", word]);
    }
    changed("swath.pipeline", &file("").replacen("weights = ''\n", "", 1).replacen("bands", "band", 1));
    work.swath(&run("c.safetensors", &[]))
        .says(12, &["`c.safetensors`, line 2 of its pipeline: unknown key `input.band`; did you mean `bands`?"]);
    changed("swath.pipeline", &file("").replacen("weights = ''", "trust = true", 1));
    work.swath(&run("c.safetensors", &[])).says(12, &["`members.0.trust` has no place in a bundle"]);
    changed("swath.training", "{\"epochs\": 3}");
    work.swath(&["weights", "inspect", "c.safetensors"]).says(0, &["says    swath.training = {\"epochs\": 3}\n"]);
    // A text that begins as weights may is a text.
    work.write("inline.toml", "input = { bands = [2] }\n[[members]]\nweights = 'b.safetensors'\n");
    work.swath(&run("inline.toml", &[])).says(12, &["`inline.toml`, line 1: `input.bands`: it is [2] here"]);
    work.write("cut.safetensors", &tensors()[..300]);
    work.swath(&run("cut.safetensors", &[])).says(12, &["`cut.safetensors` is not a whole safetensors file"]);
}

#[cfg(feature = "torch")]
#[test]
fn an_exported_bundle_is_one_unless_it_is_folded() {
    let work = runnable();
    let export = |out: &str, more: &[&str]| {
        let command = ["models", "export", "smp/deeplabv3plus/resnet18", "--weights", "b.safetensors", "-o", out];
        work.swath(&[&command[..], more].concat()).expect(0);
    };
    let pipeline = |file: &str| work.swath(&["weights", "inspect", file, "--pipeline"]).expect(0).replace(file, "FILE");
    export("plain.safetensors", &[]);
    assert_eq!(pipeline("plain.safetensors"), pipeline("b.safetensors"));
    work.swath(&run("plain.safetensors", &[])).expect(0);
    export("folded.safetensors", &["--folded"]);
    let says = "it is a bundle whose tensors are folded, which is for other programs";
    work.swath(&run("folded.safetensors", &[])).says(12, &["`folded.safetensors`", says]);
    work.swath(&["weights", "inspect", "folded.safetensors"]).says(0, &["bundle  ", says]);
}
