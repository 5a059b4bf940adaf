//! Small things that commands tell or suggest.
#![cfg(feature = "gdal")]

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use swath::geom::Size;

use crate::support::command::{Workdir, geotiff, with_scenes};

/// A safetensors file of f32 or f16 tensors.
fn weights(work: &Workdir, name: &str, dtype: Dtype, tensors: &[(&str, &[f32])]) {
    let half = |v: &f32| half::f16::from_f32(*v).to_le_bytes().to_vec();
    let whole = |v: &f32| v.to_le_bytes().to_vec();
    let bytes = |values: &[f32]| -> Vec<u8> {
        if dtype == Dtype::F16 {
            values.iter().flat_map(half).collect()
        } else {
            values.iter().flat_map(whole).collect()
        }
    };
    let contents: Vec<_> = tensors.iter().map(|(name, values)| (*name, values.len(), bytes(values))).collect();
    let views = contents.iter().map(|(name, n, b)| (*name, TensorView::new(dtype, vec![*n], b).unwrap()));
    work.write(name, safetensors::serialize(views, None).unwrap());
}

/// What `weights inspect` says that a file says of itself.
fn says(work: &Workdir, file: &str) -> serde_json::Value {
    let ran = work.swath(&["weights", "inspect", file, "--json"]);
    ran.expect(0);
    serde_json::from_str::<serde_json::Value>(&ran.stdout).unwrap()["metadata"].take()
}

#[test]
fn what_a_file_says_of_itself_goes_with_it_into_every_format() {
    let work = Workdir::new();
    let values: Vec<u8> = (0..8192).flat_map(|i| (i as f32 * 0.37).sin().to_le_bytes()).collect();
    let metadata = [("network", "smp/unet/resnet34"), ("classes", "[\"wäter\",\n\"road\"]"), ("bands", "")];
    let told = serde_json::json!({"network": "smp/unet/resnet34", "classes": "[\"wäter\",\n\"road\"]", "bands": ""});
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let view = TensorView::new(Dtype::F32, vec![64, 128], &values).unwrap();
    work.write("w.safetensors", safetensors::serialize([("w", view)], Some(metadata)).unwrap());
    assert_eq!(says(&work, "w.safetensors"), told);

    let convert = |from: &str, to: &str, more: &[&str]| {
        work.swath(&[&["weights", "convert", from, "-o", to][..], more].concat()).expect(0);
        assert_eq!(says(&work, to), told, "{to}");
    };
    convert("w.safetensors", "half.safetensors", &["--dtype", "f16"]);
    for (name, how) in [("exact", &["--lossless"][..]), ("bits", &["--bits", "4"]), ("budget", &["--budget", "4kB"])] {
        work.swath(&[&["weights", "compress", "half.safetensors", "-o", name][..], how].concat()).expect(0);
        let compressed = format!("{name}/half.swz");
        assert_eq!(says(&work, &compressed), told, "{compressed}");
        convert(&compressed, &format!("{name}.safetensors"), &[]);
    }
    work.swath(&["weights", "diff", "half.safetensors", "exact.safetensors"]).says(0, &["1 tensor is equal"]);
    // Equal files in, equal bytes out, however many keys there are.
    convert("exact/half.swz", "again.safetensors", &[]);
    let bytes = |name: &str| std::fs::read(work.path(name)).unwrap();
    assert!(bytes("exact.safetensors") == bytes("again.safetensors"));
    let ran = work.swath(&["weights", "inspect", "exact/half.swz"]);
    ran.says(0, &["says    classes = [\"wäter\", \"road\"]\nsays    network = smp/unet/resnet34\n"]);

    weights(&work, "silent.safetensors", Dtype::F32, &[("a", &[0.1])]);
    assert_eq!(says(&work, "silent.safetensors"), serde_json::json!({}));
}

#[test]
fn more_than_a_compressed_file_can_say_of_itself_is_refused() {
    let work = Workdir::new();
    let view = TensorView::new(Dtype::F32, vec![1], &[0; 4]).unwrap();
    let metadata = [("history".to_owned(), "x".repeat(9 << 20))].into();
    work.write("w.safetensors", safetensors::serialize([("w", view)], Some(metadata)).unwrap());
    let ran = work.swath(&["weights", "compress", "w.safetensors", "--lossless", "-o", "z"]);
    ran.says(
        12,
        &[
            "`w.safetensors`: its metadata takes 9437",
            "an swz file holds 8388608",
            "keep the weights as a safetensors file",
        ],
    );
    assert!(!work.path("z").exists());
    // Another format holds it, and a person sees how it begins.
    work.swath(&["weights", "convert", "w.safetensors", "-o", "c.safetensors"]).expect(0);
    let text = work.swath(&["weights", "inspect", "c.safetensors"]).expect(0);
    assert!(text.contains("history = xxx") && text.len() < 1000, "{}", text.len());
}

#[test]
fn compressed_files_of_the_first_version_are_read_unless_their_coding_is_gone() {
    let old = |name: &str| format!("{}/tests/fuzz/corpus/swz/{name}", env!("CARGO_MANIFEST_DIR"));
    let work = Workdir::new();
    work.swath(&["weights", "inspect", &old("sound-version1")]).says(0, &["compressed weights (swz)", "tensors"]);
    for file in ["version1-clusters2", "version1-clusters4"] {
        work.swath(&["weights", "inspect", &old(file)]).says(12, &[file, "scalar levels", "swath weights compress"]);
    }
}

#[test]
fn weights_of_two_types_are_compared_by_value() {
    let work = Workdir::new();
    weights(&work, "wide.safetensors", Dtype::F32, &[("a", &[0.1, 0.2]), ("b", &[1.0])]);
    weights(&work, "half.safetensors", Dtype::F16, &[("a", &[0.1, 0.2]), ("b", &[1.0])]);
    weights(&work, "other.safetensors", Dtype::F16, &[("a", &[0.1, 0.3]), ("b", &[1.0])]);
    let ran = work.swath(&["weights", "diff", "wide.safetensors", "half.safetensors"]);
    ran.says(1, &["0 tensors are equal", "2 with the same values, stored as F32 and F16\n  a\n  b\n"]);
    assert!(!ran.stdout.contains("other values"), "{}", ran.stdout);
    let ran = work.swath(&["weights", "diff", "wide.safetensors", "other.safetensors"]);
    ran.says(
        1,
        &["1 of another type\n  a: F32 and F16", "a: largest absolute difference 1.000e-1", "1 with the same values"],
    );
    work.swath(&["weights", "diff", "wide.safetensors", "wide.safetensors"]).says(0, &["2 tensors are equal"]);
}

#[test]
fn a_weights_file_is_summed_up_and_listed_on_request() {
    let work = Workdir::new();
    let values = vec![0.5; 1200];
    let names: Vec<String> = (0..8).map(|i| format!("layer{i}.weight")).collect();
    let tensors: Vec<(&str, &[f32])> = (1..).zip(&names).map(|(n, name)| (name.as_str(), &values[..n * 100])).collect();
    weights(&work, "w.safetensors", Dtype::F32, &tensors);
    let ran = work.swath(&["weights", "inspect", "w.safetensors"]);
    ran.says(0, &["format  safetensors file, ", "holds   8 tensors, 3 600 values (8 F32)", "sha256  ", "fits    "]);
    ran.says(0, &["largest tensors (--all lists all 8)\n  layer7.weight F32 [800]\n  layer6.weight F32 [700]\n"]);
    assert!(!ran.stdout.contains("layer0"), "{}", ran.stdout);
    let all = work.swath(&["weights", "inspect", "w.safetensors", "--all"]);
    all.says(0, &["holds   8 tensors", "layer0.weight  F32   [100]", "layer7.weight"]);
    assert!(!all.stdout.contains("largest"), "{}", all.stdout);
    let json = work.swath(&["weights", "inspect", "w.safetensors", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((json["tensors"].as_array().unwrap().len(), &json["dtypes"]["F32"]), (8, &8.into()));
    assert_eq!(json["bytes"], std::fs::metadata(work.path("w.safetensors")).unwrap().len());
}

#[test]
fn near_names_of_networks_are_suggested() {
    let work = Workdir::new();
    let words = ["no network is called `deeplabv3`; did you mean `deeplabv3plus`"];
    work.swath(&["models", "show", "deeplabv3"]).says(2, &words);
    let export = ["models", "export", "deeplabv3", "--weights", "w.safetensors", "-o", "o.safetensors"];
    work.swath(&export).says(2, &words);
    work.swath(&["models", "show", "vgg"]).says(2, &["no network is called `vgg`; `swath models list` shows"]);
}

#[test]
#[cfg(not(feature = "torch"))]
fn what_needs_networks_is_refused_by_a_build_without_them() {
    let work = Workdir::new();
    let export = ["models", "export", "danet", "--weights", "w.safetensors", "-o", "o.safetensors"];
    let start = [&export[..], &["--drop-classifier", "--classes", "3"]].concat();
    let measured =
        ["weights", "compress", "w.safetensors", "-o", "z", "--budget", "1MB", "--data", "in", "--pipeline", "p"];
    for command in [&["models", "show", "danet"][..], &["models", "check", "."], &export, &start, &measured] {
        work.swath(command).says(2, &["this build of swath has no libtorch, which this command needs"]);
    }
}

#[test]
fn a_pattern_that_matches_nothing_is_told() {
    let work = with_scenes(&[(30, 20), (40, 20)]);
    let plan = |input: &[&str], more: &[&str]| {
        let arguments = ["plan", "p.toml", "-o", "out", "--backend", "fake", "-i"];
        work.swath(&[&arguments[..], input, more].concat())
    };
    plan(&["in"], &["--exclude", "s9*", "--exclude", "s1*"])
        .says(0, &["1 to segment", "--exclude `s9*` matches nothing"]);
    let text = plan(&["in"], &["--include", "s0.tif", "--include", "*.tiff"]).expect(0);
    assert!(text.contains("--include `*.tiff` matches nothing") && !text.contains("`s0.tif` matches"), "{text}");
    plan(&["in"], &["--include", "*.dat"]).says(2, &["no scene in `in`; --include `*.dat` matches nothing"]);
    plan(&["in/s0.tif"], &["--exclude", "s1*"]).says(0, &["each file is named, and all are taken"]);
    let run = ["run", "p.toml", "-i", "in", "-o", "out", "--backend", "fake", "--exclude", "s9"];
    let ran = work.swath(&run);
    ran.expect(0);
    assert!(ran.stderr.contains("warning: --exclude `s9` matches nothing"), "{}", ran.stderr);
}

#[test]
fn a_folder_is_excluded_by_its_name_with_all_that_is_in_it() {
    let work = with_scenes(&[(30, 20)]);
    for name in ["old/a.tif", "new/old/deep/b.tif", "new/c.tif", "older.tif"] {
        geotiff(&work.path(&format!("in/{name}")), Size::new(9, 9), &[1; 81]);
    }
    let scenes = |pattern: &str| {
        let arguments =
            ["plan", "p.toml", "-i", "in", "-o", "out", "--backend", "fake", "--json", "--exclude", pattern];
        let json: serde_json::Value = serde_json::from_str(&work.swath(&arguments).stdout).unwrap();
        assert_eq!(json["warnings"], serde_json::json!([]), "{pattern}");
        let name = |scene: &serde_json::Value| scene["name"].as_str().unwrap().to_owned();
        let mut names: Vec<String> = json["scenes"].as_array().unwrap().iter().map(name).collect();
        names.sort_unstable();
        names
    };
    for pattern in ["old", "old/"] {
        assert_eq!(scenes(pattern), ["new/c", "older", "s0"], "{pattern}");
    }
    assert_eq!(scenes("new/old"), ["new/c", "old/a", "older", "s0"]);
    assert_eq!(scenes("new"), ["old/a", "older", "s0"]);
}

#[test]
fn a_list_may_begin_with_a_byte_order_mark() {
    let work = with_scenes(&[(30, 20), (40, 20)]);
    work.write("in/list.txt", "\u{feff}s0.tif\r\ns1.tif\r\n");
    let arguments = ["plan", "p.toml", "-i", "in/list.txt", "-o", "out", "--backend", "fake"];
    work.swath(&arguments).says(0, &["2 to segment"]);
}
