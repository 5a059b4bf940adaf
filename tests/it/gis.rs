//! What a geographic information system reads of a run's outputs: where each scene lies, to the last bit, and what its values mean.
#![cfg(all(feature = "gdal", unix))]

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use gdal::raster::{Buffer, RasterCreationOptions};
use gdal::spatial_ref::SpatialRef;
use gdal::{Dataset, DriverManager, Gcp, Metadata};

use crate::support::command::{Workdir, with_scenes};
use crate::support::memory::{TWO, pipeline, values};
use crate::support::{outputs, shared};
use swath::geom::Size;

const RUN: [&str; 7] = ["run", "p.toml", "-i", "in", "-o", "out", "--backend=fake"];
const ALL: &str = "color = true\ngeotiff = true\ncog = true\nsidecars = true\nvectors = true";

fn prepared(n_classes: u8, nodata: Option<u8>) -> Workdir {
    let work = Workdir::new();
    let text = pipeline("strategy = \"fixed\"\ncentre = 256\ndilation = 0\nwhole_max = 1300", TWO, n_classes, nodata);
    work.write("p.toml", text.replace("color = true", ALL));
    work
}

/// Writes a scene of one band that `place` places.
fn scene(path: &Path, size: Size, place: impl FnOnce(&mut Dataset)) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let driver = DriverManager::get_driver_by_name("GTiff").unwrap();
    let (width, height) = (size.width as usize, size.height as usize);
    let options = RasterCreationOptions::from_iter(["COMPRESS=DEFLATE"]);
    let mut dataset = driver.create_with_band_type_with_options::<u8, _>(path, width, height, 1, &options).unwrap();
    place(&mut dataset);
    let mut buffer = Buffer::new((width, height), values(size, 7, 3));
    dataset.rasterband(1).unwrap().write((0, 0), (width, height), &mut buffer).unwrap();
    dataset.close().unwrap();
}

fn at(dataset: &mut Dataset, crs: &str, transform: [f64; 6]) {
    dataset.set_spatial_ref(&SpatialRef::from_definition(crs).unwrap()).unwrap();
    dataset.set_geo_transform(&transform).unwrap();
}

/// Scenes that say where they lie in every way that a TIFF has.
fn odd_scenes(folder: &Path) {
    let size = Size::new(70, 40);
    let degree = 8.983_152_841_195_215e-5;
    let north_up = [404_211.9, 0.1, 0.0, 3_285_142.900_000_000_4, 0.0, -0.1];
    scene(&folder.join("north_up.tif"), Size::new(600, 300), |d| at(d, "EPSG:32617", north_up));
    scene(&folder.join("south_up.tif"), size, |d| at(d, "EPSG:32617", [404_211.9, 0.3, 0.0, 3_285_142.9, 0.0, 0.1]));
    scene(&folder.join("turned.tif"), size, |d| at(d, "EPSG:5514", [404_211.9, 0.3, 0.017, 1.0 / 3.0, -0.11, -0.1]));
    scene(&folder.join("own.tif"), size, |d| at(d, "+proj=geos +h=35785831 +lon_0=10 +sweep=y +datum=WGS84", north_up));
    for (name, turn) in [("point.tif", 0.0), ("turned_point.tif", 1.1e-7)] {
        scene(&folder.join(name), size, |d| {
            d.set_metadata_item("AREA_OR_POINT", "Point", "").unwrap();
            at(d, "EPSG:4326", [6.860_074_498_707_138, degree, turn, 53.416_342_076_542_28, turn, -degree]);
        });
    }
    scene(&folder.join("gcps.tif"), size, |d| {
        let gcp = |pixel, line, x, y, z| Gcp { id: String::new(), info: String::new(), pixel, line, x, y, z };
        let gcps = [
            (0.5, 0.25, 10.1, 50.3, 100.7),
            (0.0, 39.9, 10.1, 49.123_456_789_012_345, 1.0 / 3.0),
            (69.0, 0.0, 11.0, 50.3, 0.0),
        ];
        let gcps = gcps.map(|(pixel, line, x, y, z)| gcp(pixel, line, x, y, z)).to_vec();
        d.set_gcps(gcps, &SpatialRef::from_epsg(4326).unwrap()).unwrap();
    });
    scene(&folder.join("rpc.tif"), size, |d| {
        let coefficients = (1..=20).map(|i| (1.0 / f64::from(i)).to_string()).collect::<Vec<_>>().join(" ");
        for key in [
            "LINE_OFF",
            "SAMP_OFF",
            "LAT_OFF",
            "LONG_OFF",
            "HEIGHT_OFF",
            "LINE_SCALE",
            "SAMP_SCALE",
            "LAT_SCALE",
            "LONG_SCALE",
            "HEIGHT_SCALE",
        ] {
            d.set_metadata_item(key, "12.345678901234567", "RPC").unwrap();
        }
        for key in ["LINE_NUM_COEFF", "LINE_DEN_COEFF", "SAMP_NUM_COEFF", "SAMP_DEN_COEFF"] {
            d.set_metadata_item(key, &coefficients, "RPC").unwrap();
        }
    });
    scene(&folder.join("nowhere.tif"), size, |_| {});
}

/// All that GDAL says of a raster's place.
fn place(path: &Path) -> Vec<String> {
    let data = Dataset::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut said = vec![data.projection(), data.gcp_projection().unwrap_or_default()];
    said.push(format!("{:?}", data.geo_transform().ok().map(|transform| transform.map(f64::to_bits))));
    said.push(format!("{:?}", data.metadata_item("AREA_OR_POINT", "").filter(|kind| kind == "Point")));
    said.extend(
        data.gcps().iter().map(|g| format!("{:?}", [g.pixel(), g.line(), g.x(), g.y(), g.z()].map(f64::to_bits))),
    );
    let mut rpc = data.metadata_domain("RPC").unwrap_or_default();
    rpc.sort();
    said.extend(rpc);
    said
}

fn pixels(path: &Path) -> Vec<u16> {
    Dataset::open(path).unwrap().rasterband(1).unwrap().read_band_as::<u16>().unwrap().data().to_vec()
}

/// Names of the masks below `out`, without extension.
fn names(work: &Workdir) -> Vec<String> {
    let names = outputs(&work.path("out")).into_keys();
    names.filter_map(|name| Some(name.strip_prefix("masks/")?.strip_suffix(".png")?.to_owned())).collect()
}

/// That every output of every scene lies where the scene does and holds what the mask holds.
fn are_placed(work: &Workdir, folder: &Path) {
    for name in names(work) {
        let scene = place(&folder.join(format!("{name}.tif")));
        let mask = work.path(&format!("out/masks/{name}.png"));
        assert_eq!(place(&mask), scene, "{name}");
        for kind in ["geotiff", "cog"] {
            let path = work.path(&format!("out/{kind}/{name}.tif"));
            assert_eq!(place(&path), scene, "{kind} of {name}");
            assert!(pixels(&path) == pixels(&mask), "{kind} of {name}");
        }
    }
}

#[test]
fn every_output_lies_where_its_scene_lies_to_the_last_bit() {
    let work = prepared(7, Some(7));
    odd_scenes(&work.path("in"));
    work.swath(&RUN).says(0, &["9 done, 0 failed"]);
    are_placed(&work, &work.path("in"));
    let left = outputs(&work.path("out"));
    let beside = |name: &str| left.keys().filter(|key| key.starts_with(&format!("masks/{name}."))).count();
    // A world file has no place for points, and a scene without a place has nothing beside it.
    assert_eq!(["north_up", "turned", "gcps", "rpc", "nowhere"].map(beside), [5, 5, 4, 3, 1]);
    assert_eq!(
        String::from_utf8_lossy(&left["masks/south_up.pgw"]),
        "0.3\n0\n0\n0.1\n404212.05000000005\n3285142.9499999997\n"
    );
    // The same again: equal bytes.
    std::fs::remove_dir_all(work.path("out")).unwrap();
    work.swath(&RUN).expect(0);
    assert!(outputs(&work.path("out")) == left);
}

#[test]
fn outputs_of_real_files_lie_where_these_lie() {
    let Some(folder) = shared("data/geotiffs") else { return };
    let files = [
        "rasterio__rotated",
        "test-data__GeogToWGS84GeoKey5",
        "rio-tiler__cog_nonearth",
        "rasterio__all-nodata",
        "made__s2_u16_zstd_planar",
        "rio-cogeo__image_geos",
        "DeepForest__OSBS_029",
    ];
    let work = prepared(7, Some(7));
    for file in files {
        let name = format!("{file}.tif");
        work.write(&format!("in/{name}"), std::fs::read(folder.join(&name)).unwrap());
    }
    work.swath(&RUN).expect(0);
    assert_eq!(names(&work).len(), files.len());
    are_placed(&work, &work.path("in"));
}

/// Offset and length of each block of a TIFF, overviews too.
fn blocks(path: &Path) -> Vec<(u64, u64)> {
    let data = Dataset::open(path).unwrap();
    let band = data.rasterband(1).unwrap();
    let overviews =
        (0..band.overview_count().unwrap()).map(|level| band.overview(usize::try_from(level).unwrap()).unwrap());
    let mut found = Vec::new();
    for level in std::iter::once(data.rasterband(1).unwrap()).chain(overviews) {
        let (across, down) = (level.x_size().div_ceil(256), level.y_size().div_ceil(256));
        for (x, y) in (0..down).flat_map(|y| (0..across).map(move |x| (x, y))) {
            let number = |what| level.metadata_item(&format!("BLOCK_{what}_{x}_{y}"), "TIFF").unwrap().parse().unwrap();
            found.push((number("OFFSET"), number("SIZE")));
        }
    }
    found
}

#[test]
fn a_geotiff_holds_every_block_once_and_little_else() {
    for (n_classes, bits, value) in [(7, 8, 5), (7, 16, 500)] {
        let work = prepared(n_classes, Some(9));
        scene(&work.path("in/a.tif"), Size::new(1700, 1201), |d| at(d, "EPSG:32617", [0.0, 0.5, 0.0, 9.0, 0.0, -0.5]));
        let set = [format!("outputs.mask_bits={bits}"), format!("classes.5.value={value}")];
        let set: Vec<&str> = set.iter().flat_map(|set| ["--set", set]).collect();
        work.swath(&[&RUN[..], &set].concat()).expect(0);
        let path = work.path("out/geotiff/a.tif");
        let (mut blocks, bytes) = (blocks(&path), std::fs::metadata(&path).unwrap().size());
        assert_eq!(blocks.len(), 7 * 5 + 4 * 3 + 2 * 2 + 1);
        blocks.sort_unstable();
        assert!(blocks.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "{blocks:?}");
        // Beside blocks there are directories, palettes and where the blocks are.
        let stored: u64 = blocks.iter().map(|(_, size)| size).sum();
        assert!(bytes - stored < 12_000, "{bytes} bytes, {stored} of blocks");
        let data = Dataset::open(&path).unwrap();
        let band = data.rasterband(1).unwrap();
        assert_eq!((band.no_data_value(), band.color_table().is_some()), (Some(9.0), bits == 8));
        assert_eq!(band.band_type().name(), if bits == 8 { "Byte" } else { "UInt16" });
        let held: std::collections::BTreeSet<u16> = pixels(&path).into_iter().collect();
        assert!(held.contains(&value), "{held:?}");
        for level in 0..3 {
            let overview = band.overview(level).unwrap().read_band_as::<u16>().unwrap();
            assert!(overview.data().iter().all(|value| held.contains(value)), "level {level}");
        }
        let attributes = std::fs::read_to_string(work.path("out/geotiff/a.tif.aux.xml")).unwrap();
        let names = attributes.matches("<Category>").count();
        assert_eq!((names, attributes.contains("<Category>c5</Category>")), (usize::from(value.max(9)) + 1, true));
        let style = std::fs::read_to_string(work.path("out/geotiff/a.qml")).unwrap();
        assert!(style.contains(&format!("value=\"{value}\" label=\"c5\" color=\"#052030\"")), "{style}");
    }
}

#[test]
fn polygons_cover_each_class_exactly_and_pieces_know_their_object() {
    use gdal::vector::LayerAccess;
    let work = prepared(7, Some(9));
    // Of so many columns that polygons are cut.
    scene(&work.path("in/wide.tif"), Size::new(20_000, 230), |d| at(d, "EPSG:2263", [0.0, 2.0, 0.0, 9.0, 0.0, -2.0]));
    scene(&work.path("in/small.tif"), Size::new(70, 40), |d| at(d, "EPSG:4326", [7.0, 0.001, 0.0, 50.0, 0.0, -0.001]));
    scene(&work.path("in/nowhere.tif"), Size::new(70, 40), |_| {});
    work.swath(&RUN).says(0, &["3 done"]);
    assert!(!work.path("out/vectors/nowhere.gpkg").exists());
    let square_foot = (1200.0_f64 / 3937.0).powi(2);
    for (name, pixel) in [("wide", Some(4.0 * square_foot)), ("small", None)] {
        let values = pixels(&work.path(&format!("out/geotiff/{name}.tif")));
        let data = Dataset::open(work.path(&format!("out/vectors/{name}.gpkg"))).unwrap();
        let mut layer = data.layer_by_name(name).unwrap();
        assert_eq!(layer.spatial_ref().unwrap().auth_code().unwrap(), if name == "wide" { 2263 } else { 4326 });
        let (mut by_value, mut objects, mut pieces) = (BTreeMap::<u16, u64>::new(), BTreeMap::<u64, u64>::new(), 0);
        for feature in layer.features() {
            let number = |name| {
                let value = feature.field_as_integer64(feature.field_index(name).unwrap()).unwrap();
                u64::try_from(value.unwrap()).unwrap()
            };
            let area = feature.field_as_double(feature.field_index("area_m2").unwrap()).unwrap().unwrap();
            let n = number("pixels");
            // Of some 71 x 111 metres.
            let exact = pixel.map_or(n as f64 * 71.7 * 111.2, |pixel| n as f64 * pixel);
            assert!(
                (area / exact - 1.0).abs() < if pixel.is_some() { 1e-9 } else { 0.01 },
                "{area} of {n} pixels, not {exact}"
            );
            if pixel.is_some() {
                assert!((feature.geometry().unwrap().area() * square_foot / area - 1.0).abs() < 1e-9);
            }
            assert!(number("object") <= feature.fid().unwrap());
            *by_value.entry(u16::try_from(number("value")).unwrap()).or_default() += n;
            *objects.entry(number("object")).or_default() += 1;
            pieces += 1;
        }
        for value in 0..7 {
            let n = values.iter().filter(|held| **held == value).count() as u64;
            assert_eq!(by_value.get(&value).copied().unwrap_or_default(), n, "{name}, value {value}");
        }
        assert_eq!(pieces > objects.len(), name == "wide", "{pieces} of {} objects", objects.len());
        let mut styles = data.layer_by_name("layer_styles").unwrap();
        let style = styles.features().next().unwrap();
        let text = style.field_as_string(style.field_index("styleQML").unwrap()).unwrap().unwrap();
        assert!(text.contains("label=\"c5\"") && text.contains("value=\"5,32,48,255\""), "{text}");
    }
}

#[test]
fn a_mosaic_holds_what_the_scenes_hold_where_they_lie() {
    let work = prepared(7, Some(9));
    let place = |x: f64, y: f64| move |d: &mut Dataset| at(d, "EPSG:32617", [x, 0.1, 0.0, y, 0.0, -0.1]);
    scene(&work.path("in/a.tif"), Size::new(300, 280), place(1000.1, 5000.3));
    scene(&work.path("in/b/c.tif"), Size::new(200, 310), place(1040.1, 4990.0));
    // Over a corner of the first.
    scene(&work.path("in/d.tif"), Size::new(40, 30), place(1000.1, 5000.3));
    work.swath(&RUN).expect(0);
    work.swath(&["mosaic", "out", "-o", "maps/all.vrt"]).says(0, &["3 scenes, 600 x 413 pixels"]);
    work.swath(&["mosaic", "out", "-o", "maps/whole.tif"]).says(0, &["3 scenes, 600 x 413 pixels"]);
    let mut expected = vec![9_u16; 600 * 413];
    for (name, left, top) in [("a", 0, 0), ("b/c", 400, 103), ("d", 0, 0)] {
        let (width, values) = (
            if name == "a" {
                300
            } else if name == "d" {
                40
            } else {
                200
            },
            pixels(&work.path(&format!("out/geotiff/{name}.tif"))),
        );
        for (y, row) in values.chunks(width).enumerate() {
            expected[(top + y) * 600 + left..][..width].copy_from_slice(row);
        }
    }
    for file in ["maps/all.vrt", "maps/whole.tif"] {
        let data = Dataset::open(work.path(file)).unwrap();
        assert_eq!(data.geo_transform().unwrap(), [1000.1, 0.1, 0.0, 5000.3, 0.0, -0.1], "{file}");
        assert_eq!(data.spatial_ref().unwrap().auth_code().unwrap(), 32617);
        let band = data.rasterband(1).unwrap();
        assert_eq!((band.no_data_value(), band.color_table().unwrap().entry_as_rgb(5).unwrap().r), (Some(9.0), 5));
        assert!(pixels(&work.path(file)) == expected, "{file}");
    }
    let data = Dataset::open(work.path("maps/whole.tif")).unwrap();
    assert_eq!(data.metadata_item("LAYOUT", "IMAGE_STRUCTURE").as_deref(), Some("COG"));
    assert_eq!(data.rasterband(1).unwrap().overview_count().unwrap(), 2);
    // Nothing else is left, and nothing is written over.
    let names: Vec<String> = outputs(&work.path("maps")).into_keys().collect();
    assert_eq!(names, ["all.qml", "all.vrt", "whole.qml", "whole.tif", "whole.tif.aux.xml"]);
    work.swath(&["mosaic", "out", "-o", "maps/whole.tif"]).says(2, &["exist", "--overwrite"]);
    work.swath(&["mosaic", "out", "-o", "out/geotiff/a.tif", "--overwrite"])
        .says(2, &["the file that it is made from"]);
}

#[test]
fn scenes_of_two_grids_are_no_mosaic_and_one_hears_what_to_do() {
    let work = prepared(7, None);
    let size = Size::new(40, 30);
    for (name, crs, side) in [("a", "EPSG:32617", 0.1), ("b", "EPSG:32618", 0.1), ("c", "EPSG:32617", 0.2)] {
        scene(&work.path(&format!("in/{name}.tif")), size, |d| at(d, crs, [0.0, side, 0.0, 9.0, 0.0, -side]));
    }
    work.swath(&[&RUN[..], &["--set", "outputs.geotiff=false", "--set", "outputs.cog=false"]].concat()).expect(0);
    let words = [
        "1 scene WGS 84 / UTM zone 17N, pixels of 0.1 x 0.1 (`a`)",
        "UTM zone 18N",
        "0.2 x 0.2",
        "--include",
        "gdalwarp",
    ];
    work.swath(&["mosaic", "out", "-o", "m.tif"]).says(2, &words);
    work.swath(&["mosaic", "out", "-o", "m.tif", "--include", "[ab]"]).says(2, &["UTM zone 18N"]);
    let alone = ["mosaic", "out", "-o", "m.tif", "--include", "b"];
    work.swath(&alone).says(2, &["1 scene has no GeoTIFF (`b`)", "--set outputs.geotiff=true"]);
    work.swath(&[&RUN[..], &["--set", "outputs.cog=false"]].concat()).expect(0);
    work.swath(&alone).says(0, &["1 scene, 40 x 30 pixels"]);
    // Without a [nodata] class there is a value for where no scene is all the same, and it is no class's.
    let data = Dataset::open(work.path("m.tif")).unwrap();
    assert_eq!(data.rasterband(1).unwrap().no_data_value(), Some(7.0));
    work.swath(&["mosaic", "out", "-o", "m.png"]).says(2, &["ends in .tif or .vrt"]);
    work.swath(&["mosaic", "out", "-o", "m.vrt", "--include", "x*"]).says(2, &["no scene of the run"]);
}

#[test]
fn a_scene_that_lies_elsewhere_has_what_says_so_made_anew_and_nothing_else() {
    let work = prepared(7, None);
    scene(&work.path("in/a.tif"), Size::new(70, 40), |_| {});
    let stamps = || -> BTreeMap<String, (u64, i64)> {
        let names = outputs(&work.path("out")).into_keys();
        let stamp = |name: String| {
            let meta = std::fs::metadata(work.path("out").join(&name)).unwrap();
            (name, (meta.ino(), meta.mtime_nsec()))
        };
        names.map(stamp).collect()
    };
    work.write("in/a.tfw", "0.5\n0\n0\n-0.5\n100.25\n200\n");
    work.swath(&RUN).expect(0);
    let before = stamps();
    work.write("in/a.tfw", "0.5\n0\n0\n-0.5\n100.75\n200\n");
    work.swath(&RUN).expect(0);
    assert_eq!(work.report("out")["totals"]["forwards"], 0);
    let after = stamps();
    let same: Vec<&str> =
        after.iter().filter(|(name, stamp)| before.get(*name) == Some(stamp)).map(|(name, _)| name.as_str()).collect();
    assert!(same.contains(&"color/a.png") && same.contains(&"masks/a.png"), "{same:?}");
    assert!(
        !same.iter().any(|name| name.starts_with("geotiff/") || name.starts_with("cog/") || name.ends_with("pgw")),
        "{same:?}"
    );
    are_placed(&work, &work.path("in"));
}

#[test]
fn a_place_that_is_no_number_is_none() {
    let work = prepared(5, None);
    let nowhere = [500_000.0, f64::NAN, 0.0, 5_400_000.0, 0.0, f64::NAN];
    scene(&work.path("in/nan.tif"), Size::new(70, 40), |d| at(d, "EPSG:32632", nowhere));
    work.swath(&["run", "p.toml", "-i", "in/nan.tif", "-o", "out", "--backend", "fake", "--devices", "cpu"])
        .says(0, &["1 done, 0 failed"]);
    assert!(work.path("out/geotiff/nan.tif").exists() && !work.path("out/vectors/nan.gpkg").exists());
    assert!(Dataset::open(work.path("out/geotiff/nan.tif")).unwrap().geo_transform().is_err());
}

#[test]
fn what_gdal_cannot_write_is_refused_before_any_work() {
    let work = with_scenes(&[(40, 30)]);
    let run = ["run", "p.toml", "-i", "in", "-o", "out", "--backend", "fake", "--set", "outputs.vectors=true"];
    let ran = work.swath_with(&run, &[("GDAL_SKIP", "GPKG")]);
    ran.says(2, &["outputs.vectors", "no driver GPKG", "outputs.vectors = false"]);
    assert!(!work.path("out").exists());
    // Of a scene that lies nowhere there are no polygons, and nothing says so.
    work.swath(&run).says(0, &["out/vectors"]);
    std::fs::remove_dir_all(work.path("in")).unwrap();
    std::fs::create_dir(work.path("in")).unwrap();
    image::GrayImage::from_pixel(40, 30, image::Luma([1])).save(work.path("in/s0.png")).unwrap();
    let said = work.swath(&[&run[..], &["--fresh"]].concat()).expect(0);
    let report = work.report("out")["outputs"].to_string();
    assert!(!said.contains("out/vectors") && !report.contains("vectors") && report.contains("masks/s0.png"), "{said}");
}
