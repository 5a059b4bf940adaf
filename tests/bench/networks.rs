//! Counts and measures every network, and prints the table of `src/zoo/spec/measured.rs`: parameters, multiply-accumulate operations, and the
//! growth of the resident set's high-water mark over one f32 forward pass on one thread, each in a process of its own. The smaller the image,
//! the more of that does not grow with it: 512 pixels a side are a good choice, 256 go faster and err on the high side.
//!
//! `cargo run --release --example bench_networks [--side PIXELS] [PART OF A NAME ..]`
#![expect(clippy::print_stdout, reason = "it prints a table")]

use std::error::Error;
use std::process::Command;

use swath::zoo::census::census;
use swath::zoo::layers::scope::Purpose;
use swath::zoo::spec::{ARCHITECTURES, Architecture, Backbone, Network, NetworkSpec, SpecTable};
use swath::zoo::{registry, segmenter};
use tch::{Device, Kind, Tensor};

/// Side of the image on which memory is measured.
const SIDE: i64 = 512;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let side = match arguments.iter().position(|a| a == "--side") {
        Some(at) => arguments.drain(at..at + 2).next_back().ok_or("--side PIXELS")?.parse()?,
        None => SIDE,
    };
    if let [flag, row] = &arguments[..]
        && flag == "--memory"
    {
        println!("{}", memory(&rows()[row.parse::<usize>()?], side)?);
        return Ok(());
    }
    for (idx, spec) in rows().iter().enumerate() {
        let name = format!("{spec} {}", spec.output_stride);
        if arguments.iter().all(|part| name.contains(part)) {
            print(idx, spec, side)?;
        }
    }
    Ok(())
}

/// Every architecture on every backbone at every stride.
fn rows() -> Vec<NetworkSpec> {
    ARCHITECTURES.iter().filter(|a| a.is_known()).flat_map(variants).collect()
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
    let before = status("VmRSS:")?;
    segmenter::run(&*built.network, &input)?;
    Ok(status("VmHWM:")?.saturating_sub(before))
}

/// A figure of /proc/self/status in bytes.
fn status(field: &str) -> Result<u64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)).ok_or("no such field")?;
    Ok(line.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u64>()? * 1024)
}

fn print(idx: usize, spec: &NetworkSpec, side: i64) -> Result<(), Box<dyn Error>> {
    let a = spec.architecture();
    let count = |bands, classes| -> Result<u64, Box<dyn Error>> {
        let spec = self::spec(a, spec.backbone, spec.output_stride, bands, classes).ok_or("no such network")?;
        Ok(registry::outline(&spec)?.n_parameters())
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
