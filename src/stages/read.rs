//! Decodes a unit in one pass.

use std::sync::Arc;

use super::Board;
use super::message::{Classified, Opened, PartPixels, PartTask, ReadUnit, Ticket, Turn};
use crate::faults::Faults;
use crate::flow::{Admitted, Outbox, Stage, Stop};
use crate::geom::{PixelRect, Size, Span};
use crate::journal::StageKey;
use crate::plan::{Footprint, Part, Plane, Tile, TilePlanes, UnitGeometry, has_non_finite, non_finite, validity};
use crate::raster::{
    Burn, GroundGrid, Mask, PixelBuf, RasterError, RasterSource, ReadRequest, Resampled, Resampling, Warnings,
};

/// Decodes the parts of a unit. One of several, each with decoders of its own.
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
        if !ticket.tasks[idx as usize].is_read() || self.board.scenes.has_failed(part.scene) || self.is_put_off(ticket)
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
        let may_lack = plan.pipeline.classes.nodata().is_some();
        let border = plan.pipeline.tiling.border;
        let probe = |tile: &Tile| match may_lack {
            true => crop_inside(tile, geometry.crop, part.window),
            false => scene.seen_by(tile, border),
        };
        let n_tiles = geometry.tiles_of(idx).count();
        let tiles = geometry.tiles.iter().filter(|t| t.part == idx && scene.header.sparse);
        if let Some(resampling) = scene.resampling() {
            let probes = tiles.filter(|_| may_lack).map(|tile| resampling.source(probe(tile))).collect();
            return self.resampled(part, resampling, probes, n_tiles);
        }
        let request =
            ReadRequest { skip_blank: true, ..self.request(part.scene, part.window, tiles.map(probe).collect()) };
        let mut pixels = PixelBuf::of_bytes(scene.header.dtype, request.buffer_bytes());
        let reply = self.source.read(&request, pixels.bytes_mut())?;
        self.note(part.scene, &reply.warnings)?;
        if reply.is_blank() {
            return self.unread(&request, reply.blank, may_lack);
        }
        self.board.progress.counts().decoded += 1;
        let valid = self.valid(part.scene, &request, &mut pixels)?;
        let mut probed = reply.blank;
        probed.resize(n_tiles, false);
        let (blank, empty) = if may_lack { (probed, vec![false; n_tiles]) } else { (vec![false; n_tiles], probed) };
        Ok(PartPixels { pixels, valid, blank, empty, fill: None })
    }

    /// A part of a scene whose grid is not the networks': its pixels on theirs.
    fn resampled(
        &mut self,
        part: &Part,
        resampling: Resampling,
        mut probes: Vec<PixelRect>,
        n_tiles: usize,
    ) -> Result<PartPixels, PartError> {
        let scenes = Arc::clone(&self.board.scenes);
        let (header, n_bands) = (&scenes.plan().scenes[part.scene as usize].header, scenes.plan().bands.len());
        let bytes_per_pixel = Footprint::pixels(header, Size::new(1, 1), n_bands).pixels;
        let mut whole = Resampled::new(resampling, part.window, header.dtype, n_bands);
        let mut blank = Vec::new();
        self.board.progress.counts().decoded += 1;
        for piece in resampling.pieces(part.window, bytes_per_pixel) {
            // What is asked beside pixels, the first piece asks.
            let request = self.request(part.scene, resampling.source(piece), std::mem::take(&mut probes));
            let mut pixels = PixelBuf::of_bytes(header.dtype, request.buffer_bytes());
            let reply = self.source.read(&request, pixels.bytes_mut())?;
            self.note(part.scene, &reply.warnings)?;
            let valid = self.valid(part.scene, &request, &mut pixels)?;
            blank.extend(reply.blank);
            whole.fill(piece, &pixels, valid.as_deref());
        }
        blank.resize(n_tiles, false);
        let Resampled { pixels, valid, .. } = whole;
        let valid = valid.filter(|valid| valid.contains(&0));
        Ok(PartPixels { pixels, valid, blank, empty: vec![false; n_tiles], fill: None })
    }

    /// Asks for a window of a scene's own grid, its mask where that is wanted, and what the file says of the probes.
    fn request(&self, scene: u32, window: PixelRect, probes: Vec<PixelRect>) -> ReadRequest {
        let plan = self.board.plan();
        let may_lack = plan.pipeline.classes.nodata().is_some();
        let mask = may_lack && plan.scenes[scene as usize].header.mask == Mask::Dataset;
        ReadRequest { mask, probes, ..plan.request(scene as usize, window) }
    }

    /// Which of the pixels that came hold data; takes the mask off them.
    fn valid(&self, scene: u32, request: &ReadRequest, pixels: &mut PixelBuf) -> Result<Option<Vec<u8>>, PartError> {
        let plan = self.board.plan();
        let mask = pixels.split_tail(request.plane_bytes() * plan.bands.len());
        let rule = plan.pipeline.classes.nodata().map(|_| plan.pipeline.reading.nodata);
        let header = &plan.scenes[scene as usize].header;
        validity(header, &request.bands, request.window, pixels, mask, rule).map_err(PartError::Pixels)
    }

    /// A part of which the file stores nothing, so that nothing was read: no data, where that may be, or else one pixel everywhere.
    fn unread(&mut self, request: &ReadRequest, blank: Vec<bool>, may_lack: bool) -> Result<PartPixels, PartError> {
        let none = PixelBuf::zeros(request.dtype, 0);
        if may_lack {
            let empty = vec![false; blank.len()];
            return Ok(PartPixels { pixels: none, valid: None, blank, empty, fill: None });
        }
        let window = PixelRect { size: Size::new(1, 1), ..request.window };
        let one = ReadRequest { window, probes: Vec::new(), ..request.clone() };
        let mut fill = PixelBuf::of_bytes(request.dtype, one.buffer_bytes());
        self.source.read(&one, fill.bytes_mut())?;
        if has_non_finite(&fill) {
            return Err(PartError::Pixels(non_finite(window, 0)));
        }
        Ok(PartPixels { pixels: none, valid: None, blank: vec![false; blank.len()], empty: blank, fill: Some(fill) })
    }
}

impl Read {
    /// Which pixels lie inside the area, of the parts that its border cuts and that networks give; an area that cannot be had costs the
    /// scene.
    fn within(
        &mut self,
        unit: usize,
        geometry: &UnitGeometry,
        tasks: &[PartTask],
    ) -> Result<Vec<Option<Vec<u8>>>, RasterError> {
        let scenes = Arc::clone(&self.board.scenes);
        let is_cut = |part: u32| {
            let scene = &scenes.plan().scenes[geometry.parts[part as usize].scene as usize];
            geometry.tiles_of(part).any(|tile| scene.is_cut(geometry.tiles[tile].centre))
        };
        let mut within = Vec::with_capacity(tasks.len());
        for ((idx, part), task) in (0..).zip(&geometry.parts).zip(tasks) {
            let is_asked = task.is_classified() && !scenes.has_failed(part.scene) && is_cut(idx);
            let asked = geometry.owned_by(idx).filter(|_| is_asked);
            within.push(match asked.map(|owned| self.inside(part.scene, owned)).transpose() {
                Ok(inside) => inside,
                Err(PartError::Raster(error @ RasterError::NoDecoder { .. })) => return Err(error),
                Err(cause) => {
                    scenes.fail(part.scene, "read", Some(unit), cause.to_string());
                    None
                }
            });
        }
        Ok(within)
    }

    /// Which pixels of a window lie inside the area.
    fn inside(&mut self, scene: u32, window: PixelRect) -> Result<Vec<u8>, PartError> {
        let plan = self.board.plan();
        let mut inside = vec![u8::MAX; window.size.len()];
        let Some(area) = &plan.area else { return Ok(inside) };
        if !area.is_unchanged() {
            return Err(PartError::Area(area.label()));
        }
        let scene = &plan.scenes[scene as usize];
        let grid = GroundGrid::of(&scene.header).map_err(PartError::Pixels)?.resized(scene.network_size());
        let request = area.request(grid, Burn::Cover { cell: Size::new(1, 1) }, window);
        self.source.rasterise(&request, &mut inside)?;
        Ok(inside)
    }

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
    /// The area is not what it was.
    #[error("the file of the area `{0}` changed since it was planned; run again")]
    Area(String),
    /// They are of no use.
    #[error("{0}")]
    Pixels(String),
    /// The decoder is not sure of them, and nobody wants such.
    #[error("the decoder warns: {0} (--strict)")]
    Warned(String),
}

/// The part of a tile's crop that lies in the window.
fn crop_inside(tile: &Tile, crop: Size, window: PixelRect) -> PixelRect {
    let inside = |start: i64, length: u32, within: Span| {
        let position = |at: i64| u32::try_from(at.max(0)).unwrap_or(u32::MAX).clamp(within.start, within.end);
        Span::new(position(start), position(start + i64::from(length)))
    };
    PixelRect::from_spans(inside(tile.crop_x, crop.width, window.xs()), inside(tile.crop_y, crop.height, window.ys()))
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
        // Of blended tiles it was said before which units are run: others count on it.
        let (is_blended, is_run) = (!geometry.blend.is_none(), self.board.terms.is_run(turn.unit));
        let stored = if is_blended && is_run { None } else { self.recall(geometry, idx) };
        if let Some(planes) = stored {
            let lends = !self.board.terms.lends_to(turn.unit).is_empty();
            return (if lends { PartTask::Lend } else { PartTask::Recall }, Some(planes));
        }
        if is_blended && !is_run {
            let cause = "what is stored of it cannot be read, and the tiles beside it were not run; run again with --from infer";
            self.board.scenes.fail(scene, "read", Some(turn.unit), cause);
            return (PartTask::Run, None);
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
        let within = self.within(unit, &geometry, &tasks)?;
        let (lends_to, borrows) = (board.terms.lends_to(unit), board.terms.borrows(unit, &geometry));
        let ticket = Arc::new(Ticket { unit, geometry, tasks, within, lends_to, borrows, credit });
        if let Some(classified) = recalled(&ticket, &planes) {
            let pixels = ticket.geometry.crop.area() * classified.tiles.len() as u64;
            board.progress.counts().add_tiles(classified.tiles.len() as u64, 0, pixels);
            drop(planes);
            out.put(Opened::Recalled(classified));
        }
        if ticket.tasks.iter().any(|task| task.is_seen()) {
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
