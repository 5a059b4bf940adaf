//! Keeps planes as checkpoints: one artefact file per unit, one entry per scene and plane in it.

use std::sync::Arc;

use super::message::Classified;
use super::prior::{KeepLabels, PriorResults};
use super::scenes::Scenes;
use crate::atomic::WriteError;
use crate::flow::{Outbox, Stage};
use crate::journal::{Artefact, StageKey};

/// Puts the planes that the plan keeps into artefact files. Several work side by side: units come in any order, and each has its keys.
pub struct Keep {
    scenes: Arc<Scenes>,
    prior: Arc<PriorResults>,
}

impl Keep {
    /// A writer of checkpoints.
    pub fn new(scenes: Arc<Scenes>, prior: Arc<PriorResults>) -> Self {
        Self { scenes, prior }
    }

    fn is_wanted(&self, scene: u32) -> bool {
        let plan = self.scenes.plan();
        let is_cut = || plan.part.as_ref().is_some_and(|part| part.cut.contains(&(scene as usize)));
        match self.prior.keep_labels {
            KeepLabels::Never => false,
            KeepLabels::OfSeveralUnits => is_cut() || plan.units_of(scene as usize).len() > 1,
            KeepLabels::Always => true,
        }
    }

    fn write(&self, classified: &Classified) -> Result<Option<Artefact>, WriteError> {
        let ticket = &classified.ticket;
        let geometry = &ticket.geometry;
        let fine = |part: u32| {
            let scene = geometry.parts[part as usize].scene;
            ticket.tasks[part as usize].is_classified() && !self.scenes.has_failed(scene) && self.is_wanted(scene)
        };
        let parts = (0..).zip(&geometry.parts).map(|(part, _)| part).filter(|part| fine(*part));
        let of_part = |part: u32| {
            let keys = self.prior.keys.planes(geometry, part);
            keys.enumerate().map(move |(plane, key)| (part, plane, key))
        };
        let keys: Vec<(u32, usize, StageKey)> = parts.flat_map(of_part).collect();
        if keys.is_empty() || self.scenes.is_put_off(ticket.unit) {
            return Ok(None);
        }
        let mut writer = self.prior.checkpoints.create(keys.iter().map(|(_, _, key)| key))?;
        for (part, plane, key) in keys {
            let own = classified.tiles.iter().filter(|(idx, _)| geometry.tiles[*idx].part == part);
            let pieces: Vec<&[u8]> = own.filter_map(|(_, planes)| Some(planes.as_ref()?.0[plane].as_slice())).collect();
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
