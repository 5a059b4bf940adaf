//! Valid files of every layout that GDAL writes are accepted and read back exactly; headers that no file of their length can hold are not.
#![cfg(feature = "gdal")]

use std::path::{Path, PathBuf};

use gdal::raster::{Buffer, RasterCreationOptions};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use swath::geom::{PixelRect, Size, Span};
use swath::raster::{Gdal, OpenSource, ReadRequest};

use crate::support::command::Workdir;
use crate::support::memory::{IDENTITY, pipeline};
use crate::support::{png, shared};

/// How a file is stored.
#[derive(Clone, Debug)]
struct Stored {
    size: (u32, u32),
    /// Rows of a strip (0 for all in one), or the negative side of a tile.
    block: i32,
    compression: &'static str,
    n_bands: usize,
    planar: bool,
    /// Nothing is written but, in some files, the last row.
    sparse: Option<bool>,
    big: bool,
}

impl Stored {
    fn options(&self) -> Vec<String> {
        let mut options = vec![format!("COMPRESS={}", self.compression)];
        options.push(format!("INTERLEAVE={}", if self.planar { "BAND" } else { "PIXEL" }));
        options.push(format!("BIGTIFF={}", if self.big { "YES" } else { "NO" }));
        if self.sparse.is_some() {
            options.push("SPARSE_OK=TRUE".into());
        }
        match self.block {
            0 => options.push(format!("BLOCKYSIZE={}", self.size.1)),
            rows if rows > 0 => options.push(format!("BLOCKYSIZE={rows}")),
            side => {
                options.extend(["TILED=YES".into(), format!("BLOCKXSIZE={0}", -side), format!("BLOCKYSIZE={0}", -side)])
            }
        }
        options
    }

    /// The values of a band.
    fn values(&self, band: u32) -> Vec<u8> {
        let (width, height) = self.size;
        let value = |x: u32, y: u32| u8::try_from((x * 7 + y * 13 + y / 50 + 5 * band) % 251 + 1).unwrap();
        let at = |y: u32| {
            let kept = self.sparse.is_none_or(|last_row| last_row && y + 1 == height);
            (0..width).map(move |x| if kept { value(x, y) } else { 0 })
        };
        (0..height).flat_map(at).collect()
    }

    fn write(&self, path: &Path) {
        let driver = gdal::DriverManager::get_driver_by_name("GTiff").unwrap();
        let (width, height) = (self.size.0 as usize, self.size.1 as usize);
        let options = RasterCreationOptions::from_iter(self.options());
        let dataset =
            driver.create_with_band_type_with_options::<u8, _>(path, width, height, self.n_bands, &options).unwrap();
        for (number, idx) in (1..=self.n_bands).zip(0..) {
            let values = self.values(idx);
            let mut band = dataset.rasterband(number).unwrap();
            match self.sparse {
                None => band.write((0, 0), (width, height), &mut Buffer::new((width, height), values)).unwrap(),
                Some(true) => {
                    let row = values[width * (height - 1)..].to_vec();
                    band.write((0, height as isize - 1), (width, 1), &mut Buffer::new((width, 1), row)).unwrap();
                }
                Some(false) => {}
            }
        }
        dataset.close().unwrap();
    }
}

fn stored() -> impl Strategy<Value = Stored> {
    let sides = || select(vec![1_u32, 2, 3, 17, 255, 256, 257]);
    let long = select(vec![(5000_u32, 1_u32), (1, 5000), (1, 3000), (3, 2001)]);
    let size = prop_oneof![3 => (sides(), sides()), 1 => long];
    let compression = select(vec!["NONE", "DEFLATE", "ZSTD", "LZW"]);
    let sparse = prop_oneof![2 => Just(None), 1 => Just(Some(false)), 1 => Just(Some(true))];
    let block = select(vec![1, 7, 0, -16, -256]);
    (size, block, compression, 1_usize..=2, any::<bool>(), sparse, any::<bool>()).prop_map(
        |(size, block, compression, n_bands, planar, sparse, big)| Stored {
            size,
            block,
            compression,
            n_bands,
            planar,
            sparse,
            big,
        },
    )
}

/// Reads a file in bands of rows and compares every value; where nothing is said to be stored, everything must be zero.
fn check(stored: &Stored, path: &Path) {
    let mut source = Gdal::set_up().unwrap().open();
    let header = source.inspect(path, None).unwrap_or_else(|e| panic!("{stored:?}: {e}"));
    let size = Size::new(stored.size.0, stored.size.1);
    assert_eq!((header.size, header.n_bands as usize), (size, stored.n_bands), "{stored:?}");
    let expected: Vec<Vec<u8>> = (0..header.n_bands).map(|band| stored.values(band)).collect();
    for y in (0..size.height).step_by(700) {
        let window = PixelRect::from_spans(Span::new(0, size.width), Span::new(y, size.height.min(y + 900)));
        let request = header.request(path.into(), None, window, (1..=header.n_bands).collect());
        let request = ReadRequest { probes: vec![window], ..request };
        let mut pixels = vec![9; request.buffer_bytes()];
        let reply = source.read(&request, &mut pixels).unwrap_or_else(|e| panic!("{stored:?}: {window:?}: {e}"));
        let rows = window.y as usize * size.width as usize..window.ys().end as usize * size.width as usize;
        for (plane, expected) in pixels.chunks_exact(request.plane_bytes()).zip(&expected) {
            assert!(plane == &expected[rows.clone()], "{stored:?}: {window:?}");
        }
        assert!(!reply.blank[0] || pixels.iter().all(|v| *v == 0), "{stored:?}: {window:?} is not blank");
        assert!(stored.sparse != Some(false) || reply.blank[0], "{stored:?}: {window:?} is blank");
    }
}

#[test]
fn files_of_every_layout_are_accepted_and_read_back_exactly() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tif");
    let mut runner = TestRunner::new_with_rng(
        Config { cases: 400, failure_persistence: None, ..Config::default() },
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let result = runner.run(&stored(), |stored| {
        stored.write(&path);
        check(&stored, &path);
        std::fs::remove_file(&path).unwrap();
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// A scene and the mask that a network which tells values apart makes of it, run with a nodata value.
fn run(input: &[PathBuf]) -> (Workdir, crate::support::command::Ran) {
    let work = Workdir::new();
    let tiler = "strategy = \"fixed\"\ncentre = 64\ndilation = 16";
    work.write("p.toml", pipeline(tiler, IDENTITY, 7, Some(9)));
    let mut arguments: Vec<String> = ["run", "p.toml", "-o", "out", "--backend", "fake", "-i"].map(String::from).into();
    arguments.extend(input.iter().map(|path| path.display().to_string()));
    let ran = work.swath(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    (work, ran)
}

#[test]
fn a_single_strip_of_many_rows_is_segmented_to_its_last_row() {
    let dir = tempfile::tempdir().unwrap();
    for (i, compression) in ["NONE", "DEFLATE"].into_iter().enumerate() {
        let size = (1, 3000);
        let stored = Stored { size, block: 0, compression, n_bands: 1, planar: false, sparse: None, big: i == 0 };
        let path = dir.path().join("column.tif");
        stored.write(&path);
        let (work, ran) = run(&[path]);
        ran.says(0, &["1 done, 0 failed"]);
        let (width, height, mask) = png(&work.path("out/masks/column.png"));
        assert_eq!((width, height), size);
        assert!(mask.iter().all(|value| *value != 9), "rows are taken for holes");
    }
    let Some(cases) = shared("data/cases") else { return };
    let (_work, ran) = run(&[cases.join("onecol_deflate.tif"), cases.join("onecol_tiledless.tif")]);
    ran.says(0, &["2 done, 0 failed"]);
}

#[test]
fn masks_and_nodata_of_each_kind_of_file_reach_its_mask() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiff");
    let (work, ran) = run(&[folder]);
    ran.says(0, &["10 done, 0 failed"]);
    let holes = |name: &str| {
        let (_, _, values) = png(&work.path(&format!("out/masks/{name}.png")));
        let holes = values.iter().enumerate().filter(|(_, value)| **value == 9).map(|(i, _)| i);
        (values.len(), holes.collect::<Vec<_>>())
    };
    assert_eq!(holes("f32_nodata"), (29 * 31, (7 * 29 + 3..7 * 29 + 9).collect()));
    assert_eq!(holes("geo_i16"), (45 * 27, (0..5).collect()));
    assert_eq!(
        holes("masked"),
        (24 * 25, (0..24 * 25).filter(|i| !(4..20).contains(&(i % 24)) || i / 24 >= 18).collect())
    );
    for name in ["strips", "tiles_deflate", "strips_lzw", "big_endian_u16", "planar_u16", "bigtiff_sparse", "palette"] {
        assert_eq!(holes(name).1, Vec::<usize>::new(), "{name}");
    }
}

/// A classic little-endian TIFF: entries of one value each, and what is behind the directory.
fn tiff(entries: &[(u16, u32)], behind: &[u8]) -> Vec<u8> {
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    bytes.extend(u16::try_from(entries.len()).unwrap().to_le_bytes());
    for (tag, value) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(4_u16.to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend([0; 4]);
    bytes.extend(behind);
    bytes
}

#[test]
fn headers_that_no_file_of_their_length_can_hold_are_refused() {
    let work = Workdir::new();
    let mut source = Gdal::set_up().unwrap().open();
    let strips = |width, height, rows, compression, bytes: u32| {
        let entries = [
            (256, width),
            (257, height),
            (258, 8),
            (259, compression),
            (262, 1),
            (273, 200),
            (277, 1),
            (278, rows),
            (279, bytes),
        ];
        tiff(&entries, &vec![0; 1000])
    };
    for (file, words) in [
        (strips(60_000, 60_000, 60_000, 8, 900), "strips of 60000 x 60000 pixels, more than a file of"),
        (strips(1000, 3000, 3000, 1, 900), "strips of 1000 x 3000 pixels, more than a file of"),
        (strips(1, 2_000_000_000, 1, 1, 900), "2000000000 strips, more than a file of"),
    ] {
        let error = source.inspect(&work.write("a.tif", file), None).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
