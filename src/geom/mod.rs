//! Positions and sizes in pixels, and the affine map from pixels to the ground: value types, no I/O.

mod rescale;
mod view;

use serde::{Deserialize, Serialize};

pub use rescale::Rescale;
pub use view::View;

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Size {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Size {
    /// A size of `width` columns and `height` rows.
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    /// Number of pixels.
    pub const fn area(self) -> u64 {
        self.width as u64 * self.height as u64
    }

    /// Number of pixels as a buffer length.
    pub const fn len(self) -> usize {
        self.width as usize * self.height as usize
    }

    /// Whether there is no pixel.
    pub const fn is_empty(self) -> bool {
        self.width == 0 || self.height == 0
    }

    /// Both sides rounded up to a multiple of `multiple`, and to at least `min`.
    pub fn padded(self, multiple: u32, min: u32) -> Self {
        let pad = |n: u32| n.max(min).div_ceil(multiple) * multiple;
        Self::new(pad(self.width), pad(self.height))
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} x {}", self.width, self.height)
    }
}

/// A half-open range of columns or rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Span {
    /// First position of it.
    pub start: u32,
    /// One past the last position.
    pub end: u32,
}

impl Span {
    /// The positions from `start` up to, not including, `end`.
    pub const fn new(start: u32, end: u32) -> Self {
        Self { start, end }
    }

    /// Number of positions.
    pub const fn len(self) -> u32 {
        self.end - self.start
    }

    /// Whether there is no position.
    pub const fn is_empty(self) -> bool {
        self.end <= self.start
    }

    /// The smallest span that holds both.
    pub fn union(self, other: Self) -> Self {
        Self::new(self.start.min(other.start), self.end.max(other.end))
    }
}

/// A rectangle of pixels that lies inside its raster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PixelRect {
    /// First column.
    pub x: u32,
    /// First row.
    pub y: u32,
    /// Extent.
    pub size: Size,
}

impl PixelRect {
    /// The rectangle spanned by columns `xs` and rows `ys`.
    pub const fn from_spans(xs: Span, ys: Span) -> Self {
        Self { x: xs.start, y: ys.start, size: Size::new(xs.len(), ys.len()) }
    }

    /// The whole raster of this size.
    pub const fn whole(size: Size) -> Self {
        Self { x: 0, y: 0, size }
    }

    /// The columns.
    pub const fn xs(self) -> Span {
        Span::new(self.x, self.x + self.size.width)
    }

    /// The rows.
    pub const fn ys(self) -> Span {
        Span::new(self.y, self.y + self.size.height)
    }

    /// Whether it lies inside a raster of `size`.
    pub fn fits(self, size: Size) -> bool {
        let end = |start: u32, n: u32| u64::from(start) + u64::from(n);
        end(self.x, self.size.width) <= u64::from(size.width) && end(self.y, self.size.height) <= u64::from(size.height)
    }
}

/// GDAL's affine map from pixel corners to ground coordinates: `x = t0 + col t1 + row t2`, `y = t3 + col t4 + row t5`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GeoTransform(pub [f64; 6]);

impl GeoTransform {
    /// A north-up grid whose upper left corner is (`x`, `y`), with square pixels of `resolution` ground units.
    pub const fn north_up(x: f64, y: f64, resolution: f64) -> Self {
        Self([x, resolution, 0.0, y, 0.0, -resolution])
    }

    /// Ground coordinates of a place in pixels, whose corners are whole numbers.
    pub fn at(self, col: f64, row: f64) -> [f64; 2] {
        let t = self.0;
        [t[0] + col * t[1] + row * t[2], t[3] + col * t[4] + row * t[5]]
    }

    /// Ground coordinates of the middle of a raster.
    pub fn centre(self, size: Size) -> [f64; 2] {
        self.at(f64::from(size.width) / 2.0, f64::from(size.height) / 2.0)
    }

    /// How far it is from a pixel to the next one of its row and of its column, where a ground unit is so long along x and along y.
    pub fn pixel_lengths(self, [x, y]: [f64; 2]) -> [f64; 2] {
        let t = self.0;
        [(t[1] * x).hypot(t[4] * y), (t[2] * x).hypot(t[5] * y)]
    }
}

/// How long a radian is along a parallel and along a meridian, on an ellipsoid with these half axes.
pub fn radians_on_ground(latitude: f64, major: f64, minor: f64) -> [f64; 2] {
    let e2 = 1.0 - (minor / major).powi(2);
    let w2 = 1.0 - e2 * latitude.sin().powi(2);
    [major / w2.sqrt() * latitude.cos(), major * (1.0 - e2) / w2.powf(1.5)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_degree_is_as_long_as_tables_have_it_and_turned_pixels_as_their_sides() {
        let at = |degrees: f64| {
            radians_on_ground(degrees.to_radians(), 6_378_137.0, 6_356_752.314_245).map(|r| (r.to_radians()).round())
        };
        assert_eq!([at(0.0), at(45.0)], [[111_319.0, 110_574.0], [78_847.0, 111_132.0]]);
        let turned = GeoTransform([0.0, 0.3, 0.4, 0.0, 0.4, -0.3]);
        assert_eq!((turned.pixel_lengths([1.0, 1.0]), turned.pixel_lengths([2.0, 0.0])), ([0.5; 2], [0.6, 0.8]));
        assert_eq!(GeoTransform::north_up(10.0, 20.0, 0.5).centre(Size::new(4, 2)), [11.0, 19.5]);
    }

    #[test]
    fn padding_reaches_the_minimum_and_the_multiple() {
        assert_eq!(Size::new(1, 33).padded(16, 32), Size::new(32, 48));
        assert_eq!(Size::new(1280, 1024).padded(16, 16), Size::new(1280, 1024));
    }

    #[test]
    fn a_rectangle_that_would_wrap_does_not_fit() {
        let rect = PixelRect { x: u32::MAX, y: 0, size: Size::new(2, 1) };
        assert!(!rect.fits(Size::new(10, 10)));
        assert!(PixelRect::whole(Size::new(10, 10)).fits(Size::new(10, 10)));
    }
}
