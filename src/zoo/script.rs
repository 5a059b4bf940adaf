//! A network that comes as a TorchScript program (`torch.jit.save`), run as it is.
//!
//! A program from a file can do whatever this process can, so it is loaded only under the digest that the pipeline names.

use std::path::Path;

use tch::{CModule, Device, IValue, Kind, Tensor};

use super::segmenter::{Segmented, Segmenter, caught};
use super::spec::{NetworkSpec, Upsample};
use super::weights::WeightsError;
use crate::hex;

/// Why a program cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The file cannot be read or is another one.
    #[error(transparent)]
    File(#[from] WeightsError),
    /// libtorch refuses it.
    #[error("libtorch cannot load `{path}` as a TorchScript program: {message}")]
    Load {
        /// The file.
        path: String,
        /// First line of what libtorch said.
        message: String,
    },
}

/// A program with its weights.
pub struct Script {
    module: CModule,
    device: Device,
    upsample: Option<Upsample>,
    n_classes: i64,
    stride: i64,
}

impl Script {
    /// Loads the file at `path`, whose SHA-256 must be `digest`, to `device`.
    ///
    /// # Errors
    /// When it cannot be read, is another file, or no program that libtorch can load.
    pub fn load(path: &Path, digest: &str, spec: &NetworkSpec, device: Device) -> Result<Self, ScriptError> {
        // What is hashed is what is loaded: the file may be another one a moment later.
        let bytes = std::fs::read(path).map_err(WeightsError::io("read", path))?;
        let found = hex(&<sha2::Sha256 as sha2::Digest>::digest(&bytes));
        if found != digest {
            return Err(WeightsError::other_digest(path, digest, &found).into());
        }
        let failed = |message: String| ScriptError::Load { path: path.display().to_string(), message };
        let module = CModule::load_data_on_device(&mut bytes.as_slice(), device);
        let mut module = module.map_err(|e| failed(first_line(&e.to_string())))?;
        module.f_set_eval().map_err(|e| failed(first_line(&e.to_string())))?;
        let (n_classes, stride) = (i64::from(spec.classes), i64::from(spec.logit_stride()));
        Ok(Self { module, device, upsample: spec.upsample(), n_classes, stride })
    }

    /// Converts its weights to `kind`.
    ///
    /// # Errors
    /// With the first line of what libtorch said.
    pub fn to_kind(&mut self, kind: Kind) -> Result<(), String> {
        let device = self.device;
        caught(|| self.module.to(device, kind, false))
    }
}

impl Segmenter for Script {
    /// Panics also when the program does not return what the pipeline says: a tensor of logits, `[N, classes, rows, columns]`.
    fn forward(&self, input: &Tensor, _train: bool) -> Segmented {
        let out = self.module.forward_is(&[IValue::Tensor(input.shallow_clone())]);
        let out = out.unwrap_or_else(|e| panic!("the TorchScript program: {}", first_line(&e.to_string())));
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

/// Of what libtorch says the rest is its own stack.
fn first_line(text: &str) -> String {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
}
