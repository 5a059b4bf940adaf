//! A tensor of a file of weights, before its values are read.

use half::{bf16, f16};
use safetensors::Dtype;

/// An entry of a file's table of contents.
#[derive(Clone, Debug)]
pub struct FileTensor {
    /// Name in the file.
    pub name: String,
    /// Type of the values.
    pub dtype: Dtype,
    /// Shape, row-major; empty where [`Self::is_shapeless`].
    pub shape: Vec<usize>,
    is_shapeless: bool,
    /// Position among what its file has.
    idx: usize,
}

impl FileTensor {
    /// An entry of a format that stores shapes, `idx`-th of its file.
    pub(super) fn new(name: String, dtype: Dtype, shape: Vec<usize>, idx: usize) -> Self {
        Self { name, dtype, shape, is_shapeless: false, idx }
    }

    /// An entry of a format that stores no shapes.
    pub(super) fn shapeless(name: String, dtype: Dtype, idx: usize) -> Self {
        Self { name, dtype, shape: Vec::new(), is_shapeless: true, idx }
    }

    /// Whether the file does not tell the shape and [`WeightsFile::adopt_shapes`](super::WeightsFile::adopt_shapes) has not given
    /// it one.
    pub fn is_shapeless(&self) -> bool {
        self.is_shapeless
    }

    /// The shape, if there is one.
    pub fn known_shape(&self) -> Option<&[usize]> {
        (!self.is_shapeless).then_some(&self.shape)
    }

    pub(super) fn adopt(&mut self, shape: &[usize]) {
        self.shape = shape.to_vec();
        self.is_shapeless = false;
    }

    pub(super) fn idx(&self) -> usize {
        self.idx
    }

    /// Whether [`WeightsFile::read`](super::WeightsFile::read) can widen the values to f32.
    pub fn is_readable(&self) -> bool {
        [Dtype::F32, Dtype::F16, Dtype::BF16].contains(&self.dtype)
    }
}

/// The values of a type that is readable as f32.
pub(super) fn widen(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    let pairs = || bytes.as_chunks::<2>().0.iter();
    if dtype == Dtype::F32 {
        bytes.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
    } else if dtype == Dtype::F16 {
        pairs().map(|&b| f16::from_le_bytes(b).to_f32()).collect()
    } else if dtype == Dtype::BF16 {
        pairs().map(|&b| bf16::from_le_bytes(b).to_f32()).collect()
    } else {
        vec![f32::NAN; bytes.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bit_floats_are_widened_exactly() {
        let values = [1.5f32, -0.25, 65504.0, 6e-8];
        let halves: Vec<u8> = values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect();
        assert_eq!(widen(Dtype::F16, &halves), values.map(|v| f16::from_f32(v).to_f32()));
        let brains: Vec<u8> = values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect();
        assert_eq!(widen(Dtype::BF16, &brains), values.map(|v| bf16::from_f32(v).to_f32()));
    }
}
