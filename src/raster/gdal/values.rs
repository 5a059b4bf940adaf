//! How the planes that are asked for are made of what a file stores.

use gdal::raster::{GdalType, RasterBand};

use super::{Opened, errors, preflight};
use crate::geom::{PixelRect, Span};
use crate::raster::{Palette, PixelType, RasterError, ReadRequest, Scale, with_held};

/// Bytes that are converted at a time, at least a row.
const CHUNK: usize = 64 << 10;

/// A plane that is asked for.
pub(super) struct Plane<'a> {
    /// Its number, counted from 1.
    pub(super) idx: u32,
    /// Where it comes from.
    pub(super) band: RasterBand<'a>,
    made: Made<'a>,
}

/// What its values are made of.
enum Made<'a> {
    /// Of what is stored.
    Stored,
    /// Of signed bytes.
    SignedBytes,
    /// Of indices: this component of the colours that they mean.
    Colors(&'a [[u8; 4]], usize),
    /// Of numbers of this type.
    Numbers(PixelType, Rule),
}

/// How numbers become f32.
#[derive(Clone, Copy)]
struct Rule {
    /// What means no data. It is told from all other values before the conversion, and after it.
    nodata: Option<f64>,
    scale: f64,
    offset: f64,
}

impl<'a> Plane<'a> {
    /// The plane of this number in a request.
    pub(super) fn new(
        opened: &'a Opened,
        request: &ReadRequest,
        idx: u32,
        nodata: Option<u64>,
    ) -> Result<Self, RasterError> {
        let colors = matches!(request.palette, Palette::Colors { .. });
        let band =
            opened.dataset.rasterband(if colors { 1 } else { idx as usize }).map_err(|_| RasterError::Changed)?;
        let stored = preflight::pixel_type(&band, opened.directory.as_ref())?;
        let nodata = nodata.map(f64::from_bits);
        let made = match request.scale {
            _ if colors && (1..=3).contains(&idx) => Made::Colors(&opened.palette, idx as usize - 1),
            _ if colors => return Err(RasterError::Changed),
            Scale::Applied { .. } => {
                let (scale, offset) = (band.scale().unwrap_or(1.0), band.offset().unwrap_or(0.0));
                Made::Numbers(stored, Rule { nodata, scale, offset })
            }
            Scale::None | Scale::Ignored if stored != request.dtype => return Err(RasterError::Changed),
            Scale::None | Scale::Ignored => match stored {
                PixelType::U8 | PixelType::U16 | PixelType::I16 | PixelType::F32 => Made::Stored,
                PixelType::I8 => Made::SignedBytes,
                PixelType::U32 | PixelType::I32 | PixelType::U64 | PixelType::I64 | PixelType::F64 => {
                    Made::Numbers(stored, Rule { nodata, scale: 1.0, offset: 0.0 })
                }
            },
        };
        Ok(Self { idx, band, made })
    }

    /// Fills its place with some rows.
    pub(super) fn read(&self, dtype: PixelType, rect: PixelRect, into: &mut [u8]) -> Result<(), String> {
        match self.made {
            Made::Stored => with_held!(dtype, T => read_into::<T>(&self.band, rect, of_bytes(into)?)),
            Made::SignedBytes => {
                let into = of_bytes(into)?;
                read_into::<i16>(&self.band, rect, into)?;
                into.iter_mut().for_each(|value| *value = signed(*value));
                Ok(())
            }
            Made::Colors(palette, component) => in_chunks(&self.band, rect, into, |index: u16, out| {
                *out = palette.get(usize::from(index)).map_or(0, |color| color[component]);
            }),
            Made::Numbers(stored, rule) => {
                let (band, into) = (&self.band, of_bytes(into)?);
                match stored {
                    PixelType::U8 => in_chunks(band, rect, into, rule.of::<u8>()),
                    PixelType::I8 => in_chunks(band, rect, into, |value, out| rule.of::<i16>()(signed(value), out)),
                    PixelType::U16 => in_chunks(band, rect, into, rule.of::<u16>()),
                    PixelType::I16 => in_chunks(band, rect, into, rule.of::<i16>()),
                    PixelType::U32 => in_chunks(band, rect, into, rule.of::<u32>()),
                    PixelType::I32 => in_chunks(band, rect, into, rule.of::<i32>()),
                    PixelType::U64 => in_chunks(band, rect, into, rule.of::<u64>()),
                    PixelType::I64 => in_chunks(band, rect, into, rule.of::<i64>()),
                    PixelType::F32 => in_chunks(band, rect, into, rule.of::<f32>()),
                    PixelType::F64 => in_chunks(band, rect, into, rule.of::<f64>()),
                }
            }
        }
    }
}

/// A number that a file can store.
trait Number: GdalType + Copy + Default + PartialEq {
    /// As good as f64 can.
    fn wide(self) -> f64;
    /// The number that is written so, if there is one.
    fn narrow(value: f64) -> Option<Self>;
}

macro_rules! numbers {
    (#[$lints:meta] $($T:ident)*) => {$(
        impl Number for $T {
            fn wide(self) -> f64 {
                self as f64
            }

            #[$lints]
            fn narrow(value: f64) -> Option<Self> {
                let narrow = value as Self;
                (narrow as f64 == value).then_some(narrow)
            }
        }
    )*};
}
numbers!(
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "compared with what it came from")]
    u8 u16 u32 u64
);
numbers!(
    #[expect(clippy::cast_possible_truncation, reason = "compared with what it came from")]
    i16 i32 i64 f32
);

impl Number for f64 {
    fn wide(self) -> f64 {
        self
    }

    fn narrow(value: f64) -> Option<Self> {
        Some(value)
    }
}

impl Rule {
    /// The conversion from a type. What is no data becomes the nodata value as f32, and nothing else does: a value that would is moved by
    /// a step.
    #[expect(clippy::cast_possible_truncation, reason = "to f32 is the point")]
    fn of<T: Number>(self) -> impl Fn(T, &mut f32) {
        let mark = self.nodata.map(|value| value as f32);
        let nodata = self.nodata.and_then(T::narrow);
        let is_plain = (self.scale, self.offset) == (1.0, 0.0);
        move |value, out| {
            let number = value.wide();
            let number = if is_plain { number } else { number * self.scale + self.offset } as f32;
            *out = match mark {
                Some(mark) if nodata == Some(value) => mark,
                Some(mark) if number == mark && mark.is_finite() => {
                    if mark > 0.0 {
                        mark.next_down()
                    } else {
                        mark.next_up()
                    }
                }
                _ => number,
            };
        }
    }
}

/// A signed byte: older GDALs hand it out as if it had no sign.
#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss, reason = "the low byte")]
fn signed(value: i16) -> i16 {
    i16::from(value as u8 as i8)
}

fn of_bytes<T: bytemuck::Pod>(bytes: &mut [u8]) -> Result<&mut [T], String> {
    bytemuck::try_cast_slice_mut(bytes).map_err(|e| format!("buffer: {e}"))
}

/// Reads a rectangle of a band.
pub(super) fn read_into<T: GdalType + Copy>(
    band: &RasterBand<'_>,
    rect: PixelRect,
    values: &mut [T],
) -> Result<(), String> {
    let extent = (rect.size.width as usize, rect.size.height as usize);
    let read = band.read_into_slice((rect.x as isize, rect.y as isize), extent, extent, values, None);
    match (read, errors::take()) {
        (Ok(()), None) => Ok(()),
        (_, Some(raised)) => Err(raised),
        (Err(e), None) => Err(e.to_string()),
    }
}

/// Reads a rectangle of a band and does something with each value and its place, a few rows at a time.
pub(super) fn in_chunks<T: GdalType + Copy + Default, U>(
    band: &RasterBand<'_>,
    rect: PixelRect,
    into: &mut [U],
    each: impl Fn(T, &mut U),
) -> Result<(), String> {
    let width = rect.size.width as usize;
    let rows = (CHUNK / (width * size_of::<T>()).max(1)).clamp(1, rect.size.height as usize);
    let mut values = vec![T::default(); rows * width];
    for (at, into) in (rect.y..).step_by(rows).zip(into.chunks_mut(rows * width)) {
        let values = &mut values[..into.len()];
        let n_rows = u32::try_from(into.len() / width).unwrap_or(u32::MAX);
        read_into(band, PixelRect::from_spans(rect.xs(), Span::new(at, at + n_rows)), values)?;
        into.iter_mut().zip(values).for_each(|(out, value)| each(*value, out));
    }
    Ok(())
}
