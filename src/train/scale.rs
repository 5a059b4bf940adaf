//! The factor that the loss is multiplied by in half precision, so that small gradients do not vanish (Micikevicius et al. 2018,
//! arXiv:1710.03740).

use serde::{Deserialize, Serialize};

/// The factor over time: halved when gradients overflow, doubled after many steps without. As in PyTorch's GradScaler.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    factor: f64,
    good_steps: u32,
}

impl Default for LossScale {
    fn default() -> Self {
        Self { factor: 65536.0, good_steps: 0 }
    }
}

impl LossScale {
    const DOUBLED_AFTER: u32 = 2000;
    /// Below this it is not the scale: the loss itself is no number.
    const LEAST: f64 = 1.0;

    /// What the loss is multiplied by.
    pub(super) fn factor(&self) -> f64 {
        self.factor
    }

    /// Whether a step that was not taken is the scale's fault, and the next one may do.
    pub fn may_fall(&self) -> bool {
        self.factor > Self::LEAST
    }

    pub(super) fn after_step(&mut self, is_taken: bool) {
        if !is_taken {
            *self = Self { factor: (self.factor / 2.0).max(Self::LEAST), good_steps: 0 };
            return;
        }
        self.good_steps += 1;
        if self.good_steps == Self::DOUBLED_AFTER {
            *self = Self { factor: self.factor * 2.0, good_steps: 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_falls_at_once_and_rises_late() {
        let mut scale = LossScale::default();
        scale.after_step(false);
        assert_eq!(scale.factor(), 32768.0);
        (0..LossScale::DOUBLED_AFTER).for_each(|_| scale.after_step(true));
        assert_eq!(scale.factor(), 65536.0);
        (0..40).for_each(|_| scale.after_step(false));
        assert!(!scale.may_fall());
    }
}
