//! Who follows the gradients, as written and as meant.

use serde::{Deserialize, Serialize};

use super::super::fault::Fault;
use super::within;

/// How values follow gradients.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum Rule {
    /// Stochastic gradient descent with momentum, as PyTorch has it: weight decay is part of the gradient.
    Sgd {
        /// Share of the last step's direction that is kept.
        momentum: f64,
        /// Whether the gradient is taken ahead of the step (Sutskever et al. 2013).
        nesterov: bool,
    },
    /// AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101).
    AdamW {
        /// Decay of the mean of gradients and of that of their squares.
        betas: [f64; 2],
        /// What is added to the root of the latter.
        eps: f64,
    },
}

/// A checked `[train.optimiser]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Optimiser {
    /// How a step follows from gradients.
    pub rule: Rule,
    /// The rate that training starts from.
    pub rate: f64,
    /// Weight decay of kernels.
    pub weight_decay: f64,
    /// Whether norms and biases decay as well.
    pub decay_all: bool,
    /// How fast the backbone learns against the rest; 0 keeps it as it is.
    pub backbone: f64,
    /// Tensors whose names begin like this stay as they are.
    pub freeze: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Name {
    #[default]
    AdamW,
    Sgd,
}

/// `[train.optimiser]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct OptimiserTable {
    rule: Name,
    rate: Option<f64>,
    weight_decay: Option<f64>,
    decay_all: bool,
    momentum: Option<f64>,
    nesterov: Option<bool>,
    betas: Option<[f64; 2]>,
    eps: Option<f64>,
    backbone: Option<f64>,
    freeze: Vec<String>,
}

impl OptimiserTable {
    pub(super) fn checked(self) -> Result<Optimiser, Fault> {
        let key = |key: &str| format!("train.optimiser.{key}");
        let number = |name: &str, value: Option<f64>, usual: f64, most: f64| {
            within(&key(name), value.unwrap_or(usual), 0.0..=most)
        };
        let stray = |names: [(&str, bool); 2], other: &str| {
            let stray = names.into_iter().find(|(_, is_there)| *is_there);
            stray.map_or(Ok(()), |(name, _)| Err(Fault::about(key(name), format!("only the rule `{other}` has it"))))
        };
        // The usual rates and decays: PyTorch's for AdamW, those of the 2020 entry for the other.
        let (rule, rate, decay) = match self.rule {
            Name::Sgd => {
                stray([("betas", self.betas.is_some()), ("eps", self.eps.is_some())], "adamw")?;
                let momentum = number("momentum", self.momentum, 0.9, 1.0)?;
                (Rule::Sgd { momentum, nesterov: self.nesterov.unwrap_or(false) }, 8e-3, 1e-4)
            }
            Name::AdamW => {
                stray([("momentum", self.momentum.is_some()), ("nesterov", self.nesterov.is_some())], "sgd")?;
                let betas = self.betas.unwrap_or([0.9, 0.999]);
                if !betas.iter().all(|beta| (0.0..1.0).contains(beta)) {
                    return Err(Fault::value(key("betas"), format_args!("{betas:?}"), "two numbers from 0 to below 1"));
                }
                (Rule::AdamW { betas, eps: number("eps", self.eps, 1e-8, 1.0)? }, 1e-3, 1e-2)
            }
        };
        Ok(Optimiser {
            rule,
            rate: number("rate", self.rate, rate, 1e3)?,
            weight_decay: number("weight_decay", self.weight_decay, decay, 1e3)?,
            decay_all: self.decay_all,
            backbone: number("backbone", self.backbone, 1.0, 1e3)?,
            freeze: self.freeze,
        })
    }
}
