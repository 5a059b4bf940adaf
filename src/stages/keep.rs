//! Keeps labels as checkpoints: one artefact file per unit, one entry per scene in it.

use std::sync::Arc;

use super::Board;
use super::message::Classified;
use crate::atomic::WriteError;
use crate::config::classes::ClassId;
use crate::flow::{Outbox, Stage};
use crate::journal::{Artefact, StageKey};

/// One keeper.
pub struct Keep {
    board: Arc<Board>,
}

impl Keep {
    /// A keeper.
    pub fn new(board: Arc<Board>) -> Self {
        Self { board }
    }

    fn write(&self, classified: &Classified) -> Result<Option<Artefact>, WriteError> {
        let ticket = &classified.ticket;
        let geometry = &ticket.geometry;
        let fine = |part: u32| {
            let scene = geometry.parts[part as usize].scene;
            ticket.tasks[part as usize].is_classified() && !self.board.has_failed(scene)
        };
        let parts = (0..).zip(&geometry.parts).map(|(part, _)| part).filter(|part| fine(*part));
        let keys: Vec<(u32, StageKey)> = parts.map(|part| (part, self.board.keys().labels(geometry, part))).collect();
        if keys.is_empty() || self.board.is_put_off(ticket.unit) {
            return Ok(None);
        }
        let mut writer = self.board.memory().checkpoints.create(keys.iter().map(|(_, key)| key))?;
        for (part, key) in keys {
            let own = classified.tiles.iter().filter(|(idx, _)| geometry.tiles[*idx].part == part);
            let pieces: Vec<&[ClassId]> = own.filter_map(|(_, labels)| labels.as_deref()).collect();
            writer.add(key, &pieces)?;
        }
        writer.finish().map(Some)
    }
}

impl Stage for Keep {
    type In = Arc<Classified>;
    type Out = Artefact;
    type Error = WriteError;

    fn process(&mut self, classified: Arc<Classified>, out: &Outbox<'_, Artefact>) -> Result<(), WriteError> {
        if let Some(artefact) = self.write(&classified)? {
            out.put(artefact);
        }
        Ok(())
    }
}
