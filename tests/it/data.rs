//! `swath data`, as a person uses it: layouts, masks of all kinds, what is wrong with pairs, counts, splits.
#![cfg(feature = "gdal")]

use std::path::Path;

use swath::geom::Size;

use crate::support::command::{Workdir, geotiff};
use crate::support::memory::{IDENTITY, pipeline};

const SIZE: Size = Size::new(4, 2);

fn grey(path: &Path, size: Size, values: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::save_buffer(path, values, size.width, size.height, image::ColorType::L8).unwrap();
}

/// A folder `data` with `images` and `masks`, and `p.toml` of two classes with the values 10 and 20.
fn with_pairs(names: &[&str], data: &str) -> Workdir {
    let work = Workdir::new();
    write_pipeline(&work, data);
    for name in names {
        pair(&work, name);
    }
    work
}

fn write_pipeline(work: &Workdir, data: &str) {
    let text = pipeline("strategy = \"whole\"\nwhole_max = 64", IDENTITY, 2, None);
    let text = text.replace("value = 0\n", "value = 10\n").replace("value = 1\n", "value = 20\n");
    work.write("p.toml", format!("# kept\n{text}[data]\n{data}\n"));
}

/// A pair of pixels 0..8, the right half of class 1.
fn pair(work: &Workdir, name: &str) {
    geotiff(&work.path(&format!("data/images/{name}.tif")), SIZE, &[0, 1, 2, 3, 4, 5, 6, 7]);
    grey(&work.path(&format!("data/masks/{name}.png")), SIZE, &[10, 10, 20, 20, 10, 10, 20, 20]);
}

fn json(work: &Workdir, arguments: &[&str], code: i32) -> serde_json::Value {
    let ran = work.swath(&[arguments, &["--json"]].concat());
    ran.expect(code);
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn what_is_wrong_with_a_pair_is_told_by_name_and_the_others_count() {
    let work = with_pairs(&["good", "values", "size", "cut", "photo", "sub/good"], "");
    work.swath(&["data", "check", "p.toml", "-i", "data"]).says(0, &["6 pairs (6 all), 0 refused, 0 files in no pair"]);
    grey(&work.path("data/masks/values.png"), SIZE, &[10, 10, 0, 1, 10, 1, 20, 20]);
    grey(&work.path("data/masks/size.png"), Size::new(2, 4), &[10; 8]);
    let whole = std::fs::read(work.path("data/images/cut.tif")).unwrap();
    work.write("data/images/cut.tif", &whole[..60]);
    let photo: Vec<f32> = (0..8).map(|v| v as f32 / 2.0).collect();
    float(&work.path("data/masks/photo.tif"), SIZE, photo);
    std::fs::remove_file(work.path("data/masks/photo.png")).unwrap();
    grey(&work.path("data/masks/alone.png"), SIZE, &[10; 8]);
    geotiff(&work.path("data/images/lonely.tif"), SIZE, &[0; 8]);
    let ran = work.swath(&["data", "check", "p.toml", "-i", "data"]);
    ran.says(
        3,
        &[
            "refused  all/values: the mask holds what is no class: 1 (2 pixels), 0 (1 pixel); classes have the values 10, 20",
            "data.labels = \"id\"",
            "refused  all/size: the image has 4 x 2 pixels and the mask 2 x 4",
            "refused  all/cut: ",
            "cut.tif`",
            "photo.tif` holds 1 band of f32 values",
            "alone.png: a mask without an image",
            "lonely.tif: an image without a mask",
            "6 pairs (6 all), 4 refused, 2 files in no pair",
        ],
    );
    let report = json(&work, &["data", "check", "p.toml", "-i", "data"], 3);
    assert_eq!(report["classes"][1]["pixels"], 8, "of the two that are of use");
    assert_eq!(report["refused"].as_array().unwrap().len(), 4);
}

fn float(path: &Path, size: Size, values: Vec<f32>) {
    let driver = gdal::DriverManager::get_driver_by_name("GTiff").unwrap();
    let (width, height) = (size.width as usize, size.height as usize);
    let dataset = driver.create_with_band_type::<f32, _>(path, width, height, 1).unwrap();
    let mut buffer = gdal::raster::Buffer::new((width, height), values);
    dataset.rasterband(1).unwrap().write((0, 0), (width, height), &mut buffer).unwrap();
}

#[test]
fn masks_hold_values_or_ids_or_colours_and_what_they_hold_else_is_said() {
    let work =
        with_pairs(&["a"], "labels = \"id\"\nremap = { \"7\" = \"ignore\", \"9\" = \"c1\", \"#9b9b9b\" = \"ignore\" }");
    grey(&work.path("data/masks/a.png"), SIZE, &[0, 0, 1, 7, 9, 0, 1, 1]);
    let report = json(&work, &["data", "stats", "p.toml", "-i", "data"], 0);
    let pixels = |report: &serde_json::Value| {
        (report["classes"][0]["pixels"].clone(), report["classes"][1]["pixels"].clone(), report["ignored"].clone())
    };
    assert_eq!(pixels(&report), (3.into(), 4.into(), 1.into()));
    // By the same setting on the command line: ids would be values.
    work.swath(&["data", "check", "p.toml", "-i", "data", "--set", "data.labels=value"]).says(3, &["0 (3 pixels)"]);
    // Colours are told by their bands.
    let colors = [[0, 0x20, 0x30], [1, 0x20, 0x30], [0x9b; 3]];
    let rgb: Vec<u8> = [0, 1, 2, 2, 1, 1, 1, 0].iter().flat_map(|class| colors[*class]).collect();
    image::save_buffer(work.path("data/masks/a.png"), &rgb, 4, 2, image::ColorType::Rgb8).unwrap();
    assert_eq!(pixels(&json(&work, &["data", "stats", "p.toml", "-i", "data"], 0)), (2.into(), 4.into(), 2.into()));
    write_pipeline(&work, "");
    work.swath(&["data", "check", "p.toml", "-i", "data"])
        .says(3, &["#9b9b9b (2 pixels)", "no class has these colours"]);
    write_pipeline(&work, "remap = { \"7\" = \"grass\" }");
    work.swath(&["data", "check", "p.toml", "-i", "data"]).says(2, &["`7` becomes `grass`", "c0, c1"]);
    write_pipeline(&work, "remap = { \"red\" = \"c0\" }");
    work.swath(&["data", "check", "p.toml", "-i", "data"]).says(2, &["`red` is neither a value"]);
}

#[test]
fn statistics_are_those_of_the_pixels_and_go_into_a_pipeline() {
    let work = with_pairs(&["a", "b"], "");
    let ran = work.swath(&["data", "stats", "p.toml", "-i", "data", "--write", "q.toml"]);
    ran.says(0, &["3.500000  2.291288", "images of 4 x 2 to 4 x 2 pixels; size of a pixel: 0.500000 m (2)"]);
    let written = std::fs::read_to_string(work.path("q.toml")).unwrap();
    assert!(written.starts_with("# kept\n") && written.contains("mean = [3.5]\nstd = [2.291288]"), "{written}");
    // The divisor is that of the pipeline.
    let report = json(&work, &["data", "stats", "q.toml", "-i", "data", "--set", "input.divide.u8=2"], 0);
    assert_eq!(report["bands"][0]["mean"], 1.75);
    work.swath(&["data", "stats", "p.toml", "-i", "data", "--write", "q.toml"])
        .says(2, &["q.toml` exists", "--overwrite"]);
    work.swath(&["data", "stats", "p.toml", "-i", "data", "--write", "p.toml", "--overwrite"]).expect(0);
    assert_eq!(std::fs::read_to_string(work.path("p.toml")).unwrap(), written);
}

#[test]
fn layouts_are_found_and_what_is_none_is_told() {
    let work = with_pairs(&["a", "b"], "");
    for part in ["train", "val", "test"] {
        std::fs::create_dir_all(work.path(&format!("parts/{part}"))).unwrap();
    }
    for (folder, part) in [("images", "train"), ("masks", "train")] {
        std::fs::rename(work.path(&format!("data/{folder}")), work.path(&format!("parts/{part}/{folder}"))).unwrap();
    }
    pair(&work, "c");
    for folder in ["images", "masks"] {
        std::fs::rename(work.path(&format!("data/{folder}")), work.path(&format!("parts/val/{folder}"))).unwrap();
    }
    work.swath(&["data", "check", "p.toml", "-i", "parts"]).says(0, &["3 pairs (2 train, 1 val)"]);
    work.swath(&["data", "check", "p.toml", "-i", "parts", "--part", "val"]).says(0, &["1 pair (1 val)"]);
    work.swath(&["data", "check", "p.toml", "-i", "parts", "--part", "test"])
        .says(2, &["no pairs in the part test", "train, val"]);
    // A name in a path.
    let set = ["--set", "data.images=train/images/{}.tif", "--set", "data.masks=train/masks/{}.png"];
    let ran = work.swath(&[&["data", "check", "p.toml", "-i", "parts"][..], &set].concat());
    ran.says(0, &["2 pairs (2 all)"]);
    // nnU-Net: a file per channel, seen as bands.
    for (case, channel) in [("x", 0), ("x", 1), ("y", 0), ("y", 2)] {
        geotiff(&work.path(&format!("nn/imagesTr/{case}_000{channel}.tif")), SIZE, &[channel * 10; 8]);
    }
    for case in ["x", "y"] {
        grey(&work.path(&format!("nn/labelsTr/{case}.png")), SIZE, &[10; 8]);
    }
    let two = ["--set", "input.bands=[2]"];
    let report = json(&work, &[&["data", "stats", "p.toml", "-i", "nn"][..], &two].concat(), 3);
    assert_eq!(report["bands"][0]["mean"], 10.0, "{report}");
    assert_eq!(report["strays"][0]["cause"], "channels count 0000, 0001, 0002 ...");
    assert!(
        report["refused"][0]["cause"].as_str().unwrap().contains("reads band 2 and the scene has 1 band"),
        "{report}"
    );
    work.swath(&["data", "check", "p.toml", "-i", "nowhere"]).says(2, &["cannot read `nowhere`", "No such file"]);
    let nothing = work.swath(&["data", "check", "p.toml", "-i", "data"]);
    nothing.says(2, &["`data` holds no labelled scenes", "data.images"]);
    work.write("list.txt", "image,mask\nparts/train/images/a.tif,parts/train/masks/a.png,later\n");
    work.swath(&["data", "check", "p.toml", "-i", "list.txt"]).says(2, &["list.txt`: line 2: `later` is no part"]);
}

#[test]
fn splits_are_lists_that_the_commands_take() {
    let names: Vec<String> = (0..10).map(|i| format!("f{}/s{i}", i / 2)).collect();
    let work = with_pairs(&names.iter().map(String::as_str).collect::<Vec<_>>(), "");
    let split = |more: &[&str]| work.swath(&[&["data", "split", "p.toml", "-i", "data"][..], more].concat());
    split(&["-o", "a.tsv", "--val", "0.2", "--test", "0.2"]).says(0, &["6 train, 2 val, 2 test from 10 groups"]);
    let first = std::fs::read_to_string(work.path("a.tsv")).unwrap();
    split(&["-o", "a.tsv", "--val", "0.2", "--test", "0.2", "--overwrite"]).expect(0);
    assert_eq!(std::fs::read_to_string(work.path("a.tsv")).unwrap(), first);
    split(&["-o", "a.tsv"]).says(2, &["a.tsv` exists"]);
    work.swath(&["data", "check", "p.toml", "-i", "a.tsv"]).says(0, &["10 pairs (6 train, 2 val, 2 test)"]);
    split(&["-o", "b.tsv", "--by", "folder", "--folds", "5"])
        .says(0, &["2 fold0, 2 fold1, 2 fold2, 2 fold3, 2 fold4 from 5 groups"]);
    let folds = std::fs::read_to_string(work.path("b.tsv")).unwrap();
    let lines: Vec<&str> = folds.lines().skip(1).collect();
    for two in lines.chunks(2) {
        let fold = |line: &str| line.rsplit('\t').next().unwrap().to_owned();
        assert_eq!(fold(two[0]), fold(two[1]), "pairs of a folder stay together");
    }
    split(&["-o", "c.tsv", "--by", "block:100", "--folds", "2"]).says(0, &["from 1 group"]);
    split(&["-o", "d.tsv", "--by", "month"]).says(2, &["`month` is no way to group"]);
    split(&["-o", "d.tsv", "--val", "0.6", "--test", "0.4"]).says(2, &["leave nothing to train on"]);
}
