//! `swath bench`: its arguments, and what becomes of them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, value_parser};
use serde::Serialize;

use super::data::ScenesArgs;
use super::values::{one_of, precision, repeats, size, up_to_a_day};
use crate::app::bench::{self, DecodeRequest, EncodeRequest, ForwardRequest, Pixels, RunRequest, SamplesRequest};
use crate::app::{Error, Output};
use crate::config::data::Sampling;
use crate::config::{ByteSize, Precision, Span};
use crate::exit::ExitCode;
use crate::geom::Size;
use crate::plan::{BackendKind, Decode, DeviceId};
use crate::report::{self, BenchReport, Figures};

#[derive(Debug, Subcommand)]
pub(super) enum BenchCommand {
    /// Time forward passes of a pipeline's members, or of one network, through the devices that runs use.
    Forward(ForwardArgs),
    /// Time a whole run: speed, start-up, what devices and stages did with their time.
    Pipeline(PipelineArgs),
    /// Time the same run with one device, two, four and so on up to those named: how much faster, how much of them is idle, and how well the
    /// first run's figures predict it.
    Scaling(PipelineArgs),
    /// Time a run without networks: how fast the host can read, cut, stitch, encode and pack for devices that take no time.
    Feed(FeedArgs),
    /// Time the reader on one core.
    Decode(DecodeArgs),
    /// Time masks as PNG on one core, by compression setting.
    Encode(EncodeArgs),
    /// Time crops of labelled scenes as training takes them, with scenes kept in memory and without.
    Samples(SamplesArgs),
}

/// Where the figures go beside standard output.
#[derive(Debug, Args)]
pub(super) struct Document {
    /// Write the figures to this file as JSON, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Replace that file if it exists.
    #[arg(long, requires = "json")]
    overwrite: bool,
}

#[derive(Debug, Args)]
pub(super) struct ForwardArgs {
    /// A pipeline file, or a network as `models list` names it, which gets random weights.
    what: PathBuf,

    /// Devices, one after the other: cpu (one core) or cuda:0. Default: the first GPU, or else cpu.
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    devices: Option<Vec<DeviceId>>,

    /// Crops per pass.
    #[arg(long, value_delimiter = ',', value_name = "LIST", default_value = "1", value_parser = value_parser!(u32).range(1..=1024))]
    batch: Vec<u32>,

    /// Arithmetic, as pipelines name it: f16,f32. Default: f32 on cpu, f16 and f32 on a GPU.
    #[arg(long, value_delimiter = ',', value_name = "LIST", value_parser = precision)]
    precision: Option<Vec<Precision>>,

    /// Side of the square crops, in pixels.
    #[arg(long, value_name = "PIXELS", default_value_t = 1280, value_parser = value_parser!(u32).range(16..=16_384))]
    side: u32,

    /// Passes that count. Default: 3 on cpu, 20 on a GPU.
    #[arg(long, value_name = "N", value_parser = repeats)]
    repeats: Option<usize>,

    /// What runs the networks; `fake` is a stand-in without libtorch.
    #[arg(long, default_value = "torch", value_parser = one_of(BackendKind::NAMED))]
    backend: BackendKind,

    #[command(flatten)]
    document: Document,
}

/// A run to be measured.
#[derive(Debug, Args)]
pub(super) struct MeasuredRun {
    /// The pipeline file. Default: two small networks with random weights.
    pipeline: Option<PathBuf>,

    /// Change a value of the pipeline file, e.g. inference.batch=4.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,

    /// Draw this many scenes (GeoTIFFs, DEFLATE, tiled) into a temporary folder (TMPDIR says where).
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = value_parser!(u32).range(1..=1_000_000))]
    scenes: u32,

    /// Size of the drawn scenes.
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "4096x4096", value_parser = size)]
    size: Size,

    /// Draw the scenes into this folder, and leave them there; those that are there already are taken as they are.
    #[arg(long, value_name = "DIR", conflicts_with = "input")]
    keep: Option<PathBuf>,

    /// Take these scenes instead: a folder, a list file, or files.
    #[arg(short, long, num_args = 1.., value_name = "INPUT", conflicts_with_all = ["scenes", "size"])]
    input: Vec<PathBuf>,

    /// Devices, one worker each.
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    devices: Option<Vec<DeviceId>>,

    /// Reader threads.
    #[arg(long, value_name = "N")]
    readers: Option<usize>,

    /// Encoder threads.
    #[arg(long, value_name = "N", value_parser = repeats)]
    encoders: Option<usize>,

    /// Memory for pixels and labels in flight, e.g. 512MiB. Default: a quarter of what is free.
    #[arg(long, value_name = "SIZE")]
    memory: Option<ByteSize>,

    /// Where scenes are decoded.
    #[arg(long, default_value = "isolated", value_name = "WHERE", value_parser = one_of(Decode::NAMED))]
    decode: Decode,

    /// How long a decoder may take for an answer.
    #[arg(long, value_name = "DURATION", default_value_t = Span(Decode::TIMEOUT), value_parser = up_to_a_day(Duration::from_secs(1)))]
    decode_timeout: Span,

    #[command(flatten)]
    document: Document,
}

#[derive(Debug, Args)]
pub(super) struct PipelineArgs {
    #[command(flatten)]
    run: MeasuredRun,

    /// What runs the networks; `fake` is a stand-in without libtorch.
    #[arg(long, default_value = "torch", value_parser = one_of(BackendKind::NAMED))]
    backend: BackendKind,
}

#[derive(Debug, Args)]
pub(super) struct FeedArgs {
    #[command(flatten)]
    run: MeasuredRun,
}

#[derive(Debug, Args)]
pub(super) struct DecodeArgs {
    /// Files to read. Default: drawn scenes, uncompressed, DEFLATE and LZW, in strips and in tiles.
    files: Vec<PathBuf>,

    /// Size of the drawn scenes.
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "4096x4096", value_parser = size)]
    size: Size,

    /// Where they are decoded. Default: both, in turn.
    #[arg(long, value_name = "WHERE", value_parser = one_of(Decode::NAMED))]
    decode: Option<Decode>,

    /// Times that each file is read; the fastest counts.
    #[arg(long, value_name = "N", default_value = "3", value_parser = repeats)]
    repeats: usize,

    #[command(flatten)]
    document: Document,
}

#[derive(Debug, Args)]
pub(super) struct EncodeArgs {
    /// Side of the square masks, in pixels.
    #[arg(long, value_name = "PIXELS", default_value_t = 2048, value_parser = value_parser!(u32).range(16..=16_384))]
    side: u32,

    /// Times that each mask is encoded; the fastest counts.
    #[arg(long, value_name = "N", default_value = "3", value_parser = repeats)]
    repeats: usize,

    #[command(flatten)]
    document: Document,
}

#[derive(Debug, Args)]
pub(super) struct SamplesArgs {
    #[command(flatten)]
    scenes: ScenesArgs,

    /// Which places crops are taken from.
    #[arg(long, value_name = "HOW", default_value = "area", value_parser = one_of(Sampling::NAMED))]
    sampling: Sampling,

    /// Side of the square crops, in pixels.
    #[arg(long, value_name = "PIXELS", default_value_t = 512, value_parser = value_parser!(u32).range(1..=16_384))]
    side: u32,

    /// Crops of a step.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = value_parser!(u32).range(1..=1024))]
    batch: u32,

    /// Steps of each row.
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = value_parser!(u32).range(1..=1_000_000))]
    steps: u32,

    /// Reader threads. Default: as many as there are cores, up to four.
    #[arg(long, value_name = "N", value_parser = repeats)]
    readers: Option<usize>,

    /// Memory for crops under way and for scenes that are kept.
    #[arg(long, value_name = "SIZE", default_value = "1GiB")]
    memory: ByteSize,

    /// Another number, other crops.
    #[arg(long, default_value_t = 0)]
    seed: u64,

    #[command(flatten)]
    document: Document,
}

/// Measures, and shows the figures.
pub(super) fn bench(command: BenchCommand) -> Result<ExitCode, Error> {
    match command {
        BenchCommand::Forward(args) => {
            let ForwardArgs { what, devices, batch, precision, side, repeats, backend, document } = args;
            let request =
                ForwardRequest { what, backend, devices, batches: batch, precisions: precision, side, repeats };
            measured(document, || bench::forward(&request))
        }
        BenchCommand::Pipeline(PipelineArgs { run, backend }) => {
            let (document, request) = of_run(run, backend);
            measured(document, || bench::run(&request))
        }
        BenchCommand::Scaling(PipelineArgs { run, backend }) => {
            let (document, request) = of_run(run, backend);
            measured(document, || bench::scaling(&request))
        }
        BenchCommand::Feed(FeedArgs { run }) => {
            let (document, request) = of_run(run, BackendKind::Null);
            measured(document, || bench::run(&request))
        }
        BenchCommand::Decode(DecodeArgs { files, size, decode, repeats, document }) => {
            measured(document, || bench::decode(&DecodeRequest { files, size, decode, repeats }))
        }
        BenchCommand::Encode(EncodeArgs { side, repeats, document }) => {
            measured(document, || bench::encode(&EncodeRequest { side, repeats }))
        }
        BenchCommand::Samples(args) => {
            let SamplesArgs { scenes, sampling, side, batch, steps, readers, memory, seed, document } = args;
            let (data, memory) = (scenes.into(), memory.0);
            let request = SamplesRequest { data, sampling, side, batch, steps, readers, memory, seed };
            measured(document, || bench::samples(&request))
        }
    }
}

fn of_run(run: MeasuredRun, backend: BackendKind) -> (Document, RunRequest) {
    let MeasuredRun { pipeline, settings, scenes, size, keep, input, devices, readers, encoders, memory, .. } = run;
    let decode = match run.decode {
        Decode::Isolated { .. } => Decode::Isolated { timeout: run.decode_timeout.0 },
        Decode::InProcess => Decode::InProcess,
    };
    let pixels = if input.is_empty() { Pixels::Drawn { scenes, size, keep } } else { Pixels::Given(input) };
    (run.document, RunRequest { pipeline, settings, backend, pixels, devices, readers, encoders, memory, decode })
}

/// Measures if the document may be written, and shows the figures even if it then cannot.
fn measured<R: Figures + Serialize>(
    document: Document,
    measure: impl FnOnce() -> Result<BenchReport<R>, Error>,
) -> Result<ExitCode, Error> {
    let file = document.json.map(|path| Output { path, overwrite: document.overwrite });
    file.iter().try_for_each(bench::check_document)?;
    let figures = measure()?;
    report::print(&figures.text())?;
    file.iter().try_for_each(|file| bench::write_document(&file.path, &figures))?;
    Ok(ExitCode::Done)
}
