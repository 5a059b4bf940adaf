//! Colours in numbers from 0 to 255, and what a painter says about a pixel.

use super::noise::lerp;

/// Red, green and blue before light falls on them.
pub(super) type Rgb = [f32; 3];

/// Colour and height, the latter in pixels above the ground.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    pub(super) color: Rgb,
    pub(super) height: f32,
}

impl Paint {
    pub(super) const fn flat(color: Rgb) -> Self {
        Self { color, height: 0.0 }
    }
}

/// The colour `t` of the way from `a` to `b`.
pub(super) fn blend(a: Rgb, b: Rgb, t: f32) -> Rgb {
    [lerp(a[0], b[0], t), lerp(a[1], b[1], t), lerp(a[2], b[2], t)]
}

/// The colour made brighter by `factor`.
pub(super) fn dim(color: Rgb, factor: f32) -> Rgb {
    color.map(|v| v * factor)
}

/// The nearest byte.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a byte's range first")]
pub(super) fn byte(v: f32) -> u8 {
    (v.clamp(0.0, 255.0) + 0.5) as u8
}
