//! How a network computes, apart from what: the order of values in memory, and what is one operation.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tch::{Device, Kind, Tensor};

use crate::zoo::spec::KernelSet;

/// The kernels of a network that is prepared for running. Results differ in rounding only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernels {
    /// Order of a map's values in memory.
    pub format: MemoryFormat,
    /// A convolution, its bias, what is added to it and the ReLU behind them are one operation. On a CPU the weights are moreover kept
    /// in the order in which oneDNN wants them.
    pub fused: bool,
    /// On a CPU, 3 x 3 convolutions of many channels are done by Winograd's algorithm; their weights take 16/9 of the room then.
    pub winograd: bool,
    /// How position attention goes about its map of all positions against all others.
    pub attention: AttentionKernel,
}

/// Order of a map's values in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryFormat {
    /// Plane after plane: NCHW.
    Contiguous,
    /// Pixel after pixel: NHWC.
    ChannelsLast,
}

/// How the map of all positions against all others is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionKernel {
    /// Some rows at a time, each of them whole.
    Rows,
    /// By libtorch's `scaled_dot_product_attention`, which chooses by device.
    ScaledDotProduct,
}

impl Kernels {
    /// libtorch's plain operations, one after the other.
    pub const PLAIN: Self =
        Self { format: MemoryFormat::Contiguous, fused: false, winograd: false, attention: AttentionKernel::Rows };

    /// Those of a name on a device.
    pub fn named(set: KernelSet, device: Device) -> Self {
        let channels_last = Self { format: MemoryFormat::ChannelsLast, ..Self::PLAIN };
        let fused = Self { fused: true, winograd: !device.is_cuda(), ..channels_last };
        match set {
            KernelSet::Auto | KernelSet::Plain => Self::PLAIN,
            KernelSet::ChannelsLast => channels_last,
            KernelSet::Fused => fused,
            KernelSet::FusedContiguous => Self { format: MemoryFormat::Contiguous, winograd: false, ..fused },
            KernelSet::FusedSdpa => Self { attention: AttentionKernel::ScaledDotProduct, ..fused },
        }
    }
}

/// What the layers of a network share, and those of all networks around the same variables.
#[derive(Debug, Default)]
pub struct Preparation {
    /// What it was prepared for, if it was.
    pub(crate) kernels: OnceLock<Kernels>,
    /// Weights in the order of these kernels, by the name of the layer.
    packed: Mutex<HashMap<String, Tensor>>,
}

/// That of a network.
pub type Prepared = Arc<Preparation>;

impl Preparation {
    /// The kernels.
    pub(crate) fn get(&self) -> Option<&Kernels> {
        self.kernels.get()
    }

    /// The weight of a layer as its kernel wants it. Whoever comes first makes it, and the others wait: it may be half of what a network
    /// weighs.
    pub(super) fn packed(&self, layer: &str, pack: impl FnOnce() -> Tensor) -> Tensor {
        let mut packed = self.packed.lock().unwrap_or_else(PoisonError::into_inner);
        packed.entry(layer.to_owned()).or_insert_with(pack).shallow_clone()
    }
}

/// The same map in another order of memory; nothing is copied where it has that order.
pub(crate) fn arranged(xs: &Tensor, format: MemoryFormat) -> Tensor {
    match format {
        MemoryFormat::Contiguous => xs.contiguous(),
        MemoryFormat::ChannelsLast => xs.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]),
    }
}

/// A map in the order of memory that `other` has: operations on maps of both orders are slow.
pub(crate) fn arranged_like(xs: &Tensor, other: &Tensor) -> Tensor {
    arranged(xs, if other.stride()[1] == 1 { MemoryFormat::ChannelsLast } else { MemoryFormat::Contiguous })
}

/// In f32 what has 16 bits: where these overflow or lose too much by construction, whatever the weights are.
pub(crate) fn widened(xs: &Tensor) -> Tensor {
    let is_narrow = matches!(xs.kind(), Kind::Half | Kind::BFloat16);
    if is_narrow { xs.to_kind(Kind::Float) } else { xs.shallow_clone() }
}

/// A map cut into its phases: image `i n² + y n + x` holds of image i the rows and columns that leave y and x when divided by n. A
/// convolution dilated by n is an ordinary one there. Rows and columns that are missing are zeros, as what surrounds a map is.
pub(crate) fn phases(xs: &Tensor, n: i64) -> Tensor {
    let (images, channels, height, width) = sizes(xs);
    let (rows, columns) = ((height + n - 1) / n, (width + n - 1) / n);
    let padded = match (rows * n - height, columns * n - width) {
        (0, 0) => xs.shallow_clone(),
        (below, right) => xs.constant_pad_nd([0, right, 0, below]),
    };
    let cut = padded.permute([0, 2, 3, 1]).reshape([images, rows, n, columns, n, channels]);
    let cut = cut.permute([0, 2, 4, 1, 3, 5]).reshape([images * n * n, rows, columns, channels]);
    cut.permute([0, 3, 1, 2])
}

/// The map of this height and width that has these phases.
pub(crate) fn from_phases(phases: &Tensor, n: i64, [height, width]: [i64; 2]) -> Tensor {
    let (images, channels, rows, columns) = sizes(phases);
    let joined = phases.permute([0, 2, 3, 1]).reshape([images / (n * n), n, n, rows, columns, channels]);
    let joined = joined.permute([0, 3, 1, 4, 2, 5]).reshape([images / (n * n), rows * n, columns * n, channels]);
    joined.narrow(1, 0, height).narrow(2, 0, width).contiguous().permute([0, 3, 1, 2])
}

fn sizes(xs: &Tensor) -> (i64, i64, i64, i64) {
    match xs.size()[..] {
        [images, channels, height, width] => (images, channels, height, width),
        _ => (0, 0, 0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_join_to_the_map_and_dilation_is_none_among_them() {
        let options = (Kind::Float, Device::Cpu);
        for (n, [height, width]) in [(2, [6, 4]), (3, [7, 8]), (4, [3, 5])] {
            let xs = Tensor::randn([2, 3, height, width], options);
            assert!(from_phases(&phases(&xs, n), n, [height, width]).equal(&xs));
            let weight = Tensor::randn([4, 3, 3, 3], options);
            let dilated = xs.conv2d(&weight, None::<Tensor>, [1, 1], [n, n], [n, n], 1);
            let plain = phases(&xs, n).conv2d(&weight, None::<Tensor>, [1, 1], [1, 1], [1, 1], 1);
            assert!(from_phases(&plain, n, [height, width]).allclose(&dilated, 1e-4, 1e-5, false));
        }
    }
}
