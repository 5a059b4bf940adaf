//! What travels between stages.

use std::sync::Arc;

use super::counts::LabelCounts;
use crate::atomic::WrittenFile;
use crate::flow::Credit;
use crate::geom::{PixelRect, Size, Span};
use crate::infer::{Logits, RawBatch, TileFault, TileResult};
use crate::journal::{Artefact, FailureRecord, SceneRecord};
use crate::outputs::OutputKind;
use crate::plan::{TilePlanes, UnitGeometry};
use crate::raster::{PixelBuf, PixelType, Resampling};

/// A unit's turn to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Index of the unit.
    pub unit: usize,
    /// The one scene of it that is meant; `None` for all that have no turn of their own.
    pub alone: Option<u32>,
}

/// A unit on its way; the credit of its planes is given back when the last message about it is gone.
#[derive(Debug)]
pub struct Ticket {
    /// Index of the unit.
    pub unit: usize,
    /// Its reads and tiles.
    pub geometry: UnitGeometry,
    /// Per part: what is to be done.
    pub tasks: Vec<PartTask>,
    /// Per part: which pixels of what its tiles own lie inside the plan's area, 0 for outside; `None` where all do, or nobody asks.
    pub within: Vec<Option<Vec<u8>>>,
    /// Where tiles are blended: the units that wait for its logits.
    pub lends_to: Vec<usize>,
    /// And those for whose logits it waits. One that only passes through waits for nobody.
    pub borrows: Vec<usize>,
    /// Bytes for its planes, and for logits that others wait for.
    pub credit: Credit,
}

impl Ticket {
    /// The scenes of which something comes from the networks' stages.
    pub fn seen(&self) -> impl Iterator<Item = u32> + '_ {
        let parts = self.geometry.parts.iter().zip(&self.tasks);
        parts.filter(|(_, task)| task.is_seen()).map(|(part, _)| part.scene)
    }
}

/// What a unit needs for one of its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartTask {
    /// Nothing: the scene is done.
    Skip,
    /// Its planes are stored.
    Recall,
    /// Every pass's logits of every tile are stored: nothing is decoded.
    Combine,
    /// Its planes are stored, but it is read and run for the sake of the tiles that are blended with its own.
    Lend,
    /// It is read and run.
    Run,
}

impl PartTask {
    /// Whether the networks' stages give its planes.
    pub fn is_classified(self) -> bool {
        matches!(self, Self::Combine | Self::Run)
    }

    /// Whether it goes through the networks' stages.
    pub fn is_seen(self) -> bool {
        self.is_classified() || self == Self::Lend
    }

    /// Whether its pixels are read.
    pub fn is_read(self) -> bool {
        matches!(self, Self::Lend | Self::Run)
    }
}

/// The pixels of one part of a unit.
#[derive(Debug)]
pub struct PartPixels {
    /// Planes of the plan's bands over the part's window.
    pub pixels: PixelBuf,
    /// One byte per pixel of the window, 0 where there is no data; `None` where all is data.
    pub valid: Option<Vec<u8>>,
    /// For each of the part's tiles, in order: the file stores nothing there, and the mask may say so.
    pub blank: Vec<bool>,
    /// The same where no mask may say so: such a tile is the same pixel everywhere.
    pub empty: Vec<bool>,
    /// That pixel, where all tiles are so: then nothing else was read.
    pub fill: Option<PixelBuf>,
}

/// What makes a batch of empty tiles what it is: where these are equal, so is every byte that a network sees and that comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmptyBatch {
    /// Size of every crop.
    pub crop: Size,
    /// Type of the pixels.
    pub dtype: PixelType,
    /// Of each tile: its pixel, what it owns, and how far it hangs over the scene's left, upper, right and lower edge into zeros.
    pub tiles: Vec<(Vec<u8>, PixelRect, [u32; 4])>,
}

/// What a reader gives.
#[derive(Debug)]
pub enum Opened {
    /// read -> tile.
    Unit(ReadUnit),
    /// read -> stitch: planes that were stored.
    Recalled(Arc<Classified>),
}

/// read -> tile: a unit decoded.
#[derive(Debug)]
pub struct ReadUnit {
    /// The unit.
    pub ticket: Arc<Ticket>,
    /// Pixels of each part; `None` where there is nothing to read or the scene has failed.
    pub parts: Vec<Option<PartPixels>>,
    /// Bytes for the pixels: given back when the last crop is cut.
    pub credit: Credit,
}

/// tile -> infer: one batch of raw crops.
#[derive(Debug)]
pub struct TileBatch {
    /// The unit.
    pub ticket: Arc<Ticket>,
    /// Index of its first tile within the unit.
    pub first_tile: usize,
    /// The crops.
    pub raw: Arc<RawBatch>,
    /// What it has in common with others, where the file stores nothing of any of its tiles and they are data all the same.
    pub empty: Option<EmptyBatch>,
}

/// What one device made of a batch.
#[derive(Debug)]
pub enum Outcome {
    /// It runs every pass: the result.
    Complete(Vec<TileResult>),
    /// It runs some: their logits, and the tiles for which they are useless.
    Partial {
        /// Logits by index of the pass.
        forwards: Vec<(usize, Logits)>,
        /// Per tile.
        faults: Vec<Option<TileFault>>,
    },
}

/// infer -> average: a batch that has been through a device.
#[derive(Debug)]
pub struct Inferred {
    /// The batch that it comes of.
    pub batch: Arc<TileBatch>,
    /// The result, or part of it.
    pub outcome: Outcome,
}

/// What a device gives.
#[derive(Debug)]
pub enum Ran {
    /// infer -> average.
    Inferred(Inferred),
    /// infer -> commit: logits that are kept.
    Kept(Artefact),
}

/// Planes of a tile, or why there are none, in words.
pub(super) type Told = Result<TilePlanes, String>;

/// average -> stitch and keep: the planes of a unit that the networks give, nodata in place. read -> stitch: those that were stored.
#[derive(Debug)]
pub struct Classified {
    /// The unit.
    pub ticket: Arc<Ticket>,
    /// Indices of tiles within the unit and their planes; none where a fault has cost the scene or the unit is put off.
    pub tiles: Vec<(usize, Option<TilePlanes>)>,
}

/// stitch -> post -> encode: what a scene's file is made of, top down.
#[derive(Debug)]
pub enum StitchedScene {
    /// Whole rows.
    Rows(SceneRows),
    /// The scene has failed, or waits for a further pass, and all its tiles have passed: forget it.
    Abandoned {
        /// Index of the scene.
        scene: u32,
    },
}

/// Consecutive whole rows of a scene.
#[derive(Debug)]
pub struct SceneRows {
    /// Index of the scene.
    pub scene: u32,
    /// What is in them.
    pub rows: Rows,
    /// Whether these are the last rows.
    pub last: bool,
}

/// The planes of rows.
#[derive(Debug)]
pub enum Rows {
    /// Tiles that lie side by side, from left to right: nothing is copied until a row is looked at.
    Tiles {
        /// Number of rows.
        height: u32,
        /// The tiles.
        tiles: Vec<RowTile>,
        /// What each plane holds where no tile is planned.
        void: Vec<u8>,
    },
    /// Rows of a scene's own grid out of such tiles on the networks': each pixel is the one that its centre lies in.
    Resampled {
        /// The scene's rows.
        rows: Span,
        /// The first row of the tiles.
        top: u32,
        /// How the two grids lie.
        resampling: Resampling,
        /// The tiles.
        tiles: Arc<Vec<RowTile>>,
        /// What each plane holds where no tile is planned.
        void: Vec<u8>,
    },
    /// Row by row.
    Plain {
        /// The rows, each with every plane.
        rows: Vec<Vec<Vec<u8>>>,
        /// Keep the units' credit while the rows live.
        tickets: Vec<Arc<Ticket>>,
    },
}

/// One tile's share of [`SceneRows`].
#[derive(Debug)]
pub struct RowTile {
    /// Columns of the scene that it covers.
    pub xs: Span,
    /// What its planes came with, and where they are among its tiles; `None` where no tile is planned.
    pub planes: Option<(Arc<Classified>, usize)>,
}

impl Rows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Tiles { height, .. } => *height as usize,
            Self::Resampled { rows, .. } => rows.len() as usize,
            Self::Plain { rows, .. } => rows.len(),
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lets the planes go and keeps what their memory was credited to.
    pub fn into_tickets(self) -> Vec<Arc<Ticket>> {
        match self {
            Self::Plain { tickets, .. } => tickets,
            Self::Tiles { tiles, .. } => tiles.iter().filter_map(RowTile::ticket).collect(),
            Self::Resampled { tiles, .. } => tiles.iter().filter_map(RowTile::ticket).collect(),
        }
    }

    /// Puts together a plane's row that lies `y` below the first.
    pub fn row(&self, plane: usize, y: usize, into: &mut Vec<u8>) {
        into.clear();
        match self {
            Self::Plain { rows, .. } => into.extend_from_slice(&rows[y][plane]),
            Self::Tiles { tiles, void, .. } => {
                for tile in tiles {
                    match tile.row(plane, y) {
                        Some(row) => into.extend_from_slice(row),
                        None => into.resize(into.len() + tile.xs.len() as usize, void[plane]),
                    }
                }
            }
            Self::Resampled { rows, top, resampling, tiles, void } => {
                let (back_x, back_y) = resampling.back();
                let y = rows.start as usize + y;
                let y = u32::try_from(y).map_or(0, |y| back_y.nearest(y) - top) as usize;
                let mut columns = back_x.all_nearest().peekable();
                for tile in tiles.iter() {
                    let row = tile.row(plane, y);
                    while let Some(x) = columns.next_if(|x| *x < tile.xs.end) {
                        match row {
                            Some(row) => into.extend(row.get((x - tile.xs.start) as usize)),
                            None => into.push(void[plane]),
                        }
                    }
                }
            }
        }
    }
}

impl RowTile {
    fn ticket(&self) -> Option<Arc<Ticket>> {
        self.planes.as_ref().map(|(classified, _)| Arc::clone(&classified.ticket))
    }

    /// Its share of a plane's row that lies `y` below its first; `None` where no tile is planned.
    fn row(&self, plane: usize, y: usize) -> Option<&[u8]> {
        let (classified, at) = self.planes.as_ref()?;
        let width = self.xs.len() as usize;
        let planes = classified.tiles[*at].1.as_ref();
        Some(planes.map(|planes| planes.pixels(plane, y * width..(y + 1) * width)).unwrap_or_default())
    }
}

impl StitchedScene {
    /// Index of the scene: what messages are routed to encoders by.
    pub fn scene(&self) -> u32 {
        match self {
            Self::Rows(rows) => rows.scene,
            Self::Abandoned { scene } => *scene,
        }
    }
}

/// What is to be given its final name and recorded.
#[derive(Debug)]
pub enum Finished {
    /// encode -> commit: a scene's files.
    Scene(Encoded),
    /// infer or keep -> commit: stage results.
    Kept(Artefact),
}

/// encode -> commit: the files of a scene, complete and synced, still under temporary names.
#[derive(Debug)]
pub struct Encoded {
    /// Index of the scene.
    pub scene: u32,
    /// Its outputs, as far as they had to be made; none when the scene is dropped.
    pub outputs: Vec<EncodedOutput>,
    /// Pixels of each label in its mask.
    pub pixels: LabelCounts,
}

/// One kind of output of a scene.
#[derive(Debug)]
pub struct EncodedOutput {
    /// What the files are.
    pub kind: &'static dyn OutputKind,
    /// Complete and synced, under temporary names.
    pub files: Vec<WrittenFile>,
}

/// commit -> app: the end of a scene, on disk and in the journal.
#[derive(Debug)]
pub struct Verdict {
    /// Index of the scene.
    pub scene: u32,
    /// Its record, or why it has no files.
    pub outcome: Result<SceneRecord, FailureRecord>,
}
