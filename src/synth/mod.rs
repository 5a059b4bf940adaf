//! Sample scenes: land as seen from an aircraft, drawn from a number, with a true mask over 15 classes.
//!
//! They stand in for photographs wherever a scene is needed and none is at hand: to try a pipeline, to train a network
//! for a demonstration, to test. A scene follows from a seed, a name and a size alone. Only operations that are rounded
//! the same everywhere are used (no sines, no powers), so every machine draws the same bytes.
//!
//! The colours of the classes overlap on purpose. A field is crop, stubble or meadow by its rows and not by its green;
//! a roof can be as grey as the road; an orchard is scrub in good order; a bank is bare soil beside water. A shadow
//! darkens what it falls on and leaves its class alone.
//!
//! How a scene comes about: `plan` cuts the region into roads, tracks and parcels, `water` adds a river and ponds,
//! `ground` decides the `cover` of each pixel and has `field`, `plants` or `surface` paint it with a colour and a
//! height, `village` puts up houses and trees, and `light` turns heights into relief and shadows and adds the flaws of
//! a camera.

mod canvas;
mod cover;
mod field;
mod ground;
mod light;
mod noise;
mod paint;
mod plan;
mod plants;
mod polygon;
mod rng;
mod surface;
#[cfg(test)]
mod tests;
mod vector;
mod village;
mod water;

pub use cover::class_table;

use crate::{
    config::classes::ClassId,
    geom::{GeoTransform, Size},
};

/// Ground units, metres, per pixel.
const RESOLUTION: f64 = 0.5;
/// WGS 84 / UTM zone 32N.
const EPSG: u32 = 32632;

/// Names and sizes of the sample scenes. Together they hold every class: of 100 seeds tried, each put all 15 into
/// `township` alone (2026-11-24).
///
/// Some fit into one tile and some need many.
pub const SCENES: [(&str, Size); 6] = [
    ("hamlet", Size::new(300, 212)),
    ("millpond", Size::new(448, 480)),
    ("riverbend", Size::new(511, 777)),
    ("township", Size::new(1024, 1030)),
    ("uplands", Size::new(1792, 1700)),
    ("lowlands", Size::new(1999, 1403)),
];

/// A georeferenced picture with its true mask.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleScene {
    /// Name, fit for a file name.
    pub name: String,
    /// Extent in pixels.
    pub size: Size,
    /// Where it lies on the ground, north up.
    pub transform: GeoTransform,
    /// EPSG code of the transform's coordinate system.
    pub epsg: u32,
    /// Three planes one after another, red, green, blue, each row-major.
    pub rgb: Vec<u8>,
    /// Class of every pixel, row-major; see [`class_table`].
    pub truth: Vec<ClassId>,
}

/// Draws the scene that belongs to `seed` and `name`, in any size from 1 x 1.
pub fn draw(seed: u64, name: &str, size: Size) -> SampleScene {
    let mut rng = rng::Rng::new(rng::hash_text(seed, name));
    let transform = place(&mut rng);
    let ground = ground::Ground::new(rng.next(), size);
    let mut canvas = canvas::Canvas::new(size);
    ground.paint(&mut canvas);
    village::build(&ground, &mut canvas);
    village::plant(&ground, &mut canvas, &mut rng);
    light::expose(&mut canvas, rng.next());
    let canvas::Canvas { rgb, truth, .. } = canvas;
    SampleScene { name: name.to_owned(), size, transform, epsg: EPSG, rgb, truth }
}

/// A place within 40 km of the zone's middle at about 49 degrees north, on whole metres.
fn place(rng: &mut rng::Rng) -> GeoTransform {
    let mut near = |middle: f64| middle + f64::from(rng.range(-40_000.0, 40_000.0)).round();
    GeoTransform::north_up(near(500_000.0), near(5_400_000.0), RESOLUTION)
}
