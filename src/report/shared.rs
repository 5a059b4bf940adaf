//! How runs of parts of a plan stand that share a directory.

use std::fmt::Write;

use serde::Serialize;

use crate::words::{count, time};

/// Attempts that are named.
const LISTED: usize = 20;

/// What runs of shards have published in the directory that they share.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SharedStanding {
    /// The directory.
    pub dir: String,
    /// Number of shards of the cut that was begun last.
    pub shards: u32,
    /// The slots that it was made for, where sizes fall.
    pub slots: Option<u32>,
    /// Its shards that are complete.
    pub complete: u32,
    /// The others.
    pub missing: Vec<u32>,
    /// Scenes that attempts which have ended have done.
    pub done: u64,
    /// Scenes that failed in these.
    pub failed: u64,
    /// All attempts, of whatever cut.
    pub attempts: Vec<AttemptStanding>,
}

/// A process that works, or has worked, on a shard.
#[derive(Clone, Debug, Serialize)]
pub struct AttemptStanding {
    /// Its shard.
    pub shard: u32,
    /// Name of the host.
    pub host: String,
    /// Number of the process there.
    pub pid: u32,
    /// Seconds between its first and its last word.
    pub seconds: u64,
    /// Seconds since its last word, as far as its host's clock and this one agree.
    pub silent: u64,
    /// How far it came.
    pub state: AttemptEnd,
}

/// How far an attempt came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AttemptEnd {
    /// All of its shard has a verdict.
    Complete,
    /// It was stopped.
    Stopped,
    /// It has not said how it ended: it is at work, or is gone.
    Open,
}

impl SharedStanding {
    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let mut line = |s: String| writeln!(text, "{s}").unwrap_or_default();
        let slots = self.slots.map_or_else(String::new, |slots| format!(", {slots} at a time"));
        line(format!("shards      {} of {} complete{slots}", self.complete, self.shards));
        line(format!("scenes      {} done, {} failed, in runs that have ended", self.done, self.failed));
        let open: Vec<&AttemptStanding> = self.attempts.iter().filter(|a| a.state == AttemptEnd::Open).collect();
        for AttemptStanding { shard, host, pid, seconds, silent, .. } in open.iter().take(LISTED) {
            let (seconds, silent) = (time(*seconds as f64), time(*silent as f64));
            line(format!("open        shard {shard}: process {pid} on {host}, for {seconds}; last heard {silent} ago"));
        }
        if open.len() > LISTED {
            line(format!("  ... and {}: --json has all", count((open.len() - LISTED) as u64, "more")));
        }
        let dir = &self.dir;
        line(if self.missing.is_empty() {
            format!("next        swath merge {dir}")
        } else {
            format!("next        shards {} have to end; then swath merge {dir}", in_ranges(&self.missing))
        });
        text
    }
}

/// Ascending numbers as array jobs take them: `3,17-19`.
pub fn in_ranges(numbers: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let text = |(first, last): &(u32, u32)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    ranges.iter().map(text).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_listed_as_ranges() {
        assert_eq!(in_ranges(&[3, 17, 18, 19, 40, 41]), "3,17-19,40-41");
        assert_eq!((in_ranges(&[]), in_ranges(&[0])), (String::new(), "0".to_owned()));
    }
}
