//! `swath weights` and `swath models`, as a person uses them.
#![cfg(all(feature = "torch", feature = "gdal"))]

use std::path::Path;

use swath::geom::Size;
use swath::zoo::layers::scope::Purpose;
use swath::zoo::spec::{NetworkSpec, SpecTable};
use swath::zoo::{registry, weights};
use tch::Device;

use crate::support::command::{Workdir, geotiff};
use crate::support::memory::{pipeline, values};
use crate::support::shared;

fn spec(name: &str, bands: u32, classes: u32) -> NetworkSpec {
    SpecTable::named(name).unwrap().resolve(bands, Some(classes)).unwrap()
}

/// Seeded weights of a network in a file.
fn save(spec: &NetworkSpec, path: &Path) {
    let built = registry::build(spec, Purpose::Training, Device::Cpu).unwrap();
    weights::seeded(&built.store, &built.layout, 5).unwrap();
    weights::save(&built.store, &built.layout, path).unwrap();
}

#[test]
fn a_file_is_shown_with_what_it_holds_and_which_network_it_fits() {
    let work = Workdir::new();
    save(&spec("unet/resnet18", 4, 7), &work.path("u.safetensors"));
    let ran = work.swath(&["weights", "inspect", "u.safetensors"]);
    let fits = "fits    smp/unet/resnet18, 7 classes, 4 bands";
    ran.says(0, &["format  safetensors", "sha256", fits, "encoder.conv1.weight", "[64, 4, 7, 7]"]);
    let ran = work.swath(&["weights", "inspect", "u.safetensors", "--json"]);
    let sheet: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(sheet["fits"][0], "smp/unet/resnet18, 7 classes, 4 bands");
    work.write("no.pth", "hello");
    work.swath(&["weights", "inspect", "no.pth"]).says(12, &["`no.pth` is neither a safetensors file nor"]);
}

#[test]
fn what_is_converted_is_what_it_was_and_what_differs_is_told() {
    let work = Workdir::new();
    save(&spec("unet/resnet18", 3, 2), &work.path("u.safetensors"));
    work.swath(&["weights", "convert", "u.safetensors", "-o", "half.safetensors", "--dtype", "f16"]).expect(0);
    work.swath(&["weights", "diff", "u.safetensors", "u.safetensors"]).says(0, &["tensors are equal"]);
    let ran = work.swath(&["weights", "diff", "u.safetensors", "half.safetensors"]);
    ran.says(1, &["of another type", "F32 and F16", "with other values", "of the root mean square"]);
    work.write("no.pth", "hello");
    work.swath(&["weights", "convert", "nowhere", "-o", "x"]).says(12, &["cannot open the weights `nowhere`"]);
    work.swath(&["weights", "convert", "u.safetensors", "-o", "no.pth/x"]).says(13, &["no.pth/x"]);
}

#[test]
fn somebody_elses_checkpoint_converts_bit_for_bit() {
    let Some(folder) = shared("parity/ckpt") else { return };
    let work = Workdir::new();
    let old = folder.join("legacy_wrapped_dataparallel.pth");
    work.swath(&["weights", "convert", old.to_str().unwrap(), "-o", "c.safetensors"]).expect(0);
    let new = folder.join("zip.pth");
    work.swath(&["weights", "diff", "c.safetensors", new.to_str().unwrap()]).says(0, &["tensors are equal"]);
    let ran = work.swath(&["weights", "inspect", old.to_str().unwrap()]);
    ran.says(
        0,
        &["note    the tensors were found under `state_dict`", "`module.` was cut", "no network that this build knows"],
    );
}

#[test]
fn an_exported_file_has_the_references_names_or_the_folded_ones() {
    let work = Workdir::new();
    let danet = spec("naic/danet/resnet50", 3, 4);
    save(&danet, &work.path("d.safetensors"));
    let ran =
        work.swath(&["models", "export", "naic/danet/resnet50", "--weights", "d.safetensors", "-o", "e.safetensors"]);
    ran.says(0, &["e.safetensors: naic/danet/resnet50, 4 classes, 3 bands"]);
    // The classifier that the reference has and never uses is there too.
    work.swath(&["weights", "diff", "d.safetensors", "e.safetensors"]).says(0, &[" tensors are equal"]);
    let export =
        ["models", "export", "naic/danet/resnet50", "--weights", "d.safetensors", "-o", "f.safetensors", "--folded"];
    work.swath(&export).expect(0);
    let folded = work.swath(&["weights", "inspect", "f.safetensors"]).expect(0);
    assert!(!folded.contains("running_mean") && !folded.contains("pretrained.fc"), "{folded}");

    let ran =
        work.swath(&["models", "export", "naic/danet/resnet101", "--weights", "d.safetensors", "-o", "g.safetensors"]);
    ran.says(12, &["d.safetensors", "missing"]);
    assert!(!work.path("g.safetensors").exists());
    work.swath(&["models", "export", "vgg", "--weights", "d.safetensors", "-o", "g"])
        .says(2, &["no network is called `vgg`"]);
}

#[test]
fn compressed_weights_fit_their_budget_and_run_as_they_are() {
    let work = Workdir::new();
    let member = "[[members]]\nnetwork = \"deeplabv3plus\"\nbackbone = \"resnet18\"\nweights = \"w.safetensors\"\n";
    save(&spec("deeplabv3plus/resnet18", 1, 3), &work.path("w.safetensors"));
    let compress = |more: &[&str]| work.swath(&[&["weights", "compress", "w.safetensors", "-o", "z"], more].concat());
    compress(&["--lossless"]).says(0, &["z/w.swz", ", exact"]);
    work.swath(&["weights", "diff", "w.safetensors", "z/w.swz"]).says(0, &[" tensors are equal"]);
    let bits = compress(&["--bits", "3", "--json"]);
    let bits: serde_json::Value = serde_json::from_str(&bits.stdout).unwrap();
    let file = &bits["files"][0];
    assert_eq!(file["bytes"].as_u64().unwrap(), std::fs::metadata(work.path("z/w.swz")).unwrap().len());
    assert!(file["bytes"].as_f64().unwrap() * 8.0 / file["values"].as_f64().unwrap() < 3.5, "{file}");
    compress(&["--budget", "5MB"]).says(0, &["bits each", "% of the weights"]);
    assert!(std::fs::metadata(work.path("z/w.swz")).unwrap().len() <= 5_000_000);

    work.write("p.toml", pipeline("strategy = \"whole\"\nwhole_max = 64", member, 3, None));
    let size = Size::new(64, 48);
    geotiff(&work.path("in/s.tif"), size, &values(size, 7, 1));
    let run = ["run", "p.toml", "-i", "in", "-o", "out", "--set", "members.0.weights=z/w.swz"];
    work.swath(&run).says(0, &["1 done, 0 failed"]);

    compress(&["--budget", "1kB"]).says(12, &["cannot be compressed to 1000 bytes", "is the least"]);
    let whole = std::fs::read(work.path("z/w.swz")).unwrap();
    work.write("z/w.swz", &whole[..whole.len() / 2]);
    work.swath(&run).says(12, &["w.swz", "copy the file again"]);
}

#[test]
fn networks_are_listed_and_shown() {
    let work = Workdir::new();
    let ran = work.swath(&["models", "list"]);
    ran.says(0, &["official/hrnet_ocr/hrnet_w48", "70 367 742", "648.3", "naic2020/deeplab-resnest101", "submitted"]);
    let ran = work.swath(&["models", "show", "danet/resnet101", "--size", "1024"]);
    ran.says(0, &["official/danet/resnet101", "layer4", "query_conv", "[512, 128, 128]"]);
    work.swath(&["models", "show", "resnet9000"]).says(2, &["no network is called `resnet9000`"]);
}
