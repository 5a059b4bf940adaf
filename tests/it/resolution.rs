//! Scenes of other resolutions than the networks': resampled as they are read, and masks on their own grids. The networks hand the first
//! band through, so that masks show what they saw.
#![cfg(all(feature = "gdal", unix))]

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use gdal::raster::{Buffer, GdalType, RasterCreationOptions};
use gdal::spatial_ref::SpatialRef;
use gdal::{Dataset, DriverManager, Gcp};
use swath::geom::Size;

use crate::support::command::{Ran, Workdir};
use crate::support::memory::{IDENTITY, pipeline, values};
use crate::support::{outputs, png};

/// What masks hold where there is no data.
const VOID: u16 = 250;

const WHOLE: [&str; 2] = ["tiler.strategy=whole", "tiler.whole_max=9000"];

fn prepared() -> Workdir {
    let work = Workdir::new();
    let tiler = "strategy = \"fixed\"\ncentre = 16\ndilation = 4\nwhole_max = 20";
    work.write("p.toml", pipeline(tiler, IDENTITY, 40, Some(250)));
    work
}

/// Runs over a folder into another one.
fn run(work: &Workdir, folder: &str, out: &str, settings: &[&str]) -> Ran {
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    let base = ["run", "p.toml", "-i", folder, "-o", out, "--backend", "fake", "--devices", "cpu"];
    work.swath(&base.into_iter().chain(settings).collect::<Vec<_>>())
}

fn mask(work: &Workdir, path: &str) -> Vec<u16> {
    png(&work.path(path)).2
}

/// Writes a scene of one band that `place` places and that is stored so.
fn scene<T: GdalType + Copy>(
    path: &Path,
    size: Size,
    values: Vec<T>,
    stored: &[&str],
    place: impl FnOnce(&mut Dataset),
) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let driver = DriverManager::get_driver_by_name("GTiff").unwrap();
    let (width, height) = (size.width as usize, size.height as usize);
    let options = RasterCreationOptions::from_iter(stored.iter().copied());
    let mut dataset = driver.create_with_band_type_with_options::<T, _>(path, width, height, 1, &options).unwrap();
    place(&mut dataset);
    let rows = values.len() / width;
    let mut buffer = Buffer::new((width, rows), values);
    dataset.rasterband(1).unwrap().write((0, 0), (width, rows), &mut buffer).unwrap();
    dataset.close().unwrap();
}

fn at(dataset: &mut Dataset, crs: &str, transform: [f64; 6]) {
    dataset.set_spatial_ref(&SpatialRef::from_definition(crs).unwrap()).unwrap();
    dataset.set_geo_transform(&transform).unwrap();
}

fn metres(metres: f64) -> impl FnOnce(&mut Dataset) {
    move |dataset| at(dataset, "EPSG:32632", [500_000.0, metres, 0.0, 5_400_000.0, 0.0, -metres])
}

/// What a position is made of, by the book: lengths in common, or four samples of a cubic curve.
fn shares(own: u32, other: u32, at: u32) -> Vec<(usize, f64)> {
    let (ratio, at) = (f64::from(own) / f64::from(other), f64::from(at));
    let share = |position: u32| match own.cmp(&other) {
        std::cmp::Ordering::Equal => f64::from(u8::from(f64::from(position) == at)),
        std::cmp::Ordering::Greater => {
            (f64::from(position + 1).min((at + 1.0) * ratio) - f64::from(position).max(at * ratio)).max(0.0)
        }
        std::cmp::Ordering::Less => {
            let x = (f64::from(position) - ((at + 0.5) * ratio - 0.5)).abs();
            match x {
                _ if x <= 1.0 => 1.5 * x.powi(3) - 2.5 * x.powi(2) + 1.0,
                _ if x < 2.0 => -0.5 * x.powi(3) + 2.5 * x.powi(2) - 4.0 * x + 2.0,
                _ => 0.0,
            }
        }
    };
    let all = (0..own).map(|position| (position as usize, share(position)));
    all.filter(|(_, share)| share.abs() > 1e-9).collect()
}

/// The whole number up to 255 below a value; what is a whole number but for rounding is one.
fn floor(value: f64) -> u32 {
    (0..=255).rev().find(|whole| f64::from(*whole) <= value + 1e-9).unwrap_or(0)
}

/// What the networks see of a scene on a grid of another size, and where there is nothing to see.
fn by_hand(values: &[u8], nodata: Option<u8>, own: Size, other: Size) -> Vec<u16> {
    let mut seen = Vec::new();
    for y in 0..other.height {
        let rows = shares(own.height, other.height, y);
        for x in 0..other.width {
            let (mut sum, mut weight, mut all) = (0.0, 0.0, 0.0);
            for (row, a) in &rows {
                for (column, b) in shares(own.width, other.width, x) {
                    let value = values[row * own.width as usize + column];
                    all += a * b;
                    if Some(value) != nodata {
                        sum += a * b * f64::from(value);
                        weight += a * b;
                    }
                }
            }
            let value = u16::try_from(floor(sum / weight + 0.5)).unwrap();
            let of_class = if value < 40 { value } else { 0 };
            seen.push(if weight / all < 0.5 - 1e-9 { VOID } else { of_class });
        }
    }
    seen
}

/// That, back on the grid of the scene: what lies under the centres of its pixels.
fn back(seen: &[u16], own: Size, other: Size) -> Vec<u16> {
    let nearest =
        |at: u32, own: u32, other: u32| floor((f64::from(at) + 0.5) * f64::from(other) / f64::from(own)) as usize;
    let pixel =
        |(x, y)| seen[nearest(y, own.height, other.height) * other.width as usize + nearest(x, own.width, other.width)];
    (0..own.height).flat_map(|y| (0..own.width).map(move |x| (x, y))).map(pixel).collect()
}

#[test]
fn masks_of_two_resolutions_lie_on_their_own_grids_as_a_resample_by_hand_says() {
    let work = prepared();
    let sizes =
        [("fine", 0.3, Size::new(101, 67), Size::new(61, 40)), ("coarse", 1.0, Size::new(43, 35), Size::new(86, 70))];
    for (folder, resolution, own, other) in sizes {
        let pixels = values(own, 37, 3);
        scene(&work.path(folder).join("a.tif"), own, pixels.clone(), &[], metres(resolution));
        let settings = ["input.resolution=0.5", "outputs.geotiff=true", "outputs.sidecars=true"];
        let said = format!("resolution  1 scene resampled from {resolution} m to 0.5 m");
        run(&work, folder, &format!("out/{folder}"), &settings).says(0, &[&said]);
        let (width, height, mask) = png(&work.path(&format!("out/{folder}/masks/a.png")));
        assert_eq!((width, height), (own.width, own.height));
        assert!(mask == back(&by_hand(&pixels, None, own, other), own, other), "{folder}");
        let tiff = Dataset::open(work.path(&format!("out/{folder}/geotiff/a.tif"))).unwrap();
        let place = Dataset::open(work.path(folder).join("a.tif")).unwrap().geo_transform().unwrap();
        assert_eq!((tiff.raster_size(), tiff.geo_transform().unwrap()), ((width as usize, height as usize), place));
        let report = work.report(&format!("out/{folder}"));
        let told = &report["scenes"]["a"]["resolution"];
        assert_eq!(told["network_size"], serde_json::json!([other.width, other.height]), "{report}");
        // With every pixel in the hands of the tiler, there is nothing beside the ring that is wasted.
        let plan = ["plan", "p.toml", "-i", folder, "--backend=fake", "--set", "input.resolution=0.5", "--set"];
        let text =
            work.swath(&[&plan[..], &["tiler.strategy=whole", "--set", "tiler.whole_max=100"]].concat()).expect(0);
        assert!(text.contains(&said) && text.contains(" 0.0 % of it overlap"), "{text}");
    }
}

#[test]
fn how_a_scene_is_cut_and_stored_changes_no_pixel() {
    let work = prepared();
    let (own, numbers) = (Size::new(61, 45), |seed| values(Size::new(61, 45), 37, seed));
    let holes: Vec<f32> = numbers(2).iter().map(|v| if v % 7 == 0 { f32::NAN } else { f32::from(*v) }).collect();
    let tiled = ["TILED=YES", "BLOCKXSIZE=16", "BLOCKYSIZE=16"];
    scene(&work.path("in/strips.tif"), own, numbers(1), &["BLOCKYSIZE=1"], metres(1.0));
    scene(&work.path("in/tiles.tif"), own, numbers(1), &tiled, metres(1.0));
    scene(&work.path("in/holes.tif"), own, holes, &tiled, metres(1.0));
    scene(&work.path("in/void.tif"), own, numbers(3), &[], |dataset| {
        metres(1.0)(dataset);
        dataset.rasterband(1).unwrap().set_no_data_value(Some(17.0)).unwrap();
    });
    // Finer and coarser; with the first, the last row of tiles holds the centre of no pixel.
    for (metres, fill_holes) in [("0.155", 0), ("0.7", 20), ("1.9", 0), ("13", 20)] {
        let (resolution, holes) = (format!("input.resolution={metres}"), format!("post.fill_holes={fill_holes}"));
        let settings = [resolution.as_str(), &holes, "tiler.centre=32", "tiler.dilation=[3,5]"];
        let (whole, cut) = (format!("whole{metres}"), format!("cut{metres}"));
        run(&work, "in", &whole, &[&settings[..], &WHOLE].concat()).says(0, &["4 done, 0 failed"]);
        run(&work, "in", &cut, &settings).says(0, &["4 done, 0 failed"]);
        let (whole, cut) = (outputs(&work.path(&whole)), outputs(&work.path(&cut)));
        let of = |name: &str| &cut[&format!("masks/{name}.png")];
        assert!(whole == cut && of("strips") == of("tiles") && of("holes") != of("tiles"), "{metres}");
    }
    let (numbers, other) = (numbers(3), Size::new(32, 24));
    assert!(mask(&work, "cut1.9/masks/void.png") == back(&by_hand(&numbers, Some(17), own, other), own, other));
    assert!(mask(&work, "cut1.9/masks/holes.png").contains(&VOID));
}

/// What tells whether a mask was written again.
fn stamps(work: &Workdir, out: &str) -> BTreeMap<String, (u64, i64, i64)> {
    let files = std::fs::read_dir(work.path(out).join("masks")).unwrap().map(Result::unwrap);
    let stamp = |entry: std::fs::DirEntry| {
        let meta = entry.metadata().unwrap();
        (entry.file_name().into_string().unwrap(), (meta.ino(), meta.mtime(), meta.mtime_nsec()))
    };
    files.map(stamp).collect()
}

#[test]
fn another_resolution_makes_anew_what_it_changes_and_one_that_is_near_enough_nothing() {
    let work = prepared();
    for (name, metres_of) in [("near", 0.502), ("far", 0.3)] {
        let own = Size::new(70, 50);
        scene(&work.path("in").join(format!("{name}.tif")), own, values(own, 37, 1), &[], metres(metres_of));
    }
    let alone = |settings: &[&str]| {
        drop(std::fs::remove_dir_all(work.path("alone")));
        run(&work, "in", "alone", settings).expect(0);
        outputs(&work.path("alone"))
    };
    run(&work, "in", "out", &[]).expect(0);
    let plain = stamps(&work, "out");
    let half = "input.resolution=0.5";
    run(&work, "in", "out", &[half])
        .says(0, &["1 scene taken as found, 0.502 m for 0.5 m", "1 scene resampled from 0.3 m"]);
    let resampled = stamps(&work, "out");
    assert!(plain["near.png"] == resampled["near.png"] && plain["far.png"] != resampled["far.png"]);
    assert!(outputs(&work.path("out")) == alone(&[half]));
    // A hair's breadth that makes no other grid.
    run(&work, "in", "out", &["input.resolution=0.5005"]).says(0, &["all were done before"]);
    // Other colours from labels on the networks' grid.
    let color = [half, "classes.1.color=#405060"];
    run(&work, "in", "out", &color).expect(0);
    let totals = &work.report("out")["totals"];
    assert_eq!((&totals["forwards"], &totals["decoded"]), (&0.into(), &0.into()));
    assert_eq!(stamps(&work, "out"), resampled);
    assert!(outputs(&work.path("out")) == alone(&color));
    run(&work, "in", "out", &["input.resolution=0.4"]).expect(0);
    assert!(outputs(&work.path("out")) == alone(&["input.resolution=0.4"]));
    // Back again: the labels of then are still there.
    run(&work, "in", "out", &[half]).expect(0);
    assert_eq!(work.report("out")["totals"]["forwards"], 0);
}

#[test]
fn lengths_come_from_whatever_place_a_scene_has_and_without_one_it_is_refused_with_a_way_out() {
    let work = prepared();
    let size = Size::new(50, 40);
    let put = |name: &str, place: &dyn Fn(&mut Dataset)| {
        scene(&work.path("in").join(name), size, values(size, 9, 1), &[], place)
    };
    let degree = 1.0 / 3600.0;
    put("degrees.tif", &|d| at(d, "EPSG:4326", [10.0, degree, 0.0, 60.0 + 20.0 * degree, 0.0, -degree]));
    put("south_up.tif", &|d| at(d, "EPSG:32632", [5e5, 20.0, 0.0, 5.4e6, 0.0, 20.0]));
    put("turned.tif", &|d| at(d, "EPSG:32632", [5e5, 12.0, 16.0, 5.4e6, 16.0, -12.0]));
    put("feet.tif", &|d| at(d, "EPSG:2263", [9e5, 100.0, 0.0, 2e5, 0.0, -100.0]));
    put("nowhere.tif", &|_| {});
    put("no_system.tif", &|d| d.set_geo_transform(&[0.0, 1.0, 0.0, 0.0, 0.0, -1.0]).unwrap());
    put("tiny.tif", &|d| at(d, "EPSG:32632", [5e5, 0.1, 0.0, 5.4e6, 0.0, -0.1]));
    put("points.tif", &|d| {
        let gcp = |pixel, line, x, y| Gcp { id: String::new(), info: String::new(), pixel, line, x, y, z: 0.0 };
        let gcps = vec![gcp(0.0, 0.0, 10.0, 50.0), gcp(9.0, 1.0, 10.1, 50.0), gcp(1.0, 9.0, 10.0, 49.9)];
        d.set_gcps(gcps, &SpatialRef::from_epsg(4326).unwrap()).unwrap();
    });
    let plan = |more: &[&str]| {
        let base = ["plan", "p.toml", "-i", "in", "--backend=fake", "--set", "input.resolution=10"];
        work.swath(&[&base[..], more].concat())
    };
    let text = plan(&[]).expect(3);
    for said in [
        "nowhere.tif: it has no transform, so nobody knows how large its pixels are, and input.resolution wants them 10 m long; set \
         input.assume_resolution",
        "no_system.tif: it has no coordinate system",
        "points.tif: it has ground control points and no transform",
        "tiny.tif: its pixels are 0.1 m long, 100 times shorter than the 10 m of input.resolution",
        "2 scenes resampled from 20 m to 10 m",
        "1 scene resampled from 15.5 x 30.9 m to 10 m",
        "1 scene resampled from 30.5 m to 10 m",
    ] {
        assert!(text.contains(said), "`{said}` is not in:\n{text}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&plan(&["--set", "input.assume_resolution=5", "--json"]).stdout).unwrap();
    let sizes = json["scenes"].as_array().unwrap().iter().map(|scene| {
        let size = scene["resolution"]["network_size"].as_array().unwrap();
        (scene["name"].as_str().unwrap(), [size[0].as_u64().unwrap(), size[1].as_u64().unwrap()])
    });
    // A second of arc at 60 degrees north: 15.50 m along the parallel, 30.95 m along the meridian.
    let wanted = [
        ("degrees", [78, 124]),
        ("feet", [152, 122]),
        ("no_system", [25, 20]),
        ("nowhere", [25, 20]),
        ("points", [25, 20]),
        ("south_up", [100, 80]),
        ("turned", [100, 80]),
    ];
    assert_eq!(sizes.collect::<BTreeMap<_, _>>(), BTreeMap::from(wanted));
    run(&work, "in", "out", &["input.resolution=10", "input.assume_resolution=5"])
        .says(3, &["7 done, 1 failed", "100 times shorter"]);
    // South-up or turned, pixels are pixels.
    assert_eq!(mask(&work, "out/masks/south_up.png"), mask(&work, "out/masks/turned.png"));
}

#[test]
fn keys_that_are_no_lengths_are_refused() {
    let work = prepared();
    for (settings, says) in [
        (&["input.resolution=-1"][..], "`input.resolution` is -1; it must be a length in metres, e.g. 0.5"),
        (&["input.assume_resolution=1"], "`input.assume_resolution`: it says how long the pixels of some scenes are"),
        (&["input.resolution=half"], "`input.resolution` is \"half\"; it must be a number"),
    ] {
        run(&work, "in", "out", settings).says(2, &[says]);
    }
}

#[test]
fn indices_are_picked_and_blocks_that_are_not_stored_stay_empty() {
    let work = prepared();
    let (own, other) = (Size::new(40, 30), Size::new(24, 18));
    let indices = values(own, 9, 5);
    scene(&work.path("in/palette.tif"), own, indices.clone(), &[], |dataset| {
        metres(0.3)(dataset);
        let mut table = gdal::raster::ColorTable::default();
        for index in 0..9u16 {
            let rgba = gdal::raster::RgbaEntry { r: 20 * i16::try_from(index).unwrap(), g: 7, b: 0, a: 255 };
            table.set_color_entry(index, &gdal::raster::ColorEntry::Rgba(rgba));
        }
        dataset.rasterband(1).unwrap().set_color_table(&table);
    });
    // Only the first 64 of 640 rows are stored.
    let (tall, rows) = (Size::new(128, 640), values(Size::new(128, 64), 37, 6));
    let sparse = ["TILED=YES", "BLOCKXSIZE=64", "BLOCKYSIZE=64", "SPARSE_OK=TRUE"];
    scene(&work.path("in/sparse.tif"), tall, rows.clone(), &sparse, metres(0.25));
    run(&work, "in", "out", &["input.resolution=0.5"]).says(0, &["2 done, 0 failed"]);
    let picked: Vec<u16> = (0..other.height)
        .flat_map(|y| (0..other.width).map(move |x| (x, y)))
        .map(|(x, y)| indices[((2 * y + 1) * 30 / 36 * 40 + (2 * x + 1) * 40 / 48) as usize].into())
        .collect();
    assert!(mask(&work, "out/masks/palette.png") == back(&picked, own, other));
    let mask = mask(&work, "out/masks/sparse.png");
    let top = Size::new(128, 64);
    let wanted = back(&by_hand(&rows, None, top, Size::new(64, 32)), top, Size::new(64, 32));
    // Tiles whose rings touch what is stored are run over zeros.
    let (stored, rest) = mask.split_at(wanted.len());
    assert!(stored == wanted && rest[..128 * 32].iter().all(|v| *v == 0));
    assert!(rest[128 * 64..].iter().all(|value| *value == VOID));
}

#[test]
fn an_area_is_told_on_the_networks_grid_and_comes_back_with_the_labels() {
    let work = prepared();
    let size = Size::new(120, 80);
    scene(
        &work.path("in/a.tif"),
        size,
        values(size, 40, 3),
        &["TILED=YES", "BLOCKXSIZE=32", "BLOCKYSIZE=32"],
        metres(0.5),
    );
    run(&work, "in", "whole", &["input.resolution=1"]).expect(0);
    // Columns 16 to 47 and rows 10 to 29 of the 60 x 40 that the networks see: twice as many of the scene's own.
    let bbox = "--bbox=500016,5399970,500048,5399990";
    let base = ["run", "p.toml", "-i", "in", "-o", "out", "--backend", "fake", "--devices", "cpu", "--set"];
    work.swath(&[&base[..], &["input.resolution=1", bbox]].concat()).expect(0);
    let (whole, cut) = (mask(&work, "whole/masks/a.png"), mask(&work, "out/masks/a.png"));
    assert_eq!(cut.len(), size.len());
    for (at, (whole, cut)) in whole.iter().zip(&cut).enumerate() {
        let (x, y) = (at % 120, at / 120);
        let inside = (32..96).contains(&x) && (20..60).contains(&y);
        assert_eq!(*cut, if inside { *whole } else { VOID }, "({x}, {y})");
    }
}
