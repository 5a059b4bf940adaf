//! A deterministic stand-in for the networks, without libtorch.
//!
//! The identity network hands the first band through as classes. Every other network is replaced by a small local function of the
//! same output stride and convention: enough to carry real data through every other stage, to test the dataflow byte for byte,
//! and to measure everything but the networks.
//!
//! The environment variable `SWATH_FAKE_DELAY_MS` makes every forward pass take that many milliseconds more, whatever its size, so that
//! time can run short in a test. `SWATH_FAKE_NS_PER_PIXEL` makes it last as many nanoseconds per pixel that the network sees, but for what
//! it takes anyway: one number for all members, or one for each. So devices can be had that are as fast as one says, and as many as one
//! likes whatever the cores: to see what the dataflow makes of them. Workers on one GPU share it: one pass at a time, as its kernels go.
//! `SWATH_FAKE_LOG` names a file to which each pass adds a line when it begins, with its pixels: what was done twice shows there, whoever did it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::DeviceError;
use super::batch::RawBatch;
use super::engine::{Engine, Input};
use super::logits::Logits;
use crate::config::Precision;
use crate::geom::Size;
use crate::plan::{DeviceId, MemberPlan, Pass, Plan};
use crate::raster::{PixelBuf, with_held};
use crate::zoo::seed;
use crate::zoo::spec::{Network, NetworkSpec};

/// The fake engine. It holds every member, whatever is asked of it: it weighs nothing.
#[derive(Debug)]
pub(super) struct FakeEngine {
    members: Vec<FakeMember>,
    delay: Duration,
    gpu: Option<Arc<Mutex<()>>>,
    /// Shared by many processes: a line is one write, at its end.
    log: Option<File>,
}

/// The GPUs of this process, by number: held while a pass runs on one.
static GPUS: Mutex<BTreeMap<usize, Arc<Mutex<()>>>> = Mutex::new(BTreeMap::new());

#[derive(Debug)]
struct FakeMember {
    spec: NetworkSpec,
    /// One direction in the space of band means and one offset per class.
    directions: Vec<Vec<f32>>,
    /// Nanoseconds that a pixel takes, at least.
    ns_per_pixel: f64,
}

impl FakeEngine {
    /// That of a plan.
    pub(super) fn new(plan: &Plan, device: DeviceId) -> Self {
        let said = |name: &str| std::env::var(name).unwrap_or_default();
        let rates = said("SWATH_FAKE_NS_PER_PIXEL");
        let rates: Vec<f64> = rates.split(',').filter_map(|ns| ns.trim().parse().ok()).collect();
        let member = |(idx, m): (usize, &MemberPlan)| {
            let spec = m.member.spec.clone();
            let ns_per_pixel = rates.get(idx).or(rates.last()).copied().unwrap_or(0.0);
            FakeMember { directions: directions(&spec, &m.digest), spec, ns_per_pixel }
        };
        let delay = said("SWATH_FAKE_DELAY_MS").parse().map_or(Duration::ZERO, Duration::from_millis);
        let gpu = |number| Arc::clone(GPUS.lock().unwrap_or_else(PoisonError::into_inner).entry(number).or_default());
        let log = OpenOptions::new().create(true).append(true).open(said("SWATH_FAKE_LOG")).ok();
        let members = plan.members.iter().enumerate().map(member).collect();
        Self { members, delay, gpu: device.gpu().map(gpu), log }
    }

    fn logits(&self, pass: Pass, input: Input<'_>) -> Logits {
        let member = &self.members[pass.member];
        let n_classes = member.spec.classes as usize;
        if member.spec.network == Network::Identity {
            return one_hot(input.batch, n_classes).turned(pass.view);
        }
        let (batch, full) = (input.batch, input.size);
        let stride = member.spec.logit_stride();
        let size = member.spec.logit_size(full);
        let n_bands = member.spec.bands as usize;
        let mut values = vec![0.0; batch.len() * n_classes * size.len()];
        let inputs = input.values.chunks_exact((n_bands * full.len()).max(1));
        for (input, logits) in inputs.zip(values.chunks_exact_mut((n_classes * size.len()).max(1))) {
            local_network(input, full, stride as usize, &member.directions, size, logits);
        }
        let upsample = member.spec.upsample();
        Logits::of_f32(values, batch.len(), n_classes, size, full, upsample)
    }
}

impl Engine for FakeEngine {
    fn ready(&mut self, _pass: Pass) -> Result<(), DeviceError> {
        Ok(())
    }

    fn forward(&mut self, pass: Pass, input: Input<'_>, _precision: Precision) -> Result<Logits, DeviceError> {
        let _alone = self.gpu.as_ref().map(|gpu| gpu.lock().unwrap_or_else(PoisonError::into_inner));
        let began = Instant::now();
        let pixels = input.size.area() * input.batch.len() as u64;
        if let Some(log) = &mut self.log {
            // A log that cannot be written shows to whoever reads it.
            let line = format!("{} {pixels} {}\n", pass.member, input.batch.name);
            log.write_all(line.as_bytes()).unwrap_or_default();
        }
        let logits = self.logits(pass, input);
        let least = Duration::from_secs_f64(pixels as f64 * self.members[pass.member].ns_per_pixel.max(0.0) / 1e9);
        let left = least.saturating_sub(began.elapsed()) + self.delay;
        if !left.is_zero() {
            std::thread::sleep(left);
        }
        Ok(logits)
    }

    fn can_widen(&self, _pass: Pass, _precision: Precision) -> bool {
        false
    }
}

/// The raw value of the first band as a one-hot map; values beyond the classes count as class 0.
fn one_hot(batch: &RawBatch, n_classes: usize) -> Logits {
    let area = batch.crop.len();
    let mut values = vec![0.0; batch.len() * n_classes * area];
    for tile in 0..batch.len() {
        for at in 0..area {
            let class = class_at(&batch.pixels, tile * batch.n_bands * area + at);
            values[(tile * n_classes + if class < n_classes { class } else { 0 }) * area + at] = 1.0;
        }
    }
    Logits::of_f32(values, batch.len(), n_classes, batch.crop, batch.crop, None)
}

/// A pixel's value as a class; what is no whole number from 0 on is no class.
fn class_at(pixels: &PixelBuf, at: usize) -> usize {
    let value: f32 = with_held!(pixels.dtype(), T => value_at::<T>(pixels, at));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "compared with what it came from")]
    let class = value as u16;
    if f32::from(class).to_bits() == value.to_bits() { class.into() } else { usize::MAX }
}

fn value_at<T: bytemuck::Pod + Into<f32>>(pixels: &PixelBuf, at: usize) -> f32 {
    pixels.values::<T>()[at].into()
}

/// Logits of one tile: per class a direction times the band means of one cell of `stride` x `stride` pixels.
fn local_network(input: &[f32], full: Size, stride: usize, directions: &[Vec<f32>], size: Size, logits: &mut [f32]) {
    let (width, height) = (full.width as usize, full.height as usize);
    let mut means = vec![0.0; input.len() / full.len().max(1)];
    for cell_y in 0..size.height as usize {
        for cell_x in 0..size.width as usize {
            let (xs, ys) =
                (cell_x * stride..width.min((cell_x + 1) * stride), cell_y * stride..height.min((cell_y + 1) * stride));
            for (mean, plane) in means.iter_mut().zip(input.chunks_exact(full.len())) {
                let rows = ys.clone().map(|y| plane[y * width..][xs.clone()].iter().sum::<f32>());
                *mean = rows.sum::<f32>() / (xs.len() * ys.len()) as f32;
            }
            let at = cell_y * size.width as usize + cell_x;
            for (class, direction) in directions.iter().enumerate() {
                let dot: f32 = means.iter().zip(direction).map(|(m, d)| m * d).sum();
                logits[class * size.len() + at] = dot + direction.last().copied().unwrap_or(0.0);
            }
        }
    }
}

/// Numbers that follow from the member's digest: weights that differ give masks that differ.
fn directions(spec: &NetworkSpec, digest: &str) -> Vec<Vec<f32>> {
    let columns = spec.bands as usize + 1;
    let values = seed::fill(0, &format!("fake.{digest}.weight"), &[spec.classes as usize, columns], 0);
    values.chunks_exact(columns).map(<[f32]>::to_vec).collect()
}
