//! What the networks say beside the class, and what shows a scene: probabilities, disagreement, overlays, the legend.
#![cfg(all(feature = "gdal", unix))]

use std::os::unix::fs::MetadataExt;

use gdal::vector::LayerAccess;
use gdal::{Dataset, Metadata};
use swath::geom::Size;

use crate::support::command::{Workdir, geotiff};
use crate::support::memory::{TWO, pipeline, values};
use crate::support::{outputs, shared};

const RUN: [&str; 7] = ["run", "p.toml", "-i", "in", "-o", "out", "--backend=fake"];
const NODATA: [&str; 2] = ["--set", "input.nodata_value=6"];
const SIZE: Size = Size { width: 300, height: 270 };

/// A scene of several rows of tiles whose value 9 is nodata, and a small one of a group.
fn prepared(outputs: &str, n_classes: u8) -> Workdir {
    let work = Workdir::new();
    let text = pipeline("strategy = \"fixed\"\ncentre = 64\ndilation = 16\nwhole_max = 60", TWO, n_classes, Some(9));
    work.write("p.toml", text.replace("color = true", outputs));
    geotiff(&work.path("in/a.tif"), SIZE, &scene());
    let small = Size::new(40, 30);
    geotiff(&work.path("in/b/c.tif"), small, &values(small, 7, 4));
    work
}

/// Values in patches, so that there are classes of some size.
fn scene() -> Vec<u8> {
    let of_patch = values(Size::new(100, 100), 7, 5);
    (0..SIZE.width as usize * SIZE.height as usize)
        .map(|at| (at % SIZE.width as usize / 9, at / SIZE.width as usize / 7))
        .map(|(x, y)| of_patch[y * 100 + x])
        .collect()
}

/// The bands of a raster.
fn bands(work: &Workdir, name: &str) -> Vec<Vec<u8>> {
    let data = Dataset::open(work.path("out").join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let read = |band| data.rasterband(band).unwrap().read_band_as::<u8>().unwrap().data().to_vec();
    (1..=data.raster_count()).map(read).collect()
}

fn band(work: &Workdir, name: &str) -> Vec<u8> {
    let mut bands = bands(work, name);
    assert_eq!(bands.len(), 1, "{name}");
    bands.remove(0)
}

#[test]
fn scores_are_the_probabilities_of_the_classes_in_the_masks() {
    let work = prepared("mask_bits = 8", 5);
    work.swath(&[&RUN[..], &NODATA].concat()).expect(0);
    let masks = outputs(&work.path("out"));
    std::fs::remove_dir_all(work.path("out")).unwrap();
    for (combine, views) in [("logits", "[\"identity\"]"), ("probabilities", "[\"identity\", \"hflip\"]")] {
        let combine = format!("inference.combine={combine}");
        let views = format!("inference.views={views}");
        let plain = [&RUN[..], &NODATA, &["--set", &combine, "--set", &views]].concat();
        work.swath(&plain).expect(0);
        let alone = outputs(&work.path("out"));
        assert!(views.contains("hflip") || alone == masks);
        std::fs::remove_dir_all(work.path("out")).unwrap();
        let all = ["scores", "probabilities", "disagreement"].map(|kind| format!("outputs.{kind}=true"));
        let all: Vec<&str> = all.iter().flat_map(|set| ["--set", set]).collect();
        work.swath(&[&plain[..], &all].concat()).says(0, &["scores      out/scores", "dissent     out/disagreement"]);
        let more = outputs(&work.path("out"));
        assert!(alone.iter().all(|(name, bytes)| more.get(name) == Some(bytes)), "a mask has changed");
        for name in ["a", "b/c"] {
            let labels = band(&work, &format!("masks/{name}.png"));
            let (scores, against) =
                (band(&work, &format!("scores/{name}.tif")), band(&work, &format!("disagreement/{name}.tif")));
            let probabilities = bands(&work, &format!("probabilities/{name}.tif"));
            assert_eq!(probabilities.len(), 5);
            // Of two members with 2 and 1 thirds of the weight.
            let possible = [0, 85, 169, 254];
            let mut seen = std::collections::BTreeSet::new();
            for (at, label) in labels.iter().enumerate() {
                let of_class = |class: usize| probabilities[class][at];
                if *label == 9 {
                    assert_eq!((scores[at], of_class(0), against[at]), (0, 0, 255));
                    continue;
                }
                assert_eq!(scores[at], of_class(usize::from(*label)), "{name} {at}");
                let sum: f64 = (0..5).map(|class| (f64::from(of_class(class)) - 1.0) / 254.0).sum();
                assert!((sum - 1.0).abs() < 0.011, "{sum}");
                if combine.ends_with("logits") {
                    assert!((0..5).all(|class| of_class(class) <= scores[at]), "{name} {at}");
                }
                assert!(possible.contains(&against[at]), "{}", against[at]);
                seen.insert((against[at], scores[at]));
            }
            assert!(labels.contains(&9) && seen.len() > 1, "{name}: {seen:?}");
        }
        std::fs::remove_dir_all(work.path("out")).unwrap();
    }
}

#[test]
fn rasters_of_shares_say_what_they_mean_and_where_they_lie() {
    let work = prepared("scores = true\nprobabilities = true\ndisagreement = true", 5);
    geotiff(&work.path("in/large.tif"), Size::new(700, 530), &values(Size::new(700, 530), 7, 1));
    work.swath(&RUN).expect(0);
    for (kind, n_bands, void, offset) in
        [("scores", 1, 0.0, -1.0 / 254.0), ("probabilities", 5, 0.0, -1.0 / 254.0), ("disagreement", 1, 255.0, 0.0)]
    {
        let data = Dataset::open(work.path(&format!("out/{kind}/large.tif"))).unwrap();
        assert_eq!(data.raster_count(), n_bands);
        assert_eq!(data.geo_transform().unwrap(), [500_000.0, 0.5, 0.0, 5_400_000.0, 0.0, -0.5]);
        assert_eq!(data.spatial_ref().unwrap().auth_code().unwrap(), 32632);
        for at in 1..=n_bands {
            let band = data.rasterband(at).unwrap();
            assert_eq!(band.no_data_value(), Some(void), "{kind}");
            assert_eq!((band.scale(), band.offset()), (Some(1.0 / 254.0), Some(offset)));
            assert_eq!((band.overview_count().unwrap(), band.block_size()), (2, (256, 256)));
            let mean = |band: &gdal::raster::RasterBand<'_>| {
                let pixels = band.read_band_as::<u8>().unwrap();
                let (sum, n) = pixels.data().iter().fold((0.0, 0.0), |(sum, n), v| (sum + f64::from(*v), n + 1.0));
                sum / n
            };
            let overview = band.overview(1).unwrap();
            assert!((mean(&overview) - mean(&band)).abs() < 3.0, "{kind} {at}");
            assert_eq!(band.description().unwrap() == format!("c{}", at - 1), kind == "probabilities");
        }
        let style = std::fs::read_to_string(work.path(&format!("out/{kind}/large.qml"))).unwrap();
        assert!(
            style.contains("\"singlebandpseudocolor\" band=\"1\"") && style.contains("maximumValue=\"1\""),
            "{kind}"
        );
    }
}

#[test]
fn a_class_that_the_networks_did_not_choose_has_no_score() {
    let work = prepared("scores = true", 5);
    work.swath(&RUN).expect(0);
    let (before, plain) = (band(&work, "masks/a.png"), band(&work, "scores/a.tif"));
    // From what is stored: scores are, as labels are.
    work.swath(&[&RUN[..], &["--set", "post.fill_holes=100"]].concat()).expect(0);
    assert_eq!(work.report("out")["totals"]["forwards"], 0);
    let (after, scores) = (band(&work, "masks/a.png"), band(&work, "scores/a.tif"));
    let mut changed = 0;
    for (at, (before, after)) in before.iter().zip(&after).enumerate() {
        changed += usize::from(before != after);
        assert_eq!(scores[at], if before == after { plain[at] } else { 0 });
    }
    assert!(changed > 100 && changed < before.len(), "{changed}");
}

#[test]
fn an_overlay_shows_the_scene_under_its_classes() {
    let work = prepared("overlay = true", 5);
    work.swath(&[&RUN[..], &["--set", "input.divide.u8=25.5"]].concat()).says(0, &["overlays", "out/overlay"]);
    for (name, size) in [("a", SIZE), ("b/c", Size::new(40, 30))] {
        let labels = band(&work, &format!("masks/{name}.png"));
        let scene = if name == "a" { scene() } else { values(size, 7, 4) };
        let picture = image::open(work.path(&format!("out/overlay/{name}.png"))).unwrap();
        let image::DynamicImage::ImageRgb8(picture) = picture else { panic!("no RGB") };
        assert_eq!(picture.dimensions(), (size.width, size.height));
        for (at, pixel) in picture.pixels().enumerate() {
            let grey = scene[at] * 10;
            let color = [labels[at], 0x20, 0x30].map(|color| color.midpoint(grey));
            assert_eq!(pixel.0, if labels[at] == 9 { [grey; 3] } else { color }, "{name} {at}");
        }
    }
    // Another divisor is another input for the networks; other colours are not.
    let white = format!("classes.{}.color=#ffffff", band(&work, "masks/a.png")[0]);
    let again = [&RUN[..], &["--set", "input.divide.u8=25.5", "--set", &white]].concat();
    let before = std::fs::read(work.path("out/overlay/a.png")).unwrap();
    work.swath(&again).expect(0);
    assert_eq!(work.report("out")["totals"]["forwards"], 0);
    assert!(std::fs::read(work.path("out/overlay/a.png")).unwrap() != before);
}

#[test]
fn an_overlay_is_the_same_however_the_scene_is_stored_and_of_its_first_three_bands() {
    let work = prepared("overlay = true", 5);
    std::fs::remove_dir_all(work.path("in")).unwrap();
    std::fs::create_dir(work.path("in")).unwrap();
    let (size, planes) = (Size::new(700, 530), values(Size::new(700, 530 * 4), 250, 1));
    let driver = gdal::DriverManager::get_driver_by_name("GTiff").unwrap();
    for (name, tiled, rows) in [("tiled", "YES", 128), ("strips", "NO", 7), ("one", "NO", 530)] {
        let options = [format!("TILED={tiled}"), format!("BLOCKYSIZE={rows}"), "COMPRESS=DEFLATE".into()];
        let mut options = gdal::raster::RasterCreationOptions::from_iter(options.iter().map(String::as_str));
        if tiled == "YES" {
            options.add_string("BLOCKXSIZE=128").unwrap();
        }
        let path = work.path(&format!("in/{name}.tif"));
        let data = driver.create_with_band_type_with_options::<u8, _>(path, 700, 530, 4, &options).unwrap();
        for (at, plane) in planes.chunks(size.len()).enumerate() {
            let mut buffer = gdal::raster::Buffer::new((700, 530), plane.to_vec());
            data.rasterband(at + 1).unwrap().write((0, 0), (700, 530), &mut buffer).unwrap();
        }
        data.close().unwrap();
    }
    let set = ["--set", "input.bands=[3, 1, 4, 2]", "--set", "input.divide.u8=255"];
    let set = [&RUN[..], &set, &["--set", "input.mean=[3, 3, 3, 3]", "--set", "input.std=[2, 2, 2, 2]"]].concat();
    work.swath(&set).says(0, &["3 done"]);
    let open = |name: &str| image::open(work.path(&format!("out/overlay/{name}.png"))).unwrap().to_rgb8();
    let first = open("tiled");
    assert!(first == open("strips") && first == open("one"));
    let labels = band(&work, "masks/tiled.png");
    for at in (0..labels.len()).step_by(77) {
        let color = [labels[at], 0x20, 0x30];
        let scene = [2, 0, 3].map(|band| planes[band * size.len() + at]);
        // The fourth band is the mask as well.
        let mix = scene.iter().zip(color).map(|(scene, color)| color.midpoint(*scene));
        let wanted: Vec<u8> = if labels[at] == 9 { scene.to_vec() } else { mix.collect() };
        assert_eq!(first.as_raw()[at * 3..][..3], wanted, "{at}");
    }
}

#[test]
fn the_legend_follows_the_classes() {
    let work = prepared("legend = true", 5);
    let stamp = || {
        let meta = std::fs::metadata(work.path("out/legend.png")).unwrap();
        (meta.ino(), meta.mtime_nsec())
    };
    work.swath(&RUN).expect(0);
    let (first, before) = (std::fs::read(work.path("out/legend.png")).unwrap(), stamp());
    let picture = image::load_from_memory(&first).unwrap().to_rgb8();
    // Five classes and nodata, below each other, each with its colour.
    let colors: Vec<[u8; 3]> = (0..6).map(|line| picture.get_pixel(20, 12 + 28 * line + 14).0).collect();
    let classes = (0..5).map(|id| [id, 0x20, 0x30]);
    assert_eq!(colors, classes.chain([[0, 0, 0]]).collect::<Vec<_>>());
    assert_eq!(picture.height(), 24 + 28 * 6);
    work.swath(&RUN).expect(0);
    assert_eq!(stamp(), before);
    work.swath(&[&RUN[..], &["--set", "classes.1.name=Wald"]].concat()).expect(0);
    assert!(std::fs::read(work.path("out/legend.png")).unwrap() != first);
    // Without it, it is what an earlier command left, until it is wanted again.
    let without = [&RUN[..], &["--set", "outputs.legend=false"]].concat();
    let earlier = || work.report("out")["earlier"].to_string();
    work.swath(&without).expect(0);
    assert_eq!(earlier(), "[\"legend.png\"]");
    work.swath(&RUN).expect(0);
    assert_eq!(earlier(), "[]");
    work.swath(&without).expect(0);
    work.swath(&without).expect(0);
    work.swath(&["gc", "out", "--outputs"]).says(0, &["1 old output removed"]);
    assert!(!work.path("out/legend.png").exists());
    work.swath(&["verify", "out"]).expect(0);
    // Somebody else's is not written over.
    let other = Workdir::new();
    other.write("out/legend.png", "mine");
    other.write("p.toml", std::fs::read(work.path("p.toml")).unwrap());
    other.write("in/a.tif", std::fs::read(work.path("in/b/c.tif")).unwrap());
    other.swath(&RUN).says(2, &["legend.png", "--overwrite"]);
}

#[test]
fn polygons_have_the_mean_of_their_scores_and_simple_borders_that_fit() {
    let work = prepared("geotiff = true\nvectors = true\nscores = true", 5);
    // Stripes across, whose borders are stairs.
    let stripe = |at: u32| u8::try_from((at % SIZE.width * 2 + at / SIZE.width * 3) / 60 % 7).unwrap();
    geotiff(&work.path("in/a.tif"), SIZE, &(0..SIZE.width * SIZE.height).map(stripe).collect::<Vec<_>>());
    let run = |more: &[&str]| work.swath(&[&RUN[..], more].concat()).expect(0);
    run(&[]);
    let plain = outputs(&work.path("out"))["vectors/a.gpkg"].clone();
    run(&["--set", "outputs.vectors_score=true", "--set", "outputs.vectors_simplify=1.0"]);
    assert_eq!(work.report("out")["totals"]["forwards"], 0);
    assert!(outputs(&work.path("out"))["vectors/a.gpkg"] != plain);
    let (labels, scores) = (band(&work, "masks/a.png"), band(&work, "scores/a.tif"));
    let mut sums = std::collections::BTreeMap::<i32, (f64, f64)>::new();
    for (label, score) in labels.iter().zip(&scores).filter(|(label, _)| **label != 9) {
        let (sum, n) = sums.entry((*label).into()).or_default();
        (*sum, *n) = (*sum + (f64::from(*score) - 1.0) / 254.0, *n + 1.0);
    }
    let data = Dataset::open(work.path("out/vectors/a.gpkg")).unwrap();
    let mut layer = data.layer_by_name("a").unwrap();
    let (mut area, mut all, mut points) = (0.0, 0.0, 0);
    for feature in layer.features() {
        let number = |name| feature.field_as_double(feature.field_index(name).unwrap()).unwrap().unwrap();
        let geometry = feature.geometry().unwrap();
        assert!(geometry.is_valid());
        points += (0..geometry.geometry_count()).map(|ring| geometry.get_geometry(ring).point_count()).sum::<usize>();
        (area, all) = (area + geometry.area(), all + number("area_m2"));
        let value = feature.field_as_integer(feature.field_index("value").unwrap()).unwrap().unwrap();
        let (sum, _) = sums.get_mut(&value).unwrap();
        *sum -= number("score") * number("pixels");
    }
    assert!(sums.values().all(|(rest, n)| rest.abs() < 1e-9 * n), "{sums:?}");
    assert!((all - 0.25 * labels.iter().filter(|label| **label != 9).count() as f64).abs() < 1e-6);
    // All borders lie between polygons or on the edge of the scene.
    assert!((area / all - 1.0).abs() < 1e-9, "{area} of {all}");
    let plain = work.write("plain.gpkg", plain);
    let plain = Dataset::open(plain).unwrap();
    let corners = |geometry: &gdal::vector::Geometry| {
        (0..geometry.geometry_count()).map(|ring| geometry.get_geometry(ring).point_count()).sum::<usize>()
    };
    let before: usize = plain.layer_by_name("a").unwrap().features().map(|f| corners(f.geometry().unwrap())).sum();
    assert!(points * 2 < before, "{points} of {before} corners");
    for value in ["-1", "nan"] {
        let set = format!("outputs.vectors_simplify={value}");
        work.swath(&[&RUN[..], &["--set", &set]].concat()).says(2, &["outputs.vectors_simplify", "reference system"]);
    }
}

#[test]
fn broken_scenes_cost_themselves_with_all_of_it_on() {
    let Some(folder) = shared("data/broken/open") else { return };
    let work = prepared("overlay = true\nlegend = true\nscores = true\nprobabilities = true\ndisagreement = true", 5);
    let mut n = 0;
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap).take(24) {
        if entry.path().extension().is_some_and(|end| end == "tif") && entry.metadata().unwrap().len() < 1 << 20 {
            std::fs::copy(entry.path(), work.path("in").join(entry.file_name())).unwrap();
            n += 1;
        }
    }
    assert!(n > 3, "{n} broken files");
    let ran = work.swath(&RUN);
    assert!(matches!(ran.code, Some(0 | 3)), "{ran:?}");
    assert!(work.path("out/overlay/a.png").exists() && work.path("out/scores/b/c.tif").exists());
}

#[test]
fn pseudo_labels_are_the_masks_where_networks_are_sure() {
    let work = prepared("scores = true", 5);
    work.swath(&[&RUN[..], &NODATA].concat()).expect(0);
    let made = |more: &[&str]| work.swath(&[&["pseudo-label", "out", "-o", "pseudo", "--overwrite"], more].concat());
    let labels = |name: &str| {
        let data = Dataset::open(work.path(&format!("pseudo/masks/{name}.png"))).unwrap();
        data.rasterband(1).unwrap().read_band_as::<u8>().unwrap().data().to_vec()
    };
    let scenes: Vec<(&str, Vec<u8>, Vec<u8>)> = ["a", "b/c"]
        .map(|name| (name, band(&work, &format!("masks/{name}.png")), band(&work, &format!("scores/{name}.tif"))))
        .into();
    // By a probability: what has less has the value of no data.
    made(&["--confidence", "0.4", "--weight", "0.5"]).says(0, &["2 scenes with labels of networks, 2 pairs in"]);
    // 0.4 of 254 steps, after the first.
    let least = 1 + 102;
    let mut n_kept = 0;
    for (name, mask, scores) in &scenes {
        let expected: Vec<u8> =
            mask.iter().zip(scores).map(|(value, score)| if *score >= least { *value } else { 9 }).collect();
        n_kept += expected.iter().filter(|value| **value != 9).count();
        assert!(labels(name) == expected, "{name}");
    }
    assert!(n_kept > 1000, "{n_kept}");
    let list = std::fs::read_to_string(work.path("pseudo/pairs.tsv")).unwrap();
    let rows: Vec<Vec<&str>> = list.lines().skip(1).map(|line| line.split('\t').collect()).collect();
    assert!(rows.iter().all(|row| row[0].ends_with(".tif") && row[2..] == ["train", "0.5"]), "{list}");
    // By a share of each class, over all scenes: at least that, and no pixel less sure than one that is left out.
    let report: serde_json::Value = serde_json::from_str(&made(&["--keep", "0.3", "--json"]).expect(0)).unwrap();
    for (class, row) in (0_u8..).zip(report["classes"].as_array().unwrap()) {
        let of_class = |(name, mask, scores): &(&str, Vec<u8>, Vec<u8>)| -> Vec<(u8, bool)> {
            let pixels = mask.iter().zip(scores).zip(labels(name));
            pixels
                .filter(|((value, _), _)| **value == class)
                .map(|((_, score), kept)| (*score, kept == class))
                .collect()
        };
        let pixels: Vec<(u8, bool)> = scenes.iter().flat_map(of_class).collect();
        let kept = pixels.iter().filter(|(_, is_kept)| *is_kept).count();
        assert!(kept as f64 >= 0.3 * pixels.len() as f64, "class {class}");
        assert_eq!(row["kept"].as_u64(), Some(kept as u64), "class {class}");
        let least = pixels.iter().filter(|(_, is_kept)| *is_kept).map(|(score, _)| *score).min();
        assert!(pixels.iter().all(|(score, is_kept)| *is_kept || Some(*score) < least), "class {class}");
    }
    // What cannot be.
    work.swath(&["pseudo-label", "out", "-o", "pseudo"]).says(2, &["masks/a.png", "add --overwrite"]);
    work.swath(&["pseudo-label", "out/masks", "-o", "x"]).says(2, &["`out/masks` is no run directory"]);
    std::fs::remove_file(work.path("out/scores/b/c.tif")).unwrap();
    made(&[]).says(3, &["left out: b/c", "1 scene with labels of networks"]);
    let bare = prepared("mask_bits = 8", 5);
    bare.swath(&[&RUN[..], &NODATA].concat()).expect(0);
    bare.swath(&["pseudo-label", "out", "-o", "x"]).says(2, &["`out` has no scores", "--set outputs.scores=true"]);
}
