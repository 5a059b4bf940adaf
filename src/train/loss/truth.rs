//! Labels as losses look at them.

use tch::{Kind, Tensor};

use super::IGNORED;

/// The labels of a batch beside its logits.
pub(super) struct Truth<'a> {
    labels: &'a Tensor,
    kind: Kind,
    n_channels: i64,
}

impl<'a> Truth<'a> {
    pub(super) fn new(logits: &Tensor, labels: &'a Tensor) -> Self {
        Self { labels, kind: logits.kind(), n_channels: logits.size()[1] }
    }

    /// The labels themselves, `[N, H, W]`.
    pub(super) fn labels(&self) -> &Tensor {
        self.labels
    }

    /// Whether the task is binary.
    fn is_binary(&self) -> bool {
        self.n_channels == 1
    }

    /// Where a pixel takes part, `[N, H, W]`.
    pub(super) fn valid(&self) -> Tensor {
        self.labels.ne(IGNORED)
    }

    /// How many pixels take part, at least 1.
    pub(super) fn n_valid(&self) -> Tensor {
        self.valid().sum(self.kind).clamp_min(1.0)
    }

    /// The labels with 0 for those that take no part.
    pub(super) fn listed(&self) -> Tensor {
        self.labels.masked_fill(&self.labels.eq(IGNORED), 0)
    }

    /// 1 in the channel of a pixel's label, `[N, C, H, W]`; 0 everywhere where it takes no part.
    pub(super) fn one_hot(&self) -> Tensor {
        if self.is_binary() {
            return self.labels.eq(1).unsqueeze(1).to_kind(self.kind);
        }
        let channels = Tensor::arange(self.n_channels, (Kind::Int64, self.labels.device())).view([1, -1, 1, 1]);
        self.labels.unsqueeze(1).eq_tensor(&channels).to_kind(self.kind)
    }

    /// The probabilities of the channels, 0 where a pixel takes no part.
    pub(super) fn probabilities(&self, logits: &Tensor, sigmoid: bool) -> Tensor {
        let all = if sigmoid || self.is_binary() { logits.sigmoid() } else { logits.softmax(1, None::<Kind>) };
        all * self.valid().unsqueeze(1)
    }

    /// The mean over the pixels that take part of `[N, H, W]`; 0 if there are none.
    pub(super) fn mean(&self, each: &Tensor) -> Tensor {
        (each * self.valid()).sum(self.kind) / self.n_valid()
    }

    /// The same of `[N, C, H, W]`, over all channels.
    pub(super) fn mean_of_classes(&self, each: &Tensor) -> Tensor {
        self.mean(&each.mean_dim(1, false, self.kind))
    }
}
