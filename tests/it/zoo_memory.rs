//! Measures what `NetworkSpec::activation_bytes` estimates. Not a test of a claim: run by hand when the networks change, with
//! `cargo test --release --test it zoo_memory -- --ignored --nocapture --test-threads 1`, and copy the figures to `zoo::spec`.
#![cfg(all(feature = "torch", target_os = "linux"))]
#![expect(clippy::print_stderr, reason = "a measurement prints what it found")]

use std::process::Command;

use swath::geom::Size;
use swath::zoo::spec::{Backbone, Network, NetworkSpec};
use swath::zoo::{registry, segmenter};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

const CASE: &str = "SWATH_ZOO_MEMORY_CASE";
const BACKBONES: [Backbone; 3] = [Backbone::ResNet18, Backbone::ResNet34, Backbone::ResNet50];

/// A figure of /proc/self/status in bytes.
fn status(field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().unwrap() * 1024
}

/// One forward pass in this process, whose high-water mark it raises.
fn measure(case: &str) {
    let numbers: Vec<u32> = case.split(' ').map(|n| n.parse().unwrap()).collect();
    let [backbone, output_stride, side, batch] = numbers[..] else { panic!("{case}") };
    let backbone = BACKBONES[usize::try_from(backbone).unwrap()];
    let network = Network::DeepLabV3Plus;
    let spec =
        NetworkSpec { network, backbone: Some(backbone), output_stride, rates: [12, 24, 36], bands: 3, classes: 15 };
    let vs = VarStore::new(Device::Cpu);
    let net = registry::build(&vs.root(), &spec).unwrap();
    let side_px = i64::from(side);
    let input = Tensor::ones([i64::from(batch), 3, side_px, side_px], (Kind::Float, Device::Cpu));
    let before = status("VmRSS:");
    segmenter::run(&*net, &input).unwrap();
    let bytes = status("VmHWM:") - before;
    let n_pixels = u64::from(batch) * Size::new(side, side).area();
    let estimate = spec.activation_bytes(batch, Size::new(side, side)) / n_pixels;
    eprintln!("{spec} os{output_stride} {batch} x {side}: {} bytes per pixel, estimate {estimate}", bytes / n_pixels);
}

#[test]
#[ignore = "a measurement, about two minutes"]
fn zoo_memory_of_a_forward_pass() {
    if let Ok(case) = std::env::var(CASE) {
        return measure(&case);
    }
    for backbone in 0..BACKBONES.len() {
        for rest in ["16 512 1", "16 1024 1", "16 1536 1", "8 512 1", "8 1024 1", "8 1536 1"] {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--ignored", "--nocapture", "zoo_memory"]).env(CASE, format!("{backbone} {rest}"));
            assert!(command.status().unwrap().success());
        }
    }
}
