//! The river and the ponds, as a distance from the shore.

use super::{
    noise::Noise,
    rng::{Rng, floor},
    vector::Vector,
};
use crate::geom::Size;

/// A scene below this area, in pixels, has ponds only.
const RIVER_AREA: u64 = 200_000;
/// A distance that counts as no water at all.
const FAR: f32 = 1e6;

/// A river that swings about a straight axis.
struct River {
    /// A point of its axis.
    origin: Vector,
    along: Vector,
    /// Position on the axis of the first reach.
    start: f32,
    /// The river at every pixel along its axis.
    reaches: Vec<Reach>,
}

/// The river at one position along its axis.
#[derive(Clone, Copy)]
struct Reach {
    /// How far it lies beside the axis.
    beside: f32,
    /// What turns a distance straight across into one to the nearest point of the course.
    lean: f32,
    half_width: f32,
}

impl River {
    fn new(rng: &mut Rng, size: Size) -> Self {
        let middle = Vector::new(size.width as f32 * 0.5, size.height as f32 * 0.5);
        let along = rng.direction();
        let room = middle.x.min(middle.y);
        let origin = middle + along.turned() * (room * rng.range(-0.5, 0.5));
        let (bend, wiggle) = (Noise::new(rng.next(), 340.0), Noise::new(rng.next(), 110.0));
        let (sweep, half_width) = (rng.range(110.0, 170.0), rng.range(15.0, 24.0));
        let course = |t: f32| sweep * bend.at(Vector::new(t, 0.5)) + 22.0 * wiggle.at(Vector::new(t, 0.5));
        let reach = |t: f32| {
            let slope = (course(t + 4.0) - course(t - 4.0)) * 0.125;
            let width = 1.0 + 0.25 * wiggle.at(Vector::new(t, 900.5));
            Reach { beside: course(t), lean: 1.0 / (1.0 + slope * slope).sqrt(), half_width: half_width * width }
        };
        // No pixel is farther from the middle along the axis than half the circumference.
        let half = (size.width + size.height) / 2 + 2;
        let start = -(half as f32);
        let reaches = (0..2 * half).map(|i| reach(start + i as f32)).collect();
        Self { origin, along, start, reaches }
    }

    fn shore(&self, p: Vector) -> f32 {
        let p = p - self.origin;
        let position = usize::try_from(floor(p.dot(self.along) - self.start + 0.5)).unwrap_or(0);
        let Some(reach) = self.reaches.get(position) else { return FAR };
        (p.dot(self.along.turned()) - reach.beside).abs() * reach.lean - reach.half_width
    }
}

struct Pond {
    centre: Vector,
    radius: f32,
    long: Vector,
    stretch: f32,
}

impl Pond {
    fn new(rng: &mut Rng, size: Size) -> Self {
        let (width, height) = (size.width as f32, size.height as f32);
        Self {
            centre: Vector::new(width * rng.range(0.1, 0.9), height * rng.range(0.1, 0.9)),
            radius: (0.16 * width.min(height)).min(rng.range(28.0, 60.0)),
            long: rng.direction(),
            stretch: rng.range(1.0, 1.7),
        }
    }

    fn shore(&self, p: Vector) -> f32 {
        let p = p - self.centre;
        let stretched = Vector::new(p.dot(self.long) / self.stretch, p.dot(self.long.turned()));
        stretched.length() - self.radius
    }
}

/// The waters of a scene.
pub(super) struct Water {
    river: Option<River>,
    ponds: Vec<Pond>,
    ragged: Noise,
    marsh: Noise,
}

impl Water {
    pub(super) fn new(seed: u64, size: Size) -> Self {
        let mut rng = Rng::new(seed);
        let river = (size.area() >= RIVER_AREA).then(|| River::new(&mut rng, size));
        let n_ponds = size.area() / 450_000 + 1;
        let ponds = (0..n_ponds).map(|_| Pond::new(&mut rng, size)).collect();
        Self { river, ponds, ragged: Noise::new(rng.next(), 26.0), marsh: Noise::new(rng.next(), 150.0) }
    }

    /// Distance from the nearest shore, negative in the water.
    pub(super) fn shore(&self, p: Vector) -> f32 {
        let river = self.river.as_ref().map_or(FAR, |river| river.shore(p));
        let pond = |pond: &Pond| pond.shore(p);
        let shore = self.ponds.iter().map(pond).fold(river, f32::min);
        // Only close to the shore does its raggedness matter.
        if shore < 150.0 { shore + 5.0 * self.ragged.rough(p) } else { shore }
    }

    /// Width of the bank near `p`.
    pub(super) fn bank_width(&self, p: Vector) -> f32 {
        5.5 + 2.5 * self.marsh.at(p * 3.0)
    }

    /// How far from the shore the wetland reaches near `p`.
    pub(super) fn wetland_reach(&self, p: Vector) -> f32 {
        30.0 + 75.0 * self.marsh.rough(p)
    }
}
