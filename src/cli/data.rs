//! `swath data`: its arguments, and what becomes of them.

use std::path::PathBuf;

use clap::{Args, Subcommand, value_parser};

use super::show;
use crate::app::{self, CleanRequest, DataRequest, Error, Output, Suspicion};
use crate::dataset::{Grouping, Part, Shares};
use crate::exit::ExitCode;

#[derive(Debug, Subcommand)]
pub(super) enum DataCommand {
    /// Read every pair and tell what is broken, missing, of another size, or holds values that are no class. Exit code 3 if anything is.
    Check {
        #[command(flatten)]
        scenes: ScenesArgs,
        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Count classes, and compute mean and standard deviation of every band. Pairs that are no use are left out and told.
    Stats {
        #[command(flatten)]
        scenes: ScenesArgs,
        /// Write the pipeline file with these means and standard deviations as FILE.
        #[arg(long, value_name = "FILE")]
        write: Option<PathBuf>,
        /// Replace that file if it exists; it may be the pipeline itself.
        #[arg(long, requires = "write")]
        overwrite: bool,
        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Share the pairs out and write them as a list, which every command takes in place of the folder. The same names and seed give the
    /// same parts.
    Split(SplitArgs),
    /// List the labelled scenes whose masks agree least with their labels, for somebody to look at: `swath train --exclude` takes the list.
    /// Masks of networks that have not seen the labels tell most, as `swath train --folds` leaves them.
    Clean(CleanArgs),
}

#[derive(Debug, Args)]
pub(super) struct CleanArgs {
    /// What `swath train --folds` left, a run directory, or a folder of masks with --pipeline.
    masks: PathBuf,

    /// Labelled scenes: a folder or a list, as `swath data check` takes them.
    #[arg(short, long)]
    input: PathBuf,

    /// The list to write.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,

    /// The share of the scenes that is listed, the worst.
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, conflicts_with = "below", value_parser = share)]
    worst: f64,

    /// List the scenes with less mean IoU instead.
    #[arg(long, value_name = "MIOU", value_parser = share)]
    below: Option<f64>,

    /// Write a contact sheet, a page of the 60 worst with image, mask and labels, as FILE.
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,

    /// Only this part of the labelled scenes.
    #[arg(long)]
    part: Option<Part>,

    /// The pipeline file that says what masks and labels hold, where the masks are no run's.
    #[arg(long)]
    pipeline: Option<PathBuf>,

    /// Change a value of the pipeline file, e.g. data.labels=id.
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "pipeline")]
    settings: Vec<String>,

    /// Replace the list and the contact sheet if they exist.
    #[arg(long)]
    overwrite: bool,

    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ScenesArgs {
    /// The pipeline file: its bands, its classes, and in [data] how masks hold them.
    pipeline: PathBuf,

    /// Labelled scenes: a folder with images/ and masks/, or with train/, val/ and test/ of these; nnU-Net's raw layout; or a list with
    /// image, mask and part on each line.
    #[arg(short, long)]
    input: PathBuf,

    /// Only this part: train, val, test, fold0 ...
    #[arg(long)]
    part: Option<Part>,

    /// Leave out the pairs that this file names, one on each line: by name, or by image or mask.
    #[arg(long, value_name = "LIST")]
    exclude: Option<PathBuf>,

    /// Change a value of the pipeline file, e.g. data.labels=id.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct SplitArgs {
    #[command(flatten)]
    scenes: ScenesArgs,

    /// The list to write.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,

    /// Replace the list if it exists.
    #[arg(long)]
    overwrite: bool,

    /// What stays together: scene, folder, or block:SIDE, a square of the ground with sides of so many units of the reference system.
    #[arg(long, value_name = "GROUP", default_value = "scene")]
    by: Grouping,

    /// Share of the pairs to choose by.
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, conflicts_with = "folds", value_parser = share)]
    val: f64,

    /// Share of the pairs to look at once.
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, conflicts_with = "folds", value_parser = share)]
    test: f64,

    /// So many folds instead.
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(2..=100))]
    folds: Option<u32>,

    /// Another number, other parts.
    #[arg(long, default_value_t = 0)]
    seed: u64,

    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..1.0).contains(share));
    share.ok_or_else(|| format!("`{text}` is no share; write a number from 0 to less than 1"))
}

impl From<ScenesArgs> for DataRequest {
    fn from(ScenesArgs { pipeline, input, part, exclude, settings }: ScenesArgs) -> Self {
        Self { pipeline, settings, input, part, exclude }
    }
}

fn clean(args: CleanArgs) -> Result<ExitCode, Error> {
    let CleanArgs { masks, input, out, worst, below, sheet, part, pipeline, settings, overwrite, json } = args;
    let to = |path| Output { path, overwrite };
    let suspicion = below.map_or(Suspicion::Worst(worst), Suspicion::Below);
    let (list, sheet) = (to(out), sheet.map(to));
    let report = app::clean_data(&CleanRequest { masks, input, part, pipeline, settings, suspicion, list, sheet })?;
    show(&report, json, report.text())?;
    Ok(if report.mismatched.is_empty() { ExitCode::Done } else { ExitCode::ScenesFailed })
}

pub(super) fn data(command: DataCommand) -> Result<ExitCode, Error> {
    match command {
        DataCommand::Check { scenes, json } => {
            let report = app::survey_data(&scenes.into())?;
            show(&report, json, report.text())?;
            Ok(if report.is_clean() { ExitCode::Done } else { ExitCode::ScenesFailed })
        }
        DataCommand::Stats { scenes, write, overwrite, json } => {
            let request = scenes.into();
            let report = app::survey_data(&request)?;
            show(&report, json, report.text())?;
            if let Some(path) = write {
                app::write_statistics(&request, &report, &Output { path, overwrite })?;
            }
            Ok(if report.refused.is_empty() { ExitCode::Done } else { ExitCode::ScenesFailed })
        }
        DataCommand::Split(args) => {
            let SplitArgs { scenes, out, overwrite, by, val, test, folds, seed, json } = args;
            if val + test >= 1.0 {
                return Err(Error::Usage(format!("--val {val} and --test {test} leave nothing to train on")));
            }
            let shares = folds.map_or(Shares::Parts { val, test }, Shares::Folds);
            let report = app::split_data(&scenes.into(), by, shares, seed, &Output { path: out, overwrite })?;
            show(&report, json, report.text())?;
            Ok(ExitCode::Done)
        }
        DataCommand::Clean(args) => clean(args),
    }
}
