//! What a scene's header says.

use serde::{Deserialize, Serialize};

use super::Ties;
use super::pixel_type::{Held, PixelType, whole};
use crate::geom::{GeoTransform, Size};

/// Where a scene keeps which of its pixels are data, beside the nodata values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mask {
    /// Nowhere.
    None,
    /// A mask or alpha band for all bands; 0 means no data.
    Dataset,
}

/// What the values of a scene's only band are where it has a palette.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Palette {
    /// It has none.
    #[default]
    None,
    /// Indices into it.
    Indices,
    /// The colours that the file's indices mean: three bands.
    Colors {
        /// The index that means no data.
        nodata: Option<u16>,
    },
}

/// What becomes of the scale and offset that a file gives for its values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// It gives none.
    #[default]
    None,
    /// Values are as they are stored.
    Ignored,
    /// Values are what scale and offset make of those that are stored.
    Applied {
        /// Type of those.
        stored: PixelType,
    },
}

/// In which order a file can be decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Any block by itself.
    #[default]
    Blocks,
    /// Rows from the top: to go back is to begin anew.
    Rows,
    /// All at once.
    Whole,
}

impl Order {
    fn is_blocks(&self) -> bool {
        *self == Self::Blocks
    }
}

impl Palette {
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

impl Scale {
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// What it takes to decode a mosaic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mosaic {
    /// Bytes of the blocks of its sources that a few rows of it are made of, at most.
    pub block_row: u64,
    /// Bytes that the decoder holds of its sources beside these.
    pub beside: u64,
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
    /// Mask or alpha, which entries of a palette can have as well.
    pub mask: Mask,
    /// Palette.
    #[serde(default, skip_serializing_if = "Palette::is_none")]
    pub palette: Palette,
    /// Scale and offset.
    #[serde(default, skip_serializing_if = "Scale::is_none")]
    pub scale: Scale,
    /// What each band is called, in lower case, by the file's description and by its colour. Forgotten once bands are chosen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<Vec<String>>,
    /// Extent of the blocks that are decoded as one. A strip is as wide as the scene.
    pub block: Size,
    /// The order in which they can be decoded.
    #[serde(default, skip_serializing_if = "Order::is_blocks")]
    pub order: Order,
    /// The file does not store all of its blocks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sparse: bool,
    /// Values of all bands lie in one block (pixel interleave), so that decoding a block decodes every band.
    pub interleaved: bool,
    /// Pixel to ground, where the file says.
    pub transform: Option<GeoTransform>,
    /// Coordinate reference system as WKT, where the file says.
    pub crs: Option<String>,
    /// Metres from a pixel to the next one of its row and of its column, at the scene's centre, where the file tells. Forgotten unless a
    /// resolution is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pixel_metres: Option<[f64; 2]>,
    /// What else the file says of its place on the ground.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ties: Option<Box<Ties>>,
    /// What it takes to decode it, where it is a mosaic of other files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mosaic: Option<Mosaic>,
}

impl SceneHeader {
    /// Whether the file is cut into columns of blocks, so that part of a row can be read without decoding all of it.
    pub fn is_tiled(&self) -> bool {
        self.block.width < self.size.width
    }

    /// The same scene in the colours of its palette.
    pub fn in_colors(mut self) -> Self {
        let nodata = self.nodata.first().copied().flatten().and_then(whole);
        if nodata.is_some() {
            self.mask = Mask::Dataset;
        }
        let names = ["red", "green", "blue"].map(|name| vec![name.to_owned()]).to_vec();
        Self {
            n_bands: 3,
            dtype: PixelType::U8,
            nodata: vec![None; 3],
            palette: Palette::Colors { nodata },
            names,
            ..self
        }
    }

    /// The same scene in the values that scale and offset make of its own.
    pub fn scaled(self) -> Self {
        Self { scale: Scale::Applied { stored: self.dtype }, dtype: PixelType::F32, ..self }
    }

    /// Whether values are other ones than the file stores.
    pub fn is_scaled(&self) -> bool {
        matches!(self.scale, Scale::Applied { .. })
    }

    /// Bytes of a pixel of one band in the file.
    fn stored_bytes(&self) -> usize {
        match self.scale {
            Scale::Applied { stored } => stored.stored_bytes(),
            Scale::None | Scale::Ignored => self.dtype.stored_bytes(),
        }
    }

    /// Bytes of a pixel of one band as it is on its way from how it is stored to how it is held, where that is not the same.
    pub fn scratch_bytes(&self) -> usize {
        let is_plain = !self.is_scaled() && self.dtype.stored_bytes() <= self.dtype.bytes();
        // Indices are looked up by u16.
        match (self.palette, is_plain) {
            (Palette::None, true) => 0,
            (Palette::None, false) => self.stored_bytes(),
            (Palette::Indices | Palette::Colors { .. }, _) => self.stored_bytes().max(size_of::<u16>()),
        }
    }

    /// Whether some pixel may turn out to hold no data: by mask, by nodata value, or because floats may be non-finite.
    pub fn can_lack_data(&self) -> bool {
        self.mask == Mask::Dataset || self.dtype.held() == Held::F32 || self.nodata.iter().any(Option::is_some)
    }

    /// Bytes of a block, all bands that are decoded together.
    pub fn block_bytes(&self) -> u64 {
        let bands = if self.interleaved { u64::from(self.n_bands) } else { 1 };
        self.block.area().saturating_mul(bands * self.stored_bytes() as u64)
    }

    /// Bytes of one row of blocks over the columns of a window, all bands that are decoded together: what the decoder's cache
    /// must hold so that no block is decoded twice. Where rows can be had from the top alone, it must hold the window: the next one
    /// begins with its last rows. Of an image that is decoded at once its coefficients are there as well.
    pub fn block_row_bytes(&self, window: Size, n_bands: usize) -> u64 {
        if let Some(mosaic) = self.mosaic {
            return mosaic.block_row;
        }
        let bands = if self.interleaved { self.n_bands as usize } else { n_bands };
        // What a header claims may be beyond any memory.
        let of_area = |area: u64| area.saturating_mul((bands * self.stored_bytes()) as u64);
        match self.order {
            Order::Blocks => {
                let blocks = u64::from(window.width.div_ceil(self.block.width)) + u64::from(self.is_tiled());
                of_area(blocks.saturating_mul(self.block.area()))
            }
            Order::Rows => of_area(Size::new(self.size.width, window.height).area()),
            Order::Whole => of_area(self.size.area()).saturating_mul(3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raster::MemoryRaster;

    #[test]
    fn what_a_decoder_holds_is_counted_as_the_file_stores_it() {
        let (size, window) = (Size::new(1000, 800), Size::new(1000, 300));
        let header = MemoryRaster::u8(size, 3, &vec![0; size.len() * 3]).header;
        assert_eq!(header.block_row_bytes(window, 2), 3 * 1000, "all bands of a row");
        let of = |order| SceneHeader { order, ..header.clone() }.block_row_bytes(window, 2);
        assert_eq!(of(Order::Rows), 3 * 1000 * 300, "the next window begins with rows of this one");
        assert_eq!(of(Order::Whole), 3 * 3 * 1000 * 800, "with the coefficients");
        assert_eq!(header.scratch_bytes(), 0);
        let wide = SceneHeader { dtype: PixelType::F64, ..header.clone() };
        assert_eq!((wide.block_row_bytes(window, 2), wide.scratch_bytes(), wide.dtype.bytes()), (8 * 3 * 1000, 8, 4));
        let scaled = SceneHeader { dtype: PixelType::I64, scale: Scale::Ignored, ..header.clone() }.scaled();
        assert_eq!(
            (scaled.dtype, scaled.block_row_bytes(window, 2), scaled.scratch_bytes()),
            (PixelType::F32, 24_000, 8)
        );
        let signed = SceneHeader { dtype: PixelType::I8, ..header };
        assert_eq!((signed.dtype.bytes(), signed.scratch_bytes()), (2, 0), "in its own place");
    }

    #[test]
    fn a_palette_becomes_three_bands_and_its_nodata_index_a_mask() {
        let header = MemoryRaster::u8(Size::new(2, 1), 1, &[0; 2]).header;
        let colors = SceneHeader { nodata: vec![Some(7.0)], palette: Palette::Indices, ..header.clone() }.in_colors();
        assert_eq!(
            (colors.n_bands, colors.mask, colors.palette),
            (3, Mask::Dataset, Palette::Colors { nodata: Some(7) })
        );
        assert_eq!(colors.nodata, [None; 3]);
        let colors = SceneHeader { nodata: vec![Some(7.5)], palette: Palette::Indices, ..header }.in_colors();
        assert_eq!((colors.mask, colors.palette), (Mask::None, Palette::Colors { nodata: None }));
    }
}
