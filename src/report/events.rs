//! Everything that is told while a command is at work: in words for people, as one JSON object per line for programs (`--progress json`).

use std::error::Error;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::show::Detail;
use super::summary::stage_table;
use super::{PackageReport, StageLine, Totals, TrainingSummary, ValidationRecord};
use crate::words::{count, format_bytes, format_duration, plural, time};

/// All that is told. A program that reads it must bear unknown events and unknown fields.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event<'a> {
    /// The work is known.
    Started {
        /// Scenes to segment, those that earlier runs did included.
        scenes: u64,
        /// Their tiles.
        tiles: u64,
        /// Their pixels.
        pixels: u64,
        /// Members by name.
        members: &'a [&'a str],
        /// "torch" or "fake".
        backend: &'a str,
        /// Devices by name.
        devices: &'a str,
        /// Bytes of memory that are reserved.
        memory: u64,
    },
    /// What earlier runs left.
    Earlier {
        /// Scenes that are done and verified.
        done: u64,
        /// Of so many scenes.
        of_scenes: u64,
        /// Checkpoints that can be used.
        checkpoints: u64,
        /// Scenes whose files are not as recorded: they are made anew.
        damaged: u64,
        /// Whether some tiles were left to fewer members for lack of time, and so are by this run.
        fewer_members: bool,
        /// Unfinished files that were removed.
        unfinished: u64,
    },
    /// How far the hashing of inputs is.
    Hashing {
        /// Bytes that are hashed.
        bytes: u64,
        /// Of so many whose digest is not known from before.
        of_bytes: u64,
        /// Seconds to go; `null` as long as nothing is known.
        eta_seconds: Option<f64>,
    },
    /// How far it is.
    Progress {
        /// Scenes with a verdict.
        scenes: u64,
        /// Those of them that failed in this run.
        failed: u64,
        /// Of so many scenes.
        of_scenes: u64,
        /// Tiles whose labels are there.
        tiles: u64,
        /// Of so many tiles.
        of_tiles: u64,
        /// Million pixels per second through the networks.
        mpx_per_second: f64,
        /// Seconds to go; `null` as long as nothing is known.
        eta_seconds: Option<f64>,
    },
    /// How far a training is.
    Training {
        /// Optimiser steps that were done.
        step: u64,
        /// Of so many.
        of_steps: u64,
        /// Passes over the training data.
        epoch: f64,
        /// Of so many.
        of_epochs: f64,
        /// The loss, smoothed; `null` as long as there was none that is a number.
        loss: Option<f64>,
        /// The learning rate.
        rate: f64,
        /// Crops per second.
        samples_per_second: f64,
        /// The share of the time in which the trainer waits for crops.
        loader_wait_share: f64,
        /// Seconds to go; `null` as long as nothing is known.
        eta_seconds: Option<f64>,
    },
    /// A network in training was validated.
    Validated {
        /// How well it does.
        #[serde(flatten)]
        record: &'a ValidationRecord,
    },
    /// A training came to its end.
    Trained {
        /// With what.
        #[serde(flatten)]
        summary: &'a TrainingSummary,
    },
    /// A scene has no mask.
    Failed {
        /// The file.
        scene: &'a str,
        /// The stage that noticed.
        stage: &'a str,
        /// Why.
        cause: &'a str,
    },
    /// A device had not the memory for some parts of the work: they are done again, tile by tile.
    OutOfMemory {
        /// So many.
        parts: u64,
        /// Of so many.
        of_parts: u64,
    },
    /// Less is done, so that the deadline is met.
    Deadline {
        /// Time since the command began.
        #[serde(rename = "seconds", serialize_with = "seconds")]
        elapsed: Duration,
        /// What it has.
        #[serde(rename = "of_seconds", serialize_with = "seconds")]
        limit: Duration,
        /// What is given up.
        #[serde(flatten)]
        step: TimeStep<'a>,
    },
    /// It is later than the deadline.
    DeadlineMissed {
        /// By so much.
        seconds: f64,
    },
    /// The deadline is over before work could begin.
    OutOfTime {
        /// What it had.
        #[serde(rename = "seconds", serialize_with = "seconds")]
        limit: Duration,
    },
    /// A signal has come: what is under way is finished.
    Stopping {
        /// Which one.
        signal: &'a str,
        /// For how long it may go on.
        grace_seconds: u64,
    },
    /// What is under way does not come to an end, and is left.
    Abandoned,
    /// Nothing moves any more: what each stage has done so far.
    Stalled {
        /// In the order of the dataflow.
        stages: &'a [StageLine],
    },
    /// The worker has ended before its work, and is started again.
    Restarted {
        /// Why, and what is done otherwise.
        #[serde(flatten)]
        restart: &'a Restart,
        /// What an item is called.
        #[serde(skip)]
        item: &'a str,
    },
    /// Something a person should know.
    Warning {
        /// In words.
        text: &'a str,
    },
    /// What a tool says of its work on the way.
    Note {
        /// In words.
        text: &'a str,
    },
    /// Why the program ends without a result.
    Error {
        /// The error with its causes.
        text: &'a str,
    },
    /// The run came to its end; report.json has the rest.
    Finished {
        /// Sums.
        totals: &'a Totals,
        /// The archive, if there is one.
        archive: Option<&'a PackageReport>,
        /// The report.
        report: &'a str,
    },
    /// The summary cannot be printed, but the run has done its work.
    Recorded {
        /// The report, which tells what.
        report: &'a str,
    },
}

/// What is given up so that a deadline is met.
#[derive(Debug, Serialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum TimeStep<'a> {
    /// Nothing more begins.
    Drained {
        /// Parts of the work that are left over.
        parts: u64,
    },
    /// No further forward pass begins.
    Cut {
        /// Parts of the work that are left over.
        parts: u64,
    },
    /// What has not begun is left to fewer members.
    FewerMembers {
        /// Parts of the work.
        parts: u64,
        /// Those that see them.
        members: &'a [String],
        /// Whether that is enough.
        fits: bool,
    },
}

/// Why a worker is started again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Restart {
    /// It lost a device.
    DeviceLost,
    /// It died; what was under way runs one at a time.
    Died {
        /// How: "was killed by SIGSEGV".
        how: String,
        /// Items that were under way.
        under_way: usize,
    },
    /// It died of an item that ran alone, and goes on without it.
    LeftOut {
        /// How.
        how: String,
        /// The item.
        item: String,
    },
}

fn seconds<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(time.as_secs_f64())
}

impl Event<'_> {
    /// To whom it is told: with [`Detail::Quiet`] to everybody.
    pub(super) fn detail(&self) -> Detail {
        match self {
            Self::Failed { .. } => Detail::Verbose,
            Self::Started { .. }
            | Self::Earlier { .. }
            | Self::Hashing { .. }
            | Self::Progress { .. }
            | Self::Training { .. }
            | Self::Validated { .. }
            | Self::OutOfMemory { .. }
            | Self::Deadline { .. }
            | Self::Warning { .. } => Detail::Normal,
            Self::DeadlineMissed { .. }
            | Self::OutOfTime { .. }
            | Self::Stopping { .. }
            | Self::Abandoned
            | Self::Stalled { .. }
            | Self::Restarted { .. }
            | Self::Note { .. }
            | Self::Error { .. }
            | Self::Finished { .. }
            | Self::Trained { .. }
            | Self::Recorded { .. } => Detail::Quiet,
        }
    }

    /// In words, without a line break at the end; `None` where people see it elsewhere, or there is nothing to say.
    pub(super) fn text(&self) -> Option<String> {
        Some(match self {
            Self::Started { scenes, tiles, pixels, members, backend: _, devices, memory } => format!(
                "{}, {:.1} Mpx, {}; {} on {devices}; up to {} of memory reserved",
                count(*scenes, "scene"),
                *pixels as f64 / 1e6,
                count(*tiles, "tile"),
                members.join(" + "),
                format_bytes(*memory)
            ),
            Self::Earlier { .. } => return self.earlier(),
            // The summary, and whoever draws progress.
            Self::Finished { .. }
            | Self::Hashing { .. }
            | Self::Progress { .. }
            | Self::Training { .. }
            | Self::Trained { .. } => return None,
            Self::Validated { record } => {
                let best = if record.is_best { ", the best so far" } else { "" };
                let (step, metric, value) = (record.step, &record.metric, record.value);
                let spent = time(record.time.seconds);
                format!("step {step}: {metric} {value:.4}, accuracy {:.4}{best} ({spent})", record.accuracy)
            }
            Self::Failed { scene, stage, cause } => format!("failed: {scene} ({stage}): {cause}"),
            Self::OutOfMemory { parts, of_parts } => {
                format!("out of memory on a device: {parts} of {} are done again, tile by tile", n_parts(*of_parts))
            }
            Self::Deadline { elapsed, limit, step } => {
                format!("deadline: after {} of {}, {}", format_duration(*elapsed), format_duration(*limit), step.text())
            }
            Self::DeadlineMissed { seconds } => format!("deadline missed by {:.0} s", seconds.ceil()),
            Self::OutOfTime { limit } => format!(
                "deadline: {} are over before work could begin, and all of it is left over; give the same command a longer --deadline",
                format_duration(*limit)
            ),
            Self::Stopping { signal, grace_seconds } => {
                format!("{signal}: finishing what is under way, {grace_seconds} s at most; send it again to stop now")
            }
            Self::Abandoned => "what is under way does not come to an end; the same command does it again".into(),
            Self::Stalled { stages } => stage_table(stages).trim_end().to_owned(),
            Self::Restarted { restart, item } => restart.text(item),
            Self::Warning { text } => format!("warning: {text}"),
            Self::Note { text } => (*text).to_owned(),
            Self::Error { text } => format!("error: {text}"),
            Self::Recorded { report } => format!("what the run did is recorded in `{report}`"),
        })
    }

    fn earlier(&self) -> Option<String> {
        let Self::Earlier { done, of_scenes, checkpoints, damaged, fewer_members, unfinished } = self else {
            return None;
        };
        let mut lines = Vec::new();
        if *done > 0 || *checkpoints > 0 {
            let stored = count(*checkpoints, "checkpoint");
            lines.push(format!("earlier runs: {done} of {of_scenes} scenes are done and verified, {stored} usable"));
        }
        if *damaged > 0 {
            let files = plural(*damaged, "scene has files that are", "scenes have files that are");
            lines.push(format!("earlier runs: {files} gone or not as recorded; they are made anew"));
        }
        if *fewer_members {
            lines.push(
                "earlier runs: for lack of time some tiles were left to fewer members, and so does this run; run without --deadline to do \
                 them in full"
                    .into(),
            );
        }
        if *unfinished > 0 {
            lines.push(format!("earlier runs: {} removed", count(*unfinished, "unfinished file")));
        }
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

impl TimeStep<'_> {
    fn text(&self) -> String {
        let are = |n: u64| format!("{} {}", n_parts(n), if n == 1 { "is" } else { "are" });
        match self {
            Self::Drained { parts } => format!(
                "no further part of the work fits into what is left: nothing more begins, and {} left over",
                are(*parts)
            ),
            Self::Cut { parts } => {
                format!("time is up: no further forward pass begins, and {} left over that had not begun", are(*parts))
            }
            Self::FewerMembers { parts, members, fits } => {
                let few = if *fits { "as many members as fit" } else { "one member, and even that may not fit" };
                format!("what has not begun, {}, is left to {few}: {}", n_parts(*parts), members.join(" + "))
            }
        }
    }
}

impl Restart {
    fn text(&self, noun: &str) -> String {
        match self {
            Self::DeviceLost => "a device was lost; starting the run again".into(),
            Self::Died { how, under_way: 0 } => format!("the run {how}; starting it again"),
            Self::Died { how, under_way } => {
                format!("the run {how} with {under_way} {noun}s under way; starting it again, with those one at a time")
            }
            Self::LeftOut { how, item } => {
                format!("the run {how} at work on `{item}` alone; going on without that {noun}")
            }
        }
    }
}

/// A number of units, as people are told of them: a row of tiles, or a group of small scenes.
fn n_parts(n: u64) -> String {
    plural(n, "part of the work", "parts of the work")
}

/// An error with its causes. What an error has said of its cause is not said again.
pub(super) fn chain(error: &dyn Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(source) = cause {
        let words = source.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Told {
        text: &'static str,
        source: std::io::Error,
    }

    #[test]
    fn a_cause_is_told_once() {
        let of = |text| chain(&Told { text, source: std::io::Error::from_raw_os_error(2) });
        let cause = "No such file or directory (os error 2)";
        assert_eq!(of("cannot open `a`"), format!("cannot open `a`: {cause}"));
        assert_eq!(of("cannot open `a`: No such file or directory (os error 2)"), format!("cannot open `a`: {cause}"));
    }

    #[test]
    fn a_restart_is_words_for_people_and_fields_for_programs() {
        let restart = Restart::Died { how: "was killed by SIGABRT".into(), under_way: 2 };
        let event = Event::Restarted { restart: &restart, item: "scene" };
        let words =
            "the run was killed by SIGABRT with 2 scenes under way; starting it again, with those one at a time";
        assert_eq!(event.text().as_deref(), Some(words));
        let json = r#"{"event":"restarted","reason":"died","how":"was killed by SIGABRT","under_way":2}"#;
        assert_eq!(serde_json::to_string(&event).unwrap(), json);
    }

    #[test]
    fn a_step_of_the_deadline_has_its_time_in_seconds() {
        let (elapsed, limit) = (Duration::from_secs(5), Duration::from_secs(60));
        let event = Event::Deadline { elapsed, limit, step: TimeStep::Cut { parts: 1 } };
        assert!(event.text().unwrap().starts_with("deadline: after 5s of 1m 00s, time is up: "));
        let json = r#"{"event":"deadline","seconds":5.0,"of_seconds":60.0,"step":"cut","parts":1}"#;
        assert_eq!(serde_json::to_string(&event).unwrap(), json);
    }
}
