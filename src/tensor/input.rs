//! From raw pixels to a network's input, as numbers.

use std::collections::BTreeMap;

use crate::geom::Size;
use crate::raster::{PixelBuf, PixelType};
use crate::tiler::Border;

/// `value * scale + offset`, both rounded to f32.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// What a stored value is multiplied with.
    pub scale: f32,
    /// What is added to the product.
    pub offset: f32,
}

/// How raw crops become a network's input: bands are picked, each is scaled and shifted, pixels without data become 0, and what the
/// padding adds at the right and bottom follows the border rule.
#[derive(Clone, Debug, PartialEq)]
pub struct InputRule {
    /// For each band of the input, its position among those of the crops.
    pub planes: Vec<usize>,
    /// For each band of the input, by the type of the pixels.
    pub affine: BTreeMap<PixelType, Vec<Affine>>,
    /// Where padding takes its values from.
    pub border: Border,
}

/// Raw crops of equal size, as they are cut from scenes.
#[derive(Clone, Copy, Debug)]
pub struct Crops<'a> {
    /// Size of each.
    pub size: Size,
    /// Bands of each.
    pub n_bands: usize,
    /// `[tile][band][row][column]`.
    pub pixels: &'a PixelBuf,
    /// Which pixels hold data, `[tile][row][column]`, 0 or 1; `None` when all do.
    pub valid: Option<&'a [u8]>,
    /// Tiles that stand for nothing.
    pub blank: &'a [bool],
}
