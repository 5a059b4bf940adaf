//! The scene while it is drawn.

use super::{
    cover::Cover,
    paint::{Paint, byte},
};
use crate::{config::classes::ClassId, geom::Size};

/// Colour without light, height and class of every pixel.
pub(super) struct Canvas {
    pub(super) size: Size,
    /// Planes R, G, B.
    pub(super) rgb: Vec<u8>,
    /// In pixels above the ground.
    pub(super) height: Vec<f32>,
    pub(super) truth: Vec<ClassId>,
}

impl Canvas {
    pub(super) fn new(size: Size) -> Self {
        let n = size.len();
        Self { size, rgb: vec![0; 3 * n], height: vec![0.0; n], truth: vec![0; n] }
    }

    /// Paints the pixel at `index`.
    pub(super) fn put(&mut self, index: usize, cover: Cover, paint: Paint) {
        let n = self.truth.len();
        for (plane, value) in paint.color.into_iter().enumerate() {
            self.rgb[plane * n + index] = byte(value);
        }
        self.height[index] = paint.height;
        self.truth[index] = cover.id();
    }

    /// Index, column and row of the pixels in the square that reaches `reach` around (`x`, `y`), as far as they exist.
    pub(super) fn around(&self, x: f32, y: f32, reach: f32) -> impl Iterator<Item = (usize, u32, u32)> + use<> {
        let Size { width, height } = self.size;
        let clip = |v: f32, end: u32| u32::try_from(super::rng::floor(v).max(0)).unwrap_or(0).min(end);
        let (left, right) = (clip(x - reach, width), clip(x + reach + 2.0, width));
        let (top, bottom) = (clip(y - reach, height), clip(y + reach + 2.0, height));
        let index = move |x: u32, y: u32| y as usize * width as usize + x as usize;
        (top..bottom).flat_map(move |y| (left..right).map(move |x| (index(x, y), x, y)))
    }
}
