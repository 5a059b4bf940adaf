//! Which tensor is coded how.

use std::collections::BTreeMap;

use super::source::SourceTensor;

/// Tensors of fewer values are kept exact: all of a network's together are less than a hundredth of it, while first kernels,
/// depthwise ones and gates, which are among them, do not average out what quantisation does to them.
const LEAST_QUANTISED: usize = 4096;

/// How a tensor is coded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Coding {
    /// Bit for bit.
    Exact,
    /// Trellis-coded levels, as many bits for each as it is worth.
    Trellis {
        /// In units of the root mean square of a channel. 1 is about 2.2 bits per weight, each half of it a bit more.
        step: f32,
    },
}

impl Coding {
    /// About this many bits per weight.
    pub fn of_bits(bits: u8) -> Self {
        Self::Trellis { step: (2.2 - f32::from(bits)).exp2() }
    }
}

/// A coding for every tensor, by name. What it does not name is kept exact.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    codings: BTreeMap<String, Coding>,
}

impl Plan {
    /// The same coding for all tensors but those that [`is_kept_exact`] names.
    pub fn uniform(tensors: &[SourceTensor<'_>], coding: Coding) -> Self {
        let quantised = tensors.iter().filter(|t| !is_kept_exact(t.shape()));
        Self { codings: quantised.map(|t| (t.name().to_owned(), coding)).collect() }
    }

    /// Sets the coding of a tensor.
    pub fn set(&mut self, name: impl Into<String>, coding: Coding) {
        self.codings.insert(name.into(), coding);
    }

    /// The coding of a tensor.
    pub fn coding(&self, name: &str) -> Coding {
        self.codings.get(name).copied().unwrap_or(Coding::Exact)
    }
}

/// Whether plans keep a tensor of this shape exact: biases, the statistics, scales and shifts of normalisations, and whatever else has
/// one dimension or fewer than 4096 values.
pub fn is_kept_exact(shape: &[usize]) -> bool {
    shape.len() < 2 || shape.iter().product::<usize>() < LEAST_QUANTISED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_and_small_tensors_are_kept_exact() {
        assert!(is_kept_exact(&[8192]) && is_kept_exact(&[]) && is_kept_exact(&[64, 7, 3, 3]));
        assert!(!is_kept_exact(&[64, 64, 1, 1]));
        let values = [0.0; 4096];
        let tensors = [
            SourceTensor::from_f32("bias", &[4096], &values).unwrap(),
            SourceTensor::from_f32("weight", &[64, 64], &values).unwrap(),
        ];
        let coding = Coding::of_bits(4);
        let mut plan = Plan::uniform(&tensors, coding);
        assert_eq!(
            (plan.coding("bias"), plan.coding("weight"), plan.coding("?")),
            (Coding::Exact, coding, Coding::Exact)
        );
        plan.set("weight", Coding::Exact);
        assert_eq!(plan.coding("weight"), Coding::Exact);
    }
}
