//! Where the labels of all pairs are, coarsely: of each block of each scene the pixels of each class.
//!
//! A labelled pixel has a name that needs no file: scene, class, and its rank among those. Which block it lies in the index tells, and where
//! in the block whoever reads that.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::mask::Unknown;
use super::reader::{Layer, Opened, Reader, Setup, with_readers};
use super::{IGNORED, Pair};
use crate::config::classes::ClassId;
use crate::flow::Stop;
use crate::geom::{PixelRect, Size, Span};

/// Blocks of all scenes together, as far as each may have [`FEWEST`].
const BLOCKS: u64 = 1 << 20;

/// Blocks of one scene.
const FEWEST: u64 = 16;
const MOST: u64 = 4096;

/// Side of the smallest blocks.
const SIDE: u32 = 16;

/// Scenes with labels, and where these are.
#[derive(Debug)]
pub struct Index {
    pub(super) setup: Arc<Setup>,
    pub(super) scenes: Vec<Scene>,
    n_classes: usize,
    digest: String,
}

/// A pair that crops can be taken from.
#[derive(Debug)]
pub(super) struct Scene {
    /// Part and name, as messages and `--exclude` have it.
    pub(super) name: String,
    pub(super) opened: Opened,
    /// How much its labels count.
    pub(super) weight: f64,
    blocks: Blocks,
    /// By class id, those that take no part at [`IGNORED`].
    pub(super) pixels: Vec<u64>,
    /// Of each class the blocks that have it, in order.
    cells: Vec<Vec<Cell>>,
}

/// A block that has a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    block: u32,
    /// Pixels of the class in this block and all before it.
    until: u64,
}

/// A grid cut into squares.
#[derive(Clone, Copy, Debug)]
struct Blocks {
    grid: Size,
    side: u32,
}

/// A pair that no crop is taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Part and name, as messages and `--exclude` have it.
    pub name: String,
    /// Why it is no use.
    pub cause: String,
}

/// A labelled pixel, as far as the index knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) block: PixelRect,
    /// How many of its class lie before it in the block, row by row.
    pub(super) rank: u64,
}

impl Blocks {
    /// Squares of at least [`SIDE`], at most `most` of them, or one.
    fn of(grid: Size, most: u64) -> Self {
        let mut blocks = Self { grid, side: SIDE };
        while blocks.columns() * blocks.rows() > most.max(1) {
            blocks.side = blocks.side.saturating_mul(2);
        }
        blocks
    }

    fn columns(&self) -> u64 {
        self.grid.width.div_ceil(self.side).into()
    }

    fn rows(&self) -> u64 {
        self.grid.height.div_ceil(self.side).into()
    }

    fn rect(&self, block: u32) -> PixelRect {
        let columns = self.grid.width.div_ceil(self.side).max(1);
        let span = |at: u32, end: u32| {
            let start = at.saturating_mul(self.side);
            Span::new(start, start.saturating_add(self.side).min(end))
        };
        PixelRect::from_spans(span(block % columns, self.grid.width), span(block / columns, self.grid.height))
    }
}

impl Scene {
    /// Reads the mask of a pair; `None` when it is stopped.
    fn of(reader: &mut Reader, pair: &Pair, most: u64, stop: &Stop) -> Result<Option<Self>, String> {
        let opened = reader.open(pair)?.at_resolution(&reader.setup)?.in_short();
        let blocks = Blocks::of(opened.grid, most);
        let n_classes = reader.setup.pipeline.n_classes();
        let columns = usize::try_from(blocks.columns()).unwrap_or(usize::MAX);
        let n_blocks = columns * usize::try_from(blocks.rows()).unwrap_or(usize::MAX);
        let (mut counts, mut pixels) = (vec![0_u64; n_blocks * n_classes], vec![0_u64; 256]);
        let mut unknown = Unknown::default();
        for strip in opened.strips() {
            if stop.is_cut() {
                return Ok(None);
            }
            let labels = reader.labels(&opened, strip, &mut unknown)?;
            let rows = labels.pixels.bytes().chunks_exact((strip.size.width as usize).max(1));
            for (y, row) in (strip.y..).zip(rows) {
                let first = (y / blocks.side) as usize * columns;
                for (column, part) in row.chunks(blocks.side as usize).enumerate() {
                    let of_block = &mut counts[(first + column) * n_classes..][..n_classes];
                    for class in part {
                        pixels[usize::from(*class)] += 1;
                        of_block.get_mut(usize::from(*class)).into_iter().for_each(|n| *n += 1);
                    }
                }
            }
        }
        reader.refuse(&opened, &unknown)?;
        let cells = (0..n_classes).map(|class| cells(counts.iter().skip(class).step_by(n_classes))).collect();
        Ok(Some(Self { name: pair.full_name(), weight: pair.weight, opened, blocks, pixels, cells }))
    }

    /// Pixels that have a class.
    pub(super) fn labelled(&self) -> u64 {
        self.pixels[..usize::from(IGNORED)].iter().sum()
    }

    /// Where the pixel of a class is that so many of the scene lie before, block by block.
    pub(super) fn find(&self, class: ClassId, rank: u64) -> Option<Spot> {
        let cells = self.cells.get(usize::from(class))?;
        let at = cells.partition_point(|cell| cell.until <= rank);
        let before = at.checked_sub(1).map_or(0, |before| cells[before].until);
        cells.get(at).map(|cell| Spot { block: self.blocks.rect(cell.block), rank: rank - before })
    }

    /// Bytes of the labels of a block.
    pub(super) fn block_bytes(&self) -> u64 {
        self.blocks.rect(0).size.area()
    }

    /// Bytes of a layer in memory.
    pub(super) fn bytes(&self, layer: Layer) -> u64 {
        self.opened.grid.area().saturating_mul(self.opened.pixel_bytes(layer))
    }
}

/// The blocks that have some, out of the number in each.
fn cells<'a>(counts: impl Iterator<Item = &'a u64>) -> Vec<Cell> {
    let mut until = 0;
    let cell = |(block, n): (u32, &u64)| {
        until += n;
        (*n > 0).then_some(Cell { block, until })
    };
    let mut cells: Vec<Cell> = (0..).zip(counts).filter_map(cell).collect();
    cells.shrink_to_fit();
    cells
}

impl Index {
    /// Reads the masks of all pairs, some at a time; `None` when it is stopped. `progress` is told whenever one is done.
    ///
    /// Pairs without a labelled pixel are refused, too.
    pub fn build(
        setup: &Arc<Setup>,
        pairs: &[Pair],
        threads: usize,
        stop: &Stop,
        progress: &(dyn Fn() + Sync),
    ) -> Option<(Self, Vec<Refused>)> {
        let most = (BLOCKS / (pairs.len() as u64).max(1)).clamp(FEWEST, MOST);
        let read = |reader: &mut Reader, pair: &Pair| {
            let scene = Scene::of(reader, pair, most, stop).transpose();
            progress();
            scene
        };
        let (mut scenes, mut refused) = (Vec::new(), Vec::new());
        for (pair, scene) in pairs.iter().zip(with_readers(setup, pairs, threads, stop, read)) {
            let usable = scene?.and_then(|scene| match scene.labelled() {
                0 => Err("its mask has no pixel of a class: all is ignored".to_owned()),
                _ => Ok(scene),
            });
            match usable {
                Ok(scene) => scenes.push(scene),
                Err(cause) => refused.push(Refused { name: pair.full_name(), cause }),
            }
        }
        let digest = digest(&scenes);
        Some((Self { setup: Arc::clone(setup), scenes, n_classes: setup.pipeline.n_classes(), digest }, refused))
    }

    /// Number of scenes.
    pub fn len(&self) -> usize {
        self.scenes.len()
    }

    /// Whether there is no scene, so that nothing can be drawn.
    pub fn is_empty(&self) -> bool {
        self.scenes.is_empty()
    }

    /// Pixels of each class, over all scenes, on the grid that networks see.
    pub fn classes(&self) -> Vec<u64> {
        (0..self.n_classes).map(|class| self.scenes.iter().map(|scene| scene.pixels[class]).sum()).collect()
    }

    /// What tells these scenes from others, as hexadecimal: names, sizes, and where there is how much of each class.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Number of bands that are read.
    pub fn n_bands(&self) -> usize {
        self.setup.pipeline.bands().len()
    }
}

fn digest(scenes: &[Scene]) -> String {
    let mut digest = Sha256::new();
    let number = |n: u64| n.to_le_bytes();
    for scene in scenes {
        let Size { width, height } = scene.opened.grid;
        digest.update(number(scene.name.len() as u64));
        digest.update(&scene.name);
        let head = [u64::from(width), u64::from(height), scene.blocks.side.into()];
        head.iter().chain(&scene.pixels).for_each(|n| digest.update(number(*n)));
        // As labels usually count needs no word.
        if scene.weight.to_bits() != 1.0_f64.to_bits() {
            digest.update(scene.weight.to_le_bytes());
        }
        for Cell { block, until } in scene.cells.iter().flatten() {
            digest.update(number((*block).into()));
            digest.update(number(*until));
        }
    }
    crate::hex(&digest.finalize())
}
