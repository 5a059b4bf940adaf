//! Water, its bank, and what is paved or worn: roads, tracks, courtyards, roofs.

use super::{
    field::{grass_color, soil_color},
    noise::{Noise, lerp, off_line},
    paint::{Paint, Rgb, blend, dim},
    plan::Spot,
    rng::Rng,
    vector::Vector,
};

/// Paints surfaces without plants.
pub(super) struct Surfaces {
    grain: Noise,
    stain: Noise,
    slow: Noise,
    /// Brightness of asphalt in this scene.
    asphalt: f32,
    /// Greenness of the water in this scene.
    algae: f32,
}

impl Surfaces {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        Self {
            grain: Noise::new(rng.next(), 1.6),
            stain: Noise::new(rng.next(), 13.0),
            slow: Noise::new(rng.next(), 120.0),
            asphalt: rng.range(112.0, 136.0),
            algae: rng.range(0.0, 1.0),
        }
    }

    /// Darker with depth; `shore` is the distance from the shore, negative here.
    pub(super) fn water(&self, p: Vector, shore: f32) -> Paint {
        const CLEAR: Rgb = [38.0, 60.0, 72.0];
        const GREEN: Rgb = [46.0, 66.0, 52.0];
        const SHALLOW: Rgb = [98.0, 102.0, 82.0];
        let deep = blend(CLEAR, GREEN, (self.algae + 0.3 * self.slow.at(p)).clamp(0.0, 1.0));
        let shallow = (1.0 + shore * 0.09).clamp(0.0, 1.0);
        let ripple = 0.03 * self.grain.at(p) + 0.05 * self.stain.at(p);
        Paint::flat(dim(blend(deep, SHALLOW, 0.75 * shallow), 1.0 + ripple))
    }

    /// Sand and gravel with some grass.
    pub(super) fn bank(&self, p: Vector, shore: f32) -> Paint {
        let (grain, stain) = (self.grain.at(p), self.stain.at(p));
        let color = soil_color(0.15 + 0.09 * shore + 0.3 * stain);
        let grass = grass_color(0.4 + 0.3 * grain);
        let grown = if stain > 0.35 { 0.6 } else { 0.0 };
        Paint { color: dim(blend(color, grass, grown), 1.0 + 0.1 * grain), height: 0.4 * grain }
    }

    /// Asphalt with painted lines.
    pub(super) fn road(&self, p: Vector, spot: &Spot) -> Paint {
        const PAINT: Rgb = [205.0, 205.0, 198.0];
        let middle = spot.road + spot.road_half;
        let worn = if (middle - 0.5 * spot.road_half).abs() < 1.2 { 0.95 } else { 1.0 };
        let light = worn * (1.0 + 0.03 * self.grain.at(p) + 0.06 * self.stain.at(p) + 0.08 * self.slow.at(p));
        let asphalt = dim([1.0, 0.99, 0.97], self.asphalt * light);
        let dashed = middle < 0.55 && off_line(spot.road_along, 22.0) < 4.5;
        let edge = spot.road_half > 5.5 && (spot.road + 1.6).abs() < 0.4;
        let line = if dashed || edge { 0.6 } else { 0.0 };
        Paint::flat(blend(asphalt, PAINT, line))
    }

    /// Two ruts and some grass between them.
    pub(super) fn track(&self, p: Vector, spot: &Spot) -> Paint {
        let (grain, stain) = (self.grain.at(p), self.stain.at(p));
        let middle = spot.track + spot.track_half;
        let soil = soil_color(0.62 + 0.25 * stain);
        let grass = if middle < 0.8 { 0.45 + 0.4 * stain } else { 0.0 };
        let color = blend(soil, grass_color(0.45), grass.clamp(0.0, 1.0));
        Paint { color: dim(color, 1.0 + 0.07 * grain), height: 0.2 * grain }
    }

    /// Gravel, concrete or trodden earth: `tone` from grey to brown.
    pub(super) fn courtyard(&self, p: Vector, tone: f32) -> Paint {
        let (grain, stain) = (self.grain.at(p), self.stain.at(p));
        let color = blend([146.0, 143.0, 137.0], soil_color(0.75), tone);
        Paint { color: dim(color, 1.0 + 0.07 * grain + 0.1 * stain), height: 0.15 * grain }
    }

    /// A roof of this colour; `row` is the position across its rows of tiles.
    pub(super) fn roof(&self, p: Vector, color: Rgb, row: f32) -> Rgb {
        let tiles = lerp(0.96, 1.04, off_line(row, 3.0) * (2.0 / 3.0));
        dim(color, tiles * (1.0 + 0.03 * self.grain.at(p) + 0.06 * self.stain.at(p)))
    }
}
