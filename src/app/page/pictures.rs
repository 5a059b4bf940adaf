//! Small pictures of scenes, their masks and other planes, as data URIs.
//!
//! Whatever the size of a scene, it is read once from top to bottom: pixels are summed up in squares, of a mask the most frequent label
//! is taken, and what comes of it is brought to its size by `image`. What is held is some rows, and a picture of at most twice the size: some
//! 80 MB for one of 960 pixels, at a time when a run has given back what its units held. Scenes are read through their decoders like
//! everywhere else.

use std::io::Cursor;
use std::path::Path;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, resize};
use image::{GrayImage, RgbImage};

use crate::config::Band;
use crate::geom::{PixelRect, Size, Span};
use crate::outputs::MaskReader;
use crate::plan::Plan;
use crate::raster::{PixelBuf, RasterSource, ReadRequest, with_held};

/// Bytes of a scene that are held at a time, unless a row has more.
const STRIP: usize = 4 << 20;

/// Beyond it quality shows in bytes alone.
const JPEG_QUALITY: u8 = 78;

/// Shares of values that are left out at both ends when a scene is stretched to what a screen shows.
const CLIPPED: f64 = 0.01;

/// The average of a square without data, and what it looks like.
const NO_DATA: f32 = f32::NAN;
const GREY: u8 = 128;

/// Until when pictures are made.
pub(in crate::app) struct Limit<'a> {
    /// The time, if it is limited.
    pub(in crate::app) until: Option<Instant>,
    /// Whether somebody has asked to stop.
    pub(in crate::app) is_stopped: &'a (dyn Fn() -> bool + Sync),
}

impl Limit<'_> {
    /// Whether no more is to be begun.
    pub(super) fn is_over(&self) -> bool {
        (self.is_stopped)() || self.until.is_some_and(|until| Instant::now() >= until)
    }
}

/// How a raster becomes small.
#[derive(Clone, Copy, Debug)]
struct Shrink {
    size: Size,
    /// Pixels a side of the squares.
    side: u32,
    squares: Size,
    /// What is wanted in the end: not larger than the raster.
    target: Size,
}

impl Shrink {
    /// To pictures whose longer side has so many pixels.
    fn of(size: Size, longest: u32) -> Self {
        let long = size.width.max(size.height);
        let side = (long / longest).max(1);
        let scaled = |n: u32| {
            let scaled = (u64::from(n) * u64::from(longest.min(long))).div_ceil(u64::from(long.max(1)));
            u32::try_from(scaled).unwrap_or(longest).max(1)
        };
        let squares = Size::new(size.width.div_ceil(side), size.height.div_ceil(side));
        let target = Size::new(scaled(size.width).min(squares.width), scaled(size.height).min(squares.height));
        Self { size, side, squares, target }
    }

    /// Whether a row of squares ends with this row of pixels.
    fn ends_with(self, y: u32) -> bool {
        (y + 1).is_multiple_of(self.side) || y + 1 == self.size.height
    }
}

/// A picture of a scene in the colours that its first network sees; nothing when there was no time for it.
///
/// # Errors
/// When the scene cannot be read.
pub(super) fn image(
    plan: &Plan,
    scene: usize,
    source: &mut dyn RasterSource,
    longest: u32,
    limit: &Limit<'_>,
) -> Result<Option<String>, String> {
    let size = plan.scenes[scene].header.size;
    let shrink = Shrink::of(size, longest);
    let bands = shown_bands(plan);
    let request = of_bands(plan.request(scene, PixelRect::whole(size)), &bands);
    let Some(squares) = averages(&request, shrink, source, limit)? else { return Ok(None) };
    let stretch = if request.dtype.stored_bytes() == 1 { (0.0, 255.0) } else { ends_of(&squares) };
    let picture = to_screen(&squares, shrink, stretch);
    let Size { width, height } = shrink.target;
    let picture = resize(&picture, width, height, FilterType::Lanczos3);
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY).encode_image(&picture).map_err(|e| e.to_string())?;
    Ok(Some(data_uri("image/jpeg", &jpeg)))
}

/// Which of the plan's bands are red, green and blue: by name, or else the first three of the first network; a single one is grey.
fn shown_bands(plan: &Plan) -> Vec<usize> {
    let place = |band: &Band| plan.bands.iter().position(|own| own == band);
    let named = ["red", "green", "blue"].map(|name| place(&Band::Name(name.to_owned())));
    if let [Some(red), Some(green), Some(blue)] = named {
        return vec![red, green, blue];
    }
    let first = plan.pipeline.members.first().map_or(&[][..], |member| &member.input.bands);
    let mut bands: Vec<usize> = first.iter().filter_map(place).collect();
    bands.truncate(if bands.len() < 3 { 1 } else { 3 });
    bands
}

fn of_bands(request: ReadRequest, bands: &[usize]) -> ReadRequest {
    let files = match request.files.as_slice() {
        [] => Vec::new(),
        files => bands.iter().filter_map(|band| files.get(*band).cloned()).collect(),
    };
    let nodata = bands.iter().map(|band| request.nodata.get(*band).copied().flatten()).collect();
    let bands = bands.iter().filter_map(|band| request.bands.get(*band).copied()).collect();
    ReadRequest { files, nodata, bands, ..request }
}

/// The average of each square in each band, squares without data being [`NO_DATA`]; band after band.
fn averages(
    request: &ReadRequest,
    shrink: Shrink,
    source: &mut dyn RasterSource,
    limit: &Limit<'_>,
) -> Result<Option<Vec<Vec<f32>>>, String> {
    let (Size { width, height }, n_bands) = (shrink.size, request.bands.len());
    let row_bytes = width as usize * request.dtype.bytes() * n_bands.max(1);
    let rows = u32::try_from(STRIP / row_bytes.max(1)).unwrap_or(u32::MAX).clamp(1, height);
    let mut squares = vec![Vec::with_capacity(shrink.squares.len()); n_bands];
    let mut sums = vec![vec![(0.0_f64, 0_u32); shrink.squares.width as usize]; n_bands];
    let mut top = 0;
    while top < height {
        if limit.is_over() {
            return Ok(None);
        }
        let strip = Span::new(top, top.saturating_add(rows).min(height));
        let window = PixelRect::from_spans(Span::new(0, width), strip);
        let request = ReadRequest { window, ..request.clone() };
        let mut pixels = PixelBuf::of_bytes(request.dtype, request.buffer_bytes());
        source.read(&request, pixels.bytes_mut()).map_err(|e| e.to_string())?;
        for y in strip.start..strip.end {
            let at = (y - strip.start) as usize * width as usize;
            for (band, sums) in sums.iter_mut().enumerate() {
                let nodata = request.nodata.get(band).copied().flatten().map(f64::from_bits);
                let from = band * window.size.len() + at;
                with_held!(request.dtype, T => add(&pixels.values::<T>()[from..from + width as usize], shrink.side, nodata, sums));
            }
            if shrink.ends_with(y) {
                for (sums, squares) in sums.iter_mut().zip(&mut squares) {
                    squares.extend(sums.iter_mut().map(|sum| mean(std::mem::take(sum))));
                }
            }
        }
        top = strip.end;
    }
    Ok(Some(squares))
}

fn add<T: Copy + Into<f64>>(row: &[T], side: u32, nodata: Option<f64>, sums: &mut [(f64, u32)]) {
    for (values, (sum, n)) in row.chunks(side as usize).zip(sums) {
        for value in values.iter().map(|value| (*value).into()) {
            if value.is_finite() && Some(value) != nodata {
                *sum += value;
                *n += 1;
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "what is shown has 8 bits")]
fn mean((sum, n): (f64, u32)) -> f32 {
    if n == 0 { NO_DATA } else { (sum / f64::from(n)) as f32 }
}

/// The values between which a scene lies, but for a few at both ends, all bands together: colours stay what they are.
fn ends_of(squares: &[Vec<f32>]) -> (f32, f32) {
    let mut values: Vec<f32> = squares.iter().flatten().copied().filter(|value| value.is_finite()).collect();
    values.sort_unstable_by(f32::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length is one")]
    let clipped = (values.len() as f64 * CLIPPED) as usize;
    match (values.get(clipped), values.get(values.len().saturating_sub(1 + clipped))) {
        (Some(low), Some(high)) if high > low => (*low, *high),
        (_, Some(high)) => (high - 1.0, *high),
        (_, None) => (0.0, 1.0),
    }
}

fn to_screen(squares: &[Vec<f32>], shrink: Shrink, (low, high): (f32, f32)) -> RgbImage {
    let Size { width, height } = shrink.squares;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 255")]
    let shown = |square: usize, channel: usize| {
        let band = squares.get(channel.min(squares.len().saturating_sub(1)));
        let value = band.and_then(|band| band.get(square)).copied().unwrap_or(NO_DATA);
        if value.is_finite() { ((value - low) / (high - low) * 255.0).round().clamp(0.0, 255.0) as u8 } else { GREY }
    };
    RgbImage::from_fn(width, height, |x, y| {
        let square = y as usize * width as usize + x as usize;
        image::Rgb([0, 1, 2].map(|channel| shown(square, channel)))
    })
}

/// A picture of a mask in the colours of a legend; nothing when there was no time for it. `entry_of` is the place in the legend of each
/// value of the mask.
///
/// # Errors
/// When the file cannot be read, or is of another size.
pub(super) fn mask(
    path: &Path,
    size: Size,
    longest: u32,
    entry_of: &dyn Fn(u16) -> u8,
    colors: &[[u8; 3]],
    limit: &Limit<'_>,
) -> Result<Option<String>, String> {
    let mut labels = Labels::new(size, longest, colors);
    let whole = rows_of(path, size, limit, |y, row| labels.add(y, row.iter().map(|value| entry_of(*value))))?;
    Ok(if whole { Some(labels.picture()?) } else { None })
}

/// Labels that become small: each square has the most frequent one.
pub(super) struct Labels<'a> {
    shrink: Shrink,
    colors: &'a [[u8; 3]],
    counts: Vec<u32>,
    squares: Vec<u8>,
}

impl<'a> Labels<'a> {
    /// For a picture whose longer side has so many pixels, in the colours of a legend.
    pub(super) fn new(size: Size, longest: u32, colors: &'a [[u8; 3]]) -> Self {
        let shrink = Shrink::of(size, longest);
        let counts = vec![0; shrink.squares.width as usize * colors.len().max(1)];
        Self { shrink, colors, counts, squares: Vec::with_capacity(shrink.squares.len()) }
    }

    /// Adds the next row: places in the legend.
    pub(super) fn add(&mut self, y: u32, row: impl Iterator<Item = u8>) {
        let n_entries = self.colors.len().max(1);
        let side = self.shrink.side as usize;
        for (x, entry) in row.enumerate() {
            self.counts[x / side * n_entries + usize::from(entry).min(n_entries - 1)] += 1;
        }
        if self.shrink.ends_with(y) {
            let most = |counts: &[u32]| -> u8 {
                (0..=u8::MAX).zip(counts).max_by_key(|(entry, n)| (**n, u8::MAX - *entry)).map_or(0, |(entry, _)| entry)
            };
            self.squares.extend(self.counts.chunks_exact(n_entries).map(most));
            self.counts.fill(0);
        }
    }

    /// The picture, when all rows are there.
    pub(super) fn picture(self) -> Result<String, String> {
        indexed(self.squares, self.shrink, self.colors)
    }
}

/// A picture of any plane of one byte per pixel, from 0 as the first of the colours to 254 as the last but one, which stands for no data;
/// nothing when there was no time for it.
///
/// # Errors
/// When the file cannot be read, or is of another size.
pub(super) fn heat(
    path: &Path,
    size: Size,
    source: &mut dyn RasterSource,
    longest: u32,
    colors: &[[u8; 3]],
    limit: &Limit<'_>,
) -> Result<Option<String>, String> {
    let header = source.inspect(path, None).map_err(|e| e.to_string())?;
    if header.size != size || header.dtype.stored_bytes() != 1 {
        return Err(format!("`{}` is no plane of bytes of {size}", path.display()));
    }
    let shrink = Shrink::of(size, longest);
    let request = header.request(path.to_owned(), None, PixelRect::whole(size), vec![1]);
    let Some(squares) = averages(&request, shrink, source, limit)? else { return Ok(None) };
    let steps = colors.len().saturating_sub(2) as f32;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most the number of colours")]
    let shade =
        |value: f32| if value.is_finite() { (value / 254.0 * steps).min(steps).round() as u8 } else { steps as u8 + 1 };
    let shades = squares.into_iter().flatten().map(shade).collect();
    Ok(Some(indexed(shades, shrink, colors)?))
}

/// Hands out the rows of a mask; whether there was time for all of them.
fn rows_of(path: &Path, size: Size, limit: &Limit<'_>, mut each: impl FnMut(u32, &[u16])) -> Result<bool, String> {
    let mut reader = MaskReader::open(path).map_err(|e| e.to_string())?;
    if reader.size() != size {
        return Err(format!("`{}` is of {}, the scene of {size}", path.display(), reader.size()));
    }
    let mut row = Vec::new();
    for y in 0..size.height {
        if (y.is_multiple_of(256) && limit.is_over()) || !reader.next_row(&mut row).map_err(|e| e.to_string())? {
            return Ok(false);
        }
        each(y, &row);
    }
    Ok(true)
}

/// Indices as a PNG with these colours.
fn indexed(squares: Vec<u8>, shrink: Shrink, colors: &[[u8; 3]]) -> Result<String, String> {
    let (Size { width, height }, target) = (shrink.squares, shrink.target);
    let picture = GrayImage::from_raw(width, height, squares).ok_or("a row is missing")?;
    let picture = resize(&picture, target.width, target.height, FilterType::Nearest);
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(Cursor::new(&mut file), target.width, target.height);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_palette(colors.concat());
    encoder.set_compression(png::Compression::High);
    encoder.set_filter(png::Filter::NoFilter);
    let mut encoder = encoder.write_header().map_err(|e| e.to_string())?;
    encoder.write_image_data(picture.as_raw()).map_err(|e| e.to_string())?;
    encoder.finish().map_err(|e| e.to_string())?;
    Ok(data_uri("image/png", &file))
}

fn data_uri(kind: &str, bytes: &[u8]) -> String {
    format!("data:{kind};base64,{}", STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MaskDepth;
    use crate::raster::{MemoryRaster, MemorySource, OpenSource, PixelType};

    const EVER: Limit<'static> = Limit { until: None, is_stopped: &|| false };

    fn decoded(uri: &str) -> RgbImage {
        let bytes = STANDARD.decode(uri.split(',').nth(1).unwrap()).unwrap();
        image::load_from_memory(&bytes).unwrap().to_rgb8()
    }

    #[test]
    fn a_raster_becomes_squares_and_then_what_is_wanted() {
        let of = |width, height, longest| Shrink::of(Size::new(width, height), longest);
        let long = of(1000, 10, 96);
        assert_eq!((long.side, long.squares, long.target), (10, Size::new(100, 1), Size::new(96, 1)));
        let small = of(7, 5, 96);
        assert_eq!((small.side, small.squares, small.target), (1, Size::new(7, 5), Size::new(7, 5)));
        let huge = of(u32::MAX, 3, 960);
        assert_eq!((huge.target, huge.squares.height), (Size::new(960, 1), 1));
    }

    #[test]
    fn squares_are_the_averages_of_what_is_data() {
        let size = Size::new(5, 3);
        let values: Vec<u16> = vec![1, 3, 9, 9, 100, 5, 7, 9, 9, 200, 10, 20, 30, 9, 9];
        let mut raster = MemoryRaster::new(size, 1, PixelBuf::from_slice(PixelType::U16, &values));
        raster.header.nodata = vec![Some(9.0)];
        let request = raster.header.request("a.tif".into(), None, PixelRect::whole(size), vec![1]);
        let mut source = MemorySource::new([("a.tif".into(), raster)]).open();
        let shrink = Shrink { size, side: 2, squares: Size::new(3, 2), target: Size::new(3, 2) };
        let squares = averages(&request, shrink, source.as_mut(), &EVER).unwrap().unwrap().remove(0);
        assert!(squares[1].is_nan() && squares[5].is_nan(), "{squares:?}");
        assert_eq!([squares[0], squares[2], squares[3], squares[4]], [4.0, 150.0, 15.0, 30.0]);
        assert_eq!(ends_of(&[squares]), (4.0, 150.0));
        assert_eq!(ends_of(&[vec![NO_DATA]]), (0.0, 1.0));
        let over = Limit { until: None, is_stopped: &|| true };
        assert!(averages(&request, shrink, source.as_mut(), &over).unwrap().is_none());
    }

    #[test]
    fn a_square_of_a_mask_has_its_most_frequent_class() {
        let (dir, size) = (tempfile::tempdir().unwrap(), Size::new(4, 2));
        let path = dir.path().join("a.png");
        GrayImage::from_raw(4, 2, vec![7, 7, 5, 5, 5, 7, 5, 7]).unwrap().save(&path).unwrap();
        let colors = [[1, 2, 3], [200, 100, 50]];
        let uri = mask(&path, size, 2, &|value| u8::from(value == 7), &colors, &EVER).unwrap().unwrap();
        assert_eq!(decoded(&uri).into_raw(), [200, 100, 50, 1, 2, 3]);
        let wrong = mask(&path, Size::new(4, 3), 2, &|_| 0, &colors, &EVER).unwrap_err();
        assert!(wrong.contains("a.png") && wrong.contains("4 x 3"), "{wrong}");
        // The largest table: 255 classes and what has no data.
        let all: Vec<[u8; 3]> = (0..=u8::MAX).map(|n| [n; 3]).collect();
        crate::outputs::constant(&path, size, MaskDepth::Eight, 255).unwrap().file.persist().unwrap();
        let uri = mask(&path, size, 4, &|value| u8::try_from(value).unwrap(), &all, &EVER).unwrap().unwrap();
        assert!(decoded(&uri).into_raw().iter().all(|value| *value == 255));
    }

    #[test]
    fn a_plane_of_bytes_is_shown_from_agreement_to_the_lack_of_it() {
        let size = Size::new(3, 1);
        let mut raster = MemoryRaster::u8(size, 1, &[0, 254, 255]);
        raster.header.nodata = vec![Some(255.0)];
        let mut source = MemorySource::new([("a.tif".into(), raster)]).open();
        let colors = [[10, 0, 0], [20, 0, 0], [30, 0, 0], [9, 9, 9]];
        let uri = heat(Path::new("a.tif"), size, source.as_mut(), 8, &colors, &EVER).unwrap().unwrap();
        assert_eq!(decoded(&uri).into_raw(), [10, 0, 0, 30, 0, 0, 9, 9, 9]);
        assert!(heat(Path::new("a.tif"), Size::new(1, 3), source.as_mut(), 8, &colors, &EVER).is_err());
    }
}
