//! A fully connected layer.

use tch::Tensor;

use super::conv::uniform;
use super::scope::Scope;
use super::trace;

/// A matrix and a bias. Variables `weight` `[output, input]` and `bias` `[output]`, PyTorch's starting values.
#[derive(Debug)]
pub struct Linear {
    name: String,
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// The layer whose variables are at `scope`.
    pub fn new(scope: &Scope, input: i64, output: i64) -> Self {
        let start = uniform(input);
        Self {
            name: scope.name(""),
            weight: scope.parameter("weight", &[output, input], start),
            bias: scope.parameter("bias", &[output], start),
        }
    }

    /// `[.., input]` to `[.., output]`.
    pub fn forward(&self, xs: &Tensor) -> Tensor {
        let out = xs.linear(&self.weight, Some(&self.bias));
        trace::see(self.name.trim_end_matches('.'), &out, self.weight.size()[1]);
        out
    }
}
