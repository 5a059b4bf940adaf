//! What a scene's header says.

use serde::{Deserialize, Serialize};

use super::Ties;
use crate::geom::{GeoTransform, Size};

/// Type of a pixel value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PixelType {
    /// Unsigned, 8 bits.
    U8,
    /// Unsigned, 16 bits.
    U16,
    /// Signed, 16 bits.
    I16,
    /// IEEE 754, 32 bits.
    F32,
}

impl PixelType {
    /// Bytes per value.
    pub const fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::F32 => 4,
        }
    }
}

impl std::fmt::Display for PixelType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::F32 => "f32",
        })
    }
}

/// Where a scene keeps which of its pixels are data, beside the nodata values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mask {
    /// Nowhere.
    None,
    /// A mask or alpha band for all bands; 0 means no data.
    Dataset,
}

/// The header of a scene that passed the preflight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SceneHeader {
    /// GDAL's short name of the format.
    pub driver: String,
    /// Extent, both sides at least 1.
    pub size: Size,
    /// Number of bands, at least 1.
    pub n_bands: u32,
    /// Type of every band.
    pub dtype: PixelType,
    /// Nodata value of each band.
    pub nodata: Vec<Option<f64>>,
    /// Mask or alpha.
    pub mask: Mask,
    /// Extent of the blocks that are decoded as one. A strip is as wide as the scene.
    pub block: Size,
    /// Values of all bands lie in one block (pixel interleave), so that decoding a block decodes every band.
    pub interleaved: bool,
    /// Pixel to ground, where the file says.
    pub transform: Option<GeoTransform>,
    /// Coordinate reference system as WKT, where the file says.
    pub crs: Option<String>,
    /// What else the file says of its place on the ground.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ties: Option<Box<Ties>>,
}

impl SceneHeader {
    /// Whether the file is cut into columns of blocks, so that part of a row can be read without decoding all of it.
    pub fn is_tiled(&self) -> bool {
        self.block.width < self.size.width
    }

    /// Whether some pixel may turn out to hold no data: by mask, by nodata value, or because floats may be non-finite.
    pub fn can_lack_data(&self) -> bool {
        self.mask == Mask::Dataset || self.dtype == PixelType::F32 || self.nodata.iter().any(Option::is_some)
    }

    /// Bytes of one row of blocks over the columns of a window, all bands that are decoded together: what the decoder's cache
    /// must hold so that no block is decoded twice.
    pub fn block_row_bytes(&self, columns: u32, n_bands: usize) -> u64 {
        let bands = if self.interleaved { self.n_bands as usize } else { n_bands };
        let blocks = u64::from(columns.div_ceil(self.block.width)) + u64::from(self.is_tiled());
        // What a header claims may be beyond any memory.
        blocks.saturating_mul(self.block.area()).saturating_mul((bands * self.dtype.bytes()) as u64)
    }
}
