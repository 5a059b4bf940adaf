//! Reads scenes whole, a band of 1024 rows after the other, in this process and through an isolated decoder, in turn, and prints the
//! speed of both: what isolation costs where nothing but decoding happens.
//!
//! `cargo run --release --example bench_decode -- SWATH ROUNDS FILE...`
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a tool for measurements: it may stop at the first error"
)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use swath::geom::{PixelRect, Span};
use swath::raster::{DecoderLimits, Gdal, Isolated, OpenSource, PixelBuf, RasterSource, ReadRequest};

/// Rows that are read at once.
const ROWS: u32 = 1024;

/// As a run over scenes of this kind would have it.
const CACHE: u64 = 64 << 20;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [swath, rounds, files @ ..] = arguments.as_slice() else { panic!("usage: bench_decode SWATH ROUNDS FILE...") };
    let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
    let gdal = Gdal::set_up().expect("GDAL is there");
    gdal.limit_cache(CACHE).expect("the cache can be limited");
    let limits = DecoderLimits::reading(CACHE, 1 << 20, CACHE, Duration::from_secs(60));
    let isolated = Isolated::by(limits, PathBuf::from(swath));
    let (mut inside, mut apart) = (gdal.open(), isolated.open());
    let mut speeds = [Vec::new(), Vec::new()];
    for _ in 0..rounds.parse().expect("a number") {
        speeds[0].push(speed(inside.as_mut(), &files));
        speeds[1].push(speed(apart.as_mut(), &files));
    }
    let [inside, apart] = speeds.map(|mut all| {
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    });
    println!("in this process {inside:.0} MB/s, isolated {apart:.0} MB/s (medians): {:.3}", apart / inside);
}

/// Million bytes per second.
fn speed(source: &mut dyn RasterSource, files: &[PathBuf]) -> f64 {
    let start = Instant::now();
    let bytes: usize = files.iter().map(|file| read(source, file)).sum();
    bytes as f64 / 1e6 / start.elapsed().as_secs_f64()
}

/// Reads a scene; returns its bytes.
fn read(source: &mut dyn RasterSource, path: &Path) -> usize {
    let header = source.inspect(path, None).expect("the scene can be opened");
    let columns = Span::new(0, header.size.width);
    let mut bytes = 0;
    for y in (0..header.size.height).step_by(ROWS as usize) {
        let rows = Span::new(y, (y + ROWS).min(header.size.height));
        let request = ReadRequest {
            path: path.into(),
            page: None,
            window: PixelRect::from_spans(columns, rows),
            bands: (1..=header.n_bands).collect(),
            dtype: header.dtype,
            mask: false,
            probes: Vec::new(),
        };
        let mut pixels = PixelBuf::of_bytes(header.dtype, request.buffer_bytes());
        source.read(&request, pixels.bytes_mut()).expect("the scene can be read");
        bytes += request.buffer_bytes();
    }
    bytes
}
