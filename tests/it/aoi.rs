//! Areas of interest: work on the tiles that they meet, nodata on every pixel outside, through the command line.
#![cfg(all(feature = "gdal", target_os = "linux"))]

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gdal::DriverManager;
use gdal::raster::{Buffer, RasterCreationOptions};
use gdal::spatial_ref::{AxisMappingStrategy, CoordTransform, SpatialRef};
use gdal::vector::{Feature, Geometry, LayerAccess, LayerOptions, OGRFieldType, OGRwkbGeometryType};
use swath::geom::{GeoTransform, PixelRect, Size, Span};
use swath::raster::{
    Burn, BurnRequest, DecoderLimits, Gdal, GroundGrid, Isolated, OpenSource, RasterError, RasterSource, Shapes,
};

use crate::support::command::{Ran, Workdir};
use crate::support::memory::{TWO, pipeline, values};
use crate::support::{outputs, png};

const UTM: &str = "EPSG:32632";
const RUN: [&str; 7] = ["run", "p.toml", "-i", "in", "-o", "out", "--backend=fake"];
/// What masks hold outside.
const NODATA: u8 = 99;
const SIZE: Size = Size::new(230, 170);
const NORTH_UP: [f64; 6] = [500_000.0, 0.5, 0.0, 5_400_000.0, 0.0, -0.5];

/// Tiles of 64 pixels, and a value for what is no data.
fn prepared() -> Workdir {
    let work = Workdir::new();
    let tiles = "strategy = \"fixed\"\ncentre = 64\ndilation = 16\nwhole_max = 60";
    work.write("p.toml", pipeline(tiles, TWO, 7, Some(NODATA)) + "[inference]\nbatch = 2\n");
    std::fs::create_dir(work.path("in")).unwrap();
    work
}

fn scene(path: &Path, size: Size, crs: Option<&str>, transform: Option<[f64; 6]>) {
    let options = RasterCreationOptions::from_iter(["TILED=YES", "BLOCKXSIZE=32", "BLOCKYSIZE=32"]);
    let (width, height) = (size.width as usize, size.height as usize);
    let driver = DriverManager::get_driver_by_name("GTiff").unwrap();
    let mut dataset = driver.create_with_band_type_with_options::<u8, _>(path, width, height, 1, &options).unwrap();
    if let Some(crs) = crs {
        dataset.set_spatial_ref(&SpatialRef::from_definition(crs).unwrap()).unwrap();
    }
    if let Some(transform) = transform {
        dataset.set_geo_transform(&transform).unwrap();
    }
    let mut buffer = Buffer::new((width, height), values(size, 7, 3));
    dataset.rasterband(1).unwrap().write((0, 0), (width, height), &mut buffer).unwrap();
    dataset.close().unwrap();
}

/// Rings of two areas in the plane of the scenes: one with a bay and a hole, and a sliver that no tile holds.
fn rings() -> Vec<Vec<Vec<[f64; 2]>>> {
    let at = |points: &[[f64; 2]]| points.iter().map(|[x, y]| [500_000.0 + x, 5_400_000.0 - y]).collect::<Vec<_>>();
    let outer = at(&[[3.3, 5.1], [61.7, 2.9], [64.2, 70.4], [40.1, 33.3], [12.6, 74.8], [3.3, 5.1]]);
    let hole = at(&[[20.2, 15.7], [31.9, 14.3], [28.8, 27.7], [20.2, 15.7]]);
    vec![vec![outer, hole], vec![at(&[[101.1, 61.2], [109.3, 63.9], [107.7, 76.2], [101.1, 61.2]])]]
}

fn wkt(rings: &[Vec<[f64; 2]>]) -> String {
    let ring = |ring: &Vec<[f64; 2]>| {
        let points: Vec<String> = ring.iter().map(|[x, y]| format!("{x:.17} {y:.17}")).collect();
        format!("({})", points.join(","))
    };
    format!("POLYGON({})", rings.iter().map(ring).collect::<Vec<_>>().join(","))
}

fn system(code: &str) -> SpatialRef {
    let mut system = SpatialRef::from_definition(code).unwrap();
    system.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
    system
}

/// The areas in another reference system.
fn brought(rings: Vec<Vec<Vec<[f64; 2]>>>, from: &str, to: &str) -> Vec<Vec<Vec<[f64; 2]>>> {
    let there = CoordTransform::new(&system(from), &system(to)).unwrap();
    let point = |[x, y]: [f64; 2]| {
        let (mut x, mut y) = ([x], [y]);
        there.transform_coords(&mut x, &mut y, &mut []).unwrap();
        [x[0], y[0]]
    };
    let rings = rings.into_iter();
    rings.map(|area| area.into_iter().map(|ring| ring.into_iter().map(point).collect()).collect()).collect()
}

/// Writes polygons with a value each as a layer.
fn vectors(driver: &str, path: &Path, layers: &[&str], crs: Option<&str>, polygons: &[(String, Option<i32>)]) {
    let driver = DriverManager::get_driver_by_name(driver).unwrap();
    let mut dataset = driver.create_vector_only(path).unwrap();
    for name in layers {
        let srs = crs.map(system);
        let ty = OGRwkbGeometryType::wkbPolygon;
        let options = LayerOptions { name, srs: srs.as_ref(), ty, options: None };
        let layer = dataset.create_layer(options).unwrap();
        let fields = [("class", OGRFieldType::OFTInteger), ("name", OGRFieldType::OFTString)];
        layer.create_defn_fields(&fields).unwrap();
        for (wkt, value) in polygons {
            let mut feature = Feature::new(layer.defn()).unwrap();
            feature.set_geometry(Geometry::from_wkt(wkt).unwrap()).unwrap();
            if let Some(value) = value {
                feature.set_field_integer(0, *value).unwrap();
            }
            feature.create(&layer).unwrap();
        }
    }
    dataset.close().unwrap();
}

fn area(work: &Workdir, name: &str, driver: &str, crs: &str) -> PathBuf {
    let polygons = brought(rings(), UTM, crs).iter().map(|area| (wkt(area), Some(1))).collect::<Vec<_>>();
    vectors(driver, &work.path(name), &["area"], Some(crs), &polygons);
    work.path(name)
}

/// Whether a pixel's centre lies in one of the areas, by the definition.
fn is_inside(areas: &[Vec<Vec<[f64; 2]>>], transform: [f64; 6], col: u32, row: u32) -> bool {
    let (c, r) = (f64::from(col) + 0.5, f64::from(row) + 0.5);
    let [x0, a, b, y0, d, e] = transform;
    let (x, y) = (x0 + c * a + r * b, y0 + c * d + r * e);
    let crosses = |pair: &[[f64; 2]]| {
        let ([ax, ay], [bx, by]) = (pair[0], pair[1]);
        (ay <= y) != (by <= y) && ax + (y - ay) / (by - ay) * (bx - ax) <= x
    };
    areas.iter().any(|area| area.iter().flat_map(|ring| ring.windows(2)).filter(|pair| crosses(pair)).count() % 2 == 1)
}

/// Checks a mask: what it is without an area inside, nodata outside. Returns how many pixels lie inside.
fn check(mask: &Path, reference: &Path, inside: impl Fn(u32, u32) -> bool) -> usize {
    let ((width, height, own), (_, _, all)) = (png(mask), png(reference));
    let mut n = 0;
    for (at, (own, all)) in (0..).zip(own.iter().zip(&all)) {
        let (col, row): (u32, u32) = (at % width, at / width);
        let is_inside = inside(col, row);
        n += usize::from(is_inside);
        assert_eq!(*own, if is_inside { *all } else { NODATA.into() }, "column {col}, row {row} of {height}");
    }
    n
}

fn stamps(folder: &Path) -> BTreeMap<String, (u64, i64)> {
    let stamp = |entry: std::fs::DirEntry| {
        let meta = entry.metadata().unwrap();
        (entry.file_name().into_string().unwrap(), (meta.ino(), meta.mtime_nsec()))
    };
    std::fs::read_dir(folder).unwrap().map(|entry| stamp(entry.unwrap())).collect()
}

fn run(work: &Workdir, more: &[&str]) -> Ran {
    work.swath(&[&RUN[..], more].concat())
}

#[test]
fn a_box_leaves_the_tiles_that_it_meets_and_nodata_outside() {
    let work = prepared();
    scene(&work.path("in/a.tif"), SIZE, Some(UTM), Some(NORTH_UP));
    scene(&work.path("in/far.tif"), SIZE, Some(UTM), Some([600_000.0, 0.5, 0.0, 5_400_000.0, 0.0, -0.5]));
    work.swath(&["run", "p.toml", "-i", "in", "-o", "whole", "--backend=fake"]).expect(0);
    // Columns 70 to 150, rows 10 to 120: tiles 1 and 2 of rows 0 and 1.
    let bbox = "--bbox=500035,5399940,500075,5399995";
    let plan = work.swath(&["plan", "p.toml", "-i", "in", "--backend=fake", bbox]);
    plan.says(
        0,
        &["1 to segment", "tiles       4;", "4 of the 12 tiles of scenes that it meets; 1 scene outside, left out"],
    );
    run(&work, &[bbox]).says(0, &["1 done, 0 failed, 1 outside the area"]);
    let (totals, inside) =
        (work.report("out")["totals"].clone(), |c, r| (70..150).contains(&c) && (10..120).contains(&r));
    assert_eq!((&totals["tiles"], &totals["decoded"], &totals["outside"]), (&4.into(), &2.into(), &1.into()));
    assert_eq!(check(&work.path("out/masks/a.png"), &work.path("whole/masks/a.png"), inside), 80 * 110);
    assert!(!work.path("out/masks/far.png").exists());
    // The same ground in degrees is a little larger than its own sides.
    let corners = vec![vec![vec![[500_035.0, 5_399_940.0], [500_075.0, 5_399_995.0]]]];
    let [west, south, east, north] = match brought(corners, UTM, "EPSG:4326")[0][0][..] {
        [[west, south], [east, north]] => [west, south, east, north],
        _ => unreachable!(),
    };
    let bbox = format!("--bbox={west},{south},{east},{north}");
    run(&work, &[&bbox, "--bbox-crs", "EPSG:4326", "--fresh"]).expect(0);
    let n = png(&work.path("out/masks/a.png")).2.iter().filter(|value| **value != u16::from(NODATA)).count();
    assert!(n.abs_diff(80 * 110) < 300, "{n}");
    run(&work, &[&bbox])
        .says(2, &["meets no scene", "a.tif: x 500000.000000 to 500115", "y 5399915.000000 to 5400000", "48.7"]);
    run(&work, &[&bbox, "--bbox-crs", "/etc/passwd"]).says(2, &["`/etc/passwd` is no reference system"]);
    run(&work, &["--bbox", "5,2,1,4"]).says(2, &["the least x and y come first"]);
}

#[test]
fn polygons_of_every_format_and_system_cut_to_the_pixel() {
    let work = prepared();
    scene(&work.path("in/a.tif"), SIZE, Some(UTM), Some(NORTH_UP));
    scene(
        &work.path("in/small.tif"),
        Size::new(50, 40),
        Some(UTM),
        Some([500_010.0, 0.5, 0.0, 5_399_990.0, 0.0, -0.5]),
    );
    scene(&work.path("in/south.tif"), SIZE, Some(UTM), Some([500_000.0, 0.5, 0.0, 5_399_915.0, 0.0, 0.5]));
    let turned = [500_020.0, 0.4, 0.21, 5_399_990.0, 0.19, -0.4];
    scene(&work.path("in/turned.tif"), SIZE, Some(UTM), Some(turned));
    work.swath(&["run", "p.toml", "-i", "in", "-o", "whole", "--backend=fake"]).expect(0);
    let places = [
        ("a", NORTH_UP),
        ("small", [500_010.0, 0.5, 0.0, 5_399_990.0, 0.0, -0.5]),
        ("south", [500_000.0, 0.5, 0.0, 5_399_915.0, 0.0, 0.5]),
        ("turned", turned),
    ];
    let formats = [("a.gpkg", "GPKG"), ("a.shp", "ESRI Shapefile"), ("a.fgb", "FlatGeobuf"), ("a.geojson", "GeoJSON")];
    let mut first = None;
    for (name, driver) in formats {
        let crs = if driver == "GeoJSON" { "EPSG:4326" } else { UTM };
        area(&work, name, driver, crs);
        run(&work, &["--aoi", name, "--fresh", "--set", "outputs.geotiff=true"]).expect(0);
        let masks = outputs(&work.path("out"));
        for (scene, transform) in places {
            let file = format!("masks/{scene}.png");
            let inside = |col, row| is_inside(&rings(), transform, col, row);
            let n = check(&work.path("out").join(&file), &work.path("whole").join(&file), inside);
            assert!(n > 300, "{scene}: {n}");
        }
        assert!(*first.get_or_insert_with(|| masks.clone()) == masks, "{name} differs");
    }
    // In the run's own process, tile by tile or not, the bytes are the same.
    run(&work, &["--aoi", "a.gpkg:area", "--fresh", "--decode", "in-process", "--set", "outputs.geotiff=true"])
        .expect(0);
    assert!(first.unwrap() == outputs(&work.path("out")));
    let totals = work.report("out")["totals"].clone();
    assert!(totals["tiles"].as_u64().unwrap() < 30, "{totals}");
}

#[test]
fn scenes_that_say_nothing_of_their_place_are_refused_one_by_one() {
    let work = prepared();
    scene(&work.path("in/a.tif"), SIZE, Some(UTM), Some(NORTH_UP));
    scene(&work.path("in/no_crs.tif"), SIZE, None, Some(NORTH_UP));
    scene(&work.path("in/nowhere.tif"), SIZE, None, None);
    scene(&work.path("in/local.tif"), SIZE, Some("LOCAL_CS[\"site\",UNIT[\"metre\",1]]"), Some(NORTH_UP));
    area(&work, "a.gpkg", "GPKG", "EPSG:4326");
    let ran = run(&work, &["--aoi", "a.gpkg", "-v"]);
    ran.says(3, &["1 done, 3 failed", "it has no transform", "gdal_translate -a_ullr", "-a_srs", "none that the area"]);
    // A box in the scenes' own coordinates asks for less.
    run(&work, &["--bbox=500010,5399950,500050,5399990", "-v"]).says(3, &["3 done, 1 failed", "it has no transform"]);
}

#[test]
fn an_area_that_cannot_be_used_is_refused_before_any_work() {
    let work = prepared();
    scene(&work.path("in/a.tif"), SIZE, Some(UTM), Some(NORTH_UP));
    let good = std::fs::read(area(&work, "good.gpkg", "GPKG", UTM)).unwrap();
    let text = std::fs::read(area(&work, "good.geojson", "GeoJSON", "EPSG:4326")).unwrap();
    let scribbled = |from: usize| -> Vec<u8> {
        let noise =
            |(at, byte): (usize, &u8)| if at >= from && at % 3 == 0 { byte.wrapping_mul(31) ^ 0x5a } else { *byte };
        good.iter().enumerate().map(noise).collect()
    };
    let empty = r#"{"type":"FeatureCollection","features":[]}"#;
    let line = r#"{"type":"LineString","coordinates":[[9.0,48.7],[9.1,48.8]]}"#;
    let deep = format!("{}{}", "{\"a\":[".repeat(20_000), "]}".repeat(20_000));
    let far = r#"{"type":"Polygon","coordinates":[[[9,95],[1e300,48],[9,-1e300],[9,95]]]}"#;
    for (name, content) in [
        ("empty.gpkg", Vec::new()),
        ("cut.gpkg", good[..good.len() / 2].to_vec()),
        ("head.gpkg", good[..100].to_vec()),
        ("scribbled.gpkg", scribbled(100)),
        ("pages.gpkg", scribbled(4096)),
        ("empty.geojson", Vec::new()),
        ("cut.geojson", text[..text.len() * 2 / 3].to_vec()),
        ("none.geojson", empty.into()),
        ("line.geojson", line.into()),
        ("deep.geojson", deep.into()),
        ("far.geojson", far.into()),
        ("table.csv", b"x,y\n1,2\n".to_vec()),
        ("sly.gpkg", b"<OGRVRTDataSource><OGRVRTLayer name=\"a\"><SrcDataSource>/etc</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>".to_vec()),
    ] {
        work.write(name, content);
        for command in ["plan", "run"] {
            let output: &[&str] = if command == "run" { &["-o", "out"] } else { &[] };
            let ran = work.swath(&[&[command, "p.toml", "-i", "in", "--backend=fake", "--aoi", name], output].concat());
            // What lies where nothing can be is the scene's loss: it cannot be told that it is the area's.
            let code = if name == "far.geojson" { 3 } else { 2 };
            ran.says(code, if code == 2 { &["area"] } else { &["beyond what that is made for"] });
            let no_work = code == 3 || !work.path("out").exists();
            assert!(no_work, "{name}: {ran:?}");
        }
        std::fs::remove_dir_all(work.path("out")).unwrap_or_default();
    }
    vectors("GPKG", &work.path("two.gpkg"), &["one", "other"], Some(UTM), &[(wkt(&rings()[0]), None)]);
    vectors("ESRI Shapefile", &work.path("bare.shp"), &["bare"], None, &[(wkt(&rings()[0]), None)]);
    for (name, words) in [
        ("two.gpkg", "name one of them behind a colon: one, other"),
        ("two.gpkg:third", "it has no layer `third`; it has: one, other"),
        ("bare.shp", "it has no coordinate system"),
        ("missing.gpkg", "there is no such file"),
        ("/vsizip/a.zip", "there is no such file"),
        ("in", "it is not a regular file"),
    ] {
        run(&work, &["--aoi", name]).says(2, &[words]);
    }
    run(&work, &["--aoi", "two.gpkg:other"]).says(0, &["1 done"]);
    run(&work, &["--aoi", "good.gpkg", "--bbox=1,1,2,2"]).says(2, &["cannot be used with"]);
    work.write("q.toml", pipeline("strategy = \"whole\"", TWO, 7, None));
    let ran = work.swath(&["plan", "q.toml", "-i", "in", "--backend=fake", "--aoi", "good.gpkg"]);
    ran.says(2, &["the pipeline has none; add a table [nodata]"]);
}

#[test]
fn a_decoder_that_dies_over_an_area_costs_the_run_before_any_work() {
    let work = prepared();
    scene(&work.path("in/a.tif"), SIZE, Some(UTM), Some(NORTH_UP));
    area(&work, "a.gpkg", "GPKG", UTM);
    for (fault, words) in [("abort", "while it rasterised the file"), ("balloon", "memory limit")] {
        let fault = format!("decode:{fault}~rasterise a.gpkg");
        let ran = work.swath_with(&[&RUN[..], &["--aoi", "a.gpkg"]].concat(), &[("SWATH_FAULTS", &fault)]);
        ran.says(2, &["cannot use the area `a.gpkg`", words]);
        assert!(!work.path("out").exists());
    }
}

#[test]
fn another_area_makes_anew_what_it_changes_and_nothing_else() {
    let work = prepared();
    scene(&work.path("in/a.tif"), SIZE, Some(UTM), Some(NORTH_UP));
    scene(&work.path("in/held.tif"), Size::new(50, 40), Some(UTM), Some([500_005.0, 0.5, 0.0, 5_399_980.0, 0.0, -0.5]));
    let text = std::fs::read_to_string(work.path("p.toml")).unwrap();
    work.write(
        "p.toml",
        format!("checkpoints = [\"labels\", \"member-logits\"]\n{text}").replace("batch = 2", "batch = 1"),
    );
    run(&work, &[]).expect(0);
    let whole = stamps(&work.path("out/masks"));
    // Rows 32 to 170 of all columns: the first row of tiles is cut, the others lie inside, and so does the small scene.
    let bbox = "--bbox=499000,5399000,501000,5399984";
    run(&work, &[bbox]).says(0, &["2 done"]);
    let totals = work.report("out")["totals"].clone();
    assert_eq!(
        (&totals["forwards"], &totals["decoded"]),
        (&0.into(), &0.into()),
        "logits are those of no area: {totals}"
    );
    let boxed = stamps(&work.path("out/masks"));
    assert!(boxed["a.png"] != whole["a.png"] && boxed["held.png"] == whole["held.png"], "{boxed:?}");
    let made = outputs(&work.path("out"));
    run(&work, &[bbox, "--fresh"]).expect(0);
    assert!(made == outputs(&work.path("out")));
    let boxed = stamps(&work.path("out/masks"));
    // A file of the same bytes under another name is the same area; one of other bytes is another.
    let digest = |name: &str| {
        let text = work.swath(&["plan", "p.toml", "-i", "in", "--backend=fake", "--json", "--aoi", name]).expect(0);
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["plan"].as_str().unwrap().to_owned()
    };
    area(&work, "a.geojson", "GeoJSON", "EPSG:4326");
    std::fs::copy(work.path("a.geojson"), work.path("b.geojson")).unwrap();
    assert_eq!(digest("a.geojson"), digest("b.geojson"));
    run(&work, &["--aoi", "a.geojson"]).expect(0);
    let cut = stamps(&work.path("out/masks"));
    assert!(cut["a.png"] != boxed["a.png"]);
    run(&work, &["--aoi", "b.geojson"]).says(0, &["all were done before"]);
    let before = digest("b.geojson");
    let text = std::fs::read_to_string(work.path("b.geojson")).unwrap() + " ";
    work.write("b.geojson", text);
    assert_ne!(digest("b.geojson"), before);
    // A plan that was saved goes with its area, as long as that stays as it was.
    let plan = ["plan", "p.toml", "-i", "in", "--backend=fake", "--aoi", "a.geojson", "--save", "plan.jsonl"];
    work.swath(&plan).expect(0);
    let saved = ["run", "--plan", "plan.jsonl", "-o", "out"];
    work.swath(&saved).says(0, &["done"]);
    assert_eq!(stamps(&work.path("out/masks"))["held.png"], cut["held.png"]);
    // When it was written is no matter.
    work.write("a.geojson", std::fs::read_to_string(work.path("a.geojson")).unwrap());
    work.swath(&saved).says(0, &["all were done before"]);
    work.write("a.geojson", std::fs::read_to_string(work.path("b.geojson")).unwrap());
    work.swath(&saved).says(2, &["the file of the area `a.geojson` is not that of the plan"]);
}

/// Burns a field of a layer, by a source.
fn field(source: &mut dyn RasterSource, path: &Path, window: PixelRect) -> Result<Vec<u8>, RasterError> {
    let crs = Some(SpatialRef::from_definition(UTM).unwrap().to_wkt().unwrap());
    let request = BurnRequest {
        shapes: Shapes::File { path: path.into(), layer: None },
        burn: Burn::Field { name: "class".into(), background: 200 },
        grid: GroundGrid { size: SIZE, transform: GeoTransform(NORTH_UP), crs },
        window,
    };
    let mut into = vec![0; request.size().len()];
    source.rasterise(&request, &mut into).map(|_| into)
}

#[test]
fn a_numeric_field_is_burned_in_this_process_and_in_another() {
    let work = prepared();
    let limits = DecoderLimits { strip: 1000, ..DecoderLimits::planning(Duration::from_secs(60)) };
    let mut sources: [Box<dyn RasterSource>; 2] =
        [Gdal::set_up().unwrap().open(), Isolated::by(limits, env!("CARGO_BIN_EXE_swath").into()).open()];
    let [one, other] = [&rings()[0], &rings()[1]].map(|area| wkt(area));
    let path = work.path("labels.gpkg");
    vectors("GPKG", &path, &["labels"], Some(UTM), &[(one.clone(), Some(0)), (other.clone(), Some(255))]);
    let wrong = work.path("wrong.gpkg");
    let polygons = [(one.clone(), Some(1)), (other.clone(), Some(300)), (one, None), (other, Some(-1))];
    vectors("GPKG", &wrong, &["labels"], Some(UTM), &polygons);
    let window = PixelRect::from_spans(Span::new(100, 230), Span::new(30, 170));
    for source in &mut sources {
        let whole = field(source.as_mut(), &path, PixelRect::whole(SIZE)).unwrap();
        for (at, value) in (0..).zip(&whole) {
            let of = |area: usize| is_inside(&rings()[area..=area], NORTH_UP, at % SIZE.width, at / SIZE.width);
            assert_eq!(
                *value,
                if of(1) {
                    255
                } else if of(0) {
                    0
                } else {
                    200
                },
                "{at}"
            );
        }
        let part = field(source.as_mut(), &path, window).unwrap();
        let rows = whole.chunks(230).skip(30).flat_map(|row| row[100..].to_vec());
        assert_eq!(part, rows.collect::<Vec<_>>());
        let error = field(source.as_mut(), &wrong, window).unwrap_err().to_string();
        assert!(
            error.contains("3 of its features have no value in the field `class`") && error.contains("300"),
            "{error}"
        );
    }
}
