//! A deterministic stand-in for the networks, without libtorch.
//!
//! The identity network hands the first band through as classes. Every other network is replaced by a small local function of the
//! same output stride and convention: enough to carry real data through every other stage, to test the dataflow byte for byte,
//! and to measure everything but the networks.
//!
//! The environment variable `SWATH_FAKE_DELAY_MS` makes every forward pass take that many milliseconds more, whatever its size, so that
//! time can run short in a test.

use std::time::Duration;

use super::DeviceError;
use super::batch::RawBatch;
use super::engine::{Engine, Input};
use super::logits::Logits;
use crate::config::Precision;
use crate::geom::Size;
use crate::plan::{MemberPlan, Pass, Plan};
use crate::raster::{PixelBuf, PixelType};
use crate::zoo::seed;
use crate::zoo::spec::{Network, NetworkSpec};

/// The fake engine. It holds every member, whatever is asked of it: it weighs nothing.
#[derive(Debug)]
pub(super) struct FakeEngine {
    members: Vec<FakeMember>,
    delay: Duration,
}

#[derive(Debug)]
struct FakeMember {
    spec: NetworkSpec,
    /// One direction in the space of band means and one offset per class.
    directions: Vec<Vec<f32>>,
}

impl FakeEngine {
    /// That of a plan.
    pub(super) fn new(plan: &Plan) -> Self {
        let member = |m: &MemberPlan| {
            let spec = m.member.spec.clone();
            FakeMember { directions: directions(&spec, &m.digest), spec }
        };
        let delay = std::env::var("SWATH_FAKE_DELAY_MS").ok().and_then(|ms| ms.parse().ok());
        let delay = delay.map_or(Duration::ZERO, Duration::from_millis);
        Self { members: plan.members.iter().map(member).collect(), delay }
    }
}

impl Engine for FakeEngine {
    fn ready(&mut self, _pass: Pass) -> Result<(), DeviceError> {
        Ok(())
    }

    fn forward(&mut self, pass: Pass, input: Input<'_>, _precision: Precision) -> Result<Logits, DeviceError> {
        if !self.delay.is_zero() {
            std::thread::sleep(self.delay);
        }
        let member = &self.members[pass.member];
        let n_classes = member.spec.classes as usize;
        if member.spec.network == Network::Identity {
            return Ok(one_hot(input.batch, n_classes).turned(pass.view));
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
        Ok(Logits::of_f32(values, batch.len(), n_classes, size, full, upsample))
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
    match pixels.dtype() {
        PixelType::U8 => usize::from(pixels.values::<u8>()[at]),
        PixelType::U16 => usize::from(pixels.values::<u16>()[at]),
        PixelType::I16 => usize::try_from(pixels.values::<i16>()[at]).unwrap_or(usize::MAX),
        PixelType::F32 => {
            let value = pixels.values::<f32>()[at];
            (0..=u8::MAX).find(|class| f32::from(*class).to_bits() == value.to_bits()).map_or(usize::MAX, usize::from)
        }
    }
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
