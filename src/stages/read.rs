//! Decodes a unit in one pass.

use std::convert::Infallible;
use std::sync::Arc;

use super::Board;
use super::message::{PartPixels, ReadUnit, Ticket};
use super::validity::validity;
use crate::flow::{Admitted, Outbox, Stage};
use crate::geom::{PixelRect, Span};
use crate::plan::{Part, UnitGeometry};
use crate::raster::{Identity, Mask, PixelBuf, RasterError, RasterSource, ReadRequest};

/// One reader.
pub struct Read {
    board: Arc<Board>,
    source: Box<dyn RasterSource>,
}

impl Read {
    /// A reader with a source of its own.
    pub fn new(board: Arc<Board>, source: Box<dyn RasterSource>) -> Self {
        Self { board, source }
    }

    /// The pixels of a part, or `None` after noting why there are none.
    fn part(&mut self, geometry: &UnitGeometry, idx: u32, part: &Part) -> Option<PartPixels> {
        if self.board.has_failed(part.scene) {
            return None;
        }
        match self.read(geometry, idx, part) {
            Ok(pixels) => Some(pixels),
            Err(cause) => {
                self.board.fail(part.scene, "read", cause);
                None
            }
        }
    }

    fn read(&mut self, geometry: &UnitGeometry, idx: u32, part: &Part) -> Result<PartPixels, String> {
        let board = Arc::clone(&self.board);
        let plan = board.plan();
        let scene = &plan.scenes[part.scene as usize];
        let path = plan.path_of(part.scene as usize);
        if let Some(planned) = &scene.identity
            && Identity::of(&path).as_ref() != Ok(planned)
        {
            return Err(RasterError::Changed.to_string());
        }
        let may_lack = plan.pipeline.classes.nodata().is_some();
        let probes = match may_lack {
            true => geometry.tiles.iter().filter(|t| t.part == idx).map(|t| crop_inside(t, part.window)).collect(),
            false => Vec::new(),
        };
        let request = ReadRequest {
            path,
            window: part.window,
            bands: plan.bands.clone(),
            dtype: scene.header.dtype,
            mask: may_lack && scene.header.mask == Mask::Dataset,
            probes,
        };
        let mut pixels = PixelBuf::of_bytes(scene.header.dtype, request.buffer_bytes());
        let reply = self.source.read(&request, pixels.bytes_mut()).map_err(|e| e.to_string())?;
        let mask = pixels.split_tail(request.plane_bytes() * plan.bands.len());
        let valid = validity(&scene.header, &plan.bands, part.window, &pixels, mask, may_lack)?;
        let n_tiles = geometry.tiles.iter().filter(|t| t.part == idx).count();
        let mut blank = reply.blank;
        blank.resize(n_tiles, false);
        Ok(PartPixels { pixels, valid, blank })
    }
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

impl Stage for Read {
    type In = Admitted;
    type Out = ReadUnit;
    type Error = Infallible;

    fn process(&mut self, admitted: Admitted, out: &Outbox<'_, ReadUnit>) -> Result<(), Infallible> {
        let Admitted { index: unit, mut credit } = admitted;
        let board = Arc::clone(&self.board);
        let plan = board.plan();
        let geometry = plan.units[unit].geometry(plan);
        let pixels = credit.split(plan.units[unit].footprint(plan).pixels);
        let parts = (0..).zip(&geometry.parts).map(|(idx, part)| self.part(&geometry, idx, part)).collect();
        let ticket = Arc::new(Ticket { unit, geometry, credit });
        out.put(ReadUnit { ticket, parts, credit: pixels });
        Ok(())
    }
}
