//! Light and camera: relief, cast shadows, haze, vignette, a soft lens and the noise of a sensor.

use super::{
    canvas::Canvas,
    noise::{Noise, lerp},
    paint::{Rgb, byte},
    rng::{Rng, floor, hash},
    vector::Vector,
};

/// The sun stands in the south, so shadows fall to the row above.
struct Sun {
    /// Columns a shadow moves to the right per row upwards.
    drift: f32,
    /// How much lower it is one row further.
    drop: f32,
    /// Direction to the sun, scaled so that flat ground has brightness 1.
    east: f32,
    south: f32,
}

impl Sun {
    fn new(rng: &mut Rng) -> Self {
        let drift = rng.range(-0.9, 0.9);
        let steepness = rng.range(0.85, 1.35);
        let path = (1.0 + drift * drift).sqrt();
        Self { drift, drop: steepness * path, east: -drift / (path * steepness), south: 1.0 / (path * steepness) }
    }

    /// Brightness of ground that rises by `slope` to the right and downwards; level ground has 1.
    fn shade(&self, slope: Vector) -> f32 {
        let facing = 1.0 - slope.x * self.east - slope.y * self.south;
        facing / (1.0 + slope.dot(slope)).sqrt()
    }
}

/// The state of the air and of the camera.
struct Air {
    haze: f32,
    vignette: f32,
    uneven: Noise,
    middle: Vector,
}

impl Air {
    fn new(rng: &mut Rng, middle: Vector) -> Self {
        Self {
            haze: rng.range(0.02, 0.1),
            vignette: rng.range(0.03, 0.12),
            uneven: Noise::new(rng.next(), 500.0),
            middle,
        }
    }

    /// What the camera sees of ground that sends out `color`.
    fn look_through(&self, p: Vector, color: Rgb) -> Rgb {
        const VEIL: Rgb = [186.0, 198.0, 212.0];
        let away = p - self.middle;
        let radius = away.dot(away) / self.middle.dot(self.middle).max(1.0);
        let gain = (1.0 - self.vignette * radius) * (1.0 + 0.09 * self.uneven.at(p));
        let veil = |plane: usize| gain * lerp(color[plane], VEIL[plane], self.haze);
        [veil(0), veil(1), veil(2)]
    }
}

/// Turns the painted canvas into what a camera sees; the truth stays as it is.
pub(super) fn expose(canvas: &mut Canvas, seed: u64) {
    let mut rng = Rng::new(seed);
    illuminate(canvas, &mut rng);
    let width = canvas.size.width as usize;
    let grain = rng.next();
    for (plane, pixels) in (0..).zip(canvas.rgb.chunks_exact_mut(canvas.truth.len().max(1))) {
        soften(pixels, width);
        add_noise(pixels, grain, plane);
    }
}

/// Applies sun, shadows and air, from the lowest row upwards, since that is where shadows come from.
fn illuminate(canvas: &mut Canvas, rng: &mut Rng) {
    let (width, height) = (canvas.size.width as usize, canvas.size.height as usize);
    let n = canvas.truth.len();
    let sun = Sun::new(rng);
    let air = Air::new(rng, Vector::new(width as f32 * 0.5, height as f32 * 0.5));
    // Top of the shadow cast over each pixel of the row below and of this row.
    let (mut below, mut here) = (vec![0.0_f32; width], vec![0.0_f32; width]);
    for y in (0..height).rev() {
        for (x, top) in here.iter_mut().enumerate() {
            let index = y * width + x;
            let own = canvas.height[index];
            let cast = sample(&below, x as f32 - sun.drift) - sun.drop;
            *top = cast.max(own);
            let dark = (0.5 * (cast - own)).clamp(0.0, 1.0);
            let direct = sun.shade(slope(canvas, x, y)).clamp(0.05, 1.5) * (1.0 - dark);
            // Shadows are lit by the sky, which is blue.
            let light = [0.36 + 0.64 * direct, 0.39 + 0.61 * direct, 0.45 + 0.55 * direct];
            let lit = |plane: usize| f32::from(canvas.rgb[plane * n + index]) * light[plane];
            let seen = air.look_through(Vector::new(x as f32, y as f32), [lit(0), lit(1), lit(2)]);
            for (plane, value) in seen.into_iter().enumerate() {
                canvas.rgb[plane * n + index] = byte(value);
            }
        }
        std::mem::swap(&mut below, &mut here);
    }
}

/// The row's value at `x`, between two pixels if need be; 0 outside.
fn sample(row: &[f32], x: f32) -> f32 {
    let left = floor(x);
    let at = |i: i32| usize::try_from(i).ok().and_then(|i| row.get(i)).copied().unwrap_or(0.0);
    lerp(at(left), at(left + 1), x - left as f32)
}

/// How the ground rises to the right and downwards. Of the two neighbours on an axis the one nearer in height counts,
/// so that walls and the rims of crowns have no slope.
fn slope(canvas: &Canvas, x: usize, y: usize) -> Vector {
    let (width, height) = (canvas.size.width as usize, canvas.size.height as usize);
    let at = |x: usize, y: usize| canvas.height[y * width + x];
    let here = at(x, y);
    let gentler = |back: f32, ahead: f32| if back.abs() < ahead.abs() { back } else { ahead };
    let left = here - at(x.saturating_sub(1), y);
    let right = at((x + 1).min(width - 1), y) - here;
    let up = here - at(x, y.saturating_sub(1));
    let down = at(x, (y + 1).min(height - 1)) - here;
    let steepest = 1.5;
    Vector::new(gentler(left, right).clamp(-steepest, steepest), gentler(up, down).clamp(-steepest, steepest))
}

/// Blurs a plane a little, along rows and then along columns.
fn soften(pixels: &mut [u8], width: usize) {
    let mix = |before: u8, here: u8, after: u8| {
        let sum = u16::from(before) + 6 * u16::from(here) + u16::from(after);
        ((sum + 4) / 8).to_le_bytes()[0]
    };
    for row in pixels.chunks_exact_mut(width) {
        let mut before = row[0];
        for x in 0..width {
            let (here, after) = (row[x], row[(x + 1).min(width - 1)]);
            row[x] = mix(before, here, after);
            before = here;
        }
    }
    let mut before = pixels[..width].to_vec();
    for start in (0..pixels.len()).step_by(width) {
        for x in 0..width {
            let here = pixels[start + x];
            let after = pixels.get(start + width + x).copied().unwrap_or(here);
            pixels[start + x] = mix(before[x], here, after);
            before[x] = here;
        }
    }
}

/// Adds noise of about two and a half grey levels, part of it common to the three planes.
fn add_noise(pixels: &mut [u8], seed: u64, plane: u32) {
    for (x, pixel) in (0..).zip(pixels.iter_mut()) {
        let [a, b, c, d, e, f, g, h] = hash(seed, x, 0).to_le_bytes();
        let own = match plane {
            0 => [c, d],
            1 => [e, f],
            _ => [g, h],
        };
        let sum = [a, b, own[0], own[1]].map(i16::from).iter().sum::<i16>() - 510;
        *pixel = (i16::from(*pixel) + sum / 56).clamp(0, 255).to_le_bytes()[0];
    }
}
