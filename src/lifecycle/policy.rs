//! What follows from the death of a worker.
//!
//! A worker that dies (a fault in a library, a stall, the system's out-of-memory killer) is started again; what was under way then runs one
//! item at a time, and an item that it dies of although it ran alone is left out by name.

use std::collections::BTreeMap;

use super::Error;
use super::link::{AttemptInfo, WorkerEvent};
use crate::report::Restart;

/// So many attempts in a row that died before anything was finished, and no item is to blame.
const UNEXPLAINED: usize = 5;

/// So many in a row that died of one item each: it is not the items.
const ONE_BY_ONE: usize = 20;

/// What is known of the attempts.
#[derive(Debug, Default)]
pub(super) struct RestartPolicy {
    /// What the next attempt is told.
    pub(super) attempt: AttemptInfo,
    under_way: BTreeMap<u64, (Vec<String>, bool)>,
    /// The item that entered alone last in this attempt.
    tried: Option<Tried>,
    /// Deaths since something was recorded.
    in_vain: usize,
    /// Those among them that one item explains.
    explained: usize,
}

/// How far an item that runs alone has come in an attempt.
#[derive(Debug)]
struct Tried {
    item: String,
    /// A unit of it has left the dataflow.
    left: bool,
    /// Something was recorded since it entered. Alone that says little: what was under way before it is recorded late.
    recorded: bool,
}

impl Tried {
    fn has_moved(&self) -> bool {
        self.left && self.recorded
    }
}

impl RestartPolicy {
    /// Takes in what the worker tells.
    pub(super) fn hear(&mut self, event: WorkerEvent) {
        match event {
            WorkerEvent::Begun => self.attempt.begun = true,
            WorkerEvent::Recorded => {
                (self.in_vain, self.explained) = (0, 0);
                self.tried.iter_mut().for_each(|tried| tried.recorded = true);
            }
            WorkerEvent::Entered { turn, items, alone } => {
                if let Some(item) = items.first().filter(|_| alone)
                    && self.tried.as_ref().is_none_or(|tried| tried.item != *item)
                {
                    self.tried = Some(Tried { item: item.clone(), left: false, recorded: false });
                }
                self.under_way.insert(turn, (items, alone));
            }
            WorkerEvent::Left { turn } => {
                let items = self.under_way.remove(&turn).map(|(items, _)| items).unwrap_or_default();
                if let Some(tried) = self.tried.as_mut().filter(|tried| items.contains(&tried.item)) {
                    tried.left = true;
                }
            }
        }
    }

    /// Notes that a run has ended because of a device.
    pub(super) fn lost_a_device(&mut self) -> Restart {
        self.under_way.clear();
        self.tried = None;
        self.attempt.deaths.push("lost a device".into());
        Restart::DeviceLost
    }

    /// Notes a death and says what follows from it.
    pub(super) fn died(&mut self, how: &str) -> Result<Restart, Error> {
        let under_way = std::mem::take(&mut self.under_way);
        self.attempt.deaths.push(how.to_owned());
        // The last one that entered alone is the one it died of; a large one that got on has another try from where it came to.
        let has_moved = self.tried.take().is_some_and(|tried| tried.has_moved());
        let alone = under_way.values().rev().find(|(_, alone)| *alone && !has_moved);
        let alone = alone.and_then(|(items, _)| items.first().cloned());
        self.in_vain += 1;
        self.explained += usize::from(alone.is_some());
        if self.in_vain - self.explained >= UNEXPLAINED || self.explained >= ONE_BY_ONE {
            return Err(Error::Died { times: self.in_vain, how: how.to_owned() });
        }
        if let Some(item) = alone {
            self.attempt.suspects.remove(&item);
            self.attempt.quarantined.insert(item.clone(), how.to_owned());
            return Ok(Restart::LeftOut { how: how.to_owned(), item });
        }
        let items: Vec<String> = under_way.into_values().flat_map(|(items, _)| items).collect();
        let under_way = items.len();
        self.attempt.suspects.extend(items);
        Ok(Restart::Died { how: how.to_owned(), under_way })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entered(policy: &mut RestartPolicy, turn: u64, scenes: &[&str], alone: bool) {
        policy.hear(WorkerEvent::Entered { turn, items: scenes.iter().map(|s| (*s).to_owned()).collect(), alone });
    }

    #[test]
    fn what_was_under_way_runs_alone_and_what_it_dies_of_alone_is_left_out() {
        let mut policy = RestartPolicy::default();
        entered(&mut policy, 0, &["a"], false);
        policy.hear(WorkerEvent::Left { turn: 0 });
        entered(&mut policy, 1, &["b", "c"], false);
        let how = || "was killed by SIGSEGV".to_owned();
        assert_eq!(policy.died(&how()).unwrap(), Restart::Died { how: how(), under_way: 2 });
        assert!(policy.attempt.suspects.iter().eq(["b", "c"]));
        entered(&mut policy, 0, &["b"], true);
        policy.hear(WorkerEvent::Left { turn: 0 });
        entered(&mut policy, 1, &["c"], true);
        assert_eq!(policy.died(&how()).unwrap(), Restart::LeftOut { how: how(), item: "c".into() });
        assert!(policy.attempt.quarantined.keys().eq(["c"]) && policy.attempt.suspects.iter().eq(["b"]));
    }

    #[test]
    fn a_scene_that_gets_on_is_tried_again_from_where_it_came_to() {
        let mut policy = RestartPolicy::default();
        entered(&mut policy, 0, &["a"], false);
        policy.died("was killed by SIGKILL").unwrap();
        for _ in 0..2 * UNEXPLAINED {
            entered(&mut policy, 0, &["a"], true);
            policy.hear(WorkerEvent::Recorded);
            policy.hear(WorkerEvent::Left { turn: 0 });
            entered(&mut policy, 1, &["a"], true);
            policy.died("was killed by SIGKILL").unwrap();
            assert!(policy.attempt.quarantined.is_empty() && policy.attempt.suspects.iter().eq(["a"]));
        }
        entered(&mut policy, 0, &["b"], true);
        policy.hear(WorkerEvent::Recorded);
        policy.hear(WorkerEvent::Left { turn: 0 });
        entered(&mut policy, 1, &["a"], true);
        policy.died("was killed by SIGKILL").unwrap();
        assert!(policy.attempt.quarantined.keys().eq(["a"]));
    }

    #[test]
    fn what_is_recorded_of_others_while_a_scene_runs_alone_does_not_excuse_it() {
        let mut policy = RestartPolicy::default();
        entered(&mut policy, 0, &["a"], false);
        policy.died("was killed by SIGKILL").unwrap();
        entered(&mut policy, 0, &["b"], false);
        policy.hear(WorkerEvent::Left { turn: 0 });
        entered(&mut policy, 1, &["a"], true);
        // The end of `b`, in one transaction with what came within a second.
        policy.hear(WorkerEvent::Recorded);
        assert!(matches!(policy.died("was killed by SIGKILL").unwrap(), Restart::LeftOut { item, .. } if item == "a"));
        assert!(policy.attempt.quarantined.keys().eq(["a"]));
    }

    #[test]
    fn deaths_that_no_scene_explains_end_it() {
        let mut policy = RestartPolicy::default();
        for _ in 1..UNEXPLAINED {
            policy.died("was killed by SIGKILL").unwrap();
        }
        let text = policy.died("was killed by SIGKILL").unwrap_err().to_string();
        assert!(text.contains("SIGKILL") && text.contains("5 times"), "{text}");
        let mut policy = RestartPolicy::default();
        for scene in 1..ONE_BY_ONE {
            entered(&mut policy, 0, &[&scene.to_string()], true);
            policy.died("was killed by SIGKILL").unwrap();
        }
        entered(&mut policy, 0, &["last"], true);
        policy.died("was killed by SIGKILL").unwrap_err();
    }
}
