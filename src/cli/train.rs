//! `swath train`: its arguments, and what becomes of them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, value_parser};

#[cfg(not(feature = "torch"))]
use super::no_networks as networks;
use super::talk::{TalkArgs, Watching, limits};
use super::values::{deadline, up_to_a_day};
use super::{show, talk};
#[cfg(feature = "torch")]
use crate::app as networks;
use crate::app::{Error, FoldsTrained, Origin, TimeLimits, TrainParts, TrainRequest, Trained};
use crate::config::{ByteSize, Span};
use crate::exit::ExitCode;
use crate::lifecycle::SupervisorLink;
use crate::plan::DeviceId;
use crate::report::{self, Detail, Page, ProgressForm};

#[derive(Debug, Args)]
pub(super) struct TrainArgs {
    /// The pipeline file with the table [train]; its one member is the network that is trained, from its weights where it names a file.
    #[arg(required_unless_present = "auto")]
    pipeline: Option<PathBuf>,

    /// Write a pipeline file that follows from the data and the device, DIR/pipeline.toml, and train by it: bands and their statistics,
    /// the classes that masks hold, crops, batch and network, and as many steps as fit into --budget.
    #[arg(long, conflicts_with = "pipeline")]
    auto: bool,

    /// With --auto: how long training shall take.
    #[arg(long, value_name = "DURATION", default_value = "20m", requires = "auto", value_parser = deadline)]
    budget: Span,

    /// Labelled scenes: a folder with train/ and val/, each with images/ and masks/; or a list with image, mask and part on each line, as
    /// `swath data split` writes it.
    #[arg(short, long)]
    input: PathBuf,

    /// The run directory: the bundles best.safetensors and last.safetensors, curves, and what the same command goes on from.
    #[arg(short, long)]
    out: PathBuf,

    /// Change a value of the pipeline file, e.g. train.batch=16.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,

    /// The member that is trained, where the pipeline has several.
    #[arg(long, value_name = "NAME")]
    member: Option<String>,

    /// Validate with this fold of a list of folds, and train on the others.
    #[arg(long, value_name = "N")]
    fold: Option<u32>,

    /// Train so many networks, each on all folds but one, which it validates with: DIR/fold0, DIR/fold1, ... Then DIR has masks of all scenes
    /// by the network that had not seen them, and ensemble.toml: all networks with the post-processing that makes those masks better. With
    /// --fold only that one is trained.
    #[arg(long, value_name = "K", value_parser = value_parser!(u32).range(2..=100))]
    folds: Option<u32>,

    /// Leave out the pairs that this file names, one a line.
    #[arg(long, value_name = "LIST")]
    exclude: Option<PathBuf>,

    /// Devices, each with a part of every batch: cuda:0,cuda:1, or cpu. Default: the first GPU, or else the CPU.
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    devices: Option<Vec<DeviceId>>,

    /// Threads of the CPU that work on a step. Another number may round in another way. Default: as many as there are cores.
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..))]
    threads: Option<u16>,

    /// Threads that read crops ahead. Default: one per core, four at most. They change no byte.
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=64))]
    readers: Option<u16>,

    /// Memory for crops and for scenes that are kept decoded, e.g. 2GiB. Default: a quarter of what is free.
    #[arg(long, value_name = "SIZE")]
    memory: Option<ByteSize>,

    /// Keep what the same command goes on from every so many steps. Default: at the end of each epoch, and after five minutes.
    #[arg(long, value_name = "STEPS", value_parser = value_parser!(u64).range(1..))]
    keep_every: Option<u64>,

    /// Be done within this time of the start of the command, e.g. 12h: training ends with the best so far (exit code 4), and the same
    /// command goes on from there.
    #[arg(long, value_name = "DURATION", value_parser = deadline)]
    deadline: Option<Span>,

    /// Forget what the run directory has of a training, and begin anew.
    #[arg(long)]
    fresh: bool,

    /// How long a training that is told to stop may take to keep what it has.
    #[arg(long, value_name = "DURATION", default_value_t = Span(TimeLimits::GRACE), value_parser = up_to_a_day(Duration::ZERO))]
    grace: Span,

    /// Give up when a step takes longer than this, and be started again; 0 for never.
    #[arg(long, value_name = "DURATION", default_value_t = Span(TimeLimits::STALL))]
    stall_timeout: Span,

    /// Take over a run directory that a command on another host holds, which is known to be gone.
    #[arg(long)]
    break_lock: bool,

    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    pub(super) talk: TalkArgs,

    #[command(flatten)]
    pub(super) watching: Watching,
}

pub(super) fn train(args: TrainArgs, arguments: Vec<String>, supervisor: SupervisorLink) -> Result<ExitCode, Error> {
    let (json, told) = (args.json, args.talk);
    let is_shown = json || (told.progress != ProgressForm::Json && talk::show(told).detail > Detail::Quiet);
    let folds = args.folds.filter(|_| args.fold.is_none());
    let request = request(args, arguments, supervisor);
    let Some(n) = folds else {
        let Trained { summary, end, n_refused } = networks::train(&request)?;
        if is_shown {
            show(&summary, json, report::training_summary(&summary, Page::of_stdout()))?;
        }
        return Ok(end.exit(n_refused));
    };
    let FoldsTrained { summary, end, n_refused } = networks::train_folds(&request, n)?;
    if is_shown {
        show(&summary, json, report::folds_summary(&summary, Page::of_stdout()))?;
    }
    Ok(end.exit(n_refused))
}

fn request(args: TrainArgs, arguments: Vec<String>, supervisor: SupervisorLink) -> TrainRequest {
    let limits = limits(&supervisor, args.deadline, args.grace, args.stall_timeout);
    let restarted = supervisor.attempt().begun;
    let parts = match (args.fold, args.folds) {
        (None, _) => TrainParts::Named,
        (Some(fold), None) => TrainParts::Fold(fold),
        (Some(fold), Some(n)) => TrainParts::FoldOf(fold, n),
    };
    TrainRequest {
        pipeline: args.pipeline,
        budget: args.auto.then_some(args.budget.0),
        settings: args.settings,
        member: args.member,
        input: args.input,
        parts,
        exclude: args.exclude,
        out: args.out,
        fresh: args.fresh,
        break_lock: args.break_lock,
        devices: args.devices,
        threads: args.threads.map(usize::from),
        readers: args.readers.map(usize::from),
        memory: args.memory,
        keep_every: args.keep_every,
        limits,
        origin: Origin { arguments, supervisor, restarted, ..Origin::default() },
        show: talk::show(args.talk),
    }
}
