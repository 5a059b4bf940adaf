//! Counts and measures every network, and prints the table of `src/zoo/spec/measured.rs`: parameters, multiply-accumulate operations, and the
//! growth of the resident set's high-water mark over one f32 forward pass on one thread, each in a process of its own. The smaller the image,
//! the more of that does not grow with it: 512 pixels a side are a good choice, 256 go faster and err on the high side.
//!
//! `cargo run --release --example bench_networks [--side PIXELS] [PART OF A NAME ..]`
//!
//! With `--forward ROUNDS` it times forward passes instead, one thread, in CPU time: with plain operations, with channels last, with these
//! and fused operations, and with these and Winograd's algorithm, alternately. `--batch N` takes N images at once.
#![expect(clippy::print_stdout, reason = "it prints a table")]

use std::error::Error;
use std::process::Command;

use rustix::time::{ClockId, clock_gettime};
use swath::zoo::census::census;
use swath::zoo::layers::kernels::{Kernels, MemoryFormat};
use swath::zoo::layers::scope::Purpose;
use swath::zoo::spec::{ARCHITECTURES, Architecture, Backbone, KernelSet, Network, NetworkSpec, SpecTable, presets};
use swath::zoo::{registry, seed, segmenter, store};
use tch::{Device, Kind, Tensor};

/// Side of the image on which memory is measured.
const SIDE: i64 = 512;
/// Side of one that is run first.
const SMALL: i64 = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut number = |flag: &str, usual: i64| match arguments.iter().position(|a| a == flag) {
        Some(at) if at + 1 < arguments.len() => arguments.drain(at..at + 2).next_back().unwrap_or_default().parse(),
        _ => Ok(usual),
    };
    let (side, rounds, batch) = (number("--side", SIDE)?, number("--forward", 0)?, number("--batch", 1)?);
    if let [flag, row] = &arguments[..]
        && flag == "--memory"
    {
        println!("{}", memory(&rows()[row.parse::<usize>()?], side)?);
        return Ok(());
    }
    for (idx, spec) in rows().iter().enumerate() {
        let name = format!("{spec} {}", spec.output_stride);
        match arguments.iter().all(|part| name.contains(part)) {
            true if rounds > 0 => forward(spec, [batch, 3, side, side], rounds)?,
            true => print(idx, spec, side)?,
            false => {}
        }
    }
    Ok(())
}

/// Every architecture on every backbone at every stride, then the presets with heads of their own.
fn rows() -> Vec<NetworkSpec> {
    let narrow = presets().into_iter().filter(|p| p.table.decoder_channels.is_some());
    let named = narrow.filter_map(|p| p.table.resolve(3, Some(15)).ok());
    ARCHITECTURES.iter().filter(|a| a.is_known()).flat_map(variants).chain(named).collect()
}

fn variants(a: &'static Architecture) -> Vec<NetworkSpec> {
    let backbones: Vec<Option<Backbone>> = match a.backbones {
        [] => vec![None],
        list => list.iter().copied().map(Some).collect(),
    };
    let strides = |backbone| a.output_strides.iter().filter_map(move |&stride| spec(a, backbone, stride, 3, 15));
    backbones.into_iter().flat_map(strides).collect()
}

fn spec(a: &Architecture, backbone: Option<Backbone>, stride: u32, bands: u32, classes: u32) -> Option<NetworkSpec> {
    let table =
        SpecTable { variant: Some(a.variant), backbone, output_stride: Some(stride), ..SpecTable::new(a.network) };
    table.resolve(bands, Some(classes)).ok()
}

/// Bytes that a forward pass takes beside the weights.
fn memory(spec: &NetworkSpec, side: i64) -> Result<u64, Box<dyn Error>> {
    tch::set_num_threads(1);
    let input = Tensor::ones([1, 3, side, side], (Kind::Float, Device::Cpu));
    let _no_grad = tch::no_grad_guard();
    if spec.network == Network::Backbone {
        let built = registry::build_backbone(spec, Purpose::Inference)?;
        let before = status("VmRSS:")?;
        drop(built.network.features(&input, false));
        return Ok(status("VmHWM:")?.saturating_sub(before));
    }
    let built = registry::build(spec, Purpose::Inference, Device::Cpu)?;
    built.prepare(Kernels::named(KernelSet::Fused, Device::Cpu))?;
    // Weights are brought into their kernels' order by the first pass; that is not what grows with an image.
    segmenter::run(&*built.network, &input.narrow(2, 0, SMALL).narrow(3, 0, SMALL))?;
    let before = status("VmRSS:")?;
    segmenter::run(&*built.network, &input)?;
    Ok(status("VmHWM:")?.saturating_sub(before))
}

/// Times forward passes of a network with several kernels, and tells how far they are from the plain ones.
fn forward(spec: &NetworkSpec, shape: [i64; 4], rounds: i64) -> Result<(), Box<dyn Error>> {
    if spec.network == Network::Backbone {
        return Ok(());
    }
    tch::set_num_threads(1);
    tch::manual_seed(1);
    let input = Tensor::randn(shape, (Kind::Float, Device::Cpu));
    let last = Kernels { format: MemoryFormat::ChannelsLast, ..Kernels::PLAIN };
    let fused = Kernels { fused: true, ..last };
    let kernels = [
        ("plain", Kernels::PLAIN),
        ("channels last", last),
        ("fused", fused),
        ("winograd", Kernels::named(KernelSet::Fused, Device::Cpu)),
    ];
    let mut variants = Vec::new();
    for (name, kernels) in kernels {
        let built = registry::build(spec, Purpose::Inference, Device::Cpu)?;
        store::assign(&built.store, &built.layout, |name, shape| seed::fill(1, name, shape, exponent(name)))?;
        built.prepare(kernels)?;
        let values = segmenter::run(&*built.network, &input)?.values;
        variants.push((name, built, values, f64::MAX));
    }
    for _ in 0..rounds {
        for (name, built, values, best) in &mut variants {
            let before = clock_gettime(ClockId::ThreadCPUTime);
            let again = segmenter::run(&*built.network, &input)?.values;
            let taken = clock_gettime(ClockId::ThreadCPUTime) - before;
            *best = best.min(taken.tv_sec as f64 * 1e3 + taken.tv_nsec as f64 * 1e-6);
            if !again.equal(values) {
                println!("{spec}: {name} is not the same each time");
            }
        }
    }
    let (_, _, plain, base) = &variants[0];
    for (name, built, values, best) in &variants {
        let rms = (plain * plain).mean(Kind::Double).sqrt();
        let error = ((values - plain).abs().max() / rms).double_value(&[]);
        let agreement =
            values.argmax(1, false).eq_tensor(&plain.argmax(1, false)).to_kind(Kind::Double).mean(Kind::Double);
        let single = segmenter::run(&*built.network, &input.narrow(0, 0, 1))?.values;
        let alone = if single.equal(&values.narrow(0, 0, 1)) { "equal" } else { "not equal" };
        println!(
            "{spec}, {shape:?}, {name}: {best:.1} ms, {:.3} of plain; off by {error:.1e} of the r.m.s., same class {:.6}; \
             alone {alone}",
            best / base,
            agreement.double_value(&[])
        );
    }
    Ok(())
}

/// Smaller weights where outputs are added again and again, so that activations stay in bounds.
fn exponent(name: &str) -> i32 {
    let repeated = ["layer", "stage", "block", "encoder", "features", "mflow", "adapt", "resb", "branches"];
    if repeated.iter().any(|part| name.contains(part)) { -1 } else { 0 }
}

/// A figure of /proc/self/status in bytes.
fn status(field: &str) -> Result<u64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)).ok_or("no such field")?;
    Ok(line.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u64>()? * 1024)
}

fn print(idx: usize, spec: &NetworkSpec, side: i64) -> Result<(), Box<dyn Error>> {
    let count = |bands, classes| -> Result<u64, Box<dyn Error>> {
        Ok(registry::outline(&NetworkSpec { bands, classes, ..spec.clone() })?.n_parameters())
    };
    let (base, band, class) = (count(3, 15)?, count(4, 15)?, count(3, 16)?);
    let taken = census(spec)?;
    let output = Command::new(std::env::current_exe()?)
        .args(["--side", &side.to_string(), "--memory", &idx.to_string()])
        .output()?;
    let bytes: u64 = String::from_utf8(output.stdout)?.trim().parse()?;
    let backbone = spec.backbone.map_or("None".to_owned(), |b| format!("Some({b:?})"));
    println!(
        "    ({:?}, {:?}, {backbone}, {}, {base}, {}, {}, {:.0}, {:.0}, {}),",
        spec.network,
        spec.variant,
        spec.output_stride,
        band - base,
        class - base,
        taken.macs(512) / 1e6,
        taken.macs(1024) / 1e6,
        bytes / (side * side).unsigned_abs()
    );
    Ok(())
}
