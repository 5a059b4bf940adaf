//! Smooth random fields: values on a lattice, blended in between.

use super::{
    rng::{floor, fraction, hash},
    vector::Vector,
};

/// A field of numbers in [-1, 1] that varies over `scale` pixels.
#[derive(Clone, Copy)]
pub(super) struct Noise {
    seed: u64,
    frequency: f32,
}

impl Noise {
    pub(super) fn new(seed: u64, scale: f32) -> Self {
        Self { seed, frequency: 1.0 / scale }
    }

    /// The field's value at `p`.
    pub(super) fn at(self, p: Vector) -> f32 {
        let p = p * self.frequency;
        let (x, y) = (floor(p.x), floor(p.y));
        let (u, v) = (ease(p.x - x as f32), ease(p.y - y as f32));
        let corner = |dx: i32, dy: i32| fraction(hash(self.seed, x + dx, y + dy), 0);
        let top = lerp(corner(0, 0), corner(1, 0), u);
        let bottom = lerp(corner(0, 1), corner(1, 1), u);
        lerp(top, bottom, v) * 2.0 - 1.0
    }

    /// The field with finer detail added, still in [-1, 1].
    pub(super) fn rough(self, p: Vector) -> f32 {
        let finer = Self { seed: self.seed ^ 0x5bd1, frequency: self.frequency * 2.7 };
        self.at(p) * 0.66 + finer.at(p) * 0.34
    }
}

/// The point `t` of the way from `a` to `b`.
pub(super) fn lerp(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// A wave of this period between 0 and 1, with value 0 at 0 and 1 half a period on.
pub(super) fn wave(u: f32, period: f32) -> f32 {
    let cycles = u / period;
    1.0 - (2.0 * (cycles - floor(cycles) as f32) - 1.0).abs()
}

/// Distance from the nearest multiple of `period`.
pub(super) fn off_line(u: f32, period: f32) -> f32 {
    0.5 * period * wave(u, period)
}

fn ease(t: f32) -> f32 {
    t * t * (3.0 - 2.0 * t)
}
