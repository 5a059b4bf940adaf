//! What `swath status` and `swath verify` show.

use std::fmt::Write;

use serde::Serialize;

use super::FailedScene;
use crate::words::{count, format_bytes, time};

/// Lines that a list may have; the JSON has all.
const LISTED: usize = 20;

/// What a run directory holds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Standing {
    /// Scenes of the last run.
    pub scenes: u64,
    /// Scenes whose files are recorded.
    pub done: u64,
    /// Scenes that have failed.
    pub failed: Vec<FailedScene>,
    /// Scenes without a verdict.
    pub outstanding: u64,
    /// Stage results that are kept.
    pub checkpoints: u64,
    /// Bytes that the stage results take on disk.
    pub checkpoint_bytes: u64,
    /// Whether the archive is recorded.
    pub archive: bool,
    /// Who is at work in it.
    pub running: Option<String>,
    /// Seconds that the outstanding scenes will take, by the pace of the run at work.
    pub seconds_left: Option<f64>,
    /// The command of the last run.
    pub command: String,
}

/// What a second look at every recorded file found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verified {
    /// Files that hold what was recorded.
    pub whole: u64,
    /// Files that do not, or are gone.
    pub damaged: Vec<String>,
}

impl Standing {
    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let mut line = |s: String| writeln!(text, "{s}").unwrap_or_default();
        line(format!("command     swath {}", self.command));
        line(match &self.running {
            Some(holder) => format!("running     {holder}"),
            None => "running     no".into(),
        });
        let (done, failed) = (self.done, self.failed.len());
        line(format!(
            "scenes      {} in all: {done} done, {failed} failed, {} outstanding",
            self.scenes, self.outstanding
        ));
        for failed in self.failed.iter().take(LISTED) {
            line(format!("  failed    {} ({}): {}", failed.scene, failed.stage, failed.cause));
        }
        if failed > LISTED {
            line(format!("  ... and {} more: --json has all", failed - LISTED));
        }
        if let Some(seconds) = self.seconds_left {
            line(format!("time left   about {}", time(seconds)));
        }
        line(format!(
            "checkpoints {}, {}",
            count(self.checkpoints, "stored result"),
            format_bytes(self.checkpoint_bytes)
        ));
        line(format!("archive     {}", if self.archive { "submit.zip is made" } else { "no submit.zip yet" }));
        text
    }
}

impl Verified {
    /// For people.
    pub fn text(&self) -> String {
        let mut text = format!("{} files hold what was recorded, {} do not\n", self.whole, self.damaged.len());
        for file in &self.damaged {
            writeln!(text, "  damaged   {file}").unwrap_or_default();
        }
        if !self.damaged.is_empty() {
            text.push_str("the same command again makes them anew\n");
        }
        text
    }
}
