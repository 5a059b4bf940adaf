//! What the page says, made of a report and the facts beside it.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;

use super::frame::{Frame, State, TEXT, hex, sections, shortened, width};
use super::map::{self, Map, Placed};
use super::{HEAT, NO_DATA, PageFacts, PageScene};
use crate::report::causes::{CauseGroup, by_cause};
use crate::report::resolution::resolutions;
use crate::report::summary::remarks;
use crate::report::{RunReport, RunState, SceneReport, SceneResolution, StageLine};
use crate::words::{count, format_bytes, listed, percent, time};

/// Causes of failures that are listed, and scenes that are named for each.
const CAUSES: usize = 50;
const NAMED: usize = 20;

/// Scenes without a place that are named.
const UNPLACED: usize = 200;

/// Classes of a scene that its bar shows.
const PARTS: usize = 8;

/// Characters of a cause, and of what is said of a scene.
const CAUSE: usize = 2000;
const WORD: usize = 200;

#[derive(Template)]
#[template(path = "page.html", config = "src/report/html/askama.toml")]
pub(super) struct Page<'a> {
    frame: Frame,
    is_fake: bool,
    figures: Vec<(String, String)>,
    remarks: Vec<String>,
    classes: Vec<Class>,
    has_areas: bool,
    area_note: String,
    maps: Vec<Map>,
    unplaced: Vec<(String, String)>,
    unplaced_more: String,
    legend: Vec<(&'a str, String)>,
    has_heat: bool,
    ramp: String,
    cards: Vec<Card<'a>>,
    rows: Vec<Row<'a>>,
    rows_cut: String,
    causes: Vec<Cause>,
    causes_cut: String,
    missing: String,
    pace: String,
    stages: Vec<Stage>,
    details: Vec<(&'static str, String)>,
    command: String,
    plan_command: String,
    pipeline: String,
}

struct Class {
    name: String,
    color: String,
    width: f64,
    share: String,
    area: String,
}

/// A part of a bar.
struct Part {
    width: f64,
    color: String,
}

/// A scene with pictures.
struct Card<'a> {
    number: usize,
    name: &'a str,
    ratio: f64,
    image: &'a Option<String>,
    mask: &'a Option<String>,
    heat: &'a Option<String>,
    parts: Vec<Part>,
    facts: String,
    warning: String,
}

/// A scene without.
struct Row<'a> {
    number: usize,
    name: &'a str,
    parts: Vec<Part>,
    most: String,
    size: String,
    area: String,
}

struct Cause {
    count: String,
    stage: String,
    text: String,
    names: String,
    action: String,
}

struct Stage {
    name: String,
    words: &'static str,
    is_bottleneck: bool,
    workers: usize,
    items: u64,
    busy: String,
    wait_in: String,
    wait_out: String,
    busy_width: f64,
    in_width: f64,
    out_width: f64,
}

/// A scene that has its mask, by its number among the planned ones.
type Done<'a> = (usize, &'a PageScene, &'a SceneReport);

impl<'a> Page<'a> {
    pub(super) fn new(report: &'a RunReport, facts: &'a PageFacts<'_>, n_rows: usize) -> Self {
        let scenes = facts.scenes.iter().enumerate();
        let done: Vec<Done<'a>> =
            scenes.filter_map(|(number, scene)| Some((number, scene, report.scenes.get(&scene.name)?))).collect();
        let (with_pictures, without): (Vec<Done<'a>>, Vec<Done<'a>>) =
            done.iter().copied().partition(|(_, scene, _)| scene.pictures.bytes() > 0);
        let colors = Colors(facts.legend.iter().map(|(name, color)| (name.as_str(), hex(*color))).collect());
        let cards: Vec<Card<'a>> = with_pictures.iter().map(|done| card(*done, &colors)).collect();
        let rows: Vec<Row<'a>> = without.iter().take(n_rows).map(|done| row(*done, &colors)).collect();
        let linked: BTreeSet<usize> = cards.iter().map(|c| c.number).chain(rows.iter().map(|r| r.number)).collect();
        let (classes, has_areas, area_note) = classes(&done, facts);
        let (unplaced, unplaced_more) = unplaced(facts, &linked);
        let groups = by_cause(&report.failed);
        let mut page = Self {
            frame: Frame::new("Land cover report", "land cover", facts.dir, Some(state(report)), lead(report)),
            is_fake: report.run.backend == "fake",
            figures: figures(report, facts, &done),
            remarks: remarks(report),
            classes,
            has_areas,
            area_note,
            maps: maps(report, facts, &linked),
            unplaced,
            unplaced_more,
            legend: facts.legend.iter().map(|(name, color)| (name.as_str(), hex(*color))).collect(),
            has_heat: cards.iter().any(|card| card.heat.is_some()),
            ramp: HEAT.map(hex).join(","),
            rows_cut: cut("Not in this table", without.len().saturating_sub(rows.len()), "more scene"),
            cards,
            rows,
            causes: groups.iter().take(CAUSES).map(cause).collect(),
            causes_cut: cut("Not listed", groups.len().saturating_sub(CAUSES), "more cause"),
            missing: missing(report),
            pace: pace(report),
            stages: report.stages.iter().map(|stage| Stage::new(stage, report.bottleneck.as_deref())).collect(),
            details: details(report, facts),
            command: command(report),
            plan_command: format!(
                "swath run --plan {} -o NEW_FOLDER",
                quoted(&facts.dir.join("plan.jsonl").to_string_lossy())
            ),
            pipeline: shortened(&facts.pipeline, TEXT),
        };
        page.frame.swath.clone_from(&report.swath);
        page.frame.sections = page.sections();
        page
    }

    fn sections(&self) -> Vec<(&'static str, &'static str)> {
        sections(&[
            ("overview", "Overview", true),
            ("map", "Map", !self.maps.is_empty()),
            ("scenes", "Scenes", !self.cards.is_empty() || !self.rows.is_empty()),
            ("failed", "Failed scenes", !self.causes.is_empty()),
            ("missing", "Left over", !self.missing.is_empty()),
            ("run", "How it ran", true),
            ("repeat", "Do it again", true),
        ])
    }
}

fn cut(what: &str, n: usize, noun: &str) -> String {
    if n == 0 { String::new() } else { format!("{what}: {}; report.json has all.", count(n as u64, noun)) }
}

fn cause(group: &CauseGroup<'_>) -> Cause {
    let first = group.first;
    Cause {
        count: count(group.scenes.len() as u64, "scene"),
        stage: words_of(&first.stage).to_owned(),
        text: shortened(&first.cause, CAUSE),
        names: listed(&group.scenes, NAMED),
        action: first.action.clone(),
    }
}

fn lead(report: &RunReport) -> String {
    let n = report.totals.done + report.totals.failed + report.missing.len() as u64;
    let what = match (report.totals.failed, report.missing.len()) {
        (0, 0) => format!("{} classified", count(n, "scene")),
        _ => format!("{} of {} classified", report.totals.done, count(n, "scene")),
    };
    let devices: BTreeMap<&str, usize> = report.run.devices.iter().fold(BTreeMap::new(), |mut all, device| {
        *all.entry(device.as_str()).or_default() += 1;
        all
    });
    let devices: Vec<String> =
        devices.into_iter().map(|(name, n)| if n == 1 { name.to_owned() } else { format!("{name} × {n}") }).collect();
    format!("{what}, on {} of {}.", devices.join(", "), report.run.host)
}

fn state(report: &RunReport) -> State {
    let (kind, word) = match report.state {
        RunState::Finished if report.totals.failed == 0 => ("good", "Finished"),
        RunState::Finished => ("warn", "Finished, with failures"),
        RunState::Stopped => ("warn", "Not finished"),
        RunState::Running => ("warn", "At work"),
    };
    State { kind, word, when: date(&report.run.ended) }
}

/// "27 November 2026, 16:28 UTC" of "2026-11-27T16:28:31Z".
fn date(time: &str) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let parts = || {
        let month: usize = time.get(5..7)?.parse().ok()?;
        let day: u32 = time.get(8..10)?.parse().ok()?;
        Some(format!("{day} {} {}, {} UTC", MONTHS.get(month.checked_sub(1)?)?, time.get(..4)?, time.get(11..16)?))
    };
    parts().unwrap_or_else(|| time.to_owned())
}

fn figures(report: &RunReport, facts: &PageFacts<'_>, done: &[Done<'_>]) -> Vec<(String, String)> {
    let pixels: f64 = done.iter().map(|(.., scene)| pixels(scene)).sum();
    let covered: Vec<f64> = done.iter().filter_map(|(_, scene, _)| scene.square_metres).collect();
    let mut figures = vec![(grouped(report.totals.done), "scenes classified".to_owned())];
    if report.totals.failed > 0 {
        figures.push((grouped(report.totals.failed), "scenes failed".to_owned()));
    }
    if !report.missing.is_empty() {
        figures.push((grouped(report.missing.len() as u64), "scenes left over".to_owned()));
    }
    if !covered.is_empty() && covered.len() == done.len() {
        figures.push((area(covered.iter().sum()), "covered by scenes".to_owned()));
    }
    figures.push((millions(pixels), "million pixels".to_owned()));
    let n_classes = facts.legend.len().saturating_sub(usize::from(has_nodata(facts)));
    figures.push((n_classes.to_string(), "classes".to_owned()));
    if report.totals.seconds > 0.0 {
        figures.push((time(report.totals.seconds), "running time".to_owned()));
    }
    figures
}

fn has_nodata(facts: &PageFacts<'_>) -> bool {
    facts.legend.last().is_some_and(|(name, _)| name == NO_DATA)
}

fn millions(n: f64) -> String {
    if n >= 1e8 { grouped_f64(n / 1e6) } else { format!("{:.1}", n / 1e6) }
}

fn grouped_f64(n: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of pixels or metres, rounded")]
    grouped(n.round().max(0.0) as u64)
}

/// Digits in threes: "1 234 567".
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let places = digits.chars().enumerate();
    let spaced = places.flat_map(|(i, c)| {
        let gap = (i > 0 && (digits.len() - i).is_multiple_of(3)).then_some('\u{202f}');
        gap.into_iter().chain([c])
    });
    spaced.collect()
}

/// Square metres as people say them.
fn area(square_metres: f64) -> String {
    let (value, unit) = match square_metres {
        m2 if m2 < 1e4 => (m2, "m²"),
        m2 if m2 < 1e6 => (m2 / 1e4, "ha"),
        m2 => (m2 / 1e6, "km²"),
    };
    if value < 100.0 && unit != "m²" {
        format!("{value:.1}\u{202f}{unit}")
    } else {
        format!("{}\u{202f}{unit}", grouped_f64(value))
    }
}

fn pixels(scene: &SceneReport) -> f64 {
    f64::from(scene.size[0]) * f64::from(scene.size[1])
}

/// Shares of a whole run by class, what has no data last: of all pixels, and square metres of those scenes that have some.
fn classes(done: &[Done<'_>], facts: &PageFacts<'_>) -> (Vec<Class>, bool, String) {
    let all: f64 = done.iter().map(|(.., scene)| pixels(scene)).sum();
    let placed = done.iter().filter(|(_, scene, _)| scene.square_metres.is_some()).count();
    let class = |(name, color): &(String, [u8; 3])| {
        let share = |scene: &SceneReport| {
            if name == NO_DATA { scene.nodata } else { scene.classes.get(name).copied().unwrap_or(0.0) }
        };
        let sum: f64 = done.iter().map(|(.., scene)| share(scene) * pixels(scene)).sum();
        let metres: f64 = done.iter().filter_map(|(_, own, scene)| Some(share(scene) * own.square_metres?)).sum();
        let part = if all > 0.0 { sum / all } else { 0.0 };
        Class { name: name.clone(), color: hex(*color), width: width(part), share: percent(part), area: area(metres) }
    };
    let note = match placed {
        0 => String::new(),
        n if n == done.len() => String::new(),
        1 => "Areas are those of the one scene that says where it lies; shares are of all.".to_owned(),
        n => format!("Areas are those of the {} that say where they lie; shares are of all.", count(n as u64, "scene")),
    };
    let classes = if done.is_empty() { Vec::new() } else { facts.legend.iter().map(class).collect() };
    (classes, placed > 0, note)
}

/// Colours of classes by name.
struct Colors<'a>(BTreeMap<&'a str, String>);

impl Colors<'_> {
    /// The bar of a scene: its greatest classes, the rest left empty.
    fn parts(&self, scene: &SceneReport) -> Vec<Part> {
        let mut parts: Vec<Part> = by_share(scene)
            .into_iter()
            .take(PARTS)
            .filter_map(|(name, share)| Some(Part { width: width(share), color: self.0.get(name)?.clone() }))
            .collect();
        parts.retain(|part| part.width > 0.0);
        parts
    }
}

fn by_share(scene: &SceneReport) -> Vec<(&str, f64)> {
    let mut all: Vec<(&str, f64)> = scene.classes.iter().map(|(name, share)| (name.as_str(), *share)).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all
}

fn most(scene: &SceneReport, n: usize) -> String {
    let named: Vec<String> =
        by_share(scene).into_iter().take(n).map(|(name, share)| format!("{name} {}", percent(share))).collect();
    if named.is_empty() { NO_DATA.to_owned() } else { named.join(", ") }
}

fn size(scene: &SceneReport) -> String {
    format!("{}\u{a0}×\u{a0}{}", scene.size[0], scene.size[1])
}

fn card<'a>((number, own, scene): Done<'a>, colors: &Colors<'_>) -> Card<'a> {
    let place = own.square_metres.map_or_else(String::new, |metres| format!(" · {}", area(metres)));
    let seen = scene.resolution.filter(|own| own.resampled).map_or_else(String::new, seen);
    let pictures = &own.pictures;
    Card {
        number,
        name: &own.name,
        ratio: f64::from(scene.size[0]) / f64::from(scene.size[1].max(1)),
        image: &pictures.image,
        mask: &pictures.mask,
        heat: &pictures.heat,
        parts: colors.parts(scene),
        facts: format!("{} · {}\u{a0}pixels{place}{seen}", most(scene, 2), size(scene)),
        warning: match scene.warnings.as_slice() {
            [] => String::new(),
            [first, ..] => format!("The decoder warned: {}", shortened(first, WORD)),
        },
    }
}

/// What the networks saw of a scene that was resampled.
fn seen(SceneResolution { wanted, network_size: [width, height], .. }: SceneResolution) -> String {
    format!(" · the networks saw {width}\u{a0}×\u{a0}{height} of {wanted}\u{a0}m")
}

fn row<'a>((number, own, scene): Done<'a>, colors: &Colors<'_>) -> Row<'a> {
    Row {
        number,
        name: &own.name,
        parts: colors.parts(scene),
        most: most(scene, 1),
        size: size(scene),
        area: own.square_metres.map_or_else(String::new, area),
    }
}

/// What a link to a scene leads to.
fn href(number: usize, linked: &BTreeSet<usize>) -> String {
    if linked.contains(&number) { format!("#s{number}") } else { String::new() }
}

fn maps(report: &RunReport, facts: &PageFacts<'_>, linked: &BTreeSet<usize>) -> Vec<Map> {
    let failed: BTreeSet<&str> = report.failed.iter().map(|failed| failed.name.as_str()).collect();
    let placed = |system: usize| {
        let own = move |(number, scene)| own_outline(number, scene, system);
        let scenes = facts.scenes.iter().enumerate().filter_map(own);
        scenes
            .map(|(number, scene, corners)| {
                let (kind, href) = match (report.scenes.contains_key(&scene.name), failed.contains(scene.name.as_str()))
                {
                    (true, _) => ("done", href(number, linked)),
                    (false, true) => ("failed", "#failed".to_owned()),
                    (false, false) => ("left", "#missing".to_owned()),
                };
                let has_mask = scene.pictures.mask.is_some();
                Placed { number, corners, kind, title: shortened(&scene.name, WORD), href, has_mask }
            })
            .collect::<Vec<_>>()
    };
    facts.systems.iter().enumerate().filter_map(|(idx, system)| map::draw(system, &placed(idx))).collect()
}

fn own_outline(number: usize, scene: &PageScene, system: usize) -> Option<(usize, &PageScene, [[f64; 2]; 4])> {
    scene.outline.filter(|(own, _)| *own == system).map(|(_, corners)| (number, scene, corners))
}

/// Links and names of scenes that are on no map, where there is one.
fn unplaced(facts: &PageFacts<'_>, linked: &BTreeSet<usize>) -> (Vec<(String, String)>, String) {
    let all = || facts.scenes.iter().enumerate().filter(|(_, scene)| scene.outline.is_none());
    let link = |(number, scene): (usize, &PageScene)| (href(number, linked), scene.name.clone());
    (all().take(UNPLACED).map(link).collect(), cut("Not listed", all().count().saturating_sub(UNPLACED), "more scene"))
}

fn missing(report: &RunReport) -> String {
    match report.missing.len() {
        0 => String::new(),
        n => {
            let names = listed(&report.missing, NAMED);
            format!("{}: {names}. The same command goes on where this run has ended.", count(n as u64, "scene"))
        }
    }
}

/// What a stage does, for people.
fn words_of(stage: &str) -> &'static str {
    match stage {
        "scan" | "plan" => "looking at the files",
        "read" => "reading scenes",
        "tile" => "cutting tiles",
        "infer" => "running the networks",
        "average" => "averaging members",
        "keep" => "keeping results",
        "stitch" => "joining tiles",
        "post" => "tidying up masks",
        "encode" => "writing files",
        "commit" => "recording what is done",
        "pack" => "packing submit.zip",
        "supervisor" => "watching over the run",
        _ => "",
    }
}

impl Stage {
    fn new(stage: &StageLine, bottleneck: Option<&str>) -> Self {
        let words = words_of(&stage.name);
        let shown = |percent: f64| format!("{percent:.0} %");
        let wide = |percent: f64| percent.clamp(0.0, 100.0).round();
        Self {
            name: stage.name.clone(),
            words,
            is_bottleneck: bottleneck == Some(stage.name.as_str()),
            workers: stage.workers,
            items: stage.items,
            busy: shown(stage.busy_percent),
            wait_in: shown(stage.wait_in_percent),
            wait_out: shown(stage.wait_out_percent),
            busy_width: wide(stage.busy_percent),
            in_width: wide(stage.wait_in_percent),
            out_width: wide(stage.wait_out_percent),
        }
    }
}

fn pace(report: &RunReport) -> String {
    let totals = &report.totals;
    if totals.seconds <= 0.0 {
        return "All scenes were done before; nothing had to be run.".to_owned();
    }
    let speed = format!(
        "{} million pixels took {}, {:.2} million pixels per second.",
        millions(totals.pixels as f64),
        time(totals.seconds),
        totals.mpx_per_second()
    );
    let Some(stage) = report.stages.iter().find(|stage| Some(&stage.name) == report.bottleneck.as_ref()) else {
        return speed;
    };
    format!(
        "{speed} What set the pace was {} ({:.0} % of the time at work).",
        words_of(&stage.name),
        stage.busy_percent
    )
}

fn details(report: &RunReport, facts: &PageFacts<'_>) -> Vec<(&'static str, String)> {
    let (run, memory) = (&report.run, &report.memory);
    let others = run.versions.iter().filter(|(name, _)| name.as_str() != "swath");
    let versions: Vec<String> = others.map(|(name, version)| versioned(name, version)).collect();
    let mut details = vec![
        ("Began", date(&run.started)),
        ("Ended", date(&run.ended)),
        ("Networks", facts.members.join(", ")),
        ("Devices", run.devices.join(", ")),
        ("Class of device", run.device_class.clone()),
        ("Versions", format!("swath {}; {}", report.swath, versions.join("; "))),
        ("Memory", format!("{} used of {} reserved", format_bytes(memory.peak_rss), format_bytes(memory.reserved))),
        ("Tiles", grouped(report.totals.tiles)),
        ("Plan", report.plan.clone()),
    ];
    details.extend(
        resolutions(report.scenes.values().filter_map(|scene| scene.resolution.as_ref()))
            .map(|text| ("Resolution", text)),
    );
    if report.totals.reused > 0 {
        details.push(("Done by earlier runs", count(report.totals.reused, "scene")));
    }
    if let Some(package) = &report.package {
        details.push(("Archive", format!("{} ({})", package.path, format_bytes(package.content.bytes))));
    }
    details.retain(|(_, value)| !value.is_empty());
    details
}

/// A library with its version, which may name it already.
fn versioned(name: &str, version: &str) -> String {
    if version.to_lowercase().contains(&name.to_lowercase()) { version.to_owned() } else { format!("{name} {version}") }
}

/// The command as a shell takes it, in the folder that it ran in.
fn command(report: &RunReport) -> String {
    let run = &report.run;
    if run.command.is_empty() {
        return String::new();
    }
    let arguments: Vec<String> = run.command.iter().map(|argument| quoted(argument)).collect();
    shortened(&format!("cd {} && swath {}", quoted(&run.folder), arguments.join(" ")), TEXT)
}

/// A word of a shell.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_numbers_dates_and_words_are_as_people_write_them() {
        let areas = [900.0, 15_000.0, 2_500_000.0, 1.234e9].map(|m2| area(m2).replace('\u{202f}', " "));
        assert_eq!(areas, ["900 m²", "1.5 ha", "2.5 km²", "1 234 km²"]);
        assert_eq!(
            [grouped(0), grouped(1234), grouped(1_234_567)].map(|n| n.replace('\u{202f}', " ")),
            ["0", "1 234", "1 234 567"]
        );
        assert_eq!(date("2026-11-27T16:28:31Z"), "27 November 2026, 16:28 UTC");
        assert_eq!(date("?"), "?");
        assert_eq!(["a/b.toml", "it's", ""].map(quoted), ["a/b.toml", r"'it'\''s'", "''"]);
    }
}
