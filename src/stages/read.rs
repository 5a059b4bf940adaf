//! Decodes a unit in one pass.

use std::sync::Arc;

use super::Board;
use super::message::{Classified, Opened, PartPixels, PartTask, ReadUnit, Ticket, Turn};
use super::validity::validity;
use crate::faults::Faults;
use crate::flow::{Admitted, Outbox, Stage, Stop};
use crate::geom::{PixelRect, Size, Span};
use crate::journal::StageKey;
use crate::plan::{Footprint, Part, Plane, TilePlanes, UnitGeometry};
use crate::raster::{Mask, PixelBuf, RasterError, RasterSource, ReadRequest, Resampled, Warnings};

/// One reader.
pub struct Read {
    board: Board,
    source: Box<dyn RasterSource>,
    strict: bool,
    stop: Stop,
    faults: Faults,
}

impl Read {
    /// A reader with a source of its own; whether a scene that the decoder warns of fails.
    pub fn new(board: Board, source: Box<dyn RasterSource>, strict: bool, stop: Stop) -> Self {
        Self { board, source, strict, stop, faults: Faults::at("scene") }
    }

    /// The pixels of a part of a unit; `None` where there is nothing to read, or after noting why there are none.
    ///
    /// # Errors
    /// When nothing more can be decoded, whatever the scene.
    fn part(&mut self, ticket: &Ticket, idx: u32) -> Result<Option<PartPixels>, RasterError> {
        let part = &ticket.geometry.parts[idx as usize];
        if ticket.tasks[idx as usize] != PartTask::Run
            || self.board.scenes.has_failed(part.scene)
            || self.is_put_off(ticket)
        {
            return Ok(None);
        }
        match self.read(&ticket.geometry, idx, part) {
            Ok(pixels) => Ok(Some(pixels)),
            Err(PartError::Raster(error @ RasterError::NoDecoder { .. })) => Err(error),
            Err(cause) => {
                self.board.scenes.fail(part.scene, "read", Some(ticket.unit), cause.to_string());
                Ok(None)
            }
        }
    }

    /// Whether a unit is left to a further pass: what comes of it would be dropped.
    fn is_put_off(&self, ticket: &Ticket) -> bool {
        // Also where an earlier turn of other scenes has put the unit off: these are to wait as well.
        if self.stop.is_cut() || self.board.scenes.is_put_off(ticket.unit) {
            self.board.scenes.put_off(ticket);
        }
        self.board.scenes.is_put_off(ticket.unit)
    }

    fn read(&mut self, geometry: &UnitGeometry, idx: u32, part: &Part) -> Result<PartPixels, PartError> {
        let scenes = Arc::clone(&self.board.scenes);
        let plan = scenes.plan();
        let scene = &plan.scenes[part.scene as usize];
        if !scenes.is_unchanged(part.scene) {
            return Err(RasterError::Changed.into());
        }
        self.board.progress.counts().decoded += 1;
        let may_lack = plan.pipeline.classes.nodata().is_some();
        let tiles = || geometry.tiles.iter().filter(|t| t.part == idx);
        let mut probes = match may_lack {
            true => tiles().map(|t| scene.source(crop_inside(t, part.window))).collect(),
            false => Vec::new(),
        };
        let Some(resampling) = scene.resampling() else {
            let mut pixels = self.window(part.scene, part.window, probes)?;
            pixels.blank.resize(tiles().count(), false);
            return Ok(pixels);
        };
        let bytes_per_pixel = Footprint::pixels(&scene.header, Size::new(1, 1), plan.bands.len()).pixels;
        let mut whole = Resampled::new(resampling, part.window, scene.header.dtype, plan.bands.len());
        let mut blank = Vec::new();
        for piece in resampling.pieces(part.window, bytes_per_pixel) {
            // What is asked beside pixels, the first piece asks.
            let asked = std::mem::take(&mut probes);
            let read = self.window(part.scene, resampling.source(piece), asked)?;
            blank.extend(read.blank);
            whole.fill(piece, &read.pixels, read.valid.as_deref());
        }
        blank.resize(tiles().count(), false);
        let Resampled { pixels, valid, .. } = whole;
        Ok(PartPixels { pixels, valid: valid.filter(|valid| valid.contains(&0)), blank })
    }

    /// A window of a scene's own grid, and what the file says of the probes.
    fn window(&mut self, scene_idx: u32, window: PixelRect, probes: Vec<PixelRect>) -> Result<PartPixels, PartError> {
        let scenes = Arc::clone(&self.board.scenes);
        let plan = scenes.plan();
        let scene = &plan.scenes[scene_idx as usize];
        let may_lack = plan.pipeline.classes.nodata().is_some();
        let mask = may_lack && scene.header.mask == Mask::Dataset;
        let request = ReadRequest { mask, probes, ..plan.request(scene_idx as usize, window) };
        let mut pixels = PixelBuf::of_bytes(scene.header.dtype, request.buffer_bytes());
        let reply = self.source.read(&request, pixels.bytes_mut())?;
        self.note(scene_idx, &reply.warnings)?;
        let mask = pixels.split_tail(request.plane_bytes() * plan.bands.len());
        let rule = may_lack.then_some(plan.pipeline.reading.nodata);
        let valid = validity(&scene.header, &request.bands, window, &pixels, mask, rule);
        let valid = valid.map_err(PartError::Pixels)?;
        Ok(PartPixels { pixels, valid, blank: reply.blank })
    }
}

impl Read {
    /// Notes what the decoder warned of.
    fn note(&self, scene: u32, warnings: &Warnings) -> Result<(), PartError> {
        self.board.scenes.warn(scene, warnings);
        match warnings.first().filter(|_| self.strict) {
            Some(text) => Err(PartError::Warned(text.to_owned())),
            None => Ok(()),
        }
    }
}

/// Why a part has no pixels.
#[derive(Debug, thiserror::Error)]
enum PartError {
    /// They cannot be had.
    #[error(transparent)]
    Raster(#[from] RasterError),
    /// They are of no use.
    #[error("{0}")]
    Pixels(String),
    /// The decoder is not sure of them, and nobody wants such.
    #[error("the decoder warns: {0} (--strict)")]
    Warned(String),
}

/// The part of a tile's crop that lies in the window.
fn crop_inside(tile: &crate::plan::Tile, window: PixelRect) -> PixelRect {
    // A crop holds its centre and grows from it by the ring on each side, as far as there is scene.
    let ring = |kept: u32, centre: Span, within: Span| {
        Span::new(centre.start.saturating_sub(kept).max(within.start), centre.end.saturating_add(kept).min(within.end))
    };
    PixelRect::from_spans(
        ring(tile.kept.x, tile.centre.xs(), window.xs()),
        ring(tile.kept.y, tile.centre.ys(), window.ys()),
    )
}

impl Read {
    /// What a part needs, and its planes where they are stored.
    fn task(&self, turn: Turn, geometry: &UnitGeometry, idx: u32, scene: u32) -> (PartTask, Option<Vec<Vec<u8>>>) {
        let has_another_turn = match turn.alone {
            Some(alone) => scene != alone,
            None => self.board.scenes.suspects().contains(&scene),
        };
        if has_another_turn || self.board.scenes.is_done(scene) {
            return (PartTask::Skip, None);
        }
        if self.board.scenes.has_failed(scene) {
            // It travels on as a blank, so that counts stay exact.
            return (PartTask::Run, None);
        }
        // Where a test plans the end of the process for a scene.
        self.faults.pass(&self.board.plan().scenes[scene as usize].name);
        if let Some(planes) = self.recall(geometry, idx) {
            return (PartTask::Recall, Some(planes));
        }
        (if self.board.prior.has_all_logits(geometry, idx) { PartTask::Combine } else { PartTask::Run }, None)
    }

    /// The stored planes of a part, if all are there, whole, and hold what they can.
    fn recall(&self, geometry: &UnitGeometry, idx: u32) -> Option<Vec<Vec<u8>>> {
        let plan = self.board.plan();
        let len = geometry.tiles.iter().filter(|t| t.part == idx).map(|t| t.centre.size.len()).sum();
        let plane = |(plane, key): (&Plane, StageKey)| {
            let pixels = self.board.prior.read(&key, len)?.ok()?;
            (pixels.len() == len && plane.may_hold(&pixels, plan.pipeline.n_classes())).then_some(pixels)
        };
        plan.planes.iter().zip(self.board.prior.keys.planes(geometry, idx)).map(plane).collect()
    }
}

/// Cuts the stored planes of parts into tiles.
fn recalled(ticket: &Arc<Ticket>, parts: &[Option<Vec<Vec<u8>>>]) -> Option<Arc<Classified>> {
    let mut begins = vec![0; parts.len()];
    let mut tiles = Vec::new();
    for (at, tile) in ticket.geometry.tiles.iter().enumerate() {
        let (part, begin) = (&parts[tile.part as usize], &mut begins[tile.part as usize]);
        let own = *begin..*begin + tile.centre.size.len();
        *begin = own.end;
        if let Some(planes) = part {
            let of_tile = |plane: &Vec<u8>| plane[own.clone()].to_vec();
            tiles.push((at, Some(TilePlanes(planes.iter().map(of_tile).collect()))));
        }
    }
    (!tiles.is_empty()).then(|| Arc::new(Classified { ticket: Arc::clone(ticket), tiles }))
}

impl Stage for Read {
    type In = Admitted<Turn>;
    type Out = Opened;
    type Error = RasterError;

    fn process(&mut self, admitted: Admitted<Turn>, out: &Outbox<'_, Opened>) -> Result<(), RasterError> {
        let Admitted { work: turn, mut credit } = admitted;
        let unit = turn.unit;
        let board = self.board.clone();
        let plan = board.plan();
        board.scenes.begin(unit);
        let geometry = board.terms.begin(unit);
        let footprint = plan.units[unit].footprint(plan);
        let (pixels, source) = (credit.split(footprint.pixels), credit.split(footprint.source));
        let tasks = (0..).zip(&geometry.parts).map(|(idx, part)| self.task(turn, &geometry, idx, part.scene));
        let (tasks, planes): (Vec<PartTask>, Vec<_>) = tasks.unzip();
        let ticket = Arc::new(Ticket { unit, geometry, tasks, credit });
        if let Some(classified) = recalled(&ticket, &planes) {
            let pixels = ticket.geometry.crop.area() * classified.tiles.len() as u64;
            board.progress.counts().add_tiles(classified.tiles.len() as u64, 0, pixels);
            drop(planes);
            out.put(Opened::Recalled(classified));
        }
        if ticket.tasks.iter().any(|task| task.is_classified()) {
            let geometry = &ticket.geometry;
            let seen = geometry.crop.area() * geometry.tiles.len() as u64;
            board.pace.begin(&geometry.passes, seen, geometry.batches().count());
            // Before anything else: parts that are not read are to wait as well.
            self.is_put_off(&ticket);
            let parts = (0..).zip(&ticket.tasks).map(|(idx, _)| self.part(&ticket, idx)).collect::<Result<_, _>>()?;
            drop(source);
            out.put(Opened::Unit(ReadUnit { ticket: Arc::clone(&ticket), parts, credit: pixels }));
        } else {
            board.pace.leave();
        }
        Ok(())
    }
}
