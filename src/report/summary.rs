//! The closing summary: what was done, what failed and why, how long it took, where the files are.

use std::collections::BTreeMap;
use std::path::Path;

use super::causes::by_cause;
use super::resolution::resolutions;
use super::show::{Detail, Page, Tone};
use super::{PackageReport, RunReport, StageLine};
use crate::outputs::KINDS;
use crate::words::{count, format_bytes, listed, percent, plural, time};

/// Causes that the summary lists; report.json has every scene.
const CAUSES: usize = 10;

/// Scenes that are named for a cause.
const NAMED: usize = 3;

/// Warnings of decoders that the summary lists.
const WARNINGS: usize = 3;

/// A class with this share of the pixels is worth a word: a wrong scale of the input gives masks of one class.
const NEARLY_ALL: f64 = 0.99;

/// So many pixels must there be: a sample of one field says nothing.
const ENOUGH_PIXELS: u64 = 1 << 18;

/// What is said, first and last, of a run with the stand-in.
pub const FAKE: &str = "the networks are fake (--backend fake): these masks mean nothing";

/// The summary of a run as text.
pub fn summary(report: &RunReport, dir: &str, html: Option<&Path>, detail: Detail, page: Page) -> String {
    let mut lines = Lines { page, text: String::new() };
    scenes(report, &mut lines);
    failures(report, &mut lines);
    warnings(report, &mut |tone, label, text| lines.add(tone, label, text));
    speed(report, detail, &mut lines);
    files(report, dir, html, &mut lines);
    if report.run.backend == "fake" {
        lines.add(Tone::Warning, "fake", FAKE);
    }
    lines.text
}

/// The summary of a run of a part of a plan into a directory that it shares.
pub fn shard_summary(report: &RunReport, dir: &str, detail: Detail, page: Page) -> String {
    let mut lines = Lines { page, text: String::new() };
    scenes(report, &mut lines);
    failures(report, &mut lines);
    warnings(report, &mut |tone, label, text| lines.add(tone, label, text));
    if !report.cut.is_empty() {
        let (cut, tiles) = (listed(&report.cut, NAMED), count(report.totals.tiles, "tile"));
        let text = format!("{cut}: in other shards as well, for the merge to finish ({tiles} done here in all)");
        lines.add(Tone::Plain, "cut", &text);
    }
    if report.totals.pixels > 0 {
        speed(report, detail, &mut lines);
    }
    let text = format!("its records are in {dir}/records; when all shards have run: swath merge {dir}");
    lines.add(Tone::Plain, "shard", &text);
    lines.text
}

struct Lines {
    page: Page,
    text: String,
}

impl Lines {
    fn add(&mut self, tone: Tone, label: &str, text: &str) {
        self.text += &self.page.line(tone, label, text);
    }
}

fn scenes(report: &RunReport, lines: &mut Lines) {
    let t = &report.totals;
    let before = match t.reused {
        0 => String::new(),
        n if n == t.done => "; all were done before".to_owned(),
        n => format!("; {n} were done before"),
    };
    let ignored = match t.ignored {
        0 => String::new(),
        n => format!(", {}", plural(n, "other file ignored", "other files ignored")),
    };
    let outside = match t.outside {
        0 => String::new(),
        n => format!(", {n} outside the area"),
    };
    let tone = if t.failed == 0 && report.missing.is_empty() { Tone::Good } else { Tone::Plain };
    lines.add(tone, "scenes", &format!("{} done, {} failed{outside}{ignored}{before}", t.done, t.failed));
    if !report.run.post.is_empty() {
        lines.add(Tone::Plain, "post", &report.run.post.join("; "));
    }
    if let Some(text) = resolutions(report.scenes.values().filter_map(|scene| scene.resolution.as_ref())) {
        lines.add(Tone::Plain, "resolution", &text);
    }
    let unseen: Vec<String> =
        [(t.void_tiles, "without data"), (t.repeated_tiles, "that no file stores, equal to another")]
            .iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, what)| format!("{} {what}", count(*n, "tile")))
            .collect();
    if !unseen.is_empty() {
        lines.add(Tone::Plain, "tiles", &format!("{} in all; no network saw {}", t.tiles, unseen.join(" and ")));
    }
    if !report.missing.is_empty() {
        let left = count(report.missing.len() as u64, "scene");
        lines.add(Tone::Warning, "left over", &format!("{left}; the same command (without --fresh or --from) goes on"));
    }
}

fn failures(report: &RunReport, lines: &mut Lines) {
    let groups = by_cause(&report.failed);
    for group in groups.iter().take(CAUSES) {
        let first = group.first;
        let (n, named) = (count(group.scenes.len() as u64, "scene"), listed(&group.scenes, NAMED));
        lines.add(Tone::Bad, "failed", &format!("{n} ({}): {}", first.stage, first.cause));
        let action = if first.action.is_empty() { String::new() } else { format!(" ({})", first.action) };
        lines.add(Tone::Plain, "", &format!("{named}{action}"));
    }
    if groups.len() > CAUSES {
        let more = count((groups.len() - CAUSES) as u64, "more cause");
        lines.add(Tone::Bad, "failed", &format!("{more}: see report.json"));
    }
}

/// What a person should know before the outputs are used.
pub(super) fn remarks(report: &RunReport) -> Vec<String> {
    let mut remarks: Vec<String> = Vec::new();
    warnings(report, &mut |_, label, text| match (label, remarks.last_mut()) {
        // A label stands for the lines below it, too.
        ("", Some(last)) => *last += &format!("; {text}"),
        _ => remarks.push(text.to_owned()),
    });
    remarks
}

fn warnings(report: &RunReport, add: &mut impl FnMut(Tone, &str, &str)) {
    for restart in &report.restarts {
        add(Tone::Warning, "restarted", &format!("the run {restart}"));
    }
    if let Some(late) = report.deadline.as_ref().and_then(|deadline| deadline.missed_by) {
        add(Tone::Bad, "deadline", &format!("missed by {}", time(late)));
    }
    if report.degraded() > 0 {
        let (few, them) =
            (count(report.degraded() as u64, "scene"), if report.degraded() == 1 { "it" } else { "them" });
        let advice = format!("used fewer members (see report.json); run without --deadline to redo {them}");
        add(Tone::Warning, "deadline", &format!("{few} {advice}"));
    }
    let tile_by_tile = report.reduced.iter().filter(|c| !c.single_tiles.is_empty()).count();
    if tile_by_tile > 0 {
        let few = count(tile_by_tile as u64, "scene");
        let text = format!("a device ran out of memory: {few} ran tile by tile (see report.json)");
        add(Tone::Warning, "memory", &text);
    }
    for (member, tiles) in &report.reruns {
        let tiles = count(*tiles, "tile");
        let why = "because half precision gave logits that are not finite";
        let text = format!("member `{member}`: {tiles} ran again in f32, {why}; precision = \"bf16\" may avoid it");
        add(Tone::Warning, "precision", &text);
    }
    decoder_warnings(report, add);
    if let Some((class, share)) = dominant(report) {
        let text = format!(
            "{} of all pixels are `{class}`; if that cannot be, check divide, mean and std in the pipeline's [input], and the weights",
            percent(share)
        );
        add(Tone::Warning, "warning", &text);
    }
}

fn decoder_warnings(report: &RunReport, add: &mut impl FnMut(Tone, &str, &str)) {
    let warned: Vec<_> = report.scenes.values().filter(|scene| !scene.warnings.is_empty()).collect();
    if warned.is_empty() {
        return;
    }
    let with = plural(warned.len() as u64, "scene is done, with warnings", "scenes are done, with warnings");
    let text = format!("{with} of the decoder (see report.json); --strict makes them failures");
    add(Tone::Warning, "warning", &text);
    for scene in warned.iter().take(WARNINGS) {
        let first = scene.warnings.first().map_or("", String::as_str);
        add(Tone::Warning, "", &format!("{}: {first}", scene.scene));
    }
}

/// The class that fills nearly all of a run's pixels that are data, if there are enough of them and other classes.
fn dominant(report: &RunReport) -> Option<(String, f64)> {
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    let (mut data, mut pixels) = (0.0, 0);
    for scene in report.scenes.values().filter(|scene| !scene.classes.is_empty()) {
        let area = u64::from(scene.size[0]) * u64::from(scene.size[1]);
        pixels += area;
        for (class, share) in &scene.classes {
            *sums.entry(class).or_default() += share * area as f64;
            data += share * area as f64;
        }
    }
    let (class, most) = sums.into_iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    (pixels >= ENOUGH_PIXELS && most >= NEARLY_ALL * data).then(|| (class.to_owned(), most / data))
}

fn speed(report: &RunReport, detail: Detail, lines: &mut Lines) {
    let t = &report.totals;
    if t.seconds > 0.0 {
        let pace = report.bottleneck.as_ref().and_then(|name| report.stages.iter().find(|stage| stage.name == *name));
        let pace = pace.map_or_else(String::new, |s| {
            format!("; the stage `{}` sets the pace, {:.0} % busy", s.name, s.busy_percent)
        });
        let text = format!(
            "{:.1} Mpx in {}: {:.2} Mpx/s ({}{pace})",
            t.pixels as f64 / 1e6,
            time(t.seconds),
            t.mpx_per_second(),
            count(t.tiles, "tile")
        );
        lines.add(Tone::Plain, "speed", &text);
    }
    if detail == Detail::Verbose {
        if let Some(seconds) = t.first_labels {
            lines.add(Tone::Plain, "start-up", &format!("first labels after {}", time(seconds)));
        }
        lines.text += &stage_table(&report.stages);
    }
    let memory = &report.memory;
    let text = match detail {
        Detail::Verbose => format!("{} used, {}", format_bytes(memory.peak_rss), memory.reservation()),
        Detail::Quiet | Detail::Normal => {
            format!("{} used of {} reserved", format_bytes(memory.peak_rss), format_bytes(memory.reserved))
        }
    };
    lines.add(Tone::Plain, "memory", &text);
}

fn files(report: &RunReport, dir: &str, html: Option<&Path>, lines: &mut Lines) {
    let made = |folder: &str| report.outputs.keys().any(|name| name.split('/').next() == Some(folder));
    for kind in KINDS.iter().filter(|kind| report.totals.done > 0 && made(kind.folder())) {
        lines.add(Tone::Plain, kind.title(), &format!("{dir}/{}", kind.folder()));
    }
    match archive(report) {
        Archive::Made(package) => {
            let entries = plural(package.entries, "entry", "entries");
            let text = format!("{} ({entries}, {})", package.path, format_bytes(package.content.bytes));
            lines.add(Tone::Good, "archive", &text);
        }
        Archive::None(why) => lines.add(Tone::Plain, "archive", &format!("none: {why}")),
        Archive::NotAsked => {}
    }
    lines.add(Tone::Plain, "report", &format!("{dir}/report.json"));
    if let Some(html) = html {
        lines.add(Tone::Plain, "page", &html.display().to_string());
    }
    if !report.earlier.is_empty() {
        let old = plural(report.earlier.len() as u64, "file of an earlier run is", "files of earlier runs are");
        let first = report.earlier.first().map_or("", String::as_str);
        let text = format!("{old} still there (`{first}`); `swath gc {dir} --outputs` removes them");
        lines.add(Tone::Warning, "old files", &text);
    }
}

enum Archive<'a> {
    Made(&'a PackageReport),
    None(&'static str),
    NotAsked,
}

fn archive(report: &RunReport) -> Archive<'_> {
    match &report.package {
        Some(package) => Archive::Made(package),
        None if !report.missing.is_empty() => {
            Archive::None("scenes are missing; --allow-partial makes one without them")
        }
        None if !report.failed.is_empty() => Archive::None("scenes failed; --allow-partial makes one without them"),
        None if report.run.backend == "fake" => Archive::None("fake masks are not packed; --pack-fake packs them"),
        None => Archive::NotAsked,
    }
}

/// What each stage does with its time, a line each.
pub fn stage_table(stages: &[StageLine]) -> String {
    let line = |stage: &StageLine| {
        format!(
            "  {:<9} x{:<2} {:>5.1} % busy, {:>5.1} % waiting for input, {:>5.1} % waiting for output, {}\n",
            stage.name,
            stage.workers,
            stage.busy_percent,
            stage.wait_in_percent,
            stage.wait_out_percent,
            count(stage.items, "item")
        )
    };
    stages.iter().map(line).collect()
}
