//! `swath weights` and `swath models`, as a person uses them.
#![cfg(all(feature = "torch", feature = "gdal"))]

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use swath::geom::Size;
use swath::zoo::layers::scope::Purpose;
use swath::zoo::spec::{NetworkSpec, SpecTable};
use swath::zoo::{registry, store};

use crate::support::command::{Workdir, geotiff};
use crate::support::memory::{pipeline, values};
use crate::support::{save_weights, shared};

fn spec(name: &str, bands: u32, classes: u32) -> NetworkSpec {
    SpecTable::named(name).unwrap().resolve(bands, Some(classes)).unwrap()
}

#[test]
fn a_file_is_shown_with_what_it_holds_and_which_network_it_fits() {
    let work = Workdir::new();
    save_weights(&spec("unet/resnet18", 4, 7), &work.path("u.safetensors"));
    let ran = work.swath(&["weights", "inspect", "u.safetensors", "--all"]);
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
    save_weights(&spec("unet/resnet18", 3, 2), &work.path("u.safetensors"));
    work.swath(&["weights", "convert", "u.safetensors", "-o", "half.safetensors", "--dtype", "f16"]).expect(0);
    work.swath(&["weights", "diff", "u.safetensors", "u.safetensors"]).says(0, &["tensors are equal"]);
    let ran = work.swath(&["weights", "diff", "u.safetensors", "half.safetensors"]);
    ran.says(1, &["0 tensors are equal", "with the same values, stored as F32 and F16"]);
    assert!(!ran.stdout.contains("other values"), "{ran:?}");
    work.write("no.pth", "hello");
    work.swath(&["weights", "convert", "nowhere", "-o", "x.safetensors"])
        .says(12, &["cannot open the weights `nowhere`"]);
    work.swath(&["weights", "convert", "u.safetensors", "-o", "no.pth/x.safetensors"])
        .says(13, &["no.pth/x.safetensors"]);
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
    save_weights(&danet, &work.path("d.safetensors"));
    let bytes = std::fs::read(work.path("d.safetensors")).unwrap();
    let (tensors, told) =
        (SafeTensors::deserialize(&bytes).unwrap().tensors(), ("scaling".to_owned(), "8 bits".to_owned()));
    work.write("d.safetensors", safetensors::serialize(tensors, Some([told].into())).unwrap());
    let ran =
        work.swath(&["models", "export", "naic/danet/resnet50", "--weights", "d.safetensors", "-o", "e.safetensors"]);
    ran.says(0, &["e.safetensors: naic/danet/resnet50, 4 classes, 3 bands"]);
    // The classifier that the reference has and never uses is there too.
    work.swath(&["weights", "diff", "d.safetensors", "e.safetensors"]).says(0, &[" tensors are equal"]);
    let export =
        ["models", "export", "naic/danet/resnet50", "--weights", "d.safetensors", "-o", "f.safetensors", "--folded"];
    work.swath(&export).expect(0);
    let folded = work.swath(&["weights", "inspect", "f.safetensors", "--all"]).expect(0);
    assert!(!folded.contains("running_mean") && !folded.contains("pretrained.fc"), "{folded}");
    assert!(folded.contains("says    swath.form = folded"), "{folded}");
    for file in ["e.safetensors", "f.safetensors"] {
        work.swath(&["weights", "inspect", file]).says(0, &["says    scaling = 8 bits"]);
    }

    let ran =
        work.swath(&["models", "export", "naic/danet/resnet101", "--weights", "d.safetensors", "-o", "g.safetensors"]);
    ran.says(12, &["d.safetensors", "missing"]);
    assert!(!work.path("g.safetensors").exists());
    work.swath(&["models", "export", "vgg", "--weights", "d.safetensors", "-o", "g"])
        .says(2, &["no network is called `vgg`"]);
}

#[test]
fn training_with_other_classes_starts_from_all_but_the_classifier() {
    let work = Workdir::new();
    save_weights(&spec("deeplabv3plus/resnet18", 4, 5), &work.path("five.pth"));
    let start = |name: &str, file: &str, more: &[&str]| {
        let export = ["models", "export", name, "--weights", file, "-o", "s.safetensors", "--overwrite"];
        let export = [&export[..], &["--drop-classifier"]].concat();
        work.swath(&[&export[..], more].concat())
    };
    let name = "smp/deeplabv3plus/resnet18";
    let classifier = ["afresh: segmentation_head.0.bias", "afresh: segmentation_head.0.weight"];
    let says = [&["smp/deeplabv3plus/resnet18, 7 classes, 4 bands", ", 2 start afresh"], &classifier[..]].concat();
    start(name, "five.pth", &["--classes", "7"]).says(0, &says);
    let ran = work.swath(&["weights", "diff", "five.pth", "s.safetensors"]);
    ran.says(1, &["of another shape", "segmentation_head.0.weight: [5, 256, 1, 1] and [7, 256, 1, 1]"]);
    assert!(!ran.stdout.contains("with other values"), "{ran:?}");
    work.swath(&["weights", "inspect", "s.safetensors"]).says(0, &["smp/deeplabv3plus/resnet18, 7 classes, 4 bands"]);

    // A backbone with ImageNet's classifier, which the encoder does not have.
    let backbone = spec("torchvision/backbone/resnet18", 3, 1000);
    let built = registry::build_backbone(&backbone, Purpose::Training).unwrap();
    store::seeded(&built.store, &built.layout, 6).unwrap();
    store::save(&built.store, &built.layout, &work.path("imagenet.pth")).unwrap();
    let ran = start(name, "imagenet.pth", &["--classes", "7", "--seed", "3"]);
    ran.says(0, &["7 classes, 3 bands; 100 tensors are the file's", "afresh: decoder.", "more"]);
    assert!(!ran.stdout.contains("afresh: encoder."), "{ran:?}");
    // The entry's networks hold it under other names: as sequences, or with the classifier.
    let backbone = spec("torchvision/backbone/resnet50", 3, 1000);
    let built = registry::build_backbone(&backbone, Purpose::Training).unwrap();
    store::save(&built.store, &built.layout, &work.path("50.pth")).unwrap();
    for (name, taken) in
        [("naic/deeplabv3plus/resnet50", 265), ("naic/danet/resnet50", 267), ("naic/pspnet/resnet50", 265)]
    {
        let ran = start(name, "50.pth", &["--classes", "7"]);
        ran.says(0, &[name, &format!("{taken} tensors are the file's"), "start afresh"]);
    }

    start("unet/resnet18", "five.pth", &["--classes", "7"]).says(12, &["five.pth", "missing: decoder."]);
    start(name, "five.pth", &[]).says(2, &["--classes"]);
}

/// The tensors of a safetensors file, changed.
fn changed(work: &Workdir, to: &str, change: impl FnOnce(&mut Vec<(String, TensorView<'_>)>)) {
    let bytes = std::fs::read(work.path("w.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors = file.tensors();
    change(&mut tensors);
    std::fs::write(work.path(to), safetensors::serialize(tensors, None).unwrap()).unwrap();
}

#[test]
fn every_way_in_which_a_file_does_not_fit_is_told_with_what_to_do() {
    let work = Workdir::new();
    save_weights(&spec("unet/resnet18", 1, 3), &work.path("w.safetensors"));
    let size = Size::new(64, 64);
    geotiff(&work.path("in/s.tif"), size, &values(size, 7, 1));
    let member = "[[members]]\nnetwork = \"unet\"\nbackbone = \"resnet18\"\nweights = \"x\"\n";
    work.write("p.toml", pipeline("strategy = \"whole\"\nwhole_max = 64", member, 3, None));
    let refused = |words: &[&str]| {
        let ran = work.swath(&["run", "p.toml", "-i", "in", "-o", "out"]);
        ran.says(12, words);
        ran.says(12, &["`member0`", "x` do not fit the network"]);
        assert!(!work.path("out").exists());
    };
    let (conv, bias) = ("encoder.conv1.weight", "segmentation_head.0.bias");
    let position = |tensors: &[(String, TensorView<'_>)], name: &str| tensors.iter().position(|t| t.0 == name).unwrap();

    changed(&work, "x", |t| drop(t.remove(position(t, bias))));
    refused(&["1 missing", "missing: segmentation_head.0.bias [3]"]);
    changed(&work, "x", |t| t.push(("ema.decay".to_owned(), t[position(t, bias)].1.clone())));
    refused(&["1 extra", "extra: ema.decay [3]"]);
    changed(&work, "x", |t| {
        let at = position(t, conv);
        t[at].1 = TensorView::new(Dtype::F32, vec![64, 49], t[at].1.data()).unwrap();
    });
    refused(&["1 of another shape", "encoder.conv1.weight is [64, 49], the network has [64, 1, 7, 7]"]);
    changed(&work, "x", |t| {
        let at = position(t, bias);
        t[at].1 = TensorView::new(Dtype::I32, vec![3], t[at].1.data()).unwrap();
    });
    refused(&["1 of another type", "segmentation_head.0.bias is I32, not F32, F16 or BF16"]);
    // 1, not a number, infinity.
    const BROKEN: [u8; 12] = [0, 0, 0x80, 0x3f, 0, 0, 0xc0, 0x7f, 0, 0, 0x80, 0x7f];
    changed(&work, "x", |t| {
        let at = position(t, bias);
        t[at].1 = TensorView::new(Dtype::F32, vec![3], &BROKEN).unwrap();
    });
    refused(&["1 not finite", "2 values of segmentation_head.0.bias"]);
    // One name twice; the header's length follows.
    changed(&work, "x", |_| {});
    let text = std::fs::read(work.path("x")).unwrap();
    let (from, to) = (b"\"segmentation_head.0.bias\"", b"\"encoder.layer1.0.bn1.bias\"");
    let at = text.windows(from.len()).position(|w| w == from).unwrap();
    let shorter = text[..at].iter().chain(to).chain(&text[at + from.len()..]).copied();
    let mut twice: Vec<u8> = shorter.collect();
    let header = u64::from_le_bytes(twice[..8].try_into().unwrap()) + to.len() as u64 - from.len() as u64;
    twice[..8].copy_from_slice(&header.to_le_bytes());
    std::fs::write(work.path("x"), twice).unwrap();
    refused(&["1 missing", "1 listed twice", "listed twice: encoder.layer1.0.bn1.bias"]);
    // The rest is told by what all mismatches together say.
    changed(&work, "x", |t| t.iter_mut().for_each(|t| t.0 = format!("net.{}", t.0)));
    refused(&["begin with `net.`: save it again without that prefix"]);
    save_weights(&spec("unet/resnet18", 1, 19), &work.path("x"));
    refused(&["the file has 19 classes, the pipeline 3", "models export --drop-classifier"]);
    save_weights(&spec("unet/resnet18", 4, 3), &work.path("x"));
    refused(&["the file is for 4 bands, the pipeline has 1"]);
    save_weights(&spec("unet/resnet34", 1, 3), &work.path("x"));
    refused(&["missing", "extra", "the file fits `smp/unet/resnet34` with 3 classes and 1 bands"][1..]);
}

#[test]
fn compressed_weights_fit_their_budget_and_run_as_they_are() {
    let work = Workdir::new();
    let member = "[[members]]\nnetwork = \"deeplabv3plus\"\nbackbone = \"resnet18\"\nweights = \"w.safetensors\"\n";
    save_weights(&spec("deeplabv3plus/resnet18", 1, 3), &work.path("w.safetensors"));
    let compress = |more: &[&str]| {
        work.swath(&[&["weights", "compress", "w.safetensors", "-o", "z", "--overwrite"], more].concat())
    };
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
fn a_budget_is_spent_where_given_scenes_need_it_and_the_masks_are_compared() {
    let work = Workdir::new();
    save_weights(&spec("naic/unet", 1, 3), &work.path("w.safetensors"));
    let member = "[[members]]\nnetwork = \"unet\"\nvariant = \"naic\"\nweights = \"w.safetensors\"\n";
    work.write(
        "p.toml",
        pipeline("strategy = \"fixed\"\ncentre = 32\ndilation = 8\nwhole_max = 0", member, 3, Some(9)),
    );
    for i in 0..2 {
        geotiff(&work.path(&format!("in/s{i}.tif")), Size::new(64, 48), &values(Size::new(64, 48), 7, i));
    }
    let compress = |more: &[&str]| {
        work.swath(&[&["weights", "compress", "w.safetensors", "-o", "z", "--overwrite", "--json"], more].concat())
    };
    let data = ["--data", "in", "--pipeline", "p.toml", "--tiles", "3", "--device", "cpu"];
    let figures = |more: &[&str]| -> (f64, f64, f64) {
        let ran = compress(more);
        ran.expect(0);
        let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        let of = |name: &str| json["files"][0][name].as_f64().unwrap();
        (of("bytes"), of("answers_error"), of("masks_agree"))
    };
    let (bytes, error, agree) = figures(&[&data[..], &["--budget", "8MB"]].concat());
    assert!(bytes <= 8e6 && error > 0.0 && error < 1.0 && agree > 0.5 && agree <= 1.0, "{bytes} {error} {agree}");
    // Bit for bit is bit for bit.
    let (_, error, agree) = figures(&[&data[..], &["--lossless"]].concat());
    assert!(error == 0.0 && agree == 1.0, "{error} {agree}");

    // Held against the masks of the originals: the figures are those of `eval`.
    work.swath(&["run", "p.toml", "-i", "in", "-o", "whole"]).expect(0);
    let scored = |more: &[&str]| -> [f64; 2] {
        let ran = compress(&[&data[..], &["--truth", "whole/masks"], more].concat());
        ran.expect(0);
        let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        [0, 1].map(|at| json["miou"][at].as_f64().unwrap())
    };
    assert_eq!(scored(&["--lossless"]), [1.0, 1.0]);
    let [before, after] = scored(&["--bits", "3"]);
    work.swath(&["run", "p.toml", "-i", "in", "-o", "less", "--set", "members.0.weights=z/w.swz"]).expect(0);
    let eval = work.swath(&["eval", "less", "--truth", "whole/masks", "--json"]);
    let eval: serde_json::Value = serde_json::from_str(&eval.expect(0)).unwrap();
    assert_eq!(before.to_bits(), 1.0_f64.to_bits());
    assert_eq!(eval["scores"]["miou"].as_f64(), Some(after));
    compress(&["--lossless", "--truth", "whole/masks"]).says(2, &["--data"]);

    let elsewhere = work.write(
        "other.toml",
        pipeline(
            "strategy = \"whole\"\nwhole_max = 64",
            "[[members]]\nnetwork = \"unet\"\nvariant = \"naic\"\nseed = 1\n",
            3,
            None,
        ),
    );
    let other = ["--data", "in", "--pipeline", elsewhere.to_str().unwrap(), "--lossless"];
    compress(&other).says(2, &["`w.safetensors` is no member's weights"]);
    compress(&["--data", "in", "--lossless"]).says(2, &["--pipeline"]);
    compress(&["--data", "nowhere", "--pipeline", "p.toml", "--lossless"]).says(2, &["nowhere"]);
    work.write("bad/s.tif", "no raster");
    let bad = ["--data", "bad", "--pipeline", "p.toml", "--lossless"];
    compress(&bad).says(2, &["--data holds no scene"]);
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
