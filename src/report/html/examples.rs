//! Scenes beside what was predicted of them and what is true (`examples.html`), and a page of nothing else.

use std::path::Path;

use askama::Template;
use serde::Serialize;

use super::PICTURE_BYTES;
use super::frame::{Frame, hex, sections};
use super::scores::ValueClass;

/// A scene with what was predicted and what is true.
#[derive(Debug, Serialize)]
pub struct TrainingExample {
    /// "best", "median", "worst", or its place.
    pub label: String,
    /// Its name.
    pub scene: String,
    /// Its own value of the metric.
    pub value: f64,
    /// The scene as a data URI; here and below of a size to look at, and none where it cannot be had.
    #[serde(skip)]
    pub image: Option<String>,
    /// Predicted classes.
    #[serde(skip)]
    pub prediction: Option<String>,
    /// True classes.
    #[serde(skip)]
    pub truth: Option<String>,
}

/// The same for a template.
pub(super) struct Example<'a> {
    pub(super) label: &'a str,
    pub(super) scene: &'a str,
    pub(super) value: String,
    /// What each shows.
    pub(super) pictures: Vec<(&'static str, &'a str)>,
}

/// Pictures go as far as a page may have some.
pub(super) fn examples(all: &[TrainingExample]) -> Vec<Example<'_>> {
    let mut left = PICTURE_BYTES;
    let mut shown = Vec::new();
    for TrainingExample { label, scene, value, image, prediction, truth } in all {
        let pictures = [("Image", image), ("Predicted", prediction), ("True", truth)];
        let mut pictures: Vec<(&str, &str)> =
            pictures.into_iter().filter_map(|(what, uri)| Some((what, uri.as_deref()?))).collect();
        let bytes = pictures.iter().map(|(_, uri)| uri.len()).sum();
        if bytes > left {
            pictures.clear();
        }
        left = left.saturating_sub(bytes);
        shown.push(Example { label, scene, value: format!("{value:.4}"), pictures });
    }
    shown
}

#[derive(Template)]
#[template(path = "suspects.html", config = "src/report/html/askama.toml")]
struct SuspectsPage<'a> {
    frame: Frame,
    legend: Vec<(&'a str, String)>,
    examples: Vec<Example<'a>>,
    metric: &'a str,
}

/// A contact sheet of labelled scenes whose masks a network does not believe, the worst first.
///
/// # Errors
/// When the template fails.
pub(crate) fn suspects_page(
    masks: &Path,
    lead: String,
    classes: &[ValueClass],
    suspects: &[TrainingExample],
) -> Result<String, askama::Error> {
    let mut page = SuspectsPage {
        frame: Frame::new("Labels to look at", "labels", masks, None, lead),
        legend: classes.iter().map(|class| (&*class.name, hex(class.color))).collect(),
        examples: examples(suspects),
        metric: "mean-iou",
    };
    page.frame.sections = sections(&[("scenes", "Scenes", true)]);
    page.render()
}
