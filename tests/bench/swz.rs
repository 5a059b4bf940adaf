//! Compresses the tensors of a network of about 70 million weights, drawn at random, at every size that `.swz` has, and prints sizes, errors
//! and speeds as one table; below it what zstd makes of the same weights as f16.
//!
//! The speed on one thread is per second of processor time, the one on two threads and the time to encode on two are of the clock.
//!
//! `cargo run --release --no-default-features --example bench_swz`
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a tool for measurements: it may stop at the first error"
)]

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Instant;

use half::f16;
use swath::weights::Metadata;
use swath::weights::swz::{Allocator, Coding, Plan, SourceTensor, SwzFile, encode, is_kept_exact};

/// Blocks of a ResNet-101, by stage.
const BLOCKS: [usize; 4] = [3, 4, 23, 3];

/// Times that a file is decoded; the fastest counts.
const ROUNDS: usize = 3;

/// Weights that zstd compresses.
const ZSTD_WEIGHTS: usize = 8_000_000;

/// How weights are drawn.
#[derive(Clone, Copy, Debug)]
enum Draw {
    Gaussian,
    Uniform,
}

struct Network {
    shapes: Vec<(String, Vec<usize>)>,
    values: Vec<Vec<f32>>,
}

fn main() {
    let dir = tempfile::tempdir().expect("a folder for the files");
    for draw in [Draw::Gaussian, Draw::Uniform] {
        let network = Network::new(draw);
        network.table(draw, &dir.path().join("network.swz"));
    }
}

impl Network {
    fn new(draw: Draw) -> Self {
        let shapes = shapes();
        let values = shapes.iter().zip(0..).map(|((name, shape), seed)| values(draw, name, shape, seed)).collect();
        Self { shapes, values }
    }

    fn tensors(&self) -> Vec<SourceTensor<'_>> {
        let all = self.shapes.iter().zip(&self.values);
        all.map(|((name, shape), values)| SourceTensor::from_f32(name, shape, values).expect("it fits")).collect()
    }

    fn n_weights(&self) -> usize {
        self.values.iter().map(Vec::len).sum()
    }

    fn table(&self, draw: Draw, path: &Path) {
        println!("\n{draw:?}, {:.1} M weights in {} tensors", self.n_weights() as f64 / 1e6, self.shapes.len());
        println!(
            "{:<28} {:>11} {:>8} {:>9} {:>9} {:>9} {:>9}",
            "coding", "bytes", "bits/w", "rel.rms", "enc. s", "M/s, 1", "M/s, 2"
        );
        let tensors = self.tensors();
        self.row("exact", &tensors, &Plan::default(), path);
        for bits in 1..=8 {
            self.row(&format!("{bits} bits"), &tensors, &Plan::uniform(&tensors, Coding::of_bits(bits)), path);
        }
        self.budget("error", &tensors, path, |_| 1.0);
        let energies: BTreeMap<&str, f64> = tensors.iter().map(|t| (t.name(), t.energy())).collect();
        self.budget("relative error", &tensors, path, |name| 1.0 / energies[name]);
        self.zstd();
    }

    /// The file of least damage with as many bytes per weight as 262 million in 105 million bytes.
    fn budget(&self, name: &str, tensors: &[SourceTensor<'_>], path: &Path, sensitivity: impl Fn(&str) -> f64 + Sync) {
        let (start, budget) = (Instant::now(), (self.n_weights() as f64 * 105e6 / 262e6) as u64);
        let allocator = Allocator::new(tensors, threads(2), sensitivity).expect("they can be measured");
        let seconds = start.elapsed().as_secs_f64();
        let encode = |plan: &Plan| Ok(vec![encode(tensors, &Metadata::new(), plan, threads(2))?]);
        let (_, allocated) = allocator.within(budget, encode).expect("it can be that small");
        self.row(&format!("least {name}"), tensors, &allocated.plan, path);
        println!("  (of {budget} bytes; the plan took {seconds:.1} s on 2 threads and foretold {})", allocated.bytes);
    }

    /// Compresses, decodes and prints a line.
    fn row(&self, name: &str, tensors: &[SourceTensor<'_>], plan: &Plan, path: &Path) {
        let start = Instant::now();
        let file = encode(tensors, &Metadata::new(), plan, threads(2)).expect("it can be coded");
        swath::atomic::write(path, &file).expect("it can be written");
        let seconds = start.elapsed().as_secs_f64();
        let bytes = std::fs::metadata(path).expect("it is there").len();
        let mut file = SwzFile::open(path).expect("it is whole");
        let values = file.read_all(threads(2)).expect("it is whole");
        let mut best = |n, now: fn() -> f64| {
            let mut seconds = || {
                let start = now();
                file.read_all(threads(n)).expect("it is whole");
                now() - start
            };
            millions(self.n_weights()) / (0..ROUNDS).map(|_| seconds()).fold(f64::INFINITY, f64::min)
        };
        let (one, two) = (best(1, cpu_seconds), best(2, wall_seconds));
        println!(
            "{name:<28} {bytes:>11} {:>8.3} {:>9.5} {seconds:>9.2} {one:>9.0} {two:>9.0}",
            bytes as f64 * 8.0 / self.n_weights() as f64,
            self.relative_rms(&values)
        );
    }

    /// Root mean square of the errors over that of the values, in the tensors that are not kept exact.
    fn relative_rms(&self, decoded: &[Vec<f32>]) -> f64 {
        let (mut error, mut energy) = (0.0, 0.0);
        let coded =
            self.shapes.iter().zip(self.values.iter().zip(decoded)).filter(|((_, shape), _)| !is_kept_exact(shape));
        for (value, decoded) in coded.flat_map(|(_, (values, decoded))| values.iter().zip(decoded)) {
            error += f64::from(value - decoded).powi(2);
            energy += f64::from(*value).powi(2);
        }
        (error / energy).sqrt()
    }

    /// zstd at its slowest usual level, on as many weights as it gets through in reasonable time.
    fn zstd(&self) {
        let some: Vec<f32> = self.values.iter().flatten().copied().take(ZSTD_WEIGHTS).collect();
        let halves: Vec<u8> = some.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect();
        let packed = zstd::bulk::compress(&halves, 19).expect("it can be compressed");
        let start = cpu_seconds();
        zstd::bulk::decompress(&packed, halves.len()).expect("it can be decompressed");
        let (speed, bits) =
            (millions(some.len()) / (cpu_seconds() - start), packed.len() as f64 * 8.0 / some.len() as f64);
        let bytes = bits / 8.0 * self.n_weights() as f64;
        println!("{:<28} {bytes:>11.0} {bits:>8.3} {:>9} {:>9} {speed:>9.0}", "zstd -19 of f16", "0.0002", "");
    }
}

fn millions(n: usize) -> f64 {
    n as f64 / 1e6
}

/// Processor time of this thread, which does not count what other programs take.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("it is Linux");
    text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).expect("a number") / 1e9
}

fn wall_seconds() -> f64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_secs_f64()
}

fn threads(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).expect("it is not 0")
}

/// ResNet-101 with a dilated pyramid and a decoder of 512 channels, each convolution with its normalisation.
fn shapes() -> Vec<(String, Vec<usize>)> {
    let mut shapes = Vec::new();
    let mut conv = |name: String, out: usize, inputs: usize, kernel: usize| {
        shapes.push((format!("{name}.conv.weight"), vec![out, inputs, kernel, kernel]));
        for part in ["weight", "bias", "running_mean", "running_var"] {
            shapes.push((format!("{name}.bn.{part}"), vec![out]));
        }
    };
    conv("encoder.stem".to_owned(), 64, 4, 7);
    let mut inputs = 64;
    for (stage, n_blocks) in BLOCKS.into_iter().enumerate() {
        let width = 64 << stage;
        for block in 0..n_blocks {
            let name = |part: &str| format!("encoder.layer{}.{block}.{part}", stage + 1);
            conv(name("1"), width, inputs, 1);
            conv(name("2"), width, width, 3);
            conv(name("3"), 4 * width, width, 1);
            if block == 0 {
                conv(name("downsample"), 4 * width, inputs, 1);
            }
            inputs = 4 * width;
        }
    }
    for branch in 0..3 {
        conv(format!("decoder.aspp.{branch}"), 384, 2048, 3);
    }
    conv("decoder.project".to_owned(), 512, 3 * 384, 1);
    conv("decoder.fuse.0".to_owned(), 512, 512 + 48, 3);
    conv("decoder.fuse.1".to_owned(), 512, 512, 3);
    conv("head".to_owned(), 15, 512, 1);
    shapes
}

fn values(draw: Draw, name: &str, shape: &[usize], seed: u64) -> Vec<f32> {
    let n: usize = shape.iter().product();
    let fan_in: usize = shape.iter().skip(1).product();
    let mut uniform = uniform(seed);
    let mut one = || match draw {
        Draw::Gaussian => (-2.0 * (1.0 - uniform()).ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos(),
        Draw::Uniform => 12f64.sqrt() * (uniform() - 0.5),
    };
    let (scale, centre) = match () {
        () if shape.len() > 1 => ((2.0 / fan_in as f64).sqrt(), 0.0),
        () if name.ends_with("var") || name.ends_with("weight") => (0.1, 1.0),
        () => (0.1, 0.0),
    };
    (0..n).map(|_| (centre + scale * one()) as f32).collect()
}

/// SplitMix64, as fractions.
fn uniform(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}
