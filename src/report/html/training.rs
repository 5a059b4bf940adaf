//! The page of a training, and the same as JSON.

use std::io;
use std::path::Path;

use askama::Template;
use serde::{Serialize, Serializer};

use super::chart::{Chart, Named};
use super::examples::{Example, TrainingExample, examples};
use super::frame::{Frame, State, TEXT, hex, sections, shortened};
use super::scores::{Cell, ClassLine, ValueClass, class_line, matrix};
use crate::atomic::{self, WriteError};
use crate::eval::Scores;
use crate::outputs::OutputLayout;
use crate::report::training::{Curve, Curves, NoteRecord, TrainingSummary, ValidationRecord};
use crate::words::{absolute, count, percent, time};

/// What the page of a training shows beside what `metrics.jsonl` has.
#[derive(Debug, Serialize)]
pub struct TrainingPage {
    /// What it came to.
    pub summary: TrainingSummary,
    /// What a person should know of it, in order: data, network, device, ...
    #[serde(serialize_with = "as_map")]
    pub facts: Vec<(String, String)>,
    /// The class table.
    #[serde(skip)]
    pub classes: Vec<ValueClass>,
    /// The best validation, over all its scenes.
    pub scores: Option<Scores>,
    /// Scenes of the best validation: the best, the median, the worst.
    pub examples: Vec<TrainingExample>,
    /// The pipeline that it was trained by, as TOML.
    pub recipe: String,
}

/// The format of `report.json`.
const FORMAT: u32 = 1;

/// Colours of curves, on light and on dark.
const COLORS: [&str; 6] = ["#2a9d8f", "#e07a3f", "#6c7bd9", "#c9a227", "#c2559d", "#8a97a0"];

/// Writes `report.json` and `report.html` of a training into its run directory, whose `metrics.jsonl` the curves are taken from.
///
/// # Errors
/// When that cannot be read, or one of them cannot be written.
pub fn write_training_page(run: &Path, page: &TrainingPage) -> Result<(), WriteError> {
    #[derive(Serialize)]
    struct Document<'a> {
        format: u32,
        kind: &'static str,
        swath: &'static str,
        #[serde(flatten)]
        page: &'a TrainingPage,
        validation: &'a Option<ValidationRecord>,
    }
    let layout = OutputLayout { dir: run.to_owned() };
    let classes: Vec<String> = page.classes.iter().map(|class| class.name.clone()).collect();
    let curves = Curves::read(run, &classes)?;
    let (swath, validation) = (env!("CARGO_PKG_VERSION"), &curves.best);
    let made = serde_json::to_vec_pretty(&Document { format: FORMAT, kind: "training", swath, page, validation });
    let fail = |path| move |source| WriteError { operation: "make", path, source };
    let json = made.map_err(io::Error::from).map_err(fail(layout.report()))?;
    atomic::write(&layout.report(), &[&json[..], b"\n"].concat())?;
    let html =
        View::new(&absolute(run), page, &curves).render().map_err(io::Error::other).map_err(fail(layout.page()))?;
    atomic::write(&layout.page(), html.as_bytes())
}

fn as_map<S: Serializer>(facts: &[(String, String)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(facts.iter().map(|(name, value)| (name, value)))
}

#[derive(Template)]
#[template(path = "training.html", config = "src/report/html/askama.toml")]
struct View<'a> {
    frame: Frame,
    figures: Vec<(String, String)>,
    facts: &'a [(String, String)],
    charts: Vec<Chart>,
    notes: &'a [NoteRecord],
    notes_cut: String,
    legend: Vec<(&'a str, String)>,
    classes: Vec<ClassLine>,
    boundary: &'static str,
    columns: Vec<String>,
    rows: Vec<(String, Vec<Cell>)>,
    matrix_cut: String,
    examples: Vec<Example<'a>>,
    metric: &'a str,
    recipe: String,
}

impl<'a> View<'a> {
    fn new(dir: &Path, page: &'a TrainingPage, curves: &'a Curves) -> Self {
        let cut = |n: usize, what| if n == 0 { String::new() } else { format!("Not shown: {n} more {what}.") };
        let scores = page.scores.as_ref();
        let (columns, rows) = scores.map_or_else(Default::default, |scores| matrix(scores, &page.classes));
        let all = scores.map_or(0, |scores| scores.matrix.values.len());
        let mut view = Self {
            frame: Frame::new("Training report", "training", dir, Some(state(&page.summary)), lead(page)),
            figures: figures(&page.summary, curves.best.as_ref()),
            facts: &page.facts,
            charts: charts(page, curves),
            notes: &curves.notes,
            notes_cut: cut(curves.n_notes - curves.notes.len(), "notes"),
            legend: page.classes.iter().map(|class| (&*class.name, hex(class.color))).collect(),
            classes: scores.iter().flat_map(|own| &own.values).map(|own| class_line(own, &page.classes)).collect(),
            boundary: scores.and_then(|own| own.boundary_iou).map_or("", |_| "Boundary IoU as Cheng et al. (2021)."),
            matrix_cut: cut(all - columns.len(), "classes"),
            columns,
            rows,
            examples: examples(&page.examples),
            metric: curves.best.as_ref().map_or("", |best| &best.metric),
            recipe: shortened(&page.recipe, TEXT),
        };
        view.frame.sections = sections(&[
            ("overview", "Overview", true),
            ("curves", "Curves", !view.charts.is_empty()),
            ("classes", "Classes", !view.classes.is_empty()),
            ("confusion", "Confusion", !view.classes.is_empty()),
            ("scenes", "Scenes", !view.examples.is_empty()),
            ("recipe", "Recipe", true),
        ]);
        view
    }
}

fn state(summary: &TrainingSummary) -> State {
    let (kind, word) = if summary.goes_on { ("warn", "Not finished") } else { ("good", "Finished") };
    State { kind, word, when: summary.end.clone() }
}

fn lead(page: &TrainingPage) -> String {
    let TrainingSummary { steps, epochs, best, .. } = &page.summary;
    let done = format!("{}, {epochs:.1} epochs", count(*steps, "step"));
    match best {
        Some(best) => format!("{done}; at its best {} is {:.4}, at step {}.", best.metric, best.value, best.step),
        None => format!("{done}; nothing was validated."),
    }
}

fn figures(summary: &TrainingSummary, best: Option<&ValidationRecord>) -> Vec<(String, String)> {
    let mut figures: Vec<(String, String)> = Vec::new();
    let mut add = |value: String, label: &str| figures.push((value, label.to_owned()));
    if let Some(best) = best {
        add(format!("{:.4}", best.value), &best.metric);
        if best.metric != "mean-iou" {
            add(format!("{:.4}", best.mean_iou), "mean-iou");
        }
        add(percent(best.accuracy), "of pixels right");
    }
    add(summary.steps.to_string(), "steps");
    add(time(summary.seconds), "of training");
    add(format!("{:.1}", summary.samples_per_second), "samples per second");
    add(percent(summary.loader_wait_share), "waiting for crops");
    figures
}

fn charts(page: &TrainingPage, curves: &Curves) -> Vec<Chart> {
    let all = &curves.by_name;
    let group = |prefix: &str| -> Vec<(String, &Curve)> {
        all.iter().filter_map(|(name, curve)| Some((name.strip_prefix(prefix)?.to_owned(), curve))).collect()
    };
    let one = |name: &str, label: &str| all.get(name).map(|curve| (label.to_owned(), curve));
    let classes = page.classes.iter().filter_map(|class| {
        let curve = all.get(&format!("iou/{}", class.name))?;
        Some((class.name.clone(), hex(class.color), curve))
    });
    let best = curves.best.as_ref().map(|best| best.step);
    let draw = |title, named: Vec<Named<'_>>| Chart::draw(title, named, curves.last_step, best);
    let parts = group("loss/");
    let parts = if parts.len() > 1 { parts } else { Vec::new() };
    let charts = [
        draw("Loss", colored(one("train/loss", "training").into_iter().collect())),
        draw("Terms of the loss", colored(parts)),
        draw("Validation", colored(group("validation/"))),
        draw("Intersection over union by class", classes.collect()),
        draw("Learning rate", colored(one("train/rate", "rate").into_iter().collect())),
        draw("Norm of the gradients", colored(one("train/gradient_norm", "norm").into_iter().collect())),
    ];
    charts.into_iter().flatten().collect()
}

fn colored(curves: Vec<(String, &Curve)>) -> Vec<Named<'_>> {
    let colors = COLORS.iter().cycle();
    curves.into_iter().zip(colors).map(|((name, curve), color)| (name, (*color).to_owned(), curve)).collect()
}
