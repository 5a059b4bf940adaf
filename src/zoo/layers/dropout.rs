//! Dropout (Srivastava et al. 2014), of single values or of whole channels.

use tch::Tensor;

use super::scope::{Purpose, Scope};

/// Drops a share of what passes while training, and scales the rest up.
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    share: f64,
    /// Of an image's channels, each is dropped as a whole.
    by_channel: bool,
}

impl Dropout {
    /// Single values. In a network that is to be compared nothing is dropped.
    pub fn values(scope: &Scope, share: f64) -> Self {
        let share = if scope.purpose() == Purpose::Comparison { 0.0 } else { share };
        Self { share, by_channel: false }
    }

    /// Whole channels.
    pub fn channels(scope: &Scope, share: f64) -> Self {
        Self { by_channel: true, ..Self::values(scope, share) }
    }

    /// Of the same shape.
    pub fn apply(&self, xs: &Tensor, train: bool) -> Tensor {
        match self.by_channel {
            true => xs.feature_dropout(self.share, train),
            false => xs.dropout(self.share, train),
        }
    }
}
