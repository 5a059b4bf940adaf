//! `bash run.sh reproduce --quick`: from labelled images to a submission, stopped on the way and gone on with.
#![cfg(all(feature = "torch", feature = "gdal"))]

use std::path::Path;
use std::process::{Command, Output};
use std::time::SystemTime;

use image::GrayImage;
use swath::geom::Size;
use swath::synth::{class_table, draw};

use crate::support::command::{Workdir, geotiff};

const SIDE: u32 = 160;

/// Six small labelled scenes.
fn prepared() -> Workdir {
    let work = Workdir::new();
    let values: Vec<u8> = class_table().iter().map(|class| u8::try_from(class.value).unwrap()).collect();
    for seed in 0..6 {
        let scene = draw(seed, "township", Size::new(SIDE, SIDE));
        geotiff(&work.path(&format!("data/images/{seed}.tif")), scene.size, &scene.rgb);
        let mask: Vec<u8> = scene.truth.iter().map(|class| values[usize::from(*class)]).collect();
        GrayImage::from_raw(SIDE, SIDE, mask).unwrap().save(work.write(&format!("data/masks/{seed}.png"), "")).unwrap();
    }
    work
}

fn reproduce(work: &Workdir, more: &[&str]) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_swath")).parent().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("run.sh");
    let mut command = Command::new("bash");
    command.arg(script).arg("reproduce").args(more).current_dir(work.path("."));
    command.env("SWATH", program).env("XDG_CACHE_HOME", work.path("cache")).output().unwrap()
}

fn written(work: &Workdir, file: &str) -> SystemTime {
    work.path(file).metadata().unwrap_or_else(|e| panic!("{file}: {e}")).modified().unwrap()
}

#[test]
fn the_way_from_labels_to_a_submission_is_gone_on_with() {
    let work = prepared();
    let quick = ["--quick", "--data", "data", "--out", "out", "--steps", "2", "--limit", "9MB"];
    let ran = reproduce(&work, &quick);
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    assert!(String::from_utf8_lossy(&ran.stdout).contains("mIoU"), "{ran:?}");
    let archive = std::fs::read(work.path("out/submit/submit.zip")).unwrap();
    let members = ["deeplab-resnet18", "danet-resnet18", "deeplab-resnest14", "hrnet-ocr-w18-small"];
    let bytes = members.map(|name| work.path(&format!("out/compressed/{name}.swz")).metadata().unwrap().len());
    assert!(bytes.iter().sum::<u64>() <= 9_000_000, "{bytes:?}");

    // As if it had been stopped while it compressed: what was trained stays.
    let kept = members.map(|name| written(&work, &format!("out/trained/{name}/best.safetensors")));
    std::fs::remove_file(work.path("out/compressed/danet-resnet18.swz")).unwrap();
    std::fs::remove_dir_all(work.path("out/submit")).unwrap();
    let ran = reproduce(&work, &quick);
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    assert_eq!(members.map(|name| written(&work, &format!("out/trained/{name}/best.safetensors"))), kept);
    assert!(std::fs::read(work.path("out/submit/submit.zip")).unwrap() == archive, "another submission");
}

#[test]
fn what_there_is_to_do_and_for_how_long_is_told() {
    let work = prepared();
    let ran = reproduce(&work, &["--quick", "--data", "data", "--out", "out", "--steps", "2", "--plan"]);
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    let told = String::from_utf8_lossy(&ran.stdout);
    assert_eq!(told.matches("minutes in all").count(), 4, "{ran:?}");
    assert!(!work.path("out/trained").exists());
    let ran = reproduce(&work, &[]);
    assert_eq!(ran.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("--data DIR"), "{ran:?}");
}
