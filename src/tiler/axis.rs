//! One axis of a tile grid, and the grid of two.

use serde::{Deserialize, Serialize};

use super::Border;
use crate::geom::{PixelRect, Size, Span};

/// The tiles along one axis: centres of equal length side by side, the first one cut short by the lag, the last one at the scene's edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Axis {
    /// Pixels of the scene along this axis, at least 1.
    pub length: u32,
    /// From one centre to the next, at least 1: the pixels of those that no edge and no lag cuts.
    pub centre: u32,
    /// Pixels a crop has beyond its centre, on each side.
    pub dilation: u32,
    /// Pixels by which a centre lies before the middle of its crop: none, or where tiles are blended the dilation, so that what a tile owns
    /// is seen by it and by tiles before it, and by none behind. The last centre is longer by as much.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lag: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(lag: &u32) -> bool {
    *lag == 0
}

impl Axis {
    /// A single tile that is its whole scene, without a ring.
    pub const fn whole(length: u32) -> Self {
        Self { length, centre: length, dilation: 0, lag: 0 }
    }

    /// Number of tiles.
    pub const fn n_tiles(self) -> u32 {
        self.length.div_ceil(self.centre)
    }

    /// The pixels that tile `idx` owns.
    pub fn centre(self, idx: u32) -> Span {
        debug_assert!(idx < self.n_tiles());
        let start = |idx: u32| (idx * self.centre).saturating_sub(self.lag);
        Span::new(start(idx), if idx + 1 < self.n_tiles() { start(idx + 1) } else { self.length })
    }

    /// The tile that owns a pixel.
    pub fn tile_at(self, pixel: u32) -> u32 {
        (pixel.saturating_add(self.lag) / self.centre).min(self.n_tiles() - 1)
    }

    /// The most pixels that a tile owns.
    pub fn longest(self) -> u32 {
        self.centre.saturating_add(self.lag).min(self.length)
    }

    /// Where the crop of tile `idx` starts; negative where it hangs over the edge.
    pub fn crop_start(self, idx: u32) -> i64 {
        i64::from(idx) * i64::from(self.centre) - i64::from(self.dilation)
    }

    /// Length of every crop.
    pub const fn crop_len(self) -> u32 {
        self.centre + 2 * self.dilation
    }

    /// Pixels of all crops side by side.
    pub(super) fn seen(self) -> u64 {
        u64::from(self.n_tiles()) * u64::from(self.crop_len())
    }

    /// The scene's pixels that the crop of tile `idx` is made of, border included.
    pub fn source(self, idx: u32, border: Border) -> Span {
        border.source(self.crop_start(idx), self.crop_len(), self.length)
    }

    /// The centre of tile `idx`, counted from the start of its crop.
    pub fn kept(self, idx: u32) -> Span {
        let start = if idx == 0 { self.dilation } else { self.dilation.saturating_sub(self.lag) };
        Span::new(start, start + self.centre(idx).len())
    }
}

/// The tiles of a scene: columns by rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Grid {
    /// Columns of tiles.
    pub x: Axis,
    /// Rows of tiles.
    pub y: Axis,
}

impl Grid {
    /// Number of tiles.
    pub const fn n_tiles(self) -> u64 {
        self.x.n_tiles() as u64 * self.y.n_tiles() as u64
    }

    /// Size of every crop.
    pub const fn crop(self) -> Size {
        Size::new(self.x.crop_len(), self.y.crop_len())
    }

    /// The pixels that the tile at (`col`, `row`) owns.
    pub fn centre(self, col: u32, row: u32) -> PixelRect {
        PixelRect::from_spans(self.x.centre(col), self.y.centre(row))
    }

    /// The tile's centre, counted from the corner of its crop.
    pub fn kept(self, col: u32, row: u32) -> PixelRect {
        PixelRect::from_spans(self.x.kept(col), self.y.kept(row))
    }

    /// Whether what several tiles see is made by all of them.
    pub const fn is_blended(self) -> bool {
        self.n_tiles() > 1 && (self.x.lag > 0 || self.y.lag > 0)
    }

    /// Pixels that networks see, all crops together.
    pub const fn network_pixels(self) -> u64 {
        self.n_tiles() * self.crop().area()
    }
}
