//! What a pair holds, read once from top to bottom.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::labels::{IGNORED, LabelRule};
use super::{Moments, Pair};
use crate::config::classes::ClassId;
use crate::config::{Band, Pipeline};
use crate::flow::Stop;
use crate::geom::{PixelRect, Span};
use crate::plan::{choose, seen, validity};
use crate::raster::{
    Fitting, Mask, Palette, PixelBuf, PixelType, RasterError, ReadRequest, SceneHeader, whole, with_held,
};
use crate::words::{count, listed};

/// How long a decoder may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes that are read of an image at a time, at least a row.
const WINDOW: u64 = 4 << 20;

/// Values that are no class are counted apart up to so many; a photograph has more.
const DISTINCT: usize = 256;

/// And so many are named.
const NAMED: usize = 8;

/// What a pair holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Survey {
    /// Its grid.
    pub header: SceneHeader,
    /// Pixels by class id, those that take no part at [`IGNORED`].
    pub pixels: Vec<u64>,
    /// Of each band that the pipeline reads, over the pixels with data, in the unit that is normalised: value by divisor.
    pub bands: Vec<Moments>,
}

/// Reads pairs. Owned by one thread.
pub struct Surveyor<'a> {
    pipeline: &'a Pipeline,
    rule: &'a LabelRule,
    images: Fitting,
    masks: Fitting,
}

/// The files of an image as one, and which of their bands are read.
struct Image {
    header: SceneHeader,
    bands: Vec<u32>,
    divisor: f64,
}

/// How a mask says what is where.
enum Form {
    Values,
    Colors,
}

impl<'a> Surveyor<'a> {
    /// For the bands and classes of a pipeline.
    pub fn new(pipeline: &'a Pipeline, rule: &'a LabelRule) -> Self {
        Self { pipeline, rule, images: Fitting::new(TIMEOUT), masks: Fitting::new(TIMEOUT) }
    }

    /// The header of a pair's image.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn header(&mut self, pair: &Pair) -> Result<SceneHeader, String> {
        match pair.images.first() {
            Some(image) => self.inspect(image),
            None => Err("it has no image".to_owned()),
        }
    }

    /// Reads a pair; `None` when it is stopped.
    ///
    /// # Errors
    /// Why it is no use: a file that is not there or damaged, grids that differ, values that are no class, bands that are missing.
    pub fn survey(&mut self, pair: &Pair, stop: &Stop) -> Result<Option<Survey>, String> {
        let image = self.image(pair)?;
        let mask = self.inspect(&pair.mask)?;
        let form = form(&mask).map_err(|reason| format!("the mask `{}` {reason}", pair.mask.display()))?;
        same_grid(&image.header, &mask)?;
        let bands = vec![Moments::default(); image.bands.len()];
        let mut survey = Survey { header: image.header.clone(), pixels: vec![0; 256], bands };
        let mut unknown = BTreeMap::new();
        let size = mask.size;
        let row = u64::from(size.width) * (image.bands.len() * image.header.dtype.bytes()) as u64;
        let n_rows = u32::try_from(WINDOW / row.max(1)).unwrap_or(u32::MAX).max(1);
        let mut y = 0;
        while y < size.height && !stop.is_cut() {
            let rows = Span::new(y, y.saturating_add(n_rows).min(size.height));
            let window = PixelRect::from_spans(Span::new(0, size.width), rows);
            self.labels(&pair.mask, &mask, &form, window, &mut survey.pixels, &mut unknown)?;
            self.pixels(pair, &image, window, &mut survey.bands)?;
            y = rows.end;
        }
        match unknown.is_empty() {
            _ if stop.is_cut() => Ok(None),
            true => Ok(Some(survey)),
            false => Err(self.no_classes(&form, &unknown)),
        }
    }

    fn inspect(&mut self, path: &Path) -> Result<SceneHeader, String> {
        self.images.inspect(path).map_err(|e| format!("`{}`: {e}", path.display()))
    }

    /// The headers of an image's files as one.
    fn image(&mut self, pair: &Pair) -> Result<Image, String> {
        let wanted = self.pipeline.bands();
        let mut header = seen(self.header(pair)?, &self.pipeline.reading, &wanted);
        for file in pair.images.iter().skip(1) {
            let other = seen(self.inspect(file)?, &self.pipeline.reading, &wanted);
            if (other.size, other.dtype, other.n_bands) != (header.size, header.dtype, 1) {
                let (own, its) = (&header, &other);
                return Err(format!(
                    "`{}` holds {} of {} {} pixels, and the first channel 1 of {} {}",
                    file.display(),
                    count(its.n_bands.into(), "band"),
                    its.size,
                    its.dtype,
                    own.size,
                    own.dtype
                ));
            }
            header.nodata.extend(other.nodata);
            header.n_bands += 1;
        }
        let numbers = choose(&header, &wanted)?;
        let bands = if numbers.is_empty() {
            (1..)
                .zip(&wanted)
                .map(|(at, band)| match band {
                    Band::Number(number) => *number,
                    Band::Name(_) | Band::File(_) => at,
                })
                .collect()
        } else {
            numbers
        };
        let divide = self.pipeline.members.first().and_then(|member| member.input.divide.get(&header.dtype));
        let divisor = *divide
            .ok_or_else(|| format!("the image holds {0} values and input.divide has no {0}; add it", header.dtype))?;
        Ok(Image { header, bands, divisor })
    }

    fn labels(
        &mut self,
        path: &Path,
        header: &SceneHeader,
        form: &Form,
        window: PixelRect,
        pixels: &mut [u64],
        unknown: &mut BTreeMap<String, u64>,
    ) -> Result<(), String> {
        let bands = match form {
            Form::Values => vec![1],
            Form::Colors => vec![1, 2, 3],
        };
        let request = header.request(path.to_owned(), None, window, bands);
        let buffer = read(&mut self.masks, header, &request).map_err(|e| format!("`{}`: {e}", path.display()))?;
        let mut note = |class: Option<ClassId>, text: &dyn Fn() -> String| match class {
            Some(class) => pixels[usize::from(class)] += 1,
            None => {
                let text = text();
                let is_listed = unknown.len() < DISTINCT || unknown.contains_key(&text);
                *unknown.entry(if is_listed { text } else { "others".to_owned() }).or_default() += 1;
            }
        };
        let area = window.size.len();
        match form {
            Form::Colors => {
                let bytes = buffer.bytes();
                for at in 0..area {
                    let color = [bytes[at], bytes[area + at], bytes[2 * area + at]];
                    note(self.rule.of_color(color), &|| format!("#{}", crate::hex(&color)));
                }
            }
            Form::Values => {
                let nodata = header.nodata.first().copied().flatten();
                with_held!(header.dtype, T => for value in buffer.values::<T>() {
                    let value = f64::from(*value);
                    let class = if Some(value) == nodata { Some(IGNORED) } else { whole(value).and_then(|value| self.rule.of_value(value)) };
                    note(class, &|| value.to_string());
                });
            }
        }
        Ok(())
    }

    fn pixels(&mut self, pair: &Pair, image: &Image, window: PixelRect, bands: &mut [Moments]) -> Result<(), String> {
        let Image { header, divisor, .. } = image;
        let (path, files): (PathBuf, Vec<PathBuf>) = match pair.images.as_slice() {
            [one] => (one.clone(), Vec::new()),
            several => (
                several.first().cloned().unwrap_or_default(),
                image.bands.iter().filter_map(|band| several.get(*band as usize - 1).cloned()).collect(),
            ),
        };
        let mask = header.mask == Mask::Dataset;
        let request = ReadRequest { mask, files, ..header.request(path.clone(), None, window, image.bands.clone()) };
        let mut buffer = read(&mut self.images, header, &request).map_err(|e| format!("`{}`: {e}", path.display()))?;
        let mask = buffer.split_tail(request.plane_bytes() * image.bands.len());
        let valid = validity(header, &image.bands, window, &buffer, mask, Some(self.pipeline.reading.nodata))?;
        let is_valid = |at: usize| valid.as_ref().is_none_or(|valid| valid[at] != 0);
        let area = window.size.len();
        with_held!(header.dtype, T => for (plane, moments) in buffer.values::<T>().chunks_exact(area).zip(bands) {
            let data = plane.iter().enumerate().filter(|(at, _)| is_valid(*at));
            moments.join(Moments::of(data.map(|(_, value)| f64::from(*value) / divisor)));
        });
        Ok(())
    }

    /// Says which values stand for nothing, and what may help.
    fn no_classes(&self, form: &Form, unknown: &BTreeMap<String, u64>) -> String {
        let mut most: Vec<(&String, &u64)> = unknown.iter().collect();
        most.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let named: Vec<String> = most.iter().map(|(value, n)| format!("{value} ({})", count(**n, "pixel"))).collect();
        let known: Vec<String> = self.rule.values().map(|value| value.to_string()).collect();
        let known = match form {
            Form::Values => format!("classes have the values {}", listed(&known, NAMED)),
            Form::Colors => "no class has these colours".to_owned(),
        };
        format!(
            "the mask holds what is no class: {}; {known}; set data.labels = \"id\" if masks hold positions in the class table, or say in \
             data.remap what they are",
            listed(&named, NAMED)
        )
    }
}

fn read(source: &mut Fitting, header: &SceneHeader, request: &ReadRequest) -> Result<PixelBuf, RasterError> {
    let mut buffer = PixelBuf::of_bytes(request.dtype, request.buffer_bytes());
    source.for_request(header, request).read(request, buffer.bytes_mut())?;
    Ok(buffer)
}

/// What keeps a file from being a mask, or how it is one.
fn form(header: &SceneHeader) -> Result<Form, String> {
    let is_palette = header.palette == Palette::Indices;
    let is_integer = matches!(header.dtype, PixelType::U8 | PixelType::I8 | PixelType::U16 | PixelType::I16);
    match header.n_bands {
        _ if is_palette => Ok(Form::Values),
        1 | 2 if is_integer => Ok(Form::Values),
        3 | 4 if header.dtype == PixelType::U8 => Ok(Form::Colors),
        n => Err(format!(
            "holds {} of {} values; a mask holds one band of 8 or 16 bits, or the classes' colours in three of 8",
            count(n.into(), "band"),
            header.dtype
        )),
    }
}

fn same_grid(image: &SceneHeader, mask: &SceneHeader) -> Result<(), String> {
    if image.size != mask.size {
        return Err(format!("the image has {} pixels and the mask {}", image.size, mask.size));
    }
    let (Some(a), Some(b)) = (image.transform, mask.transform) else { return Ok(()) };
    let [pixel, _] = a.pixel_lengths([1.0; 2]);
    let (w, h) = (f64::from(image.size.width), f64::from(image.size.height));
    let off = [(0.0, 0.0), (w, 0.0), (0.0, h)].map(|(col, row)| {
        let ([ax, ay], [bx, by]) = (a.at(col, row), b.at(col, row));
        (ax - bx).hypot(ay - by) / pixel.max(f64::MIN_POSITIVE)
    });
    match off.into_iter().fold(0.0, f64::max) {
        off if off > 0.01 => {
            Err(format!("image and mask lie {off:.2} pixels apart on the ground, by their georeferences"))
        }
        _ => Ok(()),
    }
}
