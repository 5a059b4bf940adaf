//! Commands that write files: nothing that is there is lost, and no input ever.
#![cfg(feature = "gdal")]

use std::collections::BTreeMap;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::support::command::Workdir;
use crate::support::files;

/// A safetensors file of one f32 tensor.
fn weights(work: &Workdir, name: &str, values: &[f32]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, vec![values.len()], &bytes).unwrap();
    let file = safetensors::serialize([("w", view)], None).unwrap();
    work.write(name, &file);
    file
}

#[test]
fn converted_weights_replace_nothing_unasked() {
    let work = Workdir::new();
    let only_copy = weights(&work, "w.safetensors", &[0.1, 0.2]);
    std::os::unix::fs::symlink("w.safetensors", work.path("link.safetensors")).unwrap();
    std::fs::hard_link(work.path("w.safetensors"), work.path("hard.safetensors")).unwrap();
    let convert = |out: &str, more: &[&str]| {
        work.swath(&[&["weights", "convert", "w.safetensors", "-o", out, "--dtype", "bf16"], more].concat())
    };
    for out in ["w.safetensors", "./w.safetensors", "link.safetensors", "hard.safetensors"] {
        convert(out, &[]).says(2, &["would be written over the file that it is made from"]);
        convert(out, &["--overwrite"]).says(2, &["would be written over the file that it is made from"]);
    }
    assert_eq!(std::fs::read(work.path("w.safetensors")).unwrap(), only_copy);

    work.write("other.safetensors", "precious");
    convert("other.safetensors", &[]).says(2, &["`other.safetensors` exists; add --overwrite to replace it"]);
    assert_eq!(std::fs::read(work.path("other.safetensors")).unwrap(), b"precious");
    convert("other.safetensors", &["--overwrite"]).expect(0);
    convert("new.safetensors", &[]).expect(0);
    std::fs::create_dir(work.path("folder.safetensors")).unwrap();
    convert("folder.safetensors", &["--overwrite"]).says(2, &["is a folder; name a file"]);
    for out in ["new.pth", "new", "new.swz"] {
        convert(out, &[]).says(2, &["would be a safetensors file: give -o a name that ends in .safetensors"]);
        assert!(!work.path(out).exists());
    }
}

#[test]
fn exported_and_compressed_weights_replace_nothing_unasked() {
    let work = Workdir::new();
    let source = weights(&work, "w.safetensors", &[0.5; 64]);
    let export = ["models", "export", "naic/unet", "--weights", "w.safetensors", "-o"];
    for more in [&[][..], &["--folded"], &["--drop-classifier", "--classes", "3"]] {
        let export = |out: &str| work.swath(&[&export[..], &[out], more].concat());
        export("w.safetensors").says(2, &["would be written over the file that it is made from"]);
        export("x.pth").says(2, &["ends in .safetensors"]);
        work.write("there.safetensors", "precious");
        export("there.safetensors").says(2, &["`there.safetensors` exists; add --overwrite"]);
    }
    let compress = |file: &str, more: &[&str]| {
        work.swath(&[&["weights", "compress", file, "-o", "z", "--lossless"], more].concat())
    };
    compress("w.safetensors", &[]).expect(0);
    let compressed = files(&work.path("z"));
    compress("w.safetensors", &[]).says(2, &["`z/w.swz` exists; add --overwrite"]);
    compress("w.safetensors", &["--overwrite"]).expect(0);
    compress("z/w.swz", &["--overwrite"]).says(2, &["`z/w.swz` would be written over the file"]);
    assert_eq!(files(&work.path("z")), compressed);
    assert_eq!(std::fs::read(work.path("w.safetensors")).unwrap(), source);
}

/// The files of a folder with the moments at which they were written.
fn written(work: &Workdir, folder: &str) -> BTreeMap<String, std::time::SystemTime> {
    let time = |name: &String| std::fs::metadata(work.path(folder).join(name)).unwrap().modified().unwrap();
    files(&work.path(folder)).into_keys().map(|name| (name.clone(), time(&name))).collect()
}

#[test]
fn sample_scenes_are_drawn_once_and_replace_nothing_else() {
    let work = Workdir::new();
    let synth = |more: &[&str]| work.swath(&[&["synth", "--seed", "3", "-o", "data"], more].concat());
    synth(&[]).says(0, &["data/images/hamlet.tif (300 x 212)"]);
    let (before, bytes) = (written(&work, "data"), files(&work.path("data")));
    synth(&[]).says(0, &["data/images/hamlet.tif (300 x 212, there already)"]);
    assert_eq!(written(&work, "data"), before);
    // A scene of one's own, of which nothing is lost; of the others nothing is written either.
    work.write("data/images/hamlet.tif", "precious");
    std::fs::remove_file(work.path("data/masks/uplands.png")).unwrap();
    let before = files(&work.path("data"));
    synth(&[]).says(2, &["`data/images/hamlet.tif`", "exist; add --overwrite"]);
    assert!(files(&work.path("data")) == before);
    synth(&["--overwrite"]).expect(0);
    assert!(files(&work.path("data")) == bytes);
}
