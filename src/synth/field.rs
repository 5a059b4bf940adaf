//! Fields: crop, stubble, meadow and bare soil, whose colours overlap and whose textures differ.

use super::{
    cover::Cover,
    noise::{Noise, off_line, wave},
    paint::{Paint, Rgb, blend, dim},
    plan::Parcel,
    rng::Rng,
    vector::Vector,
};

/// What distinguishes a parcel from others of its class.
pub(super) struct Look {
    /// Where its own random choices start.
    pub(super) seed: u64,
    /// Origin of its rows, in plan coordinates.
    pub(super) origin: Vector,
    /// Direction of its rows.
    pub(super) along: Vector,
    /// From green or moist, 0, to yellow or dry, 1.
    pub(super) tone: f32,
    /// Distance between rows in pixels.
    pub(super) period: f32,
    /// How strongly rows show.
    contrast: f32,
}

impl Look {
    pub(super) fn new(parcel: &Parcel) -> Self {
        let mut rng = Rng::new(parcel.seed);
        let (tone, period, contrast) = match parcel.ground {
            Cover::Crop => ((0.0, 0.8), (3.8, 6.2), (0.5, 1.0)),
            Cover::Stubble => ((0.3, 1.0), (10.0, 17.0), (0.6, 1.2)),
            // Some meadows are mown in broad stripes.
            Cover::Meadow if rng.chance(0.3) => ((0.0, 0.75), (22.0, 30.0), (0.5, 1.0)),
            Cover::Meadow => ((0.0, 0.75), (22.0, 30.0), (0.0, 0.01)),
            Cover::BareSoil => ((0.0, 1.0), (6.0, 9.0), (0.1, 0.6)),
            Cover::Orchard => ((0.0, 1.0), (12.0, 18.0), (1.0, 1.0)),
            Cover::Water
            | Cover::Bank
            | Cover::Wetland
            | Cover::Road
            | Cover::Track
            | Cover::Building
            | Cover::Courtyard
            | Cover::Broadleaf
            | Cover::Conifer
            | Cover::Scrub => ((0.0, 1.0), (8.0, 12.0), (1.0, 1.0)),
        };
        let mut between = |(low, high): (f32, f32)| rng.range(low, high);
        Self {
            seed: parcel.seed,
            origin: parcel.outline.centre(),
            along: parcel.along,
            tone: between(tone),
            period: between(period),
            contrast: between(contrast),
        }
    }

    /// The position of plan point `q` along and across the rows.
    pub(super) fn place(&self, q: Vector) -> Vector {
        let q = q - self.origin;
        Vector::new(q.dot(self.along), q.dot(self.along.turned()))
    }
}

/// Grass from fresh, 0, to withered, 1.
pub(super) fn grass_color(tone: f32) -> Rgb {
    const FRESH: Rgb = [88.0, 112.0, 56.0];
    const MIDDLE: Rgb = [134.0, 140.0, 82.0];
    const STRAW: Rgb = [178.0, 160.0, 110.0];
    let tone = tone.clamp(0.0, 1.0);
    if tone < 0.5 { blend(FRESH, MIDDLE, 2.0 * tone) } else { blend(MIDDLE, STRAW, 2.0 * tone - 1.0) }
}

/// Soil from moist, 0, to dry, 1.
pub(super) fn soil_color(tone: f32) -> Rgb {
    const MOIST: Rgb = [104.0, 84.0, 66.0];
    const DRY: Rgb = [174.0, 150.0, 118.0];
    blend(MOIST, DRY, tone.clamp(0.0, 1.0))
}

pub(super) struct Fields {
    grain: Noise,
    tuft: Noise,
    patch: Noise,
}

impl Fields {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            grain: Noise::new(seed ^ 0x6a1, 1.7),
            tuft: Noise::new(seed ^ 0x7f3, 6.0),
            patch: Noise::new(seed ^ 0x9a7, 55.0),
        }
    }

    /// Narrow rows with bare soil between, and the tramlines of the tractor.
    pub(super) fn crop(&self, p: Vector, q: Vector, look: &Look) -> Paint {
        let (patch, grain) = (self.patch.rough(p), self.grain.at(p));
        let gap = wave(q.y, look.period);
        let gap = gap * gap * look.contrast;
        let wheel = (off_line(q.y, 58.0) - 4.5).abs() < 1.1;
        let plant = grass_color(look.tone + 0.16 * patch);
        let soil = soil_color(0.25 + 0.3 * look.tone);
        let bare = if wheel { 0.85 } else { 0.5 * gap };
        let color = dim(blend(plant, soil, bare), 0.98 - 0.1 * gap + 0.07 * grain);
        Paint { color, height: if wheel { 0.0 } else { 1.3 - 0.9 * gap + 0.2 * grain } }
    }

    /// Broad soft swaths and a coarse grain of straw.
    pub(super) fn stubble(&self, p: Vector, q: Vector, look: &Look) -> Paint {
        let (patch, grain) = (self.patch.rough(p), self.grain.at(p));
        let swath = (wave(q.y + 1.5 * self.tuft.at(p), look.period) - 0.5) * look.contrast;
        // Straw lies in short pieces along the rows.
        let straw = self.tuft.at(Vector::new(q.x * 0.8, q.y * 3.4));
        let base = blend(grass_color(look.tone + 0.12 * patch), soil_color(0.7), 0.22);
        let color = dim(base, 1.0 + 0.14 * swath + 0.07 * straw + 0.08 * grain);
        Paint { color, height: 0.6 + 0.9 * swath + 0.25 * straw }
    }

    /// Tufts without direction; some meadows mown in stripes.
    pub(super) fn meadow(&self, p: Vector, q: Vector, look: &Look) -> Paint {
        let (patch, tuft, grain) = (self.patch.rough(p), self.tuft.at(p), self.grain.at(p));
        let stripe = if wave(q.y, 2.0 * look.period) < 0.5 { look.contrast } else { 0.0 };
        let color = grass_color(look.tone + 0.25 * patch + 0.12 * tuft);
        let color = dim(color, 1.0 - 0.07 * stripe + 0.06 * tuft + 0.04 * grain);
        Paint { color, height: 0.5 * tuft + 0.2 * grain }
    }

    /// Clods, moist hollows and faint marks of the harrow.
    pub(super) fn bare(&self, p: Vector, q: Vector, look: &Look) -> Paint {
        let (patch, tuft, grain) = (self.patch.rough(p), self.tuft.at(p), self.grain.at(p));
        let mark = (wave(q.y, look.period) - 0.5) * look.contrast;
        let color = soil_color(0.2 + 0.6 * look.tone + 0.35 * patch + 0.1 * tuft);
        let color = dim(color, 1.0 + 0.08 * mark + 0.09 * grain);
        Paint { color, height: 0.5 * mark + 0.35 * grain }
    }
}
