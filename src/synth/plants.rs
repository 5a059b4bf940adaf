//! Plants: forests, scrub, orchards, reeds.

use super::{
    field::{Look, grass_color},
    noise::{Noise, lerp},
    paint::{Paint, Rgb, blend, dim},
    rng::{floor, fraction, hash},
    vector::Vector,
};

/// Round plants scattered one to a cell of a square lattice.
struct Crowns {
    seed: u64,
    cell: f32,
    /// How much of a cell the plant may be moved; 1 is anywhere.
    scatter: f32,
    /// Radius range, in pixels.
    radius: (f32, f32),
}

/// What stands highest at a point.
struct Crown {
    /// 1 in the middle of the plant, 0 at its edge, negative between plants.
    rise: f32,
    /// The plant's own random bits.
    bits: u64,
}

impl Crowns {
    fn at(&self, p: Vector, density: f32) -> Crown {
        let q = p * (1.0 / self.cell);
        let (x, y) = (floor(q.x), floor(q.y));
        let mut best = Crown { rise: -1.0, bits: 0 };
        for cy in y - 1..=y + 1 {
            for cx in x - 1..=x + 1 {
                let bits = hash(self.seed, cx, cy);
                if fraction(bits, 3) > density {
                    continue;
                }
                let place = |c: i32, part: u32| c as f32 + 0.5 + self.scatter * (fraction(bits, part) - 0.5);
                let away = (Vector::new(place(cx, 0), place(cy, 1)) - q) * self.cell;
                let radius = lerp(self.radius.0, self.radius.1, fraction(bits, 2));
                let rise = 1.0 - away.dot(away) / (radius * radius);
                if rise > best.rise {
                    best = Crown { rise, bits };
                }
            }
        }
        best
    }
}

/// A number in [-1, 1] that belongs to the plant.
fn own(crown: &Crown, part: u32) -> f32 {
    let bits = crown.bits.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    2.0 * fraction(bits, part) - 1.0
}

pub(super) struct Plants {
    seed: u64,
    leaf: Noise,
    thicket: Noise,
}

impl Plants {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, leaf: Noise::new(seed ^ 0x1ea, 2.4), thicket: Noise::new(seed ^ 0x7c1, 42.0) }
    }

    fn crowns(&self, cell: f32, scatter: f32, radius: (f32, f32)) -> Crowns {
        Crowns { seed: self.seed ^ u64::from(cell.to_bits()), cell, scatter, radius }
    }

    /// Wide, rounded crowns.
    pub(super) fn broadleaf(&self, p: Vector, look: &Look) -> Paint {
        const SHADE: Rgb = [34.0, 44.0, 28.0];
        const FRESH: Rgb = [98.0, 118.0, 60.0];
        const DULL: Rgb = [70.0, 90.0, 54.0];
        let crown = self.crowns(15.0, 0.8, (9.0, 12.5)).at(p, 0.97);
        let leaf = self.leaf.at(p);
        if crown.rise < 0.0 {
            return Paint { color: dim(SHADE, 1.0 + 0.2 * leaf), height: 6.0 };
        }
        let color = blend(DULL, FRESH, 0.5 * look.tone + 0.35 + 0.4 * own(&crown, 0));
        let color = dim(color, 0.86 + 0.16 * crown.rise + 0.15 * leaf);
        Paint { color, height: 17.0 + 4.0 * own(&crown, 1) + 11.0 * crown.rise.sqrt() + 1.4 * leaf }
    }

    /// Narrow, pointed crowns.
    pub(super) fn conifer(&self, p: Vector, look: &Look) -> Paint {
        const SHADE: Rgb = [26.0, 35.0, 30.0];
        const NEEDLE: Rgb = [62.0, 80.0, 56.0];
        const BLUE: Rgb = [54.0, 74.0, 62.0];
        let crown = self.crowns(8.0, 0.75, (4.4, 6.2)).at(p, 0.96);
        let leaf = self.leaf.at(p);
        if crown.rise < 0.0 {
            return Paint { color: dim(SHADE, 1.0 + 0.2 * leaf), height: 8.0 };
        }
        let color = blend(BLUE, NEEDLE, look.tone + 0.3 * own(&crown, 0));
        let color = dim(color, 0.8 + 0.28 * crown.rise + 0.1 * leaf);
        let cone = 1.0 - (1.0 - crown.rise).sqrt();
        Paint { color, height: 21.0 + 3.0 * own(&crown, 1) + 8.0 * cone }
    }

    /// Bushes of all sizes, some in thickets, on rough grass.
    pub(super) fn scrub(&self, p: Vector, look: &Look) -> Paint {
        let leaf = self.leaf.at(p);
        let thicket = self.thicket.rough(p);
        let crown = self.crowns(9.0, 1.0, (2.4, 6.8)).at(p, 0.52 + 0.65 * thicket);
        if crown.rise < 0.0 {
            let grass = grass_color(0.3 + 0.4 * look.tone + 0.2 * thicket);
            return Paint { color: dim(grass, 0.93 + 0.13 * leaf), height: 0.6 * leaf };
        }
        self.bush(&crown, leaf, 5.5)
    }

    /// A hedge: bushes shoulder to shoulder.
    pub(super) fn hedge(&self, p: Vector) -> Paint {
        let crown = self.crowns(7.0, 0.8, (4.0, 6.0)).at(p, 1.0);
        self.bush(&Crown { rise: crown.rise.max(0.0), ..crown }, self.leaf.at(p), 6.0)
    }

    fn bush(&self, crown: &Crown, leaf: f32, height: f32) -> Paint {
        const GREY: Rgb = [98.0, 102.0, 68.0];
        const GREEN: Rgb = [70.0, 90.0, 50.0];
        let color = blend(GREEN, GREY, 0.5 + 0.5 * own(crown, 0));
        let color = dim(color, 0.84 + 0.18 * crown.rise + 0.12 * leaf);
        Paint { color, height: 1.5 + height * (1.0 + 0.3 * own(crown, 1)) * crown.rise.sqrt() }
    }

    /// A single tree; `rise` is 1 in its middle and 0 at its edge.
    pub(super) fn tree(&self, p: Vector, rise: f32, bits: u64, radius: f32) -> Paint {
        let paint = self.bush(&Crown { rise, bits }, self.leaf.at(p), 1.0);
        Paint { height: 5.0 + radius * (0.5 + rise.max(0.0).sqrt()), ..paint }
    }

    /// Fruit trees in rows on mown grass; `q` is the position in the parcel, along and across its rows.
    pub(super) fn orchard(&self, p: Vector, q: Vector, look: &Look) -> Paint {
        let (step, row) = (look.period * 0.9, look.period * 1.15);
        let (x, y) = (floor(q.x / step), floor(q.y / row));
        let bits = hash(look.seed, x, y);
        let leaf = self.leaf.at(p);
        let middle = Vector::new((x as f32 + 0.5) * step, (y as f32 + 0.5) * row);
        let shaken = middle + Vector::new(fraction(bits, 0) - 0.5, fraction(bits, 1) - 0.5) * 1.6;
        let away = q - shaken;
        let radius = step * (0.36 + 0.1 * fraction(bits, 2));
        let rise = 1.0 - away.dot(away) / (radius * radius);
        if rise > 0.0 && fraction(bits, 3) > 0.05 {
            return self.bush(&Crown { rise, bits }, leaf, 6.5);
        }
        // The strip under the trees is kept free of grass.
        let strip = if (q.y - middle.y).abs() < 2.5 { 0.3 } else { 0.0 };
        let grass = grass_color(0.25 + 0.45 * look.tone + strip);
        Paint { color: dim(grass, 0.96 + 0.08 * leaf), height: 0.3 * leaf }
    }

    /// Reeds and sedge around puddles.
    pub(super) fn wetland(&self, p: Vector, look: &Look) -> Paint {
        const REED: Rgb = [122.0, 116.0, 72.0];
        const SEDGE: Rgb = [78.0, 94.0, 52.0];
        const PUDDLE: Rgb = [50.0, 62.0, 58.0];
        let leaf = self.leaf.at(p);
        // The thicket field drawn finer makes clumps of reeds.
        let clump = self.thicket.rough(p * 2.6);
        if clump < -0.34 {
            return Paint::flat(dim(PUDDLE, 1.0 + 0.04 * leaf));
        }
        let mix = 0.35 + 0.3 * look.tone + 0.8 * clump;
        let color = dim(blend(SEDGE, REED, mix.clamp(0.0, 1.0)), 0.95 + 0.16 * leaf);
        Paint { color, height: 1.6 + 1.5 * clump + 0.7 * leaf }
    }
}
