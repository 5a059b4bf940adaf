//! `swath pseudo-label`: its arguments, and what becomes of them.

use std::path::PathBuf;

use clap::Args;

use super::show;
use crate::app::{self, Error, Output, PseudoRequest, Sure};
use crate::exit::ExitCode;

#[derive(Debug, Args)]
pub(super) struct PseudoArgs {
    /// A run directory with scores (outputs.scores = true).
    run: PathBuf,

    /// The folder for masks/ and the list pairs.tsv, which `swath train -i` takes.
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,

    /// Keep pixels whose class has at least this probability.
    #[arg(long, value_name = "P", default_value_t = 0.9, conflicts_with = "keep", value_parser = probability)]
    confidence: f64,

    /// Keep this share of the pixels of each class instead, the most probable ones: a class that networks are never sure of stays.
    #[arg(long, value_name = "SHARE", value_parser = probability)]
    keep: Option<f64>,

    /// How much these labels count in training, against 1 of others.
    #[arg(long, value_name = "W", default_value_t = 1.0, value_parser = probability)]
    weight: f64,

    /// Labelled scenes with parts, which the list shall have as well.
    #[arg(long, value_name = "DATA")]
    with: Option<PathBuf>,

    /// Replace masks and the list if they exist.
    #[arg(long)]
    overwrite: bool,

    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

fn probability(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value: &f64| *value > 0.0 && *value <= 1.0);
    value.ok_or_else(|| format!("`{text}` is neither a share nor a probability; write a number above 0, up to 1"))
}

pub(super) fn pseudo_label(args: PseudoArgs) -> Result<ExitCode, Error> {
    let PseudoArgs { run, out, confidence, keep, weight, with, overwrite, json } = args;
    let sure = keep.map_or(Sure::Probability(confidence), Sure::Share);
    let report = app::pseudo_label(&PseudoRequest { run, out: Output { path: out, overwrite }, sure, weight, with })?;
    show(&report, json, report.text())?;
    Ok(if report.failed.is_empty() { ExitCode::Done } else { ExitCode::ScenesFailed })
}
