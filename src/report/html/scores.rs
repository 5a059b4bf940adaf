//! Scores of masks as a page of one file, which asks for nothing else: what `swath eval --html` writes.

use std::path::Path;

use askama::Template;

use super::frame::{Frame, hex, sections, width};
use crate::eval::{Calibration, Evaluation, SceneScores, Scores, ValueScore};
use crate::words::{absolute, count};

/// Scenes, names of a list, and classes of the matrix that a page shows at most.
const SCENES: usize = 5000;
const NAMES: usize = 200;
const MATRIX: usize = 64;

/// What the drawing of reliability has room for: its left and right, and the lower ends and heights of its two parts.
const SIDES: [f64; 2] = [50.0, 500.0];
const PARTS: [[f64; 2]; 2] = [[380.0, 360.0], [460.0, 50.0]];

/// What a value of masks is.
#[derive(Clone, Debug)]
pub struct ValueClass {
    /// What masks hold.
    pub value: u16,
    /// What it is called.
    pub name: String,
    /// Its colour.
    pub color: [u8; 3],
}

#[derive(Template)]
#[template(path = "scores.html", config = "src/report/html/askama.toml")]
struct ScoresPage<'a> {
    frame: Frame,
    totals: Vec<(&'static str, String)>,
    remarks: Vec<&'a str>,
    classes: Vec<ClassLine>,
    boundary: String,
    columns: Vec<String>,
    rows: Vec<(String, Vec<Cell>)>,
    matrix_cut: String,
    reliability: Option<Reliability>,
    scene_columns: Vec<&'static str>,
    scenes: Vec<(&'a str, Vec<(String, String)>)>,
    scenes_cut: String,
    lists: Vec<(String, Vec<String>)>,
}

/// A class in the table of scores by class.
pub(super) struct ClassLine {
    pub(super) name: String,
    pub(super) color: String,
    pub(super) width: f64,
    pub(super) figures: Vec<String>,
}

/// A cell of the confusion matrix.
pub(super) struct Cell {
    pub(super) class: &'static str,
    /// In percent.
    pub(super) strength: u32,
    pub(super) title: String,
    pub(super) text: String,
}

struct Reliability {
    width: f64,
    bins: Vec<DrawnBin>,
    note: String,
}

struct DrawnBin {
    x: f64,
    y: f64,
    height: f64,
    gap_y: f64,
    gap: f64,
    share_y: f64,
    share: f64,
    title: String,
}

/// The page of scores of masks against truth, which are told in that order, where they lie.
///
/// # Errors
/// When the template fails.
pub(crate) fn scores_page(
    evaluation: &Evaluation,
    classes: &[ValueClass],
    [masks, truth]: [&Path; 2],
) -> Result<String, askama::Error> {
    let (scores, masks) = (&evaluation.scores, absolute(masks));
    let (columns, rows) = matrix(scores, classes);
    let cut = |n: usize, most: usize, what: &str| match n.saturating_sub(most) {
        0 => String::new(),
        more => format!("Not in this table: {}; --json has all.", count(more as u64, what)),
    };
    let boundary = evaluation.boundary.as_ref().filter(|_| scores.boundary_iou.is_some());
    let lead = format!(
        "{} held against {}: {}, {} counted, {} ignored.",
        masks.display(),
        absolute(truth).display(),
        count(evaluation.pairs, "pair"),
        count(scores.counted, "pixel"),
        scores.ignored
    );
    let mut page = ScoresPage {
        frame: Frame::new("Masks against truth", "scores", &masks, None, lead),
        totals: scores.totals(),
        remarks: evaluation.hints.iter().map(String::as_str).collect(),
        classes: scores.values.iter().map(|score| class_line(score, classes)).collect(),
        boundary: boundary.map_or(String::new(), |own| {
            format!(
                "Boundary IoU (Cheng et al. 2021): the IoU of what lies within {} of the contours of a class.",
                own.distance
            )
        }),
        columns,
        rows,
        matrix_cut: cut(scores.matrix.values.len(), MATRIX, "value"),
        reliability: scores.calibration.as_ref().map(reliability),
        scene_columns: std::iter::once("Scene")
            .chain(scene_figures(scores).into_iter().map(|(name, _)| name))
            .collect(),
        scenes: evaluation.scenes.iter().take(SCENES).map(|scene| scene_line(scene, scores)).collect(),
        scenes_cut: cut(evaluation.scenes.len(), SCENES, "scene"),
        lists: lists(evaluation),
    };
    page.frame.sections = sections(&[
        ("overview", "Overview", true),
        ("classes", "Classes", true),
        ("confusion", "Confusion", true),
        ("calibration", "Calibration", page.reliability.is_some()),
        ("scenes", "Scenes", true),
        ("left-out", "Left out", !page.lists.is_empty()),
    ]);
    page.render()
}

fn percent(share: Option<f64>) -> String {
    share.map_or("-".to_owned(), |share| format!("{:.2}%", share * 100.0))
}

fn class_of(value: u16, classes: &[ValueClass]) -> Option<&ValueClass> {
    classes.iter().find(|class| class.value == value)
}

fn name_of(value: u16, classes: &[ValueClass]) -> String {
    class_of(value, classes).map_or_else(|| value.to_string(), |class| class.name.clone())
}

pub(super) fn class_line(score: &ValueScore, classes: &[ValueClass]) -> ClassLine {
    let own = class_of(score.value, classes);
    let mut figures = vec![Some(score.iou), Some(score.f1), score.precision, score.recall];
    figures.extend(score.boundary_iou.map(Some));
    figures.push(Some(score.share));
    ClassLine {
        name: name_of(score.value, classes),
        color: own.map_or(String::new(), |class| hex(class.color)),
        width: width(score.iou),
        figures: figures.into_iter().map(percent).collect(),
    }
}

/// The confusion matrix: names of its columns, and its rows.
#[expect(clippy::cast_precision_loss, reason = "shown with a digit")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share in percent")]
pub(super) fn matrix(scores: &Scores, classes: &[ValueClass]) -> (Vec<String>, Vec<(String, Vec<Cell>)>) {
    let matrix = &scores.matrix;
    let names: Vec<String> = matrix.values.iter().take(MATRIX).map(|value| name_of(*value, classes)).collect();
    let row = |(i, name): (usize, &String)| {
        let all: u64 = matrix.counts[i].iter().sum();
        let cell = |(j, other): (usize, &String)| {
            let n = matrix.counts[i][j];
            let share = if all == 0 { 0.0 } else { n as f64 / all as f64 };
            let class = match (n, i == j, share > 0.55) {
                (0, _, _) => "none",
                (_, true, true) => "right strong",
                (_, true, false) => "right",
                (_, false, true) => "wrong strong",
                (_, false, false) => "wrong",
            };
            let title = format!("{name} taken for {other}: {}", count(n, "pixel"));
            let text = if n == 0 { "0".to_owned() } else { format!("{:.1}", share * 100.0) };
            Cell { class, strength: (share * 100.0).round() as u32, title, text }
        };
        (name.clone(), names.iter().enumerate().map(cell).collect())
    };
    let rows = names.iter().enumerate().filter(|(i, _)| matrix.counts[*i].iter().any(|n| *n > 0)).map(row).collect();
    (names, rows)
}

#[expect(clippy::cast_precision_loss, reason = "a drawing")]
fn reliability(calibration: &Calibration) -> Reliability {
    let Calibration { ece, pixels, unscored, bins } = calibration;
    let [[bottom, height], [floor, room]] = PARTS;
    let width = (SIDES[1] - SIDES[0]) / bins.len() as f64;
    let most = bins.iter().map(|bin| bin.pixels).max().unwrap_or(1).max(1) as f64;
    let drawn = bins.iter().enumerate().filter_map(|(at, bin)| {
        let (accuracy, confidence) = (bin.accuracy?, bin.confidence?);
        let [right, sure] = [accuracy, confidence].map(|share| share * height);
        let share = bin.pixels as f64 / most * room;
        Some(DrawnBin {
            x: SIDES[0] + at as f64 * width + 1.0,
            y: bottom - right,
            height: right,
            gap_y: bottom - right.max(sure),
            gap: (right - sure).abs(),
            share_y: floor - share,
            share,
            title: format!("probability {confidence:.3}, right {accuracy:.3}, {}", count(bin.pixels, "pixel")),
        })
    });
    let left_out = if *unscored > 0 {
        format!(" {} without a probability left out.", count(*unscored, "pixel"))
    } else {
        String::new()
    };
    let note = format!(
        "Expected calibration error {} over {}: the mean distance of the bars from the dashed line, in red, weighted by pixels.{left_out}",
        percent(Some(*ece)),
        count(*pixels, "pixel")
    );
    Reliability { width: width - 2.0, bins: drawn.collect(), note }
}

/// The figures of a scene that are shown where all scenes together have them.
fn scene_figures(scores: &Scores) -> Vec<(&'static str, Option<f64>)> {
    let mut all = vec![
        ("mIoU", scores.miou),
        ("FWIoU", scores.fwiou),
        ("Macro F1", scores.macro_f1),
        ("Accuracy", scores.accuracy),
    ];
    all.push(("Kappa", scores.kappa));
    all.extend(scores.boundary_iou.map(|boundary| ("Boundary IoU", Some(boundary))));
    all.extend(scores.calibration.as_ref().map(|calibration| ("ECE", Some(calibration.ece))));
    #[expect(clippy::cast_precision_loss, reason = "a number of pixels")]
    all.push(("Pixels", Some(scores.counted as f64)));
    all
}

/// A scene's name, and its figures as they sort and as they read.
fn scene_line<'a>(scene: &'a SceneScores, of_all: &Scores) -> (&'a str, Vec<(String, String)>) {
    let own = scene_figures(&scene.scores);
    let figure = |(name, _): (&'static str, _)| {
        let value = own.iter().find(|(own, _)| *own == name).and_then(|(_, value)| *value);
        let text = match (name, value) {
            (_, None) => "-".to_owned(),
            ("Pixels", Some(value)) => value.to_string(),
            ("Kappa", Some(value)) => format!("{value:.4}"),
            (_, value) => percent(value),
        };
        (value.map_or(String::new(), |value| value.to_string()), text)
    };
    (&scene.name, scene_figures(of_all).into_iter().map(figure).collect())
}

/// What does not count, by kind.
fn lists(evaluation: &Evaluation) -> Vec<(String, Vec<String>)> {
    let mismatched = evaluation.mismatched.iter().map(|own| format!("{}: {}", own.name, own.cause)).collect();
    let too_large = evaluation.boundary.iter().flat_map(|boundary| boundary.too_large.clone()).collect();
    let all: [(&str, Vec<String>); 5] = [
        ("Pairs that cannot be compared", mismatched),
        ("True masks without a mask", evaluation.missing.clone()),
        ("Masks without a true mask", evaluation.extra.clone()),
        ("Files left out, PNGs have their names", evaluation.beside.clone()),
        ("Not in the boundary IoU: too large for that distance", too_large),
    ];
    let shown = |(title, mut names): (&str, Vec<String>)| {
        let more = names.len().saturating_sub(NAMES);
        names.truncate(NAMES);
        names.extend((more > 0).then(|| format!("and {more} more")));
        (title.to_owned(), names)
    };
    all.into_iter().filter(|(_, names)| !names.is_empty()).map(shown).collect()
}
