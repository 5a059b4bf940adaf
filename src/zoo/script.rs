//! A network that comes as a TorchScript program (`torch.jit.save`), run as it is.
//!
//! A program from a file can do whatever this process can, so it is loaded only under the digest that the pipeline names.

use std::path::Path;

use tch::{CModule, Device, IValue, Kind, TchError, Tensor};

use super::segmenter::{Segmented, Segmenter, caught};
use super::spec::{NetworkSpec, Upsample};
use crate::hex;
use crate::weights::WeightsError;

/// Why a program cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The file cannot be read or is another one.
    #[error(transparent)]
    File(#[from] WeightsError),
    /// libtorch refuses it.
    #[error("libtorch cannot load `{path}` as a TorchScript program: {message}")]
    Load {
        /// The file.
        path: String,
        /// What libtorch said.
        message: String,
    },
}

/// A program with its weights.
pub struct Program {
    module: CModule,
    upsample: Option<Upsample>,
    n_classes: i64,
    stride: i64,
}

impl Program {
    /// Loads the file at `path`, whose SHA-256 must be `digest`, to `device`. Anything but [`Kind::Float`] converts every parameter and
    /// every buffer, those of integers too: libtorch has no other way from here.
    ///
    /// # Errors
    /// When it cannot be read, is another file, or no program that libtorch can load.
    pub fn load(
        path: &Path,
        digest: &str,
        spec: &NetworkSpec,
        device: Device,
        kind: Kind,
    ) -> Result<Self, ProgramError> {
        // What is hashed is what is loaded: the file may be another one a moment later.
        let bytes = std::fs::read(path).map_err(WeightsError::io("read", path))?;
        let found = hex(&<sha2::Sha256 as sha2::Digest>::digest(&bytes));
        if found != digest {
            return Err(WeightsError::other_digest(path, digest, &found).into());
        }
        let failed = |message: String| ProgramError::Load { path: path.display().to_string(), message };
        let mut module = open(&bytes, device).map_err(|e| failed(cause(&e.to_string())))?;
        if kind != Kind::Float {
            caught(|| module.to(device, kind, false)).map_err(failed)?;
        }
        let (n_classes, stride) = (i64::from(spec.classes), i64::from(spec.logit_stride()));
        Ok(Self { module, upsample: spec.upsample(), n_classes, stride })
    }
}

/// A program that computes the same in its first passes as in all later ones: kernels that are made to measure after some passes round
/// differently, and then a tile would depend on what came before it.
fn open(mut bytes: &[u8], device: Device) -> Result<CModule, TchError> {
    tch::jit::f_set_profiling_mode(false)?;
    tch::jit::f_set_tensor_expr_fuser_enabled(false)?;
    let mut module = CModule::load_data_on_device(&mut bytes, device)?;
    module.f_set_eval()?;
    Ok(module)
}

impl Segmenter for Program {
    /// Panics also when the program does not return what the pipeline says: a tensor of logits, `[N, classes, rows, columns]`.
    fn forward(&self, input: &Tensor, _train: bool) -> Segmented {
        let out = self.module.forward_is(&[IValue::Tensor(input.shallow_clone())]);
        let out = out.unwrap_or_else(|e| panic!("the TorchScript program: {}", cause(&e.to_string())));
        let IValue::Tensor(values) = out else {
            panic!(
                "the TorchScript program does not return a tensor: make one of a module that returns its logits alone"
            );
        };
        let sides = input.size().split_off(2);
        let logits = sides.iter().map(|side| side.div_euclid(self.stride) + i64::from(side % self.stride > 0));
        let wanted: Vec<i64> = [input.size()[0], self.n_classes].into_iter().chain(logits).collect();
        let shape = values.size();
        assert!(
            shape == wanted,
            "the TorchScript program returned {shape:?}, not {wanted:?}, which {} classes and `upsampling` = {} ask for",
            self.n_classes,
            self.stride
        );
        Segmented::new(values, self.upsample)
    }
}

/// The cause in what libtorch says of a program: behind the traceback of the program, before libtorch's own stack.
fn cause(text: &str) -> String {
    let text = text.split("Exception raised from").next().unwrap_or(text);
    let is_cause = |line: &str| line.split_once(": ").is_some_and(|(name, _)| name.ends_with("Error"));
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let from = lines.iter().rposition(|line| is_cause(line)).unwrap_or_default();
    lines[from..].join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_behind_the_programs_traceback() {
        let text = "The following operation failed in the TorchScript interpreter.\nTraceback of TorchScript (most recent call last):\n  \
                    File \"own.py\", line 3, in forward\n    return self.a(x)\n           ~~~~~~ <--- HERE\nRuntimeError: CUDA out of \
                    memory. Tried to allocate 2.50 GiB.\nGPU 0 is full.\nException raised from malloc at a.cpp:1 (most recent call \
                    first):\nframe #0: b";
        assert_eq!(cause(text), "RuntimeError: CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 is full.");
        assert_eq!(cause("\nPytorchStreamReader failed\nException raised from x"), "PytorchStreamReader failed");
    }
}
