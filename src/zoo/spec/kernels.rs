//! How a network computes, by name.

use serde::{Deserialize, Serialize};

use super::{Backbone, Network, NetworkSpec};

/// Which kernels a network is prepared for. Results differ in rounding only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KernelSet {
    /// What is fastest by what was measured: see [`Self::of`].
    #[default]
    Auto,
    /// libtorch's plain operations, one after the other, on maps that lie plane after plane.
    Plain,
    /// The same on maps that lie pixel after pixel.
    ChannelsLast,
    /// On such maps, a convolution with what follows it (bias, addition, ReLU) as one operation.
    Fused,
    /// The same, plane after plane.
    FusedContiguous,
    /// As `fused`, and position attention by libtorch's `scaled_dot_product_attention`.
    FusedSdpa,
}

impl KernelSet {
    /// What `auto` comes to. On a CPU in f32 fused operations were fastest for all networks (`tests/bench/README.md`), in 16 bits it has
    /// none. On an H100 maps that lie pixel after pixel were faster for all but ResNeSt (2026-11-26: 7.9 of 8.9 ms, 20.3 of 23.2, 21.4 of
    /// 28.7, but 30.0 of 27.9); fused operations have not been timed there yet. A program is as it is.
    pub fn of(self, spec: &NetworkSpec, on_gpu: bool, is_f32: bool) -> Self {
        let is_resnest = spec.backbone.is_some_and(Backbone::is_resnest);
        match self {
            _ if spec.script.is_some() || (!on_gpu && !is_f32) => Self::Plain,
            Self::Auto if !on_gpu => Self::Fused,
            Self::Auto if is_resnest => Self::Plain,
            Self::Auto => Self::ChannelsLast,
            named @ (Self::Plain | Self::ChannelsLast | Self::Fused | Self::FusedContiguous | Self::FusedSdpa) => named,
        }
    }

    /// Those that make a difference to a network there, for a measurement to choose from.
    pub fn choices(spec: &NetworkSpec, on_gpu: bool, is_f32: bool) -> Vec<Self> {
        let all = [Self::Plain, Self::ChannelsLast, Self::Fused, Self::FusedContiguous, Self::FusedSdpa];
        let has_positions = spec.network == Network::DaNet;
        let is_open = |set: &Self| set.of(spec, on_gpu, is_f32) == *set && (*set != Self::FusedSdpa || has_positions);
        all.into_iter().filter(is_open).collect()
    }

    /// Its name in pipeline files and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Plain => "plain",
            Self::ChannelsLast => "channels-last",
            Self::Fused => "fused",
            Self::FusedContiguous => "fused-contiguous",
            Self::FusedSdpa => "fused-sdpa",
        }
    }
}
