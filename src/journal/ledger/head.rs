//! Who publishes records: an attempt, and the name of its folder.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// First digits of a plan's digest that are in a folder's name.
const PLAN_DIGITS: usize = 12;

/// Letters of a host's name that are in an attempt's: folders have at most 255.
const HOST_LETTERS: usize = 40;

/// A process that works on a part of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptHead {
    /// What no other attempt is called: [`attempt_id`].
    pub attempt: String,
    /// SHA-256 of the whole plan.
    pub plan: String,
    /// Its file as that host has it, for whoever puts the parts together.
    #[serde(default)]
    pub plan_file: String,
    /// Its units of the whole plan: the first and the one behind the last.
    pub units: Range<u32>,
    /// What this part of the plan is called, if it is a shard of a cut.
    #[serde(default)]
    pub shard: Option<ShardName>,
    /// Name of the host.
    pub host: String,
    /// Number of the process there.
    pub pid: u32,
    /// Seconds since 1970 by that host's clock. People alone go by it.
    pub started: u64,
    /// Version of swath.
    pub swath: String,
    /// What it works with: names of GPUs, or of the processor.
    pub devices: Vec<String>,
    /// Class of these devices.
    pub device_class: String,
    /// Versions of drivers and libraries that results may depend on.
    pub drivers: Vec<String>,
}

/// A shard by its cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ShardName {
    /// Its number, from 0.
    pub index: u32,
    /// Number of shards of the cut.
    pub count: u32,
    /// Number of slots that the cut was made for; `None` where all shards cost the same.
    pub slots: Option<u32>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptCounts {
    /// Scenes that are done.
    pub done: u64,
    /// Scenes that failed.
    pub failed: u64,
    /// Units whose results are kept, of scenes that lie in other parts as well.
    pub kept_units: u64,
    /// Whether each of its units has a verdict. Otherwise it was stopped.
    pub complete: bool,
}

/// A shard of the cut that was begun last, as far as the hosts' clocks agree: it says what a person means by "the shards", and decides nothing.
pub fn last_shard<'a>(heads: impl IntoIterator<Item = &'a AttemptHead>) -> Option<ShardName> {
    heads.into_iter().max_by_key(|head| (head.started, head.shard))?.shard
}

/// What the name of an attempt's folder says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FolderName {
    pub(super) units: Range<u32>,
    pub(super) plan: String,
    pub(super) attempt: String,
}

impl AttemptHead {
    /// Name of its folder.
    pub(super) fn folder(&self) -> String {
        let Range { start, end } = self.units;
        format!("{start:07}-{end:07}-{}-{}", plan_digits(&self.plan), self.attempt)
    }
}

impl FolderName {
    /// What the name says; `None` where no attempt has such a name.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let mut parts = name.splitn(4, '-');
        let start = parts.next()?.parse().ok()?;
        let end = parts.next()?.parse().ok()?;
        let plan = parts.next()?.to_owned();
        let attempt = parts.next().filter(|attempt| !attempt.is_empty())?.to_owned();
        Some(Self { units: start..end, plan, attempt })
    }

    /// Whether this may be a part of that plan.
    pub(super) fn is_of(&self, plan: &str) -> bool {
        self.plan == plan_digits(plan)
    }

    /// Whether it is about any of these units.
    pub(super) fn is_about(&self, units: &Range<u32>) -> bool {
        !units.is_empty() && self.units.start < units.end && units.start < self.units.end
    }
}

fn plan_digits(plan: &str) -> &str {
    plan.get(..PLAN_DIGITS).unwrap_or(plan)
}

/// A name for an attempt of this process that no other has: containers share names of hosts and numbers of processes, so half of it is
/// drawn.
pub fn attempt_id(host: &str, pid: u32) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let host: String = host.chars().take(HOST_LETTERS).map(|c| if is_plain(c) { c } else { '_' }).collect();
    // Its keys are the system's random numbers.
    let drawn = RandomState::new().build_hasher().finish();
    format!("{host}-{pid}-{drawn:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_says_what_it_is_about() {
        let name = FolderName::parse("0000010-0000020-0123456789ab-gpu-07.lab-4711-00ff").unwrap();
        assert_eq!((name.units.clone(), name.attempt.as_str()), (10..20, "gpu-07.lab-4711-00ff"));
        assert!(name.is_of("0123456789abcdef") && !name.is_of("1123456789abcdef"));
        assert!(name.is_about(&(0..11)) && name.is_about(&(19..20)) && name.is_about(&(12..13)));
        assert!(!name.is_about(&(0..10)) && !name.is_about(&(20..30)) && !name.is_about(&(15..15)));
        for name in ["", "lost+found", "1-2-3", "1-2-3-", "a-2-3-4", "1--2-3-4"] {
            assert_eq!(FolderName::parse(name), None, "{name}");
        }
    }

    #[test]
    fn attempts_of_equal_hosts_differ_and_their_names_are_those_of_files() {
        let (a, b) = (attempt_id("local host/ü", 1), attempt_id("local host/ü", 1));
        assert_ne!(a, b);
        assert!(a.starts_with("local_host__-1-"), "{a}");
        assert!(attempt_id(&"x".repeat(300), u32::MAX).len() < 80);
    }
}
