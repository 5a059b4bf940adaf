//! The weights that are shipped: they load, and their masks are right about scenes that no network was trained on.
#![cfg(all(feature = "torch", feature = "gdal"))]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use image::GrayImage;
use swath::geom::Size;
use swath::synth::{SampleScene, class_table, draw};

use crate::support::command::{Workdir, geotiff};
use crate::support::shared;

/// What GitHub and a clone bear: all weights together.
const MOST_BYTES: u64 = 12_000_000;

const SIDE: u32 = 320;

fn shipped(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

/// Colours, cut to six bits a band, of a scene.
fn colours(scene: &SampleScene) -> impl Iterator<Item = (u8, u8, u8)> {
    let bands: Vec<&[u8]> = scene.rgb.chunks(scene.truth.len()).collect();
    (0..scene.truth.len()).map(move |at| (bands[0][at] >> 2, bands[1][at] >> 2, bands[2][at] >> 2))
}

/// The mask that colours alone tell: the class that each has most often in scenes of other seeds.
fn by_colours(scene: &SampleScene) -> Vec<u8> {
    let values: Vec<u8> = class_table().iter().map(|class| u8::try_from(class.value).unwrap()).collect();
    let mut seen: BTreeMap<(u8, u8, u8), BTreeMap<u8, usize>> = BTreeMap::new();
    for seed in 101..105 {
        let other = draw(seed, "lowlands", Size::new(640, 640));
        for (colour, class) in colours(&other).zip(&other.truth) {
            *seen.entry(colour).or_default().entry(values[usize::from(*class)]).or_default() += 1;
        }
    }
    let most = |counts: &BTreeMap<u8, usize>| *counts.iter().max_by_key(|(_, count)| **count).unwrap().0;
    colours(scene).map(|colour| seen.get(&colour).map_or(values[0], most)).collect()
}

fn mask(work: &Workdir, name: &str, values: Vec<u8>) {
    let path = work.write(name, "");
    GrayImage::from_raw(SIDE, SIDE, values).unwrap().save(path).unwrap();
}

fn miou(work: &Workdir, masks: &str) -> f64 {
    let ran = work.swath(&["eval", masks, "--truth", "truth", "--no-boundary", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    found["scores"]["miou"].as_f64().unwrap()
}

#[test]
fn the_demonstration_sees_more_than_colours() {
    let work = Workdir::new();
    let values: Vec<u8> = class_table().iter().map(|class| u8::try_from(class.value).unwrap()).collect();
    for seed in [31, 32] {
        let scene = draw(seed, "township", Size::new(SIDE, SIDE));
        geotiff(&work.path(&format!("in/{seed}.tif")), scene.size, &scene.rgb);
        mask(
            &work,
            &format!("truth/{seed}.png"),
            scene.truth.iter().map(|class| values[usize::from(*class)]).collect(),
        );
        mask(&work, &format!("colours/{seed}.png"), by_colours(&scene));
    }
    let demo = shipped("pipelines/demo.toml");
    let demo = demo.to_str().unwrap();
    work.swath(&["plan", demo, "-i", "in"]).says(0, &["2 to segment", "member    hrnet-ocr-w18-small"]);
    let ran = work.swath(&["run", demo, "-i", "in", "-o", "out"]);
    ran.says(0, &["2 done, 0 failed"]);
    assert!(!format!("{ran:?}").contains("random weights"), "{ran:?}");
    let (networks, colours) = (miou(&work, "out"), miou(&work, "colours"));
    assert!(networks > colours + 0.1, "networks {networks}, colours alone {colours}");
}

#[test]
fn each_of_its_weights_runs_alone_and_all_are_small() {
    let work = Workdir::new();
    let scene = draw(33, "hamlet", Size::new(96, 64));
    geotiff(&work.path("in/a.tif"), scene.size, &scene.rgb);
    let files: Vec<PathBuf> =
        std::fs::read_dir(shipped("data/weights/demo")).unwrap().map(|f| f.unwrap().path()).collect();
    assert_eq!(files.len(), 4, "{files:?}");
    for file in &files {
        work.swath(&["run", file.to_str().unwrap(), "-i", "in", "-o", "out"]).says(0, &["1 done, 0 failed"]);
    }
    let bytes: u64 = files.iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(bytes <= MOST_BYTES, "{bytes}");
}

#[test]
fn the_network_for_real_scenes_needs_nothing_beside_and_finds_its_classes() {
    let work = Workdir::new();
    let weights = shipped("data/weights/korea-s2.swz");
    assert!(weights.metadata().unwrap().len() < MOST_BYTES / 4);
    let weights = weights.to_str().unwrap();
    // Larger than one of its tiles.
    let scene = draw(34, "lowlands", Size::new(700, 520));
    geotiff(&work.path("in/a.tif"), scene.size, &scene.rgb);
    work.swath(&["run", weights, "-i", "in", "-o", "out"]).says(0, &["1 done, 0 failed"]);
    let Some(data) = shared("data/landcover/korea-s2") else { return };
    let images = data.join("test/images");
    work.swath(&["run", weights, "-i", images.to_str().unwrap(), "-o", "real"]).says(0, &["10 done, 0 failed"]);
    let data = data.to_str().unwrap();
    let ran = work.swath(&["eval", "real", "--truth", data, "--part", "test", "--no-boundary", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    let values = found["scores"]["values"].as_array().unwrap();
    let iou = |value: i64| values.iter().find(|row| row["value"] == value).unwrap()["iou"].as_f64().unwrap();
    // Fields, forests, and what is neither: of roads and buildings, which are a pixel or two, there is little.
    for (value, least) in [(2, 0.45), (3, 0.7), (4, 0.75)] {
        assert!(iou(value) > least, "{value}: {found}");
    }
}
