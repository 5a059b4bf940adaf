//! Numbers that look random and follow from a seed: a SplitMix64 sequence, a hash of lattice points, decks of cards.

use super::vector::Vector;
use crate::random::SplitMix64;
pub(super) use crate::random::mix;

/// A number for the lattice point (`x`, `y`).
pub(super) fn hash(seed: u64, x: i32, y: i32) -> u64 {
    let point = u64::from(x.cast_unsigned()) << 32 | u64::from(y.cast_unsigned());
    mix(point.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ seed)
}

/// A number for a text, FNV-1a.
pub(super) fn hash_text(seed: u64, text: &str) -> u64 {
    let start = seed ^ 0xcbf2_9ce4_8422_2325;
    mix(text.bytes().fold(start, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)))
}

/// The `index`-th 16-bit part of `bits` (0 to 3) as a fraction in [0, 1).
pub(super) fn fraction(bits: u64, index: u32) -> f32 {
    ((bits >> (16 * index)) & 0xffff) as f32 * (1.0 / 65536.0)
}

/// The integer below `v`; coordinates stay far from the ends of `i32`.
#[expect(clippy::cast_possible_truncation, reason = "the cast saturates, and coordinates are a few thousand pixels")]
pub(super) fn floor(v: f32) -> i32 {
    // Without SSE4.1 the library's floor is a function call, and this runs dozens of times per pixel.
    let towards_zero = v as i32;
    if (towards_zero as f32) > v { towards_zero - 1 } else { towards_zero }
}

pub(super) struct Rng(SplitMix64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number in [`low`, `high`).
    pub(super) fn range(&mut self, low: f32, high: f32) -> f32 {
        let unit = (self.next() >> 40) as f32 * (1.0 / 16_777_216.0);
        low + (high - low) * unit
    }

    pub(super) fn chance(&mut self, probability: f32) -> bool {
        self.range(0.0, 1.0) < probability
    }

    /// A direction of length 1.
    pub(super) fn direction(&mut self) -> Vector {
        loop {
            let v = Vector::new(self.range(-1.0, 1.0), self.range(-1.0, 1.0));
            if (0.01..1.0).contains(&v.dot(v)) {
                return v.unit();
            }
        }
    }

    /// One of `options`, which holds at least one.
    pub(super) fn pick<T: Copy>(&mut self, options: &[T]) -> T {
        options[self.below(options.len())]
    }

    fn below(&mut self, n: usize) -> usize {
        // The remainder fits, since it is below a `usize`.
        usize::try_from(self.next() % n as u64).unwrap_or(0)
    }
}

/// Cards drawn without replacement and shuffled anew when none is left, so that every card turns up soon.
pub(super) struct Deck<T: 'static> {
    cards: &'static [T],
    left: Vec<T>,
}

impl<T: Copy> Deck<T> {
    /// A full deck; `cards` holds at least one.
    pub(super) fn new(cards: &'static [T]) -> Self {
        Self { cards, left: Vec::new() }
    }

    pub(super) fn draw(&mut self, rng: &mut Rng) -> T {
        if self.left.is_empty() {
            self.left.extend_from_slice(self.cards);
        }
        self.left.swap_remove(rng.below(self.left.len()))
    }
}
