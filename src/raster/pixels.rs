//! A buffer of pixels of one type.

use super::PixelType;

/// Pixel values as bytes in the machine's order, aligned for every [`PixelType`], as it is held.
#[derive(Clone, Debug)]
pub struct PixelBuf {
    words: Vec<u64>,
    bytes: usize,
    dtype: PixelType,
}

impl PixelBuf {
    /// `len` zeros.
    pub fn zeros(dtype: PixelType, len: usize) -> Self {
        Self::of_bytes(dtype, len * dtype.bytes())
    }

    /// `bytes` zero bytes, of which the last ones may be something else: see [`Self::split_tail`].
    pub fn of_bytes(dtype: PixelType, bytes: usize) -> Self {
        Self { words: vec![0; bytes.div_ceil(8)], bytes, dtype }
    }

    /// Shortens the buffer to `bytes` and returns what lay behind them, which had come with the pixels but is no pixel.
    pub fn split_tail(&mut self, bytes: usize) -> Vec<u8> {
        let tail = self.bytes()[bytes..].to_vec();
        self.bytes = bytes;
        tail
    }

    /// A buffer holding these values.
    pub fn from_slice<T: bytemuck::Pod>(dtype: PixelType, values: &[T]) -> Self {
        let mut buffer = Self::zeros(dtype, values.len());
        buffer.bytes_mut().copy_from_slice(bytemuck::cast_slice(values));
        buffer
    }

    /// Type of the values.
    pub fn dtype(&self) -> PixelType {
        self.dtype
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.bytes / self.dtype.bytes()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The values as bytes.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.bytes]
    }

    /// The values as bytes, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[..self.bytes]
    }

    /// The values; `T` must have the size of what the buffer's type is held in.
    pub fn values<T: bytemuck::Pod>(&self) -> &[T] {
        debug_assert_eq!(size_of::<T>(), self.dtype.bytes());
        bytemuck::cast_slice(self.bytes())
    }
}
