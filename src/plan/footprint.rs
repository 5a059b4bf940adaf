//! How many bytes a unit holds.

use std::ops::Add;

use serde::Serialize;

use crate::geom::Size;
use crate::raster::{Mask, SceneHeader};

/// Bytes that a unit holds between its read and its commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Footprint {
    /// Raw pixels and their validity: given back when the last tile is cut.
    pub pixels: u64,
    /// Pixels on a scene's own grid while they become those of the networks' grid, the most of one part: given back when all are read.
    pub source: u64,
    /// Planes of its tiles, the labels for one: given back when the rows they belong to are encoded.
    pub planes: u64,
    /// Logits of its tiles, where these are blended with others: given back with the planes, not before those that wait for them are made.
    pub logits: u64,
}

impl Footprint {
    /// The raw pixels of a window: the bands, a mask plane where the file has one, and a plane of validity where one can arise.
    pub fn pixels(header: &SceneHeader, window: Size, n_bands: usize) -> Self {
        let mask = u64::from(header.mask == Mask::Dataset);
        let valid = u64::from(header.can_lack_data());
        let per_pixel = (n_bands * header.dtype.bytes()) as u64 + mask + valid;
        Self { pixels: window.area() * per_pixel, ..Self::default() }
    }

    /// The planes of what tiles own. They stay as they arrive until their rows are written.
    pub fn planes(centres: impl IntoIterator<Item = Size>, n_planes: usize) -> Self {
        Self { planes: centres.into_iter().map(Size::area).sum::<u64>() * n_planes as u64, ..Self::default() }
    }

    /// Bytes in all.
    pub const fn total(self) -> u64 {
        self.pixels + self.source + self.planes + self.logits
    }
}

impl Add for Footprint {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        // Parts are read one after the other.
        let source = self.source.max(other.source);
        let Self { pixels, planes, logits, .. } = other;
        Self { pixels: self.pixels + pixels, source, planes: self.planes + planes, logits: self.logits + logits }
    }
}
