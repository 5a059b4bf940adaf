//! Windows of pairs: pixels as `swath run` sees them, and labels as class ids.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::labels::LabelRule;
use super::mask::{MaskFile, Masks, Unknown, inspect, read};
use super::{Found, Pair};
use crate::config::Pipeline;
use crate::flow::Stop;
use crate::geom::{PixelRect, Size, Span};
use crate::plan::{Decode, at_resolution, numbers, seen, validity};
use crate::raster::{
    Allowed, Driver, Drivers, Fitting, Mask, Order, Palette, PixelBuf, PixelType, ReadRequest, Resampled, Resampling,
    SceneHeader, Warned, is_mosaic,
};
use crate::words::count;

/// Bytes that are read of an image at a time where all of it is read, at least a row.
const STRIP: u64 = 4 << 20;

/// Makes what decodes a layer.
type Decoders = Box<dyn Fn(Layer) -> Fitting + Send + Sync>;

/// By what pairs are read.
pub struct Setup {
    pub(super) pipeline: Pipeline,
    pub(super) rule: Arc<LabelRule>,
    decoder: Decoders,
    homes: Vec<PathBuf>,
}

impl Setup {
    /// By the bands and classes of a pipeline, pairs that were found in a folder or list. Parts of mosaics lie there as those of scenes do.
    ///
    /// # Errors
    /// As [`LabelRule::of`].
    pub fn of(pipeline: &Pipeline, input: &Path, pairs: &[Pair]) -> Result<Arc<Self>, String> {
        let allowed = allowed(pipeline.reading.drivers, input, pairs);
        let homes = allowed.roots.clone();
        let decoder = move |layer| match layer {
            Layer::Image => Fitting::allowing(Decode::TIMEOUT, allowed.clone()),
            // What scenes may be says nothing of masks.
            Layer::Labels => Fitting::new(Decode::TIMEOUT),
        };
        Ok(Arc::new(Self { homes, ..Self::new(pipeline, Box::new(decoder))? }))
    }

    #[cfg(test)]
    pub(super) fn through(pipeline: &Pipeline, decoder: Decoders) -> Result<Arc<Self>, String> {
        Self::new(pipeline, decoder).map(Arc::new)
    }

    fn new(pipeline: &Pipeline, decoder: Decoders) -> Result<Self, String> {
        let rule = Arc::new(LabelRule::of(pipeline)?);
        Ok(Self { pipeline: pipeline.clone(), rule, decoder, homes: Vec::new() })
    }

    /// Folders below which parts of mosaics lie.
    pub fn homes(&self) -> &[PathBuf] {
        &self.homes
    }
}

/// What may be opened to read the images of pairs that were found in a folder or list.
pub fn allowed(drivers: Drivers, input: &Path, pairs: &[Pair]) -> Allowed {
    let files = pairs.iter().flat_map(|pair| &pair.images).map(PathBuf::as_path);
    match input.is_dir() {
        true => Allowed::below(drivers, input, files),
        false => Allowed::listed(drivers, input.parent().unwrap_or(input), files),
    }
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup").finish_non_exhaustive()
    }
}

/// Reads pairs. Owned by one thread.
pub struct Reader {
    pub(super) setup: Arc<Setup>,
    images: Fitting,
    masks: Masks,
}

/// A pair whose headers go together.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    /// The files of the image as one.
    pub(super) header: SceneHeader,
    files: Vec<PathBuf>,
    /// Those that are read, counted from 1.
    pub(super) bands: Vec<u32>,
    /// What values are divided by.
    pub(super) divisor: f64,
    mask: MaskFile,
    /// The grid that is read: the scene's own, or the networks'.
    pub(super) grid: Size,
}

/// What a pair has of each pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Layer {
    Labels,
    Image,
}

/// A layer over a window.
#[derive(Debug)]
pub(super) struct Planes {
    /// One behind the other.
    pub(super) pixels: PixelBuf,
    /// 0 where there is no data; `None` where all is.
    pub(super) valid: Option<Vec<u8>>,
}

impl Opened {
    /// The same on the networks' grid.
    pub(super) fn at_resolution(self, setup: &Setup) -> Result<Self, String> {
        let (header, grid) = at_resolution(self.header, &setup.pipeline.reading)?;
        Ok(Self { header, grid, ..self })
    }

    /// Forgets what only a person wants to know.
    pub(super) fn in_short(self) -> Self {
        let short = |header: SceneHeader| SceneHeader { crs: None, ties: None, names: Vec::new(), ..header };
        Self { header: short(self.header), mask: self.mask.with_header(short), ..self }
    }

    fn resampling(&self, layer: Layer) -> Option<Resampling> {
        let indexed = layer == Layer::Labels || self.header.palette == Palette::Indices;
        Resampling::between(self.header.size, self.grid, indexed)
    }

    /// What a layer holds of each pixel.
    fn form(&self, layer: Layer) -> (PixelType, usize) {
        match layer {
            Layer::Labels => (PixelType::U8, 1),
            Layer::Image => (self.header.dtype, self.bands.len()),
        }
    }

    /// Bytes of a pixel of a layer, at most.
    pub(super) fn pixel_bytes(&self, layer: Layer) -> u64 {
        let (dtype, n_bands) = self.form(layer);
        let valid = layer == Layer::Image && self.header.can_lack_data();
        (dtype.bytes() * n_bands) as u64 + u64::from(valid)
    }

    /// Whether a window can be decoded without what lies beside it.
    pub(super) fn is_tiled(&self, layer: Layer) -> bool {
        let header = match layer {
            Layer::Labels => self.mask.header(),
            Layer::Image => &self.header,
        };
        header.order == Order::Blocks && header.is_tiled()
    }

    /// All of the grid from the top, in windows that can be held.
    pub(super) fn strips(&self) -> impl Iterator<Item = PixelRect> + use<> {
        let (grid, row) = (self.grid, u64::from(self.grid.width) * self.pixel_bytes(Layer::Image));
        let n_rows = u32::try_from(STRIP / row.max(1)).unwrap_or(u32::MAX).max(1);
        let rows = move |y: u32| Span::new(y, y.saturating_add(n_rows).min(grid.height));
        let window = move |y: u32| PixelRect::from_spans(Span::new(0, grid.width), rows(y));
        (0..grid.height).step_by(n_rows as usize).map(window)
    }
}

impl Reader {
    /// With decoders of its own.
    pub fn new(setup: &Arc<Setup>) -> Self {
        let masks = Masks::through(&setup.rule, (setup.decoder)(Layer::Labels));
        Self { setup: Arc::clone(setup), images: (setup.decoder)(Layer::Image), masks }
    }

    /// Takes parts of mosaics out of what is in no pair: nobody expects them to be.
    pub fn set_parts_aside(&mut self, found: &mut Found) {
        let mosaics = found.pairs.iter().flat_map(|pair| &pair.images).filter(|image| is_mosaic(image));
        let is_allowed = self.setup.pipeline.reading.drivers.allow(Driver::Vrt);
        // What is wrong with one is told when its header is looked at.
        let parts: BTreeSet<PathBuf> = match is_allowed && !found.strays.is_empty() {
            true => mosaics.filter_map(|mosaic| self.images.parts(mosaic).ok()).flatten().collect(),
            false => BTreeSet::new(),
        };
        found.strays.retain(|stray| !stray.path.canonicalize().is_ok_and(|real| parts.contains(&real)));
    }

    /// The header of a pair's image.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn header(&mut self, pair: &Pair) -> Result<SceneHeader, String> {
        match pair.images.first() {
            Some(image) => inspect(&mut self.images, image),
            None => Err("it has no image".to_owned()),
        }
    }

    /// Looks at a pair, on the grid of its image.
    pub(super) fn open(&mut self, pair: &Pair) -> Result<Opened, String> {
        let (header, bands, divisor) = self.image(pair)?;
        let mask = self.masks.open(&pair.mask)?;
        same_grid(&header, mask.header())?;
        let (files, grid) = (pair.images.clone(), header.size);
        Ok(Opened { header, files, bands, divisor, mask, grid })
    }

    /// The headers of an image's files as one, which of their bands are read, and what these are divided by.
    fn image(&mut self, pair: &Pair) -> Result<(SceneHeader, Vec<u32>, f64), String> {
        let first = self.header(pair)?;
        let Pipeline { reading, members, .. } = &self.setup.pipeline;
        let wanted = self.setup.pipeline.bands();
        let mut header = seen(first, reading, &wanted);
        for file in pair.images.iter().skip(1) {
            let other = seen(inspect(&mut self.images, file)?, reading, &wanted);
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
        let bands = numbers(&header, &wanted)?;
        let divide = members.first().and_then(|member| member.input.divide.get(&header.dtype));
        let divisor = *divide
            .ok_or_else(|| format!("the image holds {0} values and input.divide has no {0}; add it", header.dtype))?;
        Ok((header, bands, divisor))
    }

    /// The class ids of a window; notes what is no class.
    pub(super) fn labels(
        &mut self,
        opened: &Opened,
        window: PixelRect,
        unknown: &mut Unknown,
    ) -> Result<Planes, String> {
        resampled(opened, Layer::Labels, window, |window| {
            let mut ids = Vec::new();
            self.masks.read(&opened.mask, window, &mut ids, unknown)?;
            Ok(Planes { pixels: PixelBuf::from_slice(PixelType::U8, &ids), valid: None })
        })
    }

    /// The pixels of a window, and which are data.
    pub(super) fn pixels(&mut self, opened: &Opened, window: PixelRect) -> Result<Planes, String> {
        let Opened { header, files, bands, .. } = opened;
        let (path, files): (PathBuf, Vec<PathBuf>) = match files.as_slice() {
            [one] => (one.clone(), Vec::new()),
            several => (
                several.first().cloned().unwrap_or_default(),
                bands.iter().filter_map(|band| several.get(*band as usize - 1).cloned()).collect(),
            ),
        };
        resampled(opened, Layer::Image, window, |window| {
            let (path, files, mask) = (path.clone(), files.clone(), header.mask == Mask::Dataset);
            let request = ReadRequest { mask, files, ..header.request(path, None, window, bands.clone()) };
            let mut pixels = read(&mut self.images, header, &request)?;
            let mask = pixels.split_tail(request.plane_bytes() * bands.len());
            let valid = validity(header, bands, window, &pixels, mask, Some(self.setup.pipeline.reading.nodata))?;
            Ok(Planes { pixels, valid })
        })
    }

    /// A layer over a window of a pair that was found to be of use.
    pub(super) fn layer(&mut self, opened: &Opened, layer: Layer, window: PixelRect) -> Result<Planes, String> {
        match layer {
            Layer::Image => self.pixels(opened, window),
            Layer::Labels => {
                let mut unknown = Unknown::default();
                let labels = self.labels(opened, window, &mut unknown)?;
                self.refuse(opened, &unknown).map(|()| labels)
            }
        }
    }

    /// A layer over all of a pair, strip by strip, so that its decoder needs no more than for one.
    pub(super) fn whole(&mut self, opened: &Opened, layer: Layer) -> Result<Planes, String> {
        let ((dtype, n_bands), area) = (opened.form(layer), opened.grid.len());
        let mut planes = Planes { pixels: PixelBuf::zeros(dtype, area * n_bands), valid: None };
        for strip in opened.strips() {
            let part = self.layer(opened, layer, strip)?;
            let (first, n) = (strip.y as usize * opened.grid.width as usize, strip.size.len());
            for band in 0..n_bands {
                let (into, from) = ((band * area + first) * dtype.bytes(), band * n * dtype.bytes());
                let bytes = n * dtype.bytes();
                planes.pixels.bytes_mut()[into..into + bytes].copy_from_slice(&part.pixels.bytes()[from..from + bytes]);
            }
            if let Some(valid) = part.valid {
                planes.valid.get_or_insert_with(|| vec![1; area])[first..first + n].copy_from_slice(&valid);
            }
        }
        Ok(planes)
    }

    /// What decoders warned of since somebody last asked: the pixels that they gave may not be those that were meant.
    pub(super) fn take_warned(&mut self) -> Warned {
        let mut warned = self.images.take_warned();
        warned.extend(self.masks.take_warned());
        warned
    }

    /// Refuses a pair whose mask holds what is no class.
    pub(super) fn refuse(&self, opened: &Opened, unknown: &Unknown) -> Result<(), String> {
        self.masks.refuse(&opened.mask, unknown)
    }
}

/// Does something with every pair, on several threads; `None` where it was stopped before.
pub fn with_readers<T: Send>(
    setup: &Arc<Setup>,
    pairs: &[Pair],
    threads: usize,
    stop: &Stop,
    work: impl Fn(&mut Reader, &Pair) -> Option<T> + Sync,
) -> Vec<Option<T>> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<T>>> = Mutex::new(pairs.iter().map(|_| None).collect());
    std::thread::scope(|scope| {
        for _ in 0..threads.min(pairs.len()) {
            scope.spawn(|| {
                let mut reader = Reader::new(setup);
                while let Some((at, pair)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, pairs.get(at)?)))
                {
                    if stop.is_cut() {
                        break;
                    }
                    let result = work(&mut reader, pair);
                    results.lock().unwrap_or_else(PoisonError::into_inner)[at] = result;
                }
            });
        }
    });
    results.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// A window of the grid that is read, from windows of the scene's own.
fn resampled(
    opened: &Opened,
    layer: Layer,
    window: PixelRect,
    mut own: impl FnMut(PixelRect) -> Result<Planes, String>,
) -> Result<Planes, String> {
    let Some(resampling) = opened.resampling(layer) else { return own(window) };
    let (dtype, n_bands) = opened.form(layer);
    let mut made = Resampled::new(resampling, window, dtype, n_bands);
    for piece in resampling.pieces(window, opened.pixel_bytes(layer)) {
        let Planes { pixels, valid } = own(resampling.source(piece))?;
        made.fill(piece, &pixels, valid.as_deref());
    }
    let Resampled { pixels, valid, .. } = made;
    Ok(Planes { pixels, valid: valid.filter(|valid| valid.contains(&0)) })
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
