//! `swath shard`: how a saved plan is cut, and what comes of that.

use serde::Serialize;

use super::bench::tabled;
use crate::words::{count, listed, percent, time};

/// How a saved plan is cut into shards.
#[derive(Debug, Serialize)]
pub struct ShardDocument {
    /// The plan's file.
    pub file: String,
    /// Digest of the plan.
    pub plan: String,
    /// Its scenes.
    pub scenes: u64,
    /// Its units.
    pub units: u64,
    /// What they cost together, in millions of floating-point operations.
    pub cost: u64,
    /// Processes that work at a time.
    pub slots: u32,
    /// Devices that each of them has.
    pub per_slot: u32,
    /// Number of shards.
    pub count: u32,
    /// Whether they cost alike, for engines that do not start low indices first.
    pub uniform: bool,
    /// How long a process takes to start.
    pub start_up: ShardFigure,
    /// Floating-point operations per second of one device.
    pub rate: ShardFigure,
    /// Whether the rate was measured; without that there are no times.
    pub is_measured: bool,
    /// Seconds until all is done, if no host is slower than the others and none is lost.
    pub seconds: f64,
    /// The same, by what the slots would take that neither start nor wait.
    pub over_ideal: f64,
    /// Share of the slots' work that is starting.
    pub start_up_share: f64,
    /// Shards without units.
    pub empty: u64,
    /// The shards.
    pub shards: Vec<ShardRow>,
    /// The line that does one of them.
    pub run: String,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// A number, and where it comes from.
#[derive(Debug, Serialize)]
pub struct ShardFigure {
    /// The number.
    pub value: f64,
    /// Where it comes from.
    pub from: String,
}

/// One shard.
#[derive(Debug, Serialize)]
pub struct ShardRow {
    /// Counted from 0.
    pub index: u32,
    /// Its first unit, and the first behind it.
    pub units: [usize; 2],
    /// The first scene that it touches, and the first behind them.
    pub scenes: [usize; 2],
    /// How many of them have units in another shard as well.
    pub cut: usize,
    /// What its units cost, in millions of floating-point operations.
    pub cost: u64,
    /// Share of what all cost.
    pub share: f64,
    /// How long it takes with its start, where the rate is known.
    pub seconds: Option<f64>,
}

impl ShardDocument {
    /// The table for people.
    pub fn text(&self) -> String {
        let Self { file, plan, scenes, units, slots, per_slot, start_up, rate, .. } = self;
        let sizes =
            if self.uniform { "of equal cost" } else { "of falling sizes: for engines that start low indices first" };
        let devices = if *per_slot == 1 { String::new() } else { format!(" of {per_slot} devices") };
        let seconds = if self.is_measured { format!("{}, ", time(self.seconds)) } else { String::new() };
        let mut text = format!(
            "plan      `{file}` ({}): {}, {}, {} TFLOP\n",
            plan.get(..12).unwrap_or(plan),
            count(*scenes, "scene"),
            count(*units, "unit"),
            decimals(self.cost as f64 / 1e6),
        );
        text += &format!("shards    {} for {}{devices}, {sizes}\n", self.count, count(u64::from(*slots), "slot"));
        text += &format!("start-up  {} ({})\n", time(start_up.value), start_up.from);
        text += &format!("rate      {} TFLOP/s per device ({})\n", decimals(rate.value / 1e12), rate.from);
        text += &format!(
            "makespan  {seconds}{:.2} of the ideal; start-up {} of the work\n\n",
            self.over_ideal,
            percent(self.start_up_share)
        );
        let range =
            |[start, end]: [usize; 2]| if start < end { format!("{start}-{}", end - 1) } else { "-".to_owned() };
        let row = |row: &ShardRow| {
            [
                row.index.to_string(),
                range(row.units),
                range(row.scenes),
                row.cut.to_string(),
                format!("{:.3} %", row.share * 100.0),
                row.seconds.map_or_else(|| "-".to_owned(), time),
            ]
        };
        text += &tabled(["shard", "units", "scenes", "cut", "cost", "time"], self.shards.iter().map(row));
        text += &format!("\none of them: {}\n", self.run);
        for warning in &self.warnings {
            text += &format!("warning: {warning}\n");
        }
        text
    }
}

/// With as many digits as say something.
fn decimals(value: f64) -> String {
    let digits = if value >= 100.0 {
        0
    } else if value >= 1.0 {
        1
    } else {
        3
    };
    format!("{value:.digits$}")
}

impl ShardFigure {
    /// A number that files tell.
    pub fn of_files(value: f64, files: &[String]) -> Self {
        Self { value, from: listed(files, 3) }
    }
}
