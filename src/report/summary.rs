//! The closing summary.

use std::fmt::Write;

use super::{RunReport, StageLine};
use crate::config::format_bytes;

/// Failed scenes that the summary lists; all are in report.json.
const LISTED: usize = 20;

/// The summary of a run as text.
pub fn summary(report: &RunReport, dir: &str) -> String {
    let mut text = String::new();
    let t = &report.totals;
    // Writing to a String cannot fail.
    let mut line = |s: String| writeln!(text, "{s}").unwrap_or_default();
    line(format!("scenes      {} done, {} failed, {} other files ignored", t.done, t.failed, t.ignored));
    for failed in report.failed.iter().take(LISTED) {
        line(format!("  failed    {} ({}): {} [{}]", failed.scene, failed.stage, failed.cause, failed.action));
    }
    if report.failed.len() > LISTED {
        line(format!("  ... and {} more in report.json", report.failed.len() - LISTED));
    }
    for death in &report.deaths {
        line(format!("started anew, because the run {death}"));
    }
    if !report.missing.is_empty() {
        line(format!(
            "left over   {} scenes; the same command (without --fresh or --from) goes on",
            report.missing.len()
        ));
    }
    if report.degraded() > 0 {
        let members = "with fewer members than planned, see report.json; without --deadline they are done in full";
        line(format!("short of    time: {} scenes {members}", report.degraded()));
    }
    let tile_by_tile = report.conceded.iter().filter(|c| !c.single_tiles.is_empty()).count();
    if tile_by_tile > 0 {
        line(format!("memory      out of it on a device: {tile_by_tile} scenes ran tile by tile, see report.json"));
    }
    line(format!(
        "pixels      {:.1} Mpx in {:.1} s, {:.2} Mpx/s ({} tiles, {:.1} Mpx seen by the networks)",
        t.pixels as f64 / 1e6,
        t.seconds,
        t.mpx_per_second(),
        t.tiles,
        t.network_pixels as f64 / 1e6
    ));
    line(stage_table(&report.stages).trim_end().to_owned());
    if let Some(bottleneck) = &report.bottleneck {
        line(format!("bottleneck  {bottleneck}"));
    }
    line(format!("memory      {} at most, {}", format_bytes(report.memory.peak_rss), report.memory.promise()));
    line(format!("masks       {dir}/masks"));
    match &report.package {
        Some(package) => {
            line(format!("archive     {} ({} entries, {})", package.path, package.entries, format_bytes(package.bytes)))
        }
        None if !report.missing.is_empty() => {
            line("archive     none: scenes are missing; --allow-partial makes one without them".into());
        }
        None if report.failed.is_empty() => {}
        None => line("archive     none: scenes failed; --allow-partial makes one without them".into()),
    }
    text
}

/// What each stage does with its time, a line each.
pub fn stage_table(stages: &[StageLine]) -> String {
    let line = |stage: &StageLine| {
        format!(
            "  {:<9} x{:<2} {:>5.1} % busy, {:>5.1} % waiting for input, {:>5.1} % for room, {} items\n",
            stage.name, stage.workers, stage.busy_percent, stage.wait_in_percent, stage.wait_out_percent, stage.items
        )
    };
    stages.iter().map(line).collect()
}
