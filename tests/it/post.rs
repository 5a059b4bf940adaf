//! What `[post]` does to masks, as a person asks for it: through the command line, with the identity network, which hands the scene's
//! own values through.
#![cfg(all(feature = "gdal", unix))]

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use swath::geom::Size;

use crate::support::command::{Workdir, geotiff, with_scenes};
use crate::support::memory::{IDENTITY, pipeline};
use crate::support::{outputs, png};

const RUN: [&str; 7] = ["run", "p.toml", "-i", "in", "-o", "out", "--backend=fake"];

const TILER: &str = "strategy = \"fixed\"\ncentre = 4\ndilation = 1\nwhole_max = 3";

/// The values of a scene or a mask, a digit each; `.` is the value 9.
fn drawn(rows: &[&str]) -> Vec<u8> {
    rows.iter().flat_map(|row| row.bytes().map(|b| if b == b'.' { 9 } else { b - b'0' })).collect()
}

fn mask(work: &Workdir, name: &str) -> Vec<u8> {
    png(&work.path(name)).2.into_iter().map(|value| u8::try_from(value).unwrap()).collect()
}

fn stamps(work: &Workdir) -> BTreeMap<String, (u64, i64, i64)> {
    let files = walkdir::WalkDir::new(work.path("out/masks")).into_iter().map(Result::unwrap);
    let stamp = |entry: walkdir::DirEntry| {
        let meta = entry.metadata().unwrap();
        (entry.file_name().to_str().unwrap().to_owned(), (meta.ino(), meta.mtime(), meta.mtime_nsec()))
    };
    files.filter(|entry| entry.file_type().is_file()).map(stamp).collect()
}

#[test]
fn a_changed_filter_makes_outputs_anew_from_labels() {
    let work = with_scenes(&[(70, 66), (40, 30)]);
    work.write("p.toml", pipeline("strategy = \"fixed\"\ncentre = 64\nwhole_max = 60", IDENTITY, 7, None));
    work.swath(&RUN).expect(0);
    let (mut before, plain) = (stamps(&work), outputs(&work.path("out")));
    for (setting, words) in [
        ("post.remap={c1=\"c2\"}", "c1 becomes c2"),
        ("post.majority=5", "majority of 5 x 5 pixels"),
        ("post.drop_islands=6", "islands of less than 6 pixels dropped"),
        ("post.drop_islands=3 m2", "islands of less than 3 m2 dropped"),
        ("post.drop_islands={c3=40, c4=\"2 m2\"}", "islands dropped: c3 of less than 40 pixels, c4 of less than 2 m2"),
    ] {
        let set = ["--set", setting];
        work.swath(&[&["plan", "p.toml", "-i", "in", "--backend=fake"], &set[..]].concat()).says(0, &[words]);
        work.swath(&[&RUN[..], &set].concat()).says(0, &["2 done, 0 failed", words]);
        let totals = &work.report("out")["totals"];
        assert_eq!((&totals["forwards"], &totals["decoded"]), (&0.into(), &0.into()), "{setting}");
        let after = stamps(&work);
        assert!(after.iter().all(|(name, stamp)| before[name] != *stamp), "{setting}");
        let alone = RUN.map(|argument| if argument == "out" { "alone" } else { argument });
        work.swath(&[&alone[..], &set].concat()).expect(0);
        let files = outputs(&work.path("out"));
        let other: Vec<_> =
            files.iter().filter(|(name, bytes)| plain.get(*name) == Some(bytes)).map(|(name, _)| name).collect();
        assert!(other.is_empty(), "{setting}: {other:?}");
        assert!(files == outputs(&work.path("alone")), "{setting}");
        std::fs::remove_dir_all(work.path("alone")).unwrap();
        before = after;
    }
    // As at first: from labels again.
    work.swath(&RUN).says(0, &["2 done, 0 failed"]);
    assert!(outputs(&work.path("out")) == plain && work.report("out")["totals"]["forwards"] == 0);
}

#[test]
fn masks_hold_what_the_rules_say() {
    let work = Workdir::new();
    let rows = ["1111112222", "1011112322", "1111112222", "1111..2222", "11114.2233"];
    geotiff(&work.path("in/a.tif"), Size::new(10, 5), &drawn(&rows));
    let text = pipeline(TILER, IDENTITY, 5, None);
    for (post, expected) in [
        ("remap = { c3 = \"c0\" }", ["1111112222", "1011112022", "1111112222", "1111002222", "1111402200"]),
        ("majority = 3", ["1111112222", "1111112222", "1111112222", "1111102222", "1111002223"]),
        ("drop_islands = 3", ["1111112222", "1111112222", "1111112222", "1111002222", "1111002222"]),
        // Three 0 remain, which are 0.75 m2.
        ("drop_islands = \"0.75 m2\"", ["1111112222", "1111112222", "1111112222", "1111002222", "1111002222"]),
        ("drop_islands = { c3 = 2, c4 = 1 }", ["1111112222", "1011112222", "1111112222", "1111002222", "1111402233"]),
    ] {
        // Without a nodata value the 9s would be no classes: here they are 0.
        geotiff(&work.path("in/a.tif"), Size::new(10, 5), &drawn(&rows).iter().map(|v| v % 9).collect::<Vec<_>>());
        work.write("p.toml", format!("{text}[post]\n{post}\n"));
        work.swath(&[&RUN[..], &["--fresh", "--overwrite"]].concat()).expect(0);
        assert_eq!(mask(&work, "out/masks/a.png"), drawn(&expected), "{post}");
    }
}

/// A GeoTIFF in degrees, with a nodata value.
fn in_degrees(path: &Path, size: Size, values: Vec<u8>, step: f64) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let driver = gdal::DriverManager::get_driver_by_name("GTiff").unwrap();
    let (width, height) = (size.width as usize, size.height as usize);
    let mut dataset = driver.create_with_band_type::<u8, _>(path, width, height, 1).unwrap();
    dataset.set_spatial_ref(&gdal::spatial_ref::SpatialRef::from_epsg(4326).unwrap()).unwrap();
    dataset.set_geo_transform(&[10.0, step, 0.0, 60.0, 0.0, -step]).unwrap();
    let mut band = dataset.rasterband(1).unwrap();
    band.set_no_data_value(Some(9.0)).unwrap();
    band.write((0, 0), (width, height), &mut gdal::raster::Buffer::new((width, height), values)).unwrap();
}

#[test]
fn areas_are_those_on_the_ground_or_the_scene_is_refused() {
    let work = Workdir::new();
    let rows = ["11111111", "1000.111", "11111111", "12211111"];
    // At 60 degrees north 0.00001 degrees are 0.558 m by 1.114 m: a pixel has 0.622 m2, and three have 1.866.
    in_degrees(&work.path("in/degrees.tif"), Size::new(8, 4), drawn(&rows), 1e-5);
    let pixels = drawn(&rows);
    image::save_buffer(work.path("in/nowhere.png"), &pixels, 8, 4, image::ColorType::L8).unwrap();
    std::fs::rename(work.path("in/nowhere.png"), work.path("in/nowhere.tif")).unwrap();
    work.write("p.toml", pipeline(TILER, IDENTITY, 3, Some(9)));
    let run = |area: &str, code: i32, words: &[&str]| {
        let set = format!("post.drop_islands={area} m2");
        work.swath(&[&RUN[..], &["--set", &set]].concat()).says(code, words);
        mask(&work, "out/masks/degrees.png")
    };
    let refused =
        ["post.drop_islands is 1.86 m2, and the file does not say how large its pixels are", "give it in pixels"];
    assert_eq!(run("1.86", 3, &refused), drawn(&["11111111", "1000.111", "11111111", "11111111"]));
    assert_eq!(run("1.87", 3, &[]), drawn(&["11111111", "1111.111", "11111111", "11111111"]));
    let many = ["with pixels of 0.62", "more than 65536: choose a smaller area"];
    work.swath(&[&RUN[..], &["--set", "post.drop_islands=100000 m2"]].concat()).says(3, &many);
}

#[test]
fn truth_of_a_class_that_is_given_up_counts_as_the_other() {
    let work = Workdir::new();
    let truth = drawn(&["1122", "1122", "1111", "3333"]);
    geotiff(&work.path("in/a.tif"), Size::new(4, 4), &truth);
    std::fs::create_dir_all(work.path("truth")).unwrap();
    image::save_buffer(work.path("truth/a.png"), &truth, 4, 4, image::ColorType::L8).unwrap();
    work.write("p.toml", pipeline(TILER, IDENTITY, 4, None) + "[post]\nremap = { c2 = \"c1\" }\n");
    work.swath(&RUN).expect(0);
    assert_eq!(mask(&work, "out/masks/a.png"), drawn(&["1111", "1111", "1111", "3333"]));
    let eval = ["eval", "out/masks", "--truth", "truth"];
    work.swath(&eval).says(0, &["mIoU        55.56%"]);
    let with = [&eval[..], &["--pipeline", "p.toml"]].concat();
    work.swath(&with).says(0, &["mIoU       100.00%", "remap      2 counts as 1, in masks and truth"]);
    work.swath(&[&with[..], &["--ignore", "2"]].concat()).says(0, &["12 counted, 4 ignored"]);
}

#[test]
fn what_post_may_not_be_is_told_with_the_remedy() {
    let work = Workdir::new();
    geotiff(&work.path("in/a.tif"), Size::new(4, 4), &[1; 16]);
    work.write("p.toml", pipeline(TILER, IDENTITY, 4, None));
    for (setting, words) in [
        ("post.remap={c1=\"c22\"}", "`post.remap.c1`: no class is called `c22`; did you mean `c2`?"),
        ("post.remap={ship=\"c2\"}", "no class is called `ship`; there are c0, c1, c2, c3"),
        ("post.remap={c1=\"c2\", c2=\"c3\"}", "`c2` is given up itself; name the class that takes the place of both"),
        ("post.remap={c1=\"c1\"}", "`c1` is given up itself"),
        ("post.majority=4", "`post.majority` is 4; it must be an odd number of pixels to 255, or 0"),
        ("post.majority=257", "it must be an odd number of pixels to 255"),
        ("post.drop_islands=70000", "`post.drop_islands` is 70000; it must be 0 to 65536 pixels"),
        ("post.drop_islands=25 km", "pixels, an area (\"25 m2\"), or a table of these by class"),
        ("post.drop_islands={c9=4}", "`post.drop_islands.c9`: no class is called `c9`"),
        ("post.drop_island=4", "did you mean `drop_islands`?"),
    ] {
        let ran = work.swath(&["plan", "p.toml", "-i", "in", "--backend=fake", "--set", setting]);
        ran.says(2, &[words]);
    }
}
