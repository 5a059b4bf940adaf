//! Keeps labels as checkpoints: one artefact file per unit, one entry per scene in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Board;
use super::message::{Classified, Ticket};
use crate::atomic::WriteError;
use crate::config::classes::ClassId;
use crate::flow::{Outbox, Stage};
use crate::journal::{Artefact, StageKey};

/// One keeper. All tiles of a unit come to the same one.
pub struct Keep {
    board: Arc<Board>,
    open: BTreeMap<usize, Vec<Arc<Classified>>>,
}

impl Keep {
    /// A keeper.
    pub fn new(board: Arc<Board>) -> Self {
        Self { board, open: BTreeMap::new() }
    }

    fn write(&self, ticket: &Ticket, tiles: &BTreeMap<usize, &[ClassId]>) -> Result<Option<Artefact>, WriteError> {
        let geometry = &ticket.geometry;
        let fine = |part: u32| {
            let scene = geometry.parts[part as usize].scene;
            ticket.tasks[part as usize].is_classified() && !self.board.has_failed(scene)
        };
        let parts = (0..).zip(&geometry.parts).map(|(part, _)| part).filter(|part| fine(*part));
        let keys: Vec<(u32, StageKey)> = parts.map(|part| (part, self.board.keys().labels(geometry, part))).collect();
        if keys.is_empty() {
            return Ok(None);
        }
        let mut writer = self.board.memory().checkpoints.create(keys.iter().map(|(_, key)| key))?;
        for (part, key) in keys {
            let pieces = tiles.iter().filter(|(idx, _)| geometry.tiles[**idx].part == part).map(|(_, labels)| *labels);
            writer.add(key, &pieces.collect::<Vec<_>>())?;
        }
        writer.finish().map(Some)
    }
}

impl Stage for Keep {
    type In = Arc<Classified>;
    type Out = Artefact;
    type Error = WriteError;

    fn process(&mut self, classified: Arc<Classified>, out: &Outbox<'_, Artefact>) -> Result<(), WriteError> {
        let ticket = Arc::clone(&classified.ticket);
        let open = self.open.entry(ticket.unit).or_default();
        open.push(classified);
        let is_wanted = |part: u32| ticket.tasks[part as usize].is_classified();
        let wanted = ticket.geometry.tiles.iter().filter(|t| is_wanted(t.part)).count();
        if open.iter().map(|c| c.tiles.len()).sum::<usize>() < wanted {
            return Ok(());
        }
        let all = self.open.remove(&ticket.unit).unwrap_or_default();
        let tiles = all.iter().flat_map(|c| &c.tiles);
        let tiles = tiles.filter_map(|(idx, labels)| Some((*idx, labels.as_deref()?))).collect();
        if let Some(artefact) = self.write(&ticket, &tiles)? {
            out.put(artefact);
        }
        Ok(())
    }
}
