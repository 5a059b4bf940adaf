//! Houses with their courtyards, and single trees: what is placed on the painted ground.

use super::{
    canvas::Canvas,
    cover::Cover,
    ground::Ground,
    paint::{Paint, Rgb, dim},
    plan::Parcel,
    rng::Rng,
    vector::Vector,
};
use crate::config::classes::ClassId;

/// Roof colours: tiles old and new, slate, and fibre cement as grey as a road.
const ROOFS: [Rgb; 8] = [
    [158.0, 88.0, 66.0],
    [140.0, 82.0, 64.0],
    [176.0, 106.0, 78.0],
    [118.0, 96.0, 84.0],
    [86.0, 86.0, 92.0],
    [122.0, 121.0, 120.0],
    [134.0, 133.0, 130.0],
    [192.0, 190.0, 184.0],
];

/// A rectangle at any angle.
#[derive(Clone, Copy)]
struct Block {
    middle: Vector,
    along: Vector,
    half_length: f32,
    half_width: f32,
}

impl Block {
    /// Position of `p` along and across.
    fn place(&self, p: Vector) -> Vector {
        let away = p - self.middle;
        Vector::new(away.dot(self.along), away.dot(self.along.turned()))
    }

    fn holds(&self, p: Vector) -> bool {
        let place = self.place(p);
        place.x.abs() <= self.half_length && place.y.abs() <= self.half_width
    }

    /// The existing pixels inside it, with their index.
    fn pixels(self, canvas: &Canvas) -> impl Iterator<Item = (usize, Vector)> + use<> {
        let reach = self.half_length + self.half_width;
        let pixels = canvas.around(self.middle.x, self.middle.y, reach);
        let points = pixels.map(|(index, x, y)| (index, Vector::new(x as f32, y as f32)));
        points.filter(move |&(_, p)| self.holds(p))
    }
}

/// Builds on every parcel that is meant for it.
pub(super) fn build(ground: &Ground, canvas: &mut Canvas) {
    for parcel in ground.parcels().iter().filter(|parcel| parcel.built) {
        let mut rng = Rng::new(parcel.seed ^ 0xb11d);
        let lot = lot(ground, parcel);
        let house = house(&mut rng, lot);
        if !is_free(house, canvas) {
            continue;
        }
        let yard = yard(&mut rng, house);
        let tone = rng.range(0.0, 0.9);
        for (index, p) in yard.pixels(canvas) {
            if is_open(canvas.truth[index]) {
                canvas.put(index, Cover::Courtyard, ground.surfaces.courtyard(p, tone));
            }
        }
        raise(ground, canvas, house, &mut rng);
        let shed = Block {
            middle: yard.middle + (yard.middle - house.middle) * 1.3 + house.along * rng.range(-9.0, 9.0),
            half_length: rng.range(5.0, 10.0),
            half_width: rng.range(3.5, 6.0),
            ..house
        };
        if rng.chance(0.7) && is_free(shed, canvas) {
            raise(ground, canvas, shed, &mut rng);
        }
    }
}

/// The parcel's extent in the picture.
fn lot(ground: &Ground, parcel: &Parcel) -> Block {
    let (along, across) = (parcel.along, parcel.along.turned());
    let (a, b) = (parcel.outline.extent(along), parcel.outline.extent(across));
    Block {
        middle: ground.unbend(parcel.outline.centre()),
        along,
        half_length: 0.5 * (a.1 - a.0),
        half_width: 0.5 * (b.1 - b.0),
    }
}

fn house(rng: &mut Rng, lot: Block) -> Block {
    let move_by = |rng: &mut Rng, room: f32| rng.range(-0.25, 0.25) * room;
    let middle = lot.middle + lot.along * move_by(rng, lot.half_length);
    let middle = middle + lot.along.turned() * move_by(rng, lot.half_width);
    // Where there is room, one house in four is a barn.
    let (longest, widest) = if rng.chance(0.25) { (34.0, 15.0) } else { (19.0, 11.5) };
    Block {
        middle,
        along: lot.along,
        half_length: (lot.half_length * rng.range(0.45, 0.75)).min(longest),
        half_width: (lot.half_width * rng.range(0.35, 0.5)).min(widest),
    }
}

/// Paved ground around the house, most of it on one side.
fn yard(rng: &mut Rng, house: Block) -> Block {
    let depth = rng.range(7.0, 13.0);
    let side = if rng.chance(0.5) { depth } else { -depth };
    Block {
        middle: house.middle + house.along.turned() * side,
        half_length: house.half_length + rng.range(3.0, 9.0),
        half_width: house.half_width + depth + rng.range(1.0, 4.0),
        ..house
    }
}

/// Whether neither traffic, water nor a house is there.
fn is_open(class: ClassId) -> bool {
    let taken = [Cover::Road, Cover::Track, Cover::Water, Cover::Bank, Cover::Building];
    taken.iter().all(|cover| cover.id() != class)
}

fn is_free(block: Block, canvas: &Canvas) -> bool {
    block.pixels(canvas).all(|(index, _)| is_open(canvas.truth[index]))
}

/// Draws one building: a ridge along its middle, or a flat roof.
fn raise(ground: &Ground, canvas: &mut Canvas, block: Block, rng: &mut Rng) {
    let color = dim(rng.pick(&ROOFS), rng.range(0.88, 1.08));
    let eaves = rng.range(6.0, 11.0);
    let pitch = if rng.chance(0.22) { 0.0 } else { rng.range(0.5, 0.85) };
    let chimney = Vector::new(rng.range(-0.6, 0.6) * block.half_length, 1.5);
    for (index, p) in block.pixels(canvas) {
        let place = block.place(p);
        let ridge = pitch * (block.half_width - place.y.abs());
        let is_chimney = pitch > 0.0 && (place.x - chimney.x).abs() < 1.3 && (place.y - chimney.y).abs() < 1.3;
        let shade = if is_chimney { 0.7 } else { 1.0 };
        let color = dim(ground.surfaces.roof(p, color, place.y), shade);
        let height = eaves + ridge + if is_chimney { 2.0 } else { 0.0 };
        canvas.put(index, Cover::Building, Paint { color, height });
    }
}

/// Scatters single trees over meadows, wetlands and gardens; they count as broadleaf forest.
pub(super) fn plant(ground: &Ground, canvas: &mut Canvas, rng: &mut Rng) {
    let hosts = [Cover::Meadow.id(), Cover::Wetland.id()];
    for _ in 0..canvas.size.area() / 5_000 {
        let middle = Vector::new(
            rng.range(0.0, canvas.size.width as f32).floor(),
            rng.range(0.0, canvas.size.height as f32).floor(),
        );
        let (radius, bits) = (rng.range(5.0, 11.0), rng.next());
        let on_host = |canvas: &Canvas| {
            let mut here = canvas.around(middle.x, middle.y, 0.0);
            here.next().is_some_and(|(index, _, _)| hosts.contains(&canvas.truth[index]))
        };
        if !on_host(canvas) {
            continue;
        }
        let square = canvas.around(middle.x, middle.y, radius);
        let crown: Vec<(usize, Vector, f32)> = square
            .filter_map(|(index, x, y)| {
                let p = Vector::new(x as f32, y as f32);
                let away = p - middle;
                let rise = 1.0 - away.dot(away) / (radius * radius);
                (rise > 0.0).then_some((index, p, rise))
            })
            .collect();
        if crown.iter().all(|&(index, _, _)| is_open(canvas.truth[index])) {
            for (index, p, rise) in crown {
                canvas.put(index, Cover::Broadleaf, ground.plants.tree(p, rise, bits, radius));
            }
        }
    }
}
