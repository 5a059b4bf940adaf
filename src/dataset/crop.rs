//! One window of a scene, ready to be trained on.

use std::ops::Range;
use std::sync::Arc;

use super::cache::Cache;
use super::draw::Aim;
use super::index::Scene;
use super::reader::{Layer, Planes, Reader};
use super::{Drawer, IGNORED, Place};
use crate::config::classes::ClassId;
use crate::geom::{PixelRect, Size, Span};
use crate::raster::{Warned, with_held};
use crate::tiler::Border;

/// A square window of a scene, `side` pixels a side.
#[derive(Clone, Debug, PartialEq)]
pub struct Crop {
    /// `[bands, side, side]`: values by divisor, in the pipeline's order of bands; 0 where there is no data. Beyond the scene's edge it is
    /// mirrored, as often as need be.
    pub image: Vec<f32>,
    /// `[side, side]`, 1 where the image has data.
    pub valid: Vec<u8>,
    /// `[side, side]`: class ids, and [`IGNORED`] where nobody knows, where the image has no data, and beyond the scene's edge.
    pub labels: Vec<ClassId>,
    /// Which scene it is cut from, and where.
    pub place: Place,
    /// How much its labels count.
    pub weight: f64,
}

impl Crop {
    /// Bytes of a crop.
    pub(super) fn bytes(side: u32, n_bands: usize) -> u64 {
        Size::new(side, side).area().saturating_mul((n_bands * size_of::<f32>() + 2) as u64)
    }
}

/// Takes crops out of scenes, through what is kept of them. Owned by one thread.
pub(super) struct Cropper {
    pub(super) drawer: Drawer,
    reader: Reader,
    cache: Arc<Cache>,
    /// Whether also what can be read window by window is kept: there is room for everything.
    keeps_all: bool,
}

impl Cropper {
    pub(super) fn new(drawer: Drawer, cache: Arc<Cache>, keeps_all: bool) -> Self {
        let reader = Reader::new(&drawer.index.setup);
        Self { drawer, reader, cache, keeps_all }
    }

    /// What decoders warned of since somebody last asked.
    pub(super) fn take_warned(&mut self) -> Warned {
        self.reader.take_warned()
    }

    /// The crop of an aim.
    pub(super) fn crop(&mut self, aim: &Aim) -> Result<Crop, String> {
        let index = Arc::clone(&self.drawer.index);
        let (scene, side) = (&index.scenes[aim.scene], self.drawer.side);
        let block = self.window(scene, aim.scene, Layer::Labels, aim.spot.block)?;
        let Some((column, row)) = block.find(aim) else {
            return Err("its mask is not what it was when it was looked through; start again".to_owned());
        };
        drop(block);
        let place = self.drawer.place(aim, column, row);
        let grid = scene.opened.grid;
        let axes = [(place.x, grid.width), (place.y, grid.height)];
        let [xs, ys] = axes.map(|(start, length)| Border::Reflect.source(start, side, length));
        let image = self.window(scene, aim.scene, Layer::Image, PixelRect::from_spans(xs, ys))?;
        let [xs, ys] = axes.map(|(start, length)| Border::Zero.source(start, side, length));
        let labels = self.window(scene, aim.scene, Layer::Labels, PixelRect::from_spans(xs, ys))?;
        let [columns, rows] = axes.map(|(start, length)| Axis { start, side, length });
        let valid = image.valid(&columns, &rows);
        let mut labels = labels.labels(&columns, &rows);
        labels.iter_mut().zip(&valid).filter(|(_, ok)| **ok == 0).for_each(|(label, _)| *label = IGNORED);
        let image = image.image(&columns, &rows, scene.opened.bands.len(), scene.opened.divisor, &valid);
        Ok(Crop { image, valid, labels, place, weight: scene.weight })
    }

    /// A layer over at least a window of a scene.
    fn window(&mut self, scene: &Scene, idx: usize, layer: Layer, window: PixelRect) -> Result<Part, String> {
        let Self { reader, cache, .. } = self;
        if self.keeps_all || !scene.opened.is_tiled(layer) {
            let whole = cache.get((idx, layer), scene.bytes(layer), || reader.whole(&scene.opened, layer))?;
            if let Some(planes) = whole {
                return Ok(Part { planes, rect: PixelRect::whole(scene.opened.grid) });
            }
        }
        Ok(Part { planes: Arc::new(reader.layer(&scene.opened, layer, window)?), rect: window })
    }
}

/// What was read of a layer, and where that lies.
struct Part {
    planes: Arc<Planes>,
    rect: PixelRect,
}

/// One axis of a crop.
struct Axis {
    start: i64,
    side: u32,
    /// Of the scene.
    length: u32,
}

/// Of each pixel of an axis of a crop the one of what was read of the scene; `None` where that does not reach.
struct Sources {
    before: Vec<Option<usize>>,
    /// Inside the scene one follows the other.
    inside: Range<usize>,
    behind: Vec<Option<usize>>,
}

impl Axis {
    fn sources(&self, border: Border, read: Span) -> Sources {
        let side = i64::from(self.side);
        let source = |at: i64| {
            let position = border.resolve(self.start + at, self.length)?;
            position.checked_sub(read.start).filter(|_| position < read.end).map(|at| at as usize)
        };
        let (first, end) = ((-self.start).clamp(0, side), (i64::from(self.length) - self.start).clamp(0, side));
        let all = |places: Range<i64>| places.map(source).collect();
        let inside = source(first).map_or(0..0, |at| at..at + usize::try_from(end - first).unwrap_or(0));
        Sources { before: all(0..first), inside, behind: all(end..side) }
    }
}

impl Sources {
    fn each(&self) -> impl Iterator<Item = Option<usize>> {
        let inside = self.inside.clone().map(Some);
        self.before.iter().copied().chain(inside).chain(self.behind.iter().copied())
    }
}

impl Part {
    /// The pixel that is aimed at.
    fn find(&self, aim: &Aim) -> Option<(u32, u32)> {
        let (block, width) = (aim.spot.block, self.rect.size.width as usize);
        let labels = self.planes.pixels.bytes();
        let mut left = aim.spot.rank;
        for y in block.y..block.ys().end {
            let first = (y - self.rect.y) as usize * width + (block.x - self.rect.x) as usize;
            for (x, label) in (block.x..).zip(&labels[first..first + block.size.width as usize]) {
                if *label == aim.class {
                    if left == 0 {
                        return Some((x, y));
                    }
                    left -= 1;
                }
            }
        }
        None
    }

    /// A plane of a crop.
    fn plane<T: Copy, U: Copy>(
        &self,
        plane: &[T],
        (columns, rows): (&Sources, &Sources),
        outside: U,
        into: &mut Vec<U>,
        value: impl Fn(T) -> U,
    ) {
        let width = self.rect.size.width as usize;
        for row in rows.each() {
            let Some(row) = row.map(|row| &plane[row * width..][..width]) else {
                into.extend(columns.each().map(|_| outside));
                continue;
            };
            let beyond = |at: &Option<usize>| at.map_or(outside, |at| value(row[at]));
            into.extend(columns.before.iter().map(beyond));
            into.extend(row[columns.inside.clone()].iter().map(|pixel| value(*pixel)));
            into.extend(columns.behind.iter().map(beyond));
        }
    }

    fn sources(&self, border: Border, columns: &Axis, rows: &Axis) -> (Sources, Sources) {
        (columns.sources(border, self.rect.xs()), rows.sources(border, self.rect.ys()))
    }

    fn valid(&self, columns: &Axis, rows: &Axis) -> Vec<u8> {
        let area = (columns.side * rows.side) as usize;
        let Some(valid) = &self.planes.valid else { return vec![1; area] };
        let (columns, rows) = self.sources(Border::Reflect, columns, rows);
        let mut plane = Vec::with_capacity(area);
        self.plane(valid, (&columns, &rows), 0, &mut plane, |valid| valid);
        plane
    }

    fn labels(&self, columns: &Axis, rows: &Axis) -> Vec<ClassId> {
        let mut plane = Vec::with_capacity((columns.side * rows.side) as usize);
        let (columns, rows) = self.sources(Border::Zero, columns, rows);
        self.plane(self.planes.pixels.bytes(), (&columns, &rows), IGNORED, &mut plane, |label| label);
        plane
    }

    fn image(&self, columns: &Axis, rows: &Axis, n_bands: usize, divisor: f64, valid: &[u8]) -> Vec<f32> {
        let pixels = &self.planes.pixels;
        let mut image = Vec::with_capacity(valid.len() * n_bands);
        let (columns, rows) = self.sources(Border::Reflect, columns, rows);
        #[expect(clippy::cast_possible_truncation, reason = "rounded once, to what networks take")]
        let value = |value: f64| (value / divisor) as f32;
        with_held!(pixels.dtype(), T => for plane in pixels.values::<T>().chunks_exact(self.rect.size.len().max(1)) {
            self.plane(plane, (&columns, &rows), 0.0, &mut image, |pixel| value(f64::from(pixel)));
        });
        if valid.contains(&0) {
            for plane in image.chunks_exact_mut(valid.len()) {
                plane.iter_mut().zip(valid).filter(|(_, ok)| **ok == 0).for_each(|(value, _)| *value = 0.0);
            }
        }
        image
    }
}
