//! Pictures of scenes under their classes' colours, half and half: RGB as PNG. Where there is no data the scene is seen alone.
//!
//! The scene's own pixels come with the rows ([`OutputKind::shows_scene`]): the `encode` stage has them read again, by a decoder that reads
//! for it alone, in windows of this size. So stored labels suffice for an overlay, and nothing but an overlay pays for it.

use std::path::Path;

use super::png::{FileRows, PixelFormat};
use super::{OutputError, OutputKind, RowWriter, Subject};
use crate::atomic::WrittenFile;
use crate::config::classes::ClassTable;
use crate::config::{InputSpec, Outputs, Pipeline};
use crate::geom::Size;
use crate::journal::KeyHasher;
use crate::raster::{STRIP_BYTES, SceneHeader};

#[derive(Debug)]
pub(super) struct Overlay;

/// Bytes of a pixel of the picture.
pub(crate) const RGB: usize = 3;

/// Parts of a pixel, and how many of them are the class's colour in a run's overlays.
pub(crate) const WHOLE: u16 = 256;
const HALF: u16 = WHOLE / 2;

/// Bytes that are read at a time, as long as a block is not larger.
const WINDOW_BYTES: u64 = 4 << 20;

/// The extent of what is read at a time. Windows side by side are whole rows of blocks, so that each block is decoded once.
pub(crate) fn window(header: &SceneHeader) -> Size {
    let (size, block, bytes) = (header.size, header.block, (RGB * header.dtype.bytes()) as u64);
    let fitting = |limit: u64, bytes: u64| u32::try_from(limit / bytes.max(1)).unwrap_or(u32::MAX).max(1);
    if !header.is_tiled() {
        return Size::new(size.width, fitting(WINDOW_BYTES, bytes * u64::from(size.width)).min(size.height));
    }
    let blocks = fitting(WINDOW_BYTES, bytes * block.area());
    let width = block.width.saturating_mul(blocks).min(fitting(STRIP_BYTES, bytes)).min(size.width);
    Size::new(width, block.height.min(size.height))
}

/// The input that is shown, and its bands: the first three that the first network sees, or its first one alone.
pub(crate) fn shown(pipeline: &Pipeline) -> Option<(&InputSpec, usize)> {
    let input = &pipeline.members.first()?.input;
    Some((input, if input.bands.len() < RGB { 1 } else { RGB }))
}

impl OutputKind for Overlay {
    fn folder(&self) -> &'static str {
        "overlay"
    }

    fn title(&self) -> &'static str {
        "overlays"
    }

    fn is_wanted(&self, outputs: &Outputs) -> bool {
        outputs.overlay
    }

    fn shows_scene(&self) -> bool {
        true
    }

    fn key(&self, key: KeyHasher, subject: &Subject<'_>) -> KeyHasher {
        let colors: Vec<[u8; 3]> = subject.pipeline.classes.classes().iter().map(|class| class.color.0).collect();
        let shown = shown(subject.pipeline).map(|(input, n)| {
            (&input.bands[..n], input.divide.get(&subject.header.dtype).map(|divisor| divisor.to_bits()))
        });
        key.value(&colors).value(&shown)
    }

    fn max_bytes(&self, subject: &Subject<'_>) -> u64 {
        let pixels = subject.header.size.area().saturating_mul(RGB as u64);
        pixels.saturating_add(pixels / 1000 + u64::from(subject.header.size.height) + (64 << 10))
    }

    fn held_bytes(&self, subject: &Subject<'_>) -> u64 {
        let (header, window) = (subject.header, window(subject.header));
        let picture = RGB as u64 * Size::new(header.size.width, window.height).area();
        picture + (RGB * header.dtype.bytes()) as u64 * window.area()
    }

    fn begin(&self, dir: &Path, subject: &Subject<'_>) -> Result<Box<dyn RowWriter>, OutputError> {
        let path = dir.join(&self.files(subject.name)[0]);
        create(&path, subject.header.size, &subject.pipeline.classes, HALF)
    }
}

/// Starts a picture that will be called `path`, whose rows come as labels and the scene's pixels: so many parts of [`WHOLE`] of a pixel
/// are its class's colour.
///
/// # Errors
/// When the file cannot be created, or PNG has no such size.
pub(crate) fn create(
    path: &Path,
    size: Size,
    classes: &ClassTable,
    parts: u16,
) -> Result<Box<dyn RowWriter>, OutputError> {
    let colors = classes.classes().iter().map(|class| class.color.0).collect();
    Ok(Box::new(Writer { rows: FileRows::create(path, size, &PixelFormat::Rgb)?, colors, parts, row: Vec::new() }))
}

struct Writer {
    rows: FileRows,
    /// By label.
    colors: Vec<[u8; 3]>,
    parts: u16,
    row: Vec<u8>,
}

impl RowWriter for Writer {
    fn push(&mut self, planes: &[&[u8]]) -> Result<(), OutputError> {
        let width = self.rows.size().width;
        let &[labels, picture] = planes else {
            return Err(OutputError::Width { path: self.rows.path().to_owned(), labels: 0, width });
        };
        if labels.len() != width as usize || picture.len() != RGB * labels.len() {
            return Err(OutputError::Width { path: self.rows.path().to_owned(), labels: labels.len(), width });
        }
        self.row.clear();
        for (label, pixel) in labels.iter().zip(picture.as_chunks::<RGB>().0) {
            let (own, rest) = (self.parts, WHOLE - self.parts);
            let part = |color: u8, seen: u8| (u16::from(color) * own + u16::from(seen) * rest) / WHOLE;
            let mix = |color: [u8; RGB]| -> [u8; RGB] {
                std::array::from_fn(|i| u8::try_from(part(color[i], pixel[i])).unwrap_or(u8::MAX))
            };
            self.row.extend(self.colors.get(usize::from(*label)).map_or(*pixel, |color| mix(*color)));
        }
        self.rows.push(&self.row)
    }

    fn finish(self: Box<Self>) -> Result<Vec<WrittenFile>, OutputError> {
        Ok(vec![self.rows.finish()?])
    }
}
