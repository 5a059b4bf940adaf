//! Real imagery through a trained network, compared with what PyTorch makes of it.
#![cfg(all(feature = "torch", feature = "gdal"))]

use std::path::Path;

use serde_json::Value;

use crate::support::command::Workdir;
use crate::support::{png, shared};

/// A pipeline with the trained member; scenes up to 4096 pixels are one tile.
fn pipeline(folder: &Path) -> String {
    let figures: Value = serde_json::from_slice(&std::fs::read(folder.join("figures.json")).unwrap()).unwrap();
    let mut text = format!(
        "[input]\nbands = [1, 2, 3]\ndivide = {{ u8 = 1 }}\nmean = {}\nstd = {}\n\
         [tiler]\nstrategy = \"whole\"\nwhole_max = 4096\n\
         [[members]]\nname = \"dubai\"\nnetwork = \"deeplabv3plus\"\nbackbone = \"resnet18\"\nweights = '{}'\n",
        figures["mean"],
        figures["std"],
        folder.join("deeplabv3plus_resnet18.safetensors").display()
    );
    for (id, name) in ["water", "land", "road", "building", "vegetation"].iter().enumerate() {
        text += &format!("[[classes]]\nid = {id}\nname = \"{name}\"\nvalue = {id}\ncolor = \"#{id}0{id}0{id}0\"\n");
    }
    text
}

#[test]
fn lossless_masks_are_those_of_pytorch_but_for_near_ties() {
    let Some(folder) = shared("data/landcover/dubai-member") else { return };
    let work = Workdir::new();
    work.write("dubai.toml", pipeline(&folder));
    let images = folder.join("images");
    work.swath(&["run", "dubai.toml", "-i", images.to_str().unwrap(), "-o", "out"]).expect(0);
    let figures: Value = serde_json::from_slice(&std::fs::read(folder.join("figures.json")).unwrap()).unwrap();
    for (name, facts) in figures["scenes"].as_object().unwrap() {
        let ours = png(&work.path(&format!("out/masks/{name}.png")));
        let theirs = png(&folder.join(format!("masks/{name}.png")));
        assert_eq!((ours.0, ours.1), (theirs.0, theirs.1));
        let differing = ours.2.iter().zip(&theirs.2).filter(|(a, b)| a != b).count() as u64;
        let allowed = facts["pixels_with_margin_below_1e-3"].as_u64().unwrap();
        eprintln!("{name}: {differing} pixels differ, {allowed} are near ties");
        assert!(differing <= allowed, "{name}: {differing} pixels differ, {allowed} are near ties");
    }
    let truth = folder.join("truth");
    let arguments = ["eval", "out/masks", "--truth", truth.to_str().unwrap(), "--ignore", "255", "--json"];
    let ran = work.swath(&arguments);
    ran.expect(0);
    let scores: Value = serde_json::from_str(&ran.stdout).unwrap();
    let miou = scores["scores"]["miou"].as_f64().unwrap();
    assert!((miou - figures["four_scenes"]["miou"].as_f64().unwrap()).abs() < 5e-4, "{miou}");
}

#[test]
fn weights_that_do_not_fit_are_refused_before_work_starts() {
    let Some(folder) = shared("data/landcover/dubai-member") else { return };
    let work = Workdir::new();
    let images = folder.join("images");
    let images = images.to_str().unwrap();
    work.write("five.toml", pipeline(&folder));
    let (other, classes) =
        ("members.0.backbone=resnet34", "[[classes]]\nid = 5\nname = \"x\"\nvalue = 5\ncolor = \"#000000\"\n");
    for command in ["run", "plan"] {
        work.swath(&[command, "five.toml", "-i", images, "-o", "out", "--set", other])
            .says(12, &["`dubai`", "missing: "]);
        work.write("six.toml", pipeline(&folder) + classes);
        work.swath(&[command, "six.toml", "-i", images, "-o", "out"])
            .says(12, &["the file has 5 classes, the pipeline 6"]);
        let gone = "members.0.weights=gone.safetensors";
        work.swath(&[command, "five.toml", "-i", images, "-o", "out", "--set", gone]).says(12, &["gone.safetensors"]);
    }
    assert!(!work.path("out").exists());
}
