//! `swath eval`, as a person uses it: with pictures in place of masks, truth with unlabelled pixels, truth as GeoTIFF.
#![cfg(feature = "gdal")]

use std::path::Path;

use swath::geom::Size;

use crate::support::command::{Workdir, geotiff, with_scenes};
use crate::support::memory::{IDENTITY, pipeline};
use crate::support::shared;

/// A pipeline of two classes whose values are not their ids.
fn two_classes() -> String {
    let text = pipeline("strategy = \"whole\"\nwhole_max = 64", IDENTITY, 2, None);
    text.replace("value = 0\n", "value = 10\n").replace("value = 1\n", "value = 20\n")
}

/// Their colours.
const COLORS: [[u8; 3]; 2] = [[0, 0x20, 0x30], [1, 0x20, 0x30]];

fn grey(path: &Path, width: u32, values: &[u8]) {
    let height = u32::try_from(values.len()).unwrap() / width;
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::save_buffer(path, values, width, height, image::ColorType::L8).unwrap();
}

/// A PNG of palette indices.
fn palette(path: &Path, width: u32, indices: &[u8], colors: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let height = u32::try_from(indices.len()).unwrap() / width;
    let mut encoder = png::Encoder::new(std::fs::File::create(path).unwrap(), width, height);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_palette(colors.to_vec());
    encoder.write_header().unwrap().write_image_data(indices).unwrap();
}

/// A GeoTIFF of one u16 band.
fn tiff(path: &Path, size: Size, values: Vec<u16>, nodata: Option<f64>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let driver = gdal::DriverManager::get_driver_by_name("GTiff").unwrap();
    let (width, height) = (size.width as usize, size.height as usize);
    let dataset = driver.create_with_band_type::<u16, _>(path, width, height, 1).unwrap();
    let mut band = dataset.rasterband(1).unwrap();
    band.set_no_data_value(nodata).unwrap();
    let mut buffer = gdal::raster::Buffer::new((width, height), values);
    band.write((0, 0), (width, height), &mut buffer).unwrap();
}

fn json(work: &Workdir, arguments: &[&str]) -> serde_json::Value {
    let ran = work.swath(&[arguments, &["--json"]].concat());
    ran.expect(0);
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn pictures_are_not_scored_as_masks() {
    let work = with_scenes(&[(30, 20)]);
    work.swath(&["run", "p.toml", "-i", "in", "-o", "out", "--backend", "fake"]).expect(0);
    let words = ["`out/color` holds pictures of masks", "give `out/masks`"];
    work.swath(&["eval", "out/color", "--truth", "out/masks"]).says(2, &words);
    work.swath(&["eval", "out/masks", "--truth", "out/color"]).says(2, &words);
    work.swath(&["eval", "out/color/s0.png", "--truth", "out/masks/s0.png"]).says(2, &["give `out/masks/s0.png`"]);
    work.swath(&["eval", "out/masks", "--truth", "out/masks"]).expect(0);
}

#[test]
fn a_palette_tells_a_picture_from_a_mask() {
    let work = Workdir::new();
    work.write("p.toml", two_classes());
    grey(&work.path("masks/a.png"), 2, &[10, 20, 20, 10]);
    // A picture somewhere else: class ids, with the class table's colours.
    palette(&work.path("picture/a.png"), 2, &[0, 1, 1, 0], &COLORS.concat());
    let ran = work.swath(&["eval", "masks", "--truth", "picture", "--pipeline", "p.toml"]);
    ran.says(2, &["`picture/a.png` is a picture of a mask", "the colours of the class table", "folder `masks`"]);
    work.swath(&["eval", "picture", "--truth", "masks", "--pipeline", "p.toml"]).says(2, &["is a picture of a mask"]);
    // Nobody knows the colours, but hardly anything agrees.
    let ran = work.swath(&["eval", "masks", "--truth", "picture"]);
    ran.says(0, &["mIoU         0.00%", "hint: the true masks are PNGs with a palette", "are they pictures?"]);
    // Truth with a palette whose indices are values is truth like any other.
    let mut colors = vec![9; 21 * 3];
    colors[30..33].copy_from_slice(&COLORS[0]);
    colors[60..63].copy_from_slice(&COLORS[1]);
    palette(&work.path("voc/a.png"), 2, &[10, 20, 20, 10], &colors);
    let ran = work.swath(&["eval", "masks", "--truth", "voc", "--pipeline", "p.toml"]);
    ran.says(0, &["mIoU       100.00%"]);
    assert!(!ran.stdout.contains("hint"), "{}", ran.stdout);
}

#[test]
fn unlabelled_truth_and_unknown_values_are_told() {
    let work = Workdir::new();
    work.write("p.toml", two_classes());
    grey(&work.path("masks/a.png"), 2, &[10, 20, 20, 10]);
    grey(&work.path("truth/a.png"), 2, &[10, 20, 255, 10]);
    let remedy = "--ignore 255 leaves it out: mIoU 100.00%";
    let arguments = ["eval", "masks", "--truth", "truth"];
    work.swath(&arguments).says(0, &["hint: value 255: in no mask", "25.00% of the ground truth", remedy]);
    let known = [&arguments[..], &["--pipeline", "p.toml"]].concat();
    work.swath(&known).says(0, &["  255  (no class)", "hint: value 255: not in the class table", remedy]);
    let found = json(&work, &known);
    assert_eq!((&found["unknown"][0], found["hints"].as_array().unwrap().len()), (&255.into(), 1));
    // The hint is told to a person as well as to a program.
    work.swath(&[&known[..], &["--json"]].concat()).says(0, &["hint: value 255"]);
    let ran = work.swath(&[&known[..], &["--ignore", "255"]].concat());
    ran.says(0, &["mIoU       100.00%", "3 counted, 1 ignored"]);
    assert!(!ran.stdout.contains("hint"), "{}", ran.stdout);
    work.swath(&[&known[..], &["--ignore", "255,20"]].concat()).says(0, &["2 counted, 2 ignored"]);
    // Masks of something else.
    grey(&work.path("masks/a.png"), 2, &[10, 3, 3, 10]);
    work.swath(&known).says(0, &["hint: value 3 of the masks is not in the class table: 50.00% of the pixels"]);
}

#[test]
fn truth_may_be_geotiff_and_its_nodata_is_left_out() {
    let work = Workdir::new();
    let size = Size::new(300, 200);
    let values: Vec<u8> = (0..60_000u32).map(|i| if i % 7 == 0 { 10 } else { 20 }).collect();
    grey(&work.path("masks/sub/a.png"), 300, &values);
    geotiff(&work.path("truth/sub/a.tif"), size, &values);
    work.swath(&["eval", "masks", "--truth", "truth"]).says(0, &["mIoU       100.00%", "60000 counted, 0 ignored"]);
    // 16 bits, a nodata value of its own.
    let mut wide: Vec<u16> = values.iter().copied().map(u16::from).collect();
    wide[..600].fill(999);
    tiff(&work.path("truth/sub/a.tif"), size, wide.clone(), Some(999.0));
    let words = ["mIoU       100.00%", "59400 counted, 600 ignored", "nodata     truth of 999 is left out"];
    let ran = work.swath(&["eval", "masks", "--truth", "truth"]);
    ran.says(0, &words);
    assert!(!ran.stdout.contains("  999  "), "{}", ran.stdout);
    assert_eq!(json(&work, &["eval", "masks", "--truth", "truth"])["nodata"], serde_json::json!([999]));
    // Masks may be GeoTIFF as well, and what they hold counts; two files need not be called alike.
    let ran = work.swath(&["eval", "truth/sub/a.tif", "--truth", "masks/sub/a.png"]);
    ran.says(0, &["60000 counted, 0 ignored", "  999    0.00%"]);
    // Of one name the PNG is taken, and that is told.
    grey(&work.path("truth/sub/a.png"), 300, &values);
    work.swath(&["eval", "masks", "--truth", "truth"]).says(0, &["60000 counted", "sub/a.tif beside sub/a.png"]);
}

#[test]
fn a_geotiff_that_is_no_mask_is_refused_in_words() {
    let work = Workdir::new();
    let size = Size::new(4, 4);
    grey(&work.path("masks/a.png"), 4, &[1; 16]);
    let refused = |words: &[&str]| work.swath(&["eval", "masks", "--truth", "truth"]).says(2, words);
    geotiff(&work.path("truth/a.tif"), size, &[1; 48]);
    refused(&["the only pair cannot be compared: `a.tif`", "holds 3 bands; a class mask holds one band"]);
    work.write("truth/a.tif", "no raster");
    refused(&["truth/a.tif`: refused: it is neither TIFF"]);
    geotiff(&work.path("truth/a.tif"), Size::new(4, 3), &[1; 12]);
    refused(&["the mask has 4 x 4 pixels and the truth 4 x 3"]);
}

#[test]
fn real_truth_with_unlabelled_pixels_is_told() {
    let Some(folder) = shared("data/landcover/dubai-member") else { return };
    let work = Workdir::new();
    let arguments = [folder.join("masks"), folder.join("truth")].map(|p| p.to_string_lossy().into_owned());
    let ran = work.swath(&["eval", &arguments[0], "--truth", &arguments[1]]);
    ran.expect(0);
    let ignored = work.swath(&["eval", &arguments[0], "--truth", &arguments[1], "--ignore", "255"]);
    ignored.expect(0);
    let miou = ignored.stdout.lines().find_map(|l| l.strip_prefix("mIoU")).unwrap().trim().to_owned();
    let is_unlabelled = ran.stdout.contains("hint: value 255");
    assert_eq!(is_unlabelled, !ignored.stdout.contains(" 0 ignored"), "{}", ran.stdout);
    assert!(!is_unlabelled || ran.stdout.contains(&format!("leaves it out: mIoU {miou}")), "{}", ran.stdout);
}
