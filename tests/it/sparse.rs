//! Blocks that are not in the file: they are not read, and no network sees the same nothing twice, through the command line.
#![cfg(all(feature = "gdal", target_os = "linux"))]

use std::path::Path;

use gdal::DriverManager;
use gdal::raster::{Buffer, RasterCreationOptions};
use swath::geom::Size;

use crate::support::command::Workdir;
use crate::support::memory::{TWO, pipeline, values};
use crate::support::outputs;

const SIZE: Size = Size::new(430, 700);

/// What GDAL gives of a block that is not there.
#[derive(Clone, Copy, Debug)]
enum Missing {
    Zeros,
    Nodata(f64),
}

/// A scene of two bands and blocks of 32 pixels, of which a few are stored, and the same with all of them.
fn scenes(work: &Workdir, missing: Missing, driver_options: &[&str]) {
    for (folder, is_sparse) in [("sparse", true), ("dense", false)] {
        let path = work.path(folder).join("a.tif");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        write(&path, missing, is_sparse, driver_options);
    }
}

fn write(path: &Path, missing: Missing, is_sparse: bool, more: &[&str]) {
    let sparse = if is_sparse { "SPARSE_OK=TRUE" } else { "SPARSE_OK=FALSE" };
    let options = [&["TILED=YES", "BLOCKXSIZE=32", "BLOCKYSIZE=32", sparse], more].concat();
    let driver = DriverManager::get_driver_by_name("GTiff").unwrap();
    let (width, height) = (SIZE.width as usize, SIZE.height as usize);
    let options = RasterCreationOptions::from_iter(options);
    let dataset = driver.create_with_band_type_with_options::<u8, _>(path, width, height, 2, &options).unwrap();
    for band in 1..=2 {
        let mut band = dataset.rasterband(band).unwrap();
        if let Missing::Nodata(value) = missing {
            band.set_no_data_value(Some(value)).unwrap();
        }
        let piece = Size::new(40, 30);
        for at in [(70, 100), (330, 105)] {
            let mut buffer = Buffer::new((40, 30), values(piece, 7, 5));
            band.write(at, (40, 30), &mut buffer).unwrap();
        }
    }
    dataset.close().unwrap();
}

fn prepared(border: &str, batch: u32, nodata: Option<u8>) -> Workdir {
    let work = Workdir::new();
    let tiles = format!("strategy = \"fixed\"\ncentre = 64\ndilation = 16\nwhole_max = 60\nborder = \"{border}\"");
    let text = pipeline(&tiles, TWO, 7, nodata)
        .replace("bands = [1]", "bands = [2, 1]")
        .replace("mean = [3.0]", "mean = [3.0, 2.0]");
    work.write("p.toml", text.replace("std = [2.0]", "std = [2.0, 1.5]") + &format!("[inference]\nbatch = {batch}\n"));
    work
}

/// Runs over a folder; what it made, and the sums of its report.
fn run(
    work: &Workdir,
    folder: &str,
    more: &[&str],
) -> (std::collections::BTreeMap<String, Vec<u8>>, serde_json::Value) {
    let out = format!("out-{folder}");
    let run = ["run", "p.toml", "-i", folder, "-o", &out, "--backend=fake", "--devices=cpu", "--fresh"];
    work.swath(&[&run, more].concat()).expect(0);
    (outputs(&work.path(&out)), work.report(&out)["totals"].clone())
}

#[test]
fn without_nodata_empty_tiles_of_a_kind_run_once_and_all_bytes_are_those_of_running_all() {
    for (border, batch, missing, more) in [
        ("reflect", 1, Missing::Zeros, &[][..]),
        ("zero", 3, Missing::Zeros, &["INTERLEAVE=BAND"][..]),
        ("zero", 1, Missing::Nodata(5.0), &[][..]),
        ("reflect", 2, Missing::Nodata(3.0), &["COMPRESS=DEFLATE"][..]),
    ] {
        let work = prepared(border, batch, None);
        scenes(&work, missing, more);
        let (all, dense) = run(&work, "dense", &[]);
        let (few, sparse) = run(&work, "sparse", &[]);
        assert!(all == few, "{border} {batch} {missing:?}");
        // 7 x 11 tiles; two rows hold something.
        assert_eq!((dense["tiles"].as_u64(), dense["decoded"].as_u64()), (Some(77), Some(11)), "{dense}");
        assert!(sparse["decoded"].as_u64() < Some(5) && sparse["tiles"] == dense["tiles"], "{sparse}");
        assert!(
            sparse["forwards"].as_u64().unwrap() * 10 < dense["forwards"].as_u64().unwrap() * 8,
            "{sparse} {dense}"
        );
        assert!(sparse["repeated_tiles"].as_u64() > Some(10) && dense.get("repeated_tiles").is_none(), "{sparse}");
        // With workers that remember for themselves, and where the members' logits are kept and every tile is run.
        assert!(run(&work, "sparse", &["--devices=cpu,cpu", "--decode=in-process"]).0 == all);
        let (kept, totals) = run(&work, "sparse", &["--set", "checkpoints=[\"labels\",\"member-logits\"]"]);
        assert!(kept == all && totals["forwards"] == dense["forwards"], "{totals}");
    }
}

#[test]
fn with_nodata_what_the_file_does_not_store_is_not_read_and_counted() {
    let work = prepared("reflect", 2, Some(99));
    scenes(&work, Missing::Nodata(5.0), &[]);
    let ((all, dense), (few, sparse)) = (run(&work, "dense", &[]), run(&work, "sparse", &[]));
    assert!(all == few);
    assert_eq!(dense["void_tiles"], sparse["void_tiles"], "{dense} {sparse}");
    assert!(sparse["void_tiles"].as_u64() > Some(30) && sparse["decoded"].as_u64() < Some(5), "{sparse}");
    let ran = work.swath(&["run", "p.toml", "-i", "sparse", "-o", "told", "--backend=fake"]);
    ran.says(0, &["77 in all; no network saw", "without data"]);
}
