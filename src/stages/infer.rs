//! Runs the members that a device holds.

use std::convert::Infallible;
use std::sync::Arc;

use super::Board;
use super::message::{Inferred, Outcome, TileBatch};
use crate::config::classes::NODATA_LABEL;
use crate::flow::{Outbox, Stage};
use crate::infer::{Backend, Combiner, ForwardKey, TileFault};

/// One device and the thread that owns it.
pub struct Infer {
    board: Arc<Board>,
    backend: Box<dyn Backend>,
    keys: Vec<ForwardKey>,
    names: Vec<String>,
    /// What combines the result, where the device holds every member.
    combiner: Option<Combiner>,
}

impl Infer {
    /// A device that runs `keys`; with a combiner they are all of the plan's.
    pub fn new(
        board: Arc<Board>,
        backend: Box<dyn Backend>,
        keys: Vec<ForwardKey>,
        combiner: Option<Combiner>,
    ) -> Self {
        let names = board.plan().members.iter().map(|m| m.member.name.clone()).collect();
        Self { board, backend, keys, names, combiner }
    }

    fn run(&mut self, batch: &TileBatch) -> Outcome {
        let raw = &batch.raw;
        if raw.is_blank() {
            return match self.combiner {
                Some(_) => Outcome::Complete(raw.kept.iter().map(|k| Ok(vec![NODATA_LABEL; k.size.len()])).collect()),
                None => Outcome::Partial { forwards: Vec::new(), faults: vec![None; raw.len()] },
            };
        }
        self.board.progress().count_forwards(self.keys.len() as u64);
        match &self.combiner {
            Some(combiner) => Outcome::Complete(self.backend.classify(raw, &self.keys, combiner, &self.names)),
            None => self.partial(batch),
        }
    }

    fn partial(&mut self, batch: &TileBatch) -> Outcome {
        let mut faults: Vec<Option<TileFault>> = vec![None; batch.raw.len()];
        let mut forwards = Vec::new();
        for key in &self.keys {
            match self.backend.forward_checked(&batch.raw, *key, &self.names[key.member], &mut faults) {
                Ok(logits) => forwards.push((*key, logits)),
                Err(fault) => faults.fill(Some(fault)),
            }
        }
        Outcome::Partial { forwards, faults }
    }
}

impl Stage for Infer {
    type In = Arc<TileBatch>;
    type Out = Inferred;
    type Error = Infallible;

    fn process(&mut self, batch: Arc<TileBatch>, out: &Outbox<'_, Inferred>) -> Result<(), Infallible> {
        let outcome = self.run(&batch);
        out.put(Inferred { batch, outcome });
        Ok(())
    }
}
