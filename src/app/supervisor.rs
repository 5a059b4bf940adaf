//! The thin parent of a run: starts it again when it dies, and nothing else.
//!
//! It holds no raster, no tensor and no file of the run directory. A run that dies (a fault in a library, a stall, the system's
//! out-of-memory killer) is started again; what was under way then runs one scene at a time, and a scene that it dies of although
//! it ran alone is left out by name.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Instant;

use super::Error;
use super::guard::{Guard, Orders, Word};
use super::signals::Forwarding;
use crate::process::{Child, FrameError, ending};
use crate::report::eprint_line;

/// The argument that tells a run that it is watched over. It must not be recorded: the next run decides for itself.
pub const SUPERVISED: &str = "--supervised";

/// Exit code of a run that asks to be started again.
pub(super) const RESTART: u8 = 75;

/// Exit code of a run that asks to be started again because of a device: no scene is to blame, and the journal counts.
pub(super) const RESTART_FOR_DEVICE: u8 = 76;

/// So many attempts in a row that died before anything was finished, and no scene is to blame.
const UNEXPLAINED: usize = 5;

/// So many in a row that died of one scene each: it is not the scenes.
const ONE_BY_ONE: usize = 20;

/// Signals by which people and batch systems end a run: not a death.
const ORDINARY: [i32; 4] = [1, 2, 3, 15];

/// Runs this program with the same arguments as a child until it ends by itself, and returns its exit code.
///
/// # Errors
/// When no child can be started, or it dies again and again and no scene is to blame.
pub fn supervise(arguments: &[OsString]) -> Result<u8, Error> {
    let failed = |operation| move |source| Error::System { operation, source };
    let arguments = supervised(arguments);
    let mut ward = Ward::default();
    let began = Instant::now();
    let forwarding = Forwarding::begin().map_err(failed("watch for signals"))?;
    loop {
        ward.orders.elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or_default();
        let mut child = Child::start(&arguments, false).map_err(failed("start the run's own process"))?;
        // A child that is gone already tells so by its end.
        drop(child.frames().send(&ward.orders));
        forwarding.to(child.frames().try_clone().map_err(failed("talk to the run's own process"))?);
        while let Some(word) = listen(&mut child) {
            ward.hear(word);
        }
        let status = child.wait().map_err(failed("wait for the run's own process"))?;
        let told_to_end = forwarding.to_nobody();
        let line = match (code(status), told_to_end) {
            // Whatever it died of on the way to its end, it is not started again.
            (None | Some(RESTART | RESTART_FOR_DEVICE), Some(signal)) => return Ok(signal.exit_code()),
            (Some(RESTART_FOR_DEVICE), None) => ward.lost_a_device(),
            (Some(RESTART), None) => ward.died("stopped itself")?,
            (None, None) => ward.died(&ending(status))?,
            (Some(code), _) => return Ok(code),
        };
        eprint_line(&line);
    }
}

/// The arguments of the child: what follows `--` is no option.
fn supervised(arguments: &[OsString]) -> Vec<OsString> {
    let mut arguments = arguments.to_vec();
    let end = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
    arguments.insert(end, SUPERVISED.into());
    arguments
}

/// The exit code of a run that is watched over and ends with an error for which it may be started again; `None` for other errors.
pub fn restart_code(error: &Error, guard: &Guard) -> Option<u8> {
    (guard.is_watched() && matches!(error, Error::DeviceLost { .. })).then_some(RESTART_FOR_DEVICE)
}

/// The child's next word; `None` when it is gone.
fn listen(child: &mut Child) -> Option<Word> {
    loop {
        match child.frames().recv(None) {
            Ok(word) => return Some(word),
            Err(FrameError::Late) => {}
            Err(FrameError::Closed) => return None,
            Err(FrameError::System(_) | FrameError::Nonsense(_)) => {
                // Its memory is in disorder; left alone it would wait for ever for somebody who listens.
                drop(child.kill());
                return None;
            }
        }
    }
}

/// The exit code of a process that ended by itself, or that somebody ended on purpose.
fn code(status: ExitStatus) -> Option<u8> {
    // What shells make of a signal.
    let ordinary = status.signal().filter(|s| ORDINARY.contains(s)).map(|s| 128 + s);
    status.code().or(ordinary).and_then(|code| u8::try_from(code).ok())
}

/// What is known of the attempts.
#[derive(Debug, Default)]
struct Ward {
    orders: Orders,
    under_way: BTreeMap<u64, (Vec<String>, bool)>,
    /// The scene that entered alone last in this attempt.
    tried: Option<Tried>,
    /// Deaths since something was recorded.
    in_vain: usize,
    /// Those among them that one scene explains.
    explained: usize,
}

/// How far a scene that runs alone has come in an attempt.
#[derive(Debug)]
struct Tried {
    scene: String,
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

impl Ward {
    fn hear(&mut self, word: Word) {
        match word {
            Word::Begun => self.orders.begun = true,
            Word::Recorded => {
                (self.in_vain, self.explained) = (0, 0);
                self.tried.iter_mut().for_each(|tried| tried.recorded = true);
            }
            Word::Entered { turn, scenes, alone } => {
                if let Some(scene) = scenes.first().filter(|_| alone)
                    && self.tried.as_ref().is_none_or(|tried| tried.scene != *scene)
                {
                    self.tried = Some(Tried { scene: scene.clone(), left: false, recorded: false });
                }
                self.under_way.insert(turn, (scenes, alone));
            }
            Word::Left { turn } => {
                let scenes = self.under_way.remove(&turn).map(|(scenes, _)| scenes).unwrap_or_default();
                if let Some(tried) = self.tried.as_mut().filter(|tried| scenes.contains(&tried.scene)) {
                    tried.left = true;
                }
            }
        }
    }

    /// Notes that a run has ended because of a device.
    fn lost_a_device(&mut self) -> String {
        self.under_way.clear();
        self.tried = None;
        self.orders.deaths.push("lost a device".into());
        "a device was lost; starting the run again".into()
    }

    /// Notes a death and says in a line what follows from it.
    fn died(&mut self, how: &str) -> Result<String, Error> {
        let under_way = std::mem::take(&mut self.under_way);
        self.orders.deaths.push(how.to_owned());
        // The last one that entered alone is the one it died of; a large one that got on has another try from where it came to.
        let has_moved = self.tried.take().is_some_and(|tried| tried.has_moved());
        let alone = under_way.values().rev().find(|(_, alone)| *alone && !has_moved);
        let alone = alone.and_then(|(scenes, _)| scenes.first().cloned());
        self.in_vain += 1;
        self.explained += usize::from(alone.is_some());
        if self.in_vain - self.explained >= UNEXPLAINED || self.explained >= ONE_BY_ONE {
            return Err(Error::Died { times: self.in_vain, how: how.to_owned() });
        }
        if let Some(scene) = alone {
            self.orders.suspects.remove(&scene);
            let line = format!("the run {how} at work on `{scene}` alone; going on without that scene");
            self.orders.quarantined.insert(scene, how.to_owned());
            return Ok(line);
        }
        let scenes: Vec<String> = under_way.into_values().flat_map(|(scenes, _)| scenes).collect();
        let line = match scenes.len() {
            0 => format!("the run {how}; starting it again"),
            n => format!("the run {how} with {n} scenes under way; starting it again, with those one at a time"),
        };
        self.orders.suspects.extend(scenes);
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entered(ward: &mut Ward, turn: u64, scenes: &[&str], alone: bool) {
        ward.hear(Word::Entered { turn, scenes: scenes.iter().map(|s| (*s).to_owned()).collect(), alone });
    }

    #[test]
    fn what_was_under_way_runs_alone_and_what_it_dies_of_alone_is_left_out() {
        let mut ward = Ward::default();
        entered(&mut ward, 0, &["a"], false);
        ward.hear(Word::Left { turn: 0 });
        entered(&mut ward, 1, &["b", "c"], false);
        let line = ward.died("was killed by SIGSEGV").unwrap();
        assert!(line.contains("SIGSEGV") && line.contains("2 scenes"), "{line}");
        assert!(ward.orders.suspects.iter().eq(["b", "c"]));
        entered(&mut ward, 0, &["b"], true);
        ward.hear(Word::Left { turn: 0 });
        entered(&mut ward, 1, &["c"], true);
        assert!(ward.died("was killed by SIGSEGV").unwrap().contains("`c` alone"));
        assert!(ward.orders.quarantined.keys().eq(["c"]) && ward.orders.suspects.iter().eq(["b"]));
    }

    #[test]
    fn a_scene_that_gets_on_is_tried_again_from_where_it_came_to() {
        let mut ward = Ward::default();
        entered(&mut ward, 0, &["a"], false);
        ward.died("was killed by SIGKILL").unwrap();
        for _ in 0..2 * UNEXPLAINED {
            entered(&mut ward, 0, &["a"], true);
            ward.hear(Word::Recorded);
            ward.hear(Word::Left { turn: 0 });
            entered(&mut ward, 1, &["a"], true);
            ward.died("was killed by SIGKILL").unwrap();
            assert!(ward.orders.quarantined.is_empty() && ward.orders.suspects.iter().eq(["a"]));
        }
        entered(&mut ward, 0, &["b"], true);
        ward.hear(Word::Recorded);
        ward.hear(Word::Left { turn: 0 });
        entered(&mut ward, 1, &["a"], true);
        ward.died("was killed by SIGKILL").unwrap();
        assert!(ward.orders.quarantined.keys().eq(["a"]));
    }

    #[test]
    fn what_is_recorded_of_others_while_a_scene_runs_alone_does_not_excuse_it() {
        let mut ward = Ward::default();
        entered(&mut ward, 0, &["a"], false);
        ward.died("was killed by SIGKILL").unwrap();
        entered(&mut ward, 0, &["b"], false);
        ward.hear(Word::Left { turn: 0 });
        entered(&mut ward, 1, &["a"], true);
        // The end of `b`, in one transaction with what came within a second.
        ward.hear(Word::Recorded);
        assert!(ward.died("was killed by SIGKILL").unwrap().contains("`a` alone"));
        assert!(ward.orders.quarantined.keys().eq(["a"]));
    }

    #[test]
    fn the_argument_of_a_watched_run_comes_before_what_is_no_option() {
        let text = |arguments: &[&str]| supervised(&arguments.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(text(&["run", "-o", "out"]), ["run", "-o", "out", SUPERVISED]);
        assert_eq!(text(&["run", "--", "p.toml"]), ["run", SUPERVISED, "--", "p.toml"]);
    }

    #[test]
    fn deaths_that_no_scene_explains_end_it() {
        let mut ward = Ward::default();
        for _ in 1..UNEXPLAINED {
            ward.died("was killed by SIGKILL").unwrap();
        }
        let text = ward.died("was killed by SIGKILL").unwrap_err().to_string();
        assert!(text.contains("SIGKILL") && text.contains("5 times"), "{text}");
        let mut ward = Ward::default();
        for scene in 1..ONE_BY_ONE {
            entered(&mut ward, 0, &[&scene.to_string()], true);
            ward.died("was killed by SIGKILL").unwrap();
        }
        entered(&mut ward, 0, &["last"], true);
        ward.died("was killed by SIGKILL").unwrap_err();
    }
}
