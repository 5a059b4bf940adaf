//! A tensor that is to be compressed.

use std::borrow::Cow;

use half::{bf16, f16};
use safetensors::Dtype;

use super::fields::{Broken, of_tensor};
use super::header::{Entry, Layout, width};
use crate::weights::WeightsError;
use crate::weights::tensor::widen;

/// A tensor that is to be compressed: its values are bytes of its type, little-endian, row-major.
#[derive(Clone, Debug)]
pub struct SourceTensor<'a> {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Cow<'a, [u8]>,
}

impl<'a> SourceTensor<'a> {
    /// A tensor of type F32, F16 or BF16.
    ///
    /// # Errors
    /// For another type, a number of bytes that is not the shape's, and names and shapes that no file can hold.
    pub fn new(
        name: impl Into<String>,
        dtype: Dtype,
        shape: &[usize],
        bytes: impl Into<Cow<'a, [u8]>>,
    ) -> Result<Self, WeightsError> {
        let tensor = Self { name: name.into(), dtype, shape: shape.to_vec(), bytes: bytes.into() };
        tensor.check().map_err(of_tensor(&tensor.name))?;
        Ok(tensor)
    }

    /// A tensor of type F32.
    ///
    /// # Errors
    /// When the number of values is not the shape's, or no file can hold the name or shape.
    pub fn from_f32(name: impl Into<String>, shape: &[usize], values: &'a [f32]) -> Result<Self, WeightsError> {
        let bytes = if cfg!(target_endian = "little") {
            Cow::Borrowed(bytemuck::cast_slice(values))
        } else {
            values.iter().flat_map(|v| v.to_le_bytes()).collect()
        };
        Self::new(name, Dtype::F32, shape, bytes)
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The shape, row-major.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of values.
    pub fn n_values(&self) -> usize {
        self.shape.iter().product()
    }

    /// The values, widened to f32.
    pub fn values(&self) -> Cow<'_, [f32]> {
        match bytemuck::try_cast_slice(&self.bytes) {
            Ok(values) if self.dtype == Dtype::F32 && cfg!(target_endian = "little") => Cow::Borrowed(values),
            _ => Cow::Owned(widen(self.dtype, &self.bytes)),
        }
    }

    /// Sum of the squares of the values, to which their squared error can be compared.
    pub fn energy(&self) -> f64 {
        self.values().iter().map(|&v| f64::from(v) * f64::from(v)).sum()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes of a value.
    pub(super) fn width(&self) -> usize {
        width(self.dtype).unwrap_or(1)
    }

    /// Number of slices of the first dimension.
    pub(super) fn n_rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Its line in the table of contents when its coded bytes are these.
    pub(super) fn entry(&self, layout: Layout, coded: &[u8]) -> Entry {
        Entry {
            name: self.name.clone(),
            dtype: self.dtype,
            shape: self.shape.clone(),
            layout,
            n_bytes: coded.len(),
            crc: crc32fast::hash(coded),
        }
    }

    fn check(&self) -> Result<(), Broken> {
        self.entry(Layout::Exact, &[]).check()?;
        let width = width(self.dtype)
            .ok_or_else(|| Broken::new(format!("its values are {:?}, not F32, F16 or BF16", self.dtype)))?;
        let expected = self.n_values() * width;
        if self.bytes.len() != expected {
            return Err(Broken::new(format!("it has {} bytes, its shape says {expected}", self.bytes.len())));
        }
        Ok(())
    }
}

/// The bytes of values that are rounded to `dtype`.
pub(super) fn narrow(dtype: Dtype, values: &[f32]) -> Vec<u8> {
    if dtype == Dtype::F16 {
        values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect()
    } else if dtype == Dtype::BF16 {
        values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect()
    } else {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_widened_and_narrowed() {
        let values = [1.5f32, -0.25, 0.0];
        for dtype in [Dtype::F32, Dtype::F16, Dtype::BF16] {
            let tensor = SourceTensor::new("a", dtype, &[3], narrow(dtype, &values)).unwrap();
            assert_eq!(*tensor.values(), values);
        }
        assert!(matches!(SourceTensor::from_f32("a", &[3], &values).unwrap().values(), Cow::Borrowed(_)));
    }

    #[test]
    fn what_cannot_be_compressed_is_refused_by_name() {
        let refusal = |dtype, shape: &[usize], n| {
            SourceTensor::new("conv.weight", dtype, shape, vec![0; n]).unwrap_err().to_string()
        };
        assert_eq!(
            refusal(Dtype::I64, &[1], 8),
            "cannot compress the tensor `conv.weight`: its values are I64, not F32, F16 or BF16"
        );
        assert!(refusal(Dtype::F32, &[3], 8).ends_with("it has 8 bytes, its shape says 12"));
        assert!(refusal(Dtype::F16, &[usize::MAX, 4], 8).ends_with("is too large"));
    }
}
