//! `legend.png`: which colour is which class, and the values that masks hold. One of a run, drawn before any work.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use super::OutputLayout;
use crate::atomic::{self, WriteError};
use crate::config::Pipeline;

const HEIGHT: RasterHeight = RasterHeight::Size20;
const WEIGHT: FontWeight = FontWeight::Regular;

/// Pixels from one entry to the next, the same around everything, and the side of a patch of colour.
const LINE: u32 = 28;
const MARGIN: u32 = 12;
const PATCH: u32 = 20;

/// Entries of a column, and characters of a name, whose rest is left out.
const LINES: usize = 32;
const NAME: usize = 48;

const PAPER: Rgb<u8> = Rgb([255; 3]);
const EDGE: Rgb<u8> = Rgb([96; 3]);

/// An entry: its colour, and its value and name.
type Entry = ([u8; 3], String);

/// Writes it into a run directory, unless it is there as it should be.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn save(layout: &OutputLayout, pipeline: &Pipeline) -> Result<(), WriteError> {
    let path = layout.legend();
    let mut bytes = Cursor::new(Vec::new());
    let fail = |source| WriteError { operation: "write", path: path.clone(), source };
    draw(&entries(pipeline)).write_to(&mut bytes, ImageFormat::Png).map_err(|e| fail(std::io::Error::other(e)))?;
    if std::fs::read(&path).is_ok_and(|there| there == *bytes.get_ref()) {
        return Ok(());
    }
    atomic::write(&path, bytes.get_ref())
}

fn entries(pipeline: &Pipeline) -> Vec<Entry> {
    let classes = pipeline.classes.classes().iter().map(|class| (class.color.0, class.value, class.name.as_str()));
    let all: Vec<_> = classes.chain(pipeline.classes.nodata().map(|n| (n.color.0, n.value, "no data"))).collect();
    let digits = all.iter().map(|(_, value, _)| value.to_string().len()).max().unwrap_or(0);
    let shortened = |name: &str| match name.chars().count() > NAME {
        true => name.chars().take(NAME - 3).chain("...".chars()).collect(),
        false => name.to_owned(),
    };
    all.into_iter().map(|(color, value, name)| (color, format!("{value:>digits$} {}", shortened(name)))).collect()
}

/// The picture, in as many columns as it takes.
fn draw(entries: &[Entry]) -> RgbImage {
    let characters = entries.iter().map(|(_, text)| text.chars().count()).max().unwrap_or(0);
    let n = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let column = PATCH + 2 * MARGIN + n(characters * get_raster_width(WEIGHT, HEIGHT));
    let (columns, lines) = (n(entries.len().div_ceil(LINES)), n(entries.len().min(LINES)));
    let mut picture = RgbImage::from_pixel(MARGIN + columns * column, 2 * MARGIN + lines * LINE, PAPER);
    for (at, (color, text)) in entries.iter().enumerate() {
        let (x, y) = (MARGIN + n(at / LINES) * column, MARGIN + n(at % LINES) * LINE + (LINE - PATCH) / 2);
        for (dx, dy) in (0..PATCH).flat_map(|dy| (0..PATCH).map(move |dx| (dx, dy))) {
            let is_edge = [dx, dy].iter().any(|d| [0, PATCH - 1].contains(d));
            picture.put_pixel(x + dx, y + dy, if is_edge { EDGE } else { Rgb(*color) });
        }
        write(&mut picture, text, x + PATCH + MARGIN, y);
    }
    picture
}

/// Text from a corner; characters that the font lacks are boxes.
fn write(picture: &mut RgbImage, text: &str, mut x: u32, y: u32) {
    for character in text.chars() {
        let known = get_raster(character, WEIGHT, HEIGHT).or_else(|| get_raster('\u{fffd}', WEIGHT, HEIGHT));
        for (row, y) in known.iter().flat_map(|glyph| glyph.rows()).zip(y..) {
            for (ink, x) in row.iter().zip(x..) {
                if let Some(pixel) = picture.get_pixel_mut_checked(x, y) {
                    *pixel = Rgb([u8::MAX - ink; 3]);
                }
            }
        }
        x += u32::try_from(get_raster_width(WEIGHT, HEIGHT)).unwrap_or_default();
    }
}
