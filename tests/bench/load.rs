//! How long weights take to become f32 values in memory, file by file: one thread, and for `.swz` all there are too. Best of five, so the
//! files come from the system's cache.
//!
//! `cargo run --release --no-default-features --example bench_load FILE ..`
#![expect(clippy::print_stdout, reason = "it prints a table")]

use std::error::Error;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, Instant};

use swath::weights::swz::SwzFile;
use swath::weights::{Format, WeightsFile};

const ROUNDS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    println!("{:<44} {:>9} {:>8} {:>9} {:>12}", "file", "MB", "threads", "seconds", "M weights/s");
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    for path in std::env::args().skip(1) {
        let path = Path::new(&path);
        row(path, NonZeroUsize::MIN, || {
            let mut file = WeightsFile::open(path)?;
            let tensors = file.tensors().to_vec();
            tensors.iter().try_fold(0, |n, tensor| Ok(n + file.read(tensor)?.len()))
        })?;
        if WeightsFile::open(path)?.format() == Format::Swz {
            row(path, threads, || Ok(SwzFile::open(path)?.read_all(threads)?.iter().map(Vec::len).sum()))?;
        }
    }
    Ok(())
}

fn row(
    path: &Path,
    threads: NonZeroUsize,
    load: impl Fn() -> Result<usize, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let (mut best, mut values) = (Duration::MAX, 0);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        values = load()?;
        best = best.min(began.elapsed());
    }
    let (seconds, megabytes) = (best.as_secs_f64(), std::fs::metadata(path)?.len() as f64 / 1e6);
    let speed = values as f64 / 1e6 / seconds;
    println!("{:<44} {megabytes:>9.1} {threads:>8} {seconds:>9.3} {speed:>12.0}", path.display());
    Ok(())
}
