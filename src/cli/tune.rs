//! `swath tune` and `swath profiles`: their arguments, and what becomes of them.

use std::path::PathBuf;

use clap::{Args, Subcommand, value_parser};

use super::show;
use super::values::{one_of, repeats, size};
use crate::app::{self, Error, JobRequest, Output, TuneRequest, What};
use crate::exit::ExitCode;
use crate::geom::Size;
use crate::plan::{BackendKind, DeviceId, ScanOptions};
use crate::report;

#[derive(Debug, Args)]
pub(super) struct TuneArgs {
    /// The pipeline file.
    pipeline: PathBuf,

    /// Change a value of the pipeline file, e.g. members.0.precision=bf16.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,

    /// Measure the crops that the tiler makes of these scenes (the three sizes with most pixels). Default: the crop of a large scene.
    #[arg(short, long, num_args = 1.., value_name = "INPUT", conflicts_with = "crops")]
    input: Vec<PathBuf>,

    /// Measure these crops.
    #[arg(long, value_delimiter = ',', value_name = "WIDTHxHEIGHT", value_parser = size)]
    crops: Vec<Size>,

    /// Crops per pass. Default: 1,2 on cpu, 1,2,4,8 on a GPU.
    #[arg(long, value_delimiter = ',', value_name = "LIST", value_parser = value_parser!(u32).range(1..=1024))]
    batch: Option<Vec<u32>>,

    /// The device: cpu (one core) or cuda:0. Default: the first GPU, or else cpu.
    #[arg(long, value_name = "DEVICE")]
    device: Option<DeviceId>,

    /// Passes that count, of which the fastest does. Default: 3 on cpu, 20 on a GPU.
    #[arg(long, value_name = "N", value_parser = repeats)]
    repeats: Option<usize>,

    /// What runs the networks; `fake` is a stand-in without libtorch, with a profile of its own.
    #[arg(long, default_value = "torch", value_parser = one_of(BackendKind::NAMED))]
    backend: BackendKind,

    /// Print JSON instead of tables.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum ProfilesCommand {
    /// List the classes of devices that were measured, or whose profiles were added.
    List {
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Write the profile of a class to a file, for another machine.
    Save {
        /// The class, as `profiles list` and `doctor` print it.
        class: String,

        /// The file.
        #[arg(short, long, value_name = "FILE")]
        out: PathBuf,

        /// Replace the file if it exists.
        #[arg(long)]
        overwrite: bool,
    },
    /// Take the profile in a file for the class that it is of, in place of the one that is there.
    Add {
        /// What `profiles save` wrote.
        file: PathBuf,
    },
}

/// Measures, and shows what follows.
pub(super) fn tune(args: TuneArgs) -> Result<ExitCode, Error> {
    let TuneArgs { pipeline, settings, input, crops, batch, device, repeats, backend, json } = args;
    let job = (!input.is_empty()).then(|| {
        let scan = ScanOptions { inputs: input, ..ScanOptions::default() };
        JobRequest {
            backend,
            devices: device.map(|device| vec![device]),
            ..JobRequest::of(What::Pipeline { file: pipeline.clone(), settings: settings.clone(), scan })
        }
    });
    let request = TuneRequest { pipeline, settings, job, crops, backend, device, batches: batch, repeats };
    let figures = app::tune(&request)?;
    show(&figures, json, figures.text())?;
    Ok(ExitCode::Done)
}

/// Lists profiles, or moves them.
pub(super) fn profiles(command: ProfilesCommand) -> Result<ExitCode, Error> {
    match command {
        ProfilesCommand::List { json } => {
            let list = app::list_profiles()?;
            show(&list, json, list.text())?;
        }
        ProfilesCommand::Save { class, out, overwrite } => {
            app::save_profile(&class, &Output { path: out, overwrite })?;
        }
        ProfilesCommand::Add { file } => {
            let class = app::add_profile(&file)?;
            report::print(&format!("plans for {class} go by `{}`\n", file.display()))?;
        }
    }
    Ok(ExitCode::Done)
}
