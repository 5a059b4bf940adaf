//! What a device can do at best, for networks to be measured against.

use std::time::{Duration, Instant};

use tch::{Cuda, TchError, Tensor};

use super::{kind, target, torch_problem};
use crate::config::Precision;
use crate::plan::DeviceId;
use crate::tensor;

/// A product and how often it is timed.
struct Trial {
    /// Side of the square matrices. Large enough that starting a kernel takes no part in it.
    side: i64,
    /// Products that are timed together.
    products: u32,
    rounds: u32,
}

/// Whoever multiplies matrices for longer is not told anything new: half precision on a core without its instructions takes minutes.
const LONG_ENOUGH: Duration = Duration::from_secs(2);

/// FLOP per second of a product of large random matrices, the best of several; `None` where the device cannot do it.
pub fn matmul_rate(device: DeviceId, precision: Precision) -> Option<f64> {
    let trial = match device {
        DeviceId::Cpu | DeviceId::CpuTensors => Trial { side: 2048, products: 1, rounds: 5 },
        DeviceId::Cuda(_) => Trial { side: 8192, products: 10, rounds: 5 },
    };
    if torch_problem(device).is_some() {
        return None;
    }
    // As a device of a run has it: a core, not the machine.
    tch::set_num_threads(1);
    let seconds = fastest(&trial, device, precision).ok()?;
    Some(2.0 * (trial.side as f64).powi(3) / seconds)
}

/// Seconds of one product.
fn fastest(trial: &Trial, device: DeviceId, precision: Precision) -> Result<f64, TchError> {
    let _no_grad = tch::no_grad_guard();
    let random = || {
        let matrix = Tensor::f_randn([trial.side, trial.side], (tch::Kind::Float, target(device)))?;
        matrix.f_to_kind(kind(precision))
    };
    let (a, b) = (random()?, random()?);
    // The first round warms up, but counts where it is the only one.
    let (begun, mut best) = (Instant::now(), f64::INFINITY);
    for _ in 0..=trial.rounds {
        finish(device);
        let began = Instant::now();
        for _ in 0..trial.products {
            drop(a.f_matmul(&b)?);
        }
        finish(device);
        best = best.min(began.elapsed().as_secs_f64() / f64::from(trial.products));
        if begun.elapsed() > LONG_ENOUGH {
            break;
        }
    }
    Ok(best)
}

/// Waits until the device has done what it was given.
fn finish(device: DeviceId) {
    if let Some(number) = device.gpu().and_then(|number| i64::try_from(number).ok()) {
        Cuda::synchronize(number);
    }
}

/// Free and total bytes of a device's own memory; `None` where it has none, or does not tell.
pub fn device_memory(device: DeviceId) -> Option<(u64, u64)> {
    tensor::memory(device.gpu()?).ok()
}
