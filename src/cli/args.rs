//! The arguments as typed. Nothing here looks at the machine.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use super::bench::BenchCommand;
use super::data::DataCommand;
use super::launch::LaunchCommand;
use super::part::{MergeArgs, PartArgs};
use super::talk::{TalkArgs, Watching};
use super::train::TrainArgs;
use super::tune::{ProfilesCommand, TuneArgs};
use super::values::{DeviceArg, bounds, deadline, one_of, up_to_a_day};
use crate::app::{Assign, PartialArchive, StageName, Target, TimeLimits};
use crate::config::classes::Color;
use crate::config::{ByteSize, Span};
use crate::dataset::Part;
use crate::eval::Distance;
use crate::plan::{BackendKind, Decode, DeviceId};

/// Turns a directory of remote-sensing rasters into land-cover masks with an ensemble of segmentation networks.
///
/// Exit codes: 0 done; 1 internal error; 2 usage, pipeline or plan; 3 done, some scenes failed; 4 done, but some scenes with fewer
/// members or later than --deadline; 5 the deadline left scenes over, the same command goes on; 11 the run directory is in use; 12 weights
/// refused; 13 output could not be written; 14 no device; 15 a device of another class than
/// the plan's; 20 a run directory that cannot be read; 129, 130, 143 stopped by a
/// signal.
#[derive(Debug, Parser)]
#[command(name = "swath", version, max_term_width = 110)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Segment scenes and pack submit.zip.
    #[command(override_usage = "swath run <PIPELINE> --input <INPUT>... --out <DIR> [OPTIONS]")]
    Run(RunArgs),
    /// Show what `run` would do: scenes, tiles, memory, disk, time, what earlier runs have done. Refuses what `run` would refuse. Touches
    /// nothing.
    #[command(override_usage = "swath plan <PIPELINE> --input <INPUT>... [--out <DIR>] [OPTIONS]")]
    Plan(PlanArgs),
    /// Show how a saved plan is cut into shards, for as many processes on as many hosts.
    ///
    /// A batch engine starts one process per shard. Which units a shard has follows from the plan, the number of shards and the slots alone.
    Shard(super::shard::ShardArgs),
    /// Put together what runs of shards have left in a folder: finish scenes that lie in several, check, and pack submit.zip.
    ///
    /// No network runs. Exit code 5 if something is missing: it prints which shards are to run again, and how.
    Merge(Box<MergeArgs>),
    /// Show versions, formats, codecs and memory, and what is wrong.
    Doctor,
    /// Generate six synthetic georeferenced scenes with ground-truth masks of 15 classes.
    Synth(SynthArgs),
    /// Compute IoU, F1, precision, recall, kappa, boundary IoU and calibration of masks against ground truth.
    ///
    /// All pixels of all pairs are pooled. The mIoU is the mean over the values that occur in masks or ground truth. Exit code 3 if masks
    /// are missing or pairs cannot be compared.
    Eval(EvalArgs),
    /// Draw masks in their classes' colours, over their scenes, and where they differ from ground truth.
    ///
    /// Exit code 3 if some cannot be drawn.
    Viz(VizArgs),
    /// Make labels of what a run's networks are sure of, and a list of them to train on.
    PseudoLabel(super::pseudo::PseudoArgs),
    /// Look at labelled scenes, count what is in them, split them into parts, list those to doubt.
    #[command(subcommand)]
    Data(DataCommand),
    /// Train a network on labelled scenes; the same command goes on where it was stopped.
    ///
    /// What it leaves is best.safetensors: weights with all that is needed to run them, so that `swath run best.safetensors -i SCENES -o OUT`
    /// needs no pipeline file. Exit code 3 if pairs had to be left out, 4 if --deadline ended it.
    Train(Box<TrainArgs>),
    /// Print or submit job files that run the shards of a plan on several hosts, and merge what they leave.
    ///
    /// What is printed is a script that gives the files in it to the engine; --write FOLDER writes them apart, --submit submits them.
    #[command(subcommand)]
    Launch(Box<LaunchCommand>),
    /// Show what a run directory holds: scenes done, failed and outstanding, checkpoints.
    Status(DirArgs),
    /// Tell what the last run into a run directory did, from its journal and its plan, and write its report.html.
    Report(DirArgs),
    /// Read every recorded file of a run directory again and compare it with its digest.
    Verify(DirArgs),
    /// Run the last command of a run directory again: scenes that failed or are outstanding are done, the others stay as they are.
    Resume(ResumeArgs),
    /// Remove what the last command of a run directory cannot use any more: checkpoints, and outputs of earlier commands.
    Gc(GcArgs),
    /// Join the GeoTIFFs of a run to one raster: a COG, or a VRT that refers to them.
    ///
    /// The scenes have one reference system and one resolution. Where they overlap the one with the later name is seen.
    Mosaic(MosaicArgs),
    /// List and show networks, export their weights, check them against reference implementations.
    #[command(subcommand)]
    Models(ModelsCommand),
    /// Inspect, convert, compress and compare weights files.
    #[command(subcommand)]
    Weights(WeightsCommand),
    /// Measure how fast this machine is: networks, whole runs, the host's part of them, decoding and encoding.
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Measure which kernels and batches are fastest on this machine's devices, for all later plans.
    ///
    /// The times are kept in the user's cache directory, by class of device. A run directory goes by those that it began with; `--retune`
    /// takes newer ones.
    Tune(TuneArgs),
    /// List, save and add what `tune` measured, by class of device.
    #[command(subcommand)]
    Profiles(ProfilesCommand),
    /// Decode scenes for another swath process, which starts this one.
    #[command(hide = true)]
    Decoder,
    /// Carry out a command for another swath process, which starts this one and watches over it.
    #[command(hide = true)]
    Worker {
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ModelsCommand {
    /// List the networks with their parameters, MACs and reference implementation.
    List {
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Show the layers of a network: parameters, output shapes, MACs.
    Show {
        /// A name that `models list` shows; the variant can be left out.
        name: String,

        /// Side of the square input image that output shapes and MACs are given for.
        #[arg(long, value_name = "PIXELS", default_value_t = 512, value_parser = clap::value_parser!(u32).range(64..=16_384))]
        size: u32,

        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Write weights as a state_dict of the reference implementation.
    ///
    /// Tensor names, shapes and f32 values are those of the reference: load_state_dict(strict=True) in PyTorch takes the file. With
    /// --drop-classifier, write a checkpoint from which training for other classes starts.
    Export {
        /// A name that `models list` shows; the variant can be left out.
        name: String,

        /// A weights file of any format that fits the network.
        #[arg(long, value_name = "FILE")]
        weights: PathBuf,

        #[command(flatten)]
        out: OutFile,

        /// Write the network as it runs: batch normalisation folded into the convolutions, without auxiliary heads.
        #[arg(long)]
        folded: bool,

        /// Leave out the layers whose shape depends on the number of classes and initialise them anew, for fine-tuning. --weights may then
        /// also be an ImageNet checkpoint of the backbone alone.
        #[arg(long, requires = "classes", conflicts_with = "folded")]
        drop_classifier: bool,

        /// With --drop-classifier: the new number of classes.
        #[arg(long, value_name = "N", requires = "drop_classifier", value_parser = clap::value_parser!(u32).range(1..=65_535))]
        classes: Option<u32>,

        /// With --drop-classifier: the random seed of the new layers.
        #[arg(long, value_name = "N", requires = "drop_classifier", default_value_t = 0)]
        seed: u64,
    },
    /// Compare networks with recorded outputs of their reference implementations. Exit code 1 if one differs.
    Check {
        /// A folder of fixtures: manifest.json, and for each network NAME.safetensors and NAME.keys.json.
        dir: PathBuf,

        /// Names of fixtures to check. Default: all.
        names: Vec<String>,

        /// Where a network differs, name the first layer that does (needs NAME.taps.json).
        #[arg(long)]
        trace: bool,

        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum WeightsCommand {
    /// Show what a weights file holds: format, number of parameters, data types, digest, and which networks it fits.
    Inspect {
        /// A safetensors file, a PyTorch checkpoint (.pth), compressed weights (.swz) or a Huffman directory.
        file: PathBuf,

        /// List every tensor with its data type and shape. (JSON always has them.)
        #[arg(long)]
        all: bool,

        #[command(flatten)]
        which: WhichTensors,

        /// Print the pipeline file in it instead, to be copied and edited, if it is a bundle.
        #[arg(long, conflicts_with_all = ["all", "average", "everything", "json"])]
        pipeline: bool,

        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Convert a weights file of any format to safetensors.
    Convert {
        /// A safetensors file, a PyTorch checkpoint (.pth), compressed weights (.swz) or a Huffman directory.
        file: PathBuf,

        #[command(flatten)]
        out: OutFile,

        #[command(flatten)]
        which: WhichTensors,

        /// Data type of the values. Integer tensors keep theirs.
        #[arg(long, default_value = "same", value_parser = one_of(Target::NAMED))]
        dtype: Target,

        /// Make a bundle: write into the file what this pipeline file says of the member with these weights, or of its only member.
        /// `swath run` takes a bundle in place of a pipeline file.
        #[arg(long, value_name = "PIPELINE")]
        pipeline: Option<PathBuf>,

        /// Change a value of that pipeline file, e.g. tiler.dilation=64.
        #[arg(long = "set", value_name = "KEY=VALUE", requires = "pipeline")]
        settings: Vec<String>,
    },
    /// Compress weights files to fit a size limit. Pipelines use the .swz files as they are.
    Compress {
        /// Weights files of any format.
        #[arg(required = true)]
        files: Vec<PathBuf>,

        /// The folder for the compressed files: NAME.pth becomes NAME.swz.
        #[arg(short, long, value_name = "DIR")]
        out: PathBuf,

        /// Replace .swz files that exist. An input file is never replaced.
        #[arg(long)]
        overwrite: bool,

        /// Upper limit for the size of all files together (kB, MB, GB: powers of 1000; KiB, MiB, GiB: of 1024). Tensors whose quantisation
        /// error matters most get most bits.
        #[arg(long, value_name = "SIZE", required_unless_present_any = ["bits", "lossless"])]
        budget: Option<ByteSize>,

        /// Instead of --budget: quantise every tensor to this many bits per weight, 1 to 8.
        #[arg(long, value_name = "N", conflicts_with_all = ["budget", "lossless"], value_parser = clap::value_parser!(u8).range(1..=8))]
        bits: Option<u8>,

        /// Instead of --budget: without loss, bit for bit.
        #[arg(long, conflicts_with = "budget")]
        lossless: bool,

        /// Calibration scenes (a folder, a list file, or files). The effect of each tensor's error on the network's output is measured on
        /// them and decides how --budget is spent; the agreement of the masks before and after is shown.
        #[arg(long, num_args = 1.., value_name = "INPUT", requires = "pipeline")]
        data: Vec<PathBuf>,

        /// With --data: the pipeline whose members have these files as their weights.
        #[arg(long, value_name = "FILE", requires = "data")]
        pipeline: Option<PathBuf>,

        /// With --data: true masks of its scenes, a folder or labelled scenes. The mean IoU before and after is shown, and decides how
        /// --budget is spent.
        #[arg(long, value_name = "DIR", requires = "data")]
        truth: Option<PathBuf>,

        #[command(flatten)]
        of_truth: TruthArgs,

        /// With --data: number of calibration tiles, spread over the scenes.
        #[arg(long, value_name = "N", requires = "data", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        tiles: u32,

        /// With --data: the device that runs the networks. Default: the first GPU, or else a CPU.
        #[arg(long, value_name = "DEVICE", requires = "data")]
        device: Option<DeviceId>,

        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Compare two weights files: tensor names, shapes, data types, values. Exit code 1 if they differ.
    ///
    /// Values of different data types are compared after rounding to the narrower type. Files of the same values in different data types
    /// differ, too, and it is said that this is all.
    Diff {
        /// A weights file of any format.
        first: PathBuf,

        /// Another; its format may differ.
        second: PathBuf,

        #[command(flatten)]
        which: WhichTensors,

        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
}

/// A safetensors file to write.
#[derive(Clone, Debug, Args)]
pub(super) struct OutFile {
    /// The safetensors file to write; its name ends in .safetensors.
    #[arg(short, long, value_name = "FILE")]
    pub(super) out: PathBuf,

    /// Replace the file if it exists. The input file is never replaced.
    #[arg(long)]
    pub(super) overwrite: bool,
}

/// Which tensors of a checkpoint are meant.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct WhichTensors {
    /// Take the exponential moving average (EMA) of the weights from a training checkpoint, not the last weights.
    #[arg(long, conflicts_with = "everything")]
    pub(super) average: bool,

    /// Take all tensors under the names in the file: nothing is unwrapped, renamed or left out.
    #[arg(long)]
    pub(super) everything: bool,
}

#[derive(Debug, Args)]
pub(super) struct DirArgs {
    /// The run directory.
    pub(super) dir: PathBuf,

    /// Print JSON instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ResumeArgs {
    /// The run directory.
    pub(super) dir: PathBuf,

    #[command(flatten)]
    pub(super) talk: TalkArgs,

    #[command(flatten)]
    pub(super) watching: Watching,
}

#[derive(Debug, Args)]
pub(super) struct GcArgs {
    /// The run directory.
    pub(super) dir: PathBuf,

    /// Remove all checkpoints.
    #[arg(long)]
    pub(super) all: bool,

    /// Remove outputs of earlier commands that the last one did not make, and no checkpoints.
    #[arg(long, conflicts_with = "all")]
    pub(super) outputs: bool,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) job: JobArgs,

    /// Devices, one worker each: cpu,cpu or cuda:0,cuda:1. Default: all GPUs, or else a worker per core.
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub(super) devices: Option<Vec<DeviceId>>,

    /// The run directory: masks, other layers, submit.zip, report.json and report.html go here.
    #[arg(short, long, value_name = "DIR")]
    pub(super) out: PathBuf,

    #[command(flatten)]
    pub(super) part: PartArgs,

    /// Forget what earlier runs into this folder recorded, and do everything anew.
    #[arg(long, conflicts_with = "from")]
    pub(super) fresh: bool,

    /// Discard the stored results of this stage and later ones, and use those before it.
    #[arg(long, value_name = "STAGE", value_parser = one_of(StageName::NAMED))]
    pub(super) from: Option<StageName>,

    /// Stop after this stage: no submit.zip.
    #[arg(long, value_name = "STAGE", value_parser = one_of(StageName::NAMED))]
    pub(super) until: Option<StageName>,

    /// Be done within this time of the start of the command, e.g. 12h, 90m, 45s. When time gets short, what has not begun is left to
    /// fewer members, the last ones going first (exit code 4); when not even one member can do it, to another run (exit code 5). When
    /// time is up, no further forward pass begins. A run that ends later says by how much, and never with exit code 0. A run without
    /// --deadline does in full what was done with fewer members.
    #[arg(long, value_name = "DURATION", value_parser = deadline)]
    pub(super) deadline: Option<Span>,

    /// Write no report.html. `swath report DIR` makes it later.
    #[arg(long)]
    pub(super) no_page: bool,

    /// Fail scenes whose decoder warns of their pixels (corrupt data that it read over), instead of reporting the warnings. Scenes that
    /// an earlier run has done stay done: add --fresh to read them again.
    #[arg(long)]
    pub(super) strict: bool,

    /// How long a run may take to finish the forward passes under way, and the files of the scenes that are complete, when it is told to
    /// stop (Ctrl-C); told again, it stops at once. A number alone counts seconds.
    #[arg(long, value_name = "DURATION", default_value_t = Span(TimeLimits::GRACE), value_parser = up_to_a_day(Duration::ZERO))]
    pub(super) grace: Span,

    /// How long nothing may move before the run gives itself up and is started again; 0 for never. A number alone counts seconds.
    #[arg(long, value_name = "DURATION", default_value_t = Span(TimeLimits::STALL))]
    pub(super) stall_timeout: Span,

    #[command(flatten)]
    pub(super) talk: TalkArgs,

    /// Pack submit.zip although the networks are fake (--backend fake): its masks mean nothing.
    #[arg(long)]
    pub(super) pack_fake: bool,

    #[command(flatten)]
    pub(super) watching: Watching,

    /// Take the folder over from a run on another host that is gone.
    #[arg(long)]
    pub(super) break_lock: bool,
}

#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    pub(super) job: JobArgs,

    /// Devices, one worker each: cpu,cpu or cuda:0,cuda:1. Default: all GPUs, or else a worker per core. 4xH100 stands for four that are
    /// not here, by a part of the name that --throughput has for them; with --gpu-memory alone, for GPUs of which nothing else is known.
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub(super) devices: Option<Vec<DeviceArg>>,

    /// Plan for devices of this class, as `swath doctor` names it where they are: here need not be any.
    #[arg(long, value_name = "CLASS")]
    pub(super) device_class: Option<String>,

    /// Predict time and idle devices from figures of the machine that is to run the plan: files that `swath bench forward --json` wrote
    /// there (how fast each member is on a device), or `bench pipeline` (that and the host's part), or `bench feed` (the host's part), or a
    /// profile of `tune`.
    #[arg(long, value_delimiter = ',', value_name = "FILES")]
    pub(super) throughput: Vec<PathBuf>,

    /// Say whether the plan fits into GPUs of this memory, e.g. 11GB, and else what would. Default: what --throughput tells of them.
    #[arg(long, value_name = "SIZE")]
    pub(super) gpu_memory: Option<ByteSize>,

    /// Write the plan to this file, for `swath run --plan` here or, in shards, on several hosts.
    #[arg(long, value_name = "FILE")]
    pub(super) save: Option<PathBuf>,

    /// The run directory that `run` would write: what is there, what is left to do, and whether it can be written.
    #[arg(short, long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,

    /// Print JSON instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

/// What `run` and `plan` have in common.
#[derive(Debug, Args)]
pub(super) struct JobArgs {
    /// The pipeline file (TOML), or a bundle: weights that hold one.
    // It may have ended up among the inputs, which take all that follows them: `resolve` looks.
    pub(super) pipeline: Option<PathBuf>,

    /// A folder (searched through), a list file (.txt, one path a line; behind a TAB page=2 for the second page of a TIFF), or files.
    #[arg(short, long, required_unless_present = "plan", num_args = 1.., value_name = "INPUT")]
    pub(super) input: Vec<PathBuf>,

    /// A plan that `swath plan --save` wrote, in place of a pipeline and inputs: the same bytes, or a refusal that says why not.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["pipeline", "input", "settings", "backend", "include", "exclude", "bbox", "aoi"])]
    pub(super) plan: Option<PathBuf>,

    /// Tell scene files from this folder, which holds them all, so that a plan can be saved for hosts that have it elsewhere; of a
    /// saved plan, where it is here.
    #[arg(long, value_name = "DIR")]
    pub(super) input_root: Option<PathBuf>,

    /// Change a value of the pipeline file, e.g. tiler.dilation=64 or members.0.weight=2.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) settings: Vec<String>,

    /// What runs the networks; `fake` is a deterministic stand-in without libtorch.
    #[arg(long, default_value = "torch", value_parser = one_of(BackendKind::NAMED))]
    pub(super) backend: BackendKind,

    /// Which device holds which members: all hold all (replicate), each as few as possible, for members that do not fit on one device
    /// together (partition), or a TOML file with [[device]] tables (id, members).
    #[arg(long, value_name = "HOW", default_value = "replicate", hide_default_value = true)]
    pub(super) assign: Assign,

    /// Reader threads.
    #[arg(long, value_name = "N")]
    pub(super) readers: Option<usize>,

    /// Memory for pixels and labels in flight, e.g. 512MiB (kB, MB, GB: powers of 1000; KiB, MiB, GiB: of 1024). Default: a quarter of
    /// what is free.
    #[arg(long, value_name = "SIZE")]
    pub(super) memory: Option<ByteSize>,

    /// Know scenes by all bytes of their files, not by size, time and both ends: then a copy elsewhere, or a file that was touched, is the same
    /// scene. Reads every file once more. A run directory that was begun so goes on so.
    #[arg(long, conflicts_with = "plan")]
    pub(super) hash_inputs: bool,

    /// Go by what `swath tune` measured last, instead of what it had measured when the run directory was begun: what that changes is
    /// computed again.
    #[arg(long, conflicts_with = "plan")]
    pub(super) retune: bool,

    /// Where scenes are decoded: each reader in a process of its own, so that a file that crashes or hangs it costs only itself, or all in
    /// this process.
    #[arg(long, default_value = "isolated", value_name = "WHERE", value_parser = one_of(Decode::NAMED))]
    pub(super) decode: Decode,

    /// How long a decoder may take for an answer (some rows of a scene) before it is killed and the scene given up. A number alone counts
    /// seconds.
    #[arg(long, value_name = "DURATION", default_value_t = Span(Decode::TIMEOUT), value_parser = up_to_a_day(Duration::from_secs(1)))]
    pub(super) decode_timeout: Span,

    /// In a folder, take the files that match (relative path) instead of *.tif and *.tiff, or else *.png, *.jpg and *.jpeg.
    #[arg(long, value_name = "GLOB")]
    pub(super) include: Vec<String>,

    /// In a folder, leave out the files and folders that match: a path in it, or a folder's name.
    #[arg(long, value_name = "GLOB")]
    pub(super) exclude: Vec<String>,

    /// Work only on tiles that meet this rectangle; outside of it masks hold the [nodata] value. In each scene's own coordinates, or in
    /// those of --bbox-crs, x (east) first.
    #[arg(long, value_name = "XMIN,YMIN,XMAX,YMAX", allow_hyphen_values = true, value_parser = bounds)]
    pub(super) bbox: Option<[f64; 4]>,

    /// What --bbox is given in, e.g. EPSG:4326 (longitude first).
    #[arg(long, value_name = "CODE", requires = "bbox")]
    pub(super) bbox_crs: Option<String>,

    /// The same for the polygons of a GeoPackage, GeoJSON, Shapefile or FlatGeobuf, which are brought to each scene's coordinate system; of
    /// several layers one is named: FILE:LAYER.
    #[arg(long, value_name = "FILE[:LAYER]", conflicts_with = "bbox")]
    pub(super) aoi: Option<PathBuf>,

    /// Replace files at output names that no earlier run into this folder wrote.
    #[arg(long)]
    pub(super) overwrite: bool,

    /// Pack submit.zip although scenes failed: without them (omit) or with a mask of one value in their place (blank:VALUE).
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "omit")]
    pub(super) allow_partial: Option<PartialArchive>,
}

#[derive(Debug, Args)]
pub(super) struct SynthArgs {
    /// The random seed: equal seeds give equal scenes.
    #[arg(long, default_value_t = 0)]
    pub(super) seed: u64,

    /// The folder to write: images/NAME.tif and masks/NAME.png. Scenes that are there already are left as they are.
    #[arg(short, long, value_name = "DIR")]
    pub(super) out: PathBuf,

    /// Replace files of these names that hold something else.
    #[arg(long)]
    pub(super) overwrite: bool,
}

#[derive(Debug, Args)]
pub(super) struct MosaicArgs {
    /// The run directory, of a run with outputs.geotiff or outputs.cog.
    pub(super) dir: PathBuf,

    /// The raster to write: FILE.tif, or FILE.vrt.
    #[arg(short, long, value_name = "FILE")]
    pub(super) out: PathBuf,

    /// Take only scenes whose name (of the mask, without .png) matches this glob. Give it again for several.
    #[arg(long, value_name = "GLOB")]
    pub(super) include: Vec<String>,

    /// Replace the file if it exists.
    #[arg(long)]
    pub(super) overwrite: bool,
}

#[derive(Debug, Args)]
pub(super) struct EvalArgs {
    /// A run directory, whose plan has the classes and says what truth holds; or a folder of masks, or one mask: PNG or GeoTIFF with one
    /// class value per pixel.
    pub(super) masks: PathBuf,

    /// Ground truth. A folder of masks with the same relative paths, PNG or GeoTIFF (the extension may differ); pixels that a GeoTIFF
    /// declares as nodata are left out. Or labelled scenes in any layout that `swath data` takes: they pair by the images that a run has
    /// read, or else by name.
    #[arg(long, value_name = "DIR")]
    pub(super) truth: PathBuf,

    #[command(flatten)]
    pub(super) truth_args: TruthArgs,

    #[command(flatten)]
    pub(super) classes: ClassesArgs,

    /// How far from its contours the boundary IoU looks at a class (Cheng et al. 2021): a share of a scene's diagonal (2%), or pixels (5).
    #[arg(long, value_name = "DISTANCE", default_value = "2%", conflicts_with = "no_boundary")]
    pub(super) boundary: Distance,

    /// Compute no boundary IoU.
    #[arg(long)]
    pub(super) no_boundary: bool,

    /// Write a page with all scores, the confusion matrix and the scenes as FILE.
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,

    /// Run the directory's last command again without each view, dilation, tiler rule, reduced precision, rule to combine by and member that
    /// its pipeline has, in sub-folders of DIR, and tell what each adds to the mIoU and costs in time.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["html", "pipeline"])]
    pub(super) ablate: Option<PathBuf>,

    /// Run the directory's last command again in a sub-folder of DIR, and select members: the best one, then whichever helps most, as long as
    /// one does. Tells what each selection's mIoU is and what it costs in time, and writes the pipeline file of the last, DIR/selected.toml.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["html", "pipeline", "ablate"])]
    pub(super) select: Option<PathBuf>,

    /// Replace the page, or what --ablate or --select left in its folder.
    #[arg(long)]
    pub(super) overwrite: bool,

    /// Print JSON instead of a table, the confusion matrix and every scene included.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct TruthArgs {
    /// Only this part of labelled scenes: train, val, test, fold0 ...
    #[arg(long, requires = "truth")]
    pub(super) part: Option<Part>,

    /// Ground-truth values that are left out, such as 255 for unlabelled pixels. Give it again, or 0,255, for several.
    #[arg(long, value_name = "VALUE", value_delimiter = ',', requires = "truth")]
    pub(super) ignore: Vec<u16>,
}

#[derive(Debug, Args)]
pub(super) struct VizArgs {
    /// A run directory; or a folder of masks, or one mask: PNG or GeoTIFF with one class value per pixel, whose classes are in --pipeline.
    pub(super) masks: PathBuf,

    /// The folder for the pictures: color/ in the class table's colours, and below it overlay/ and errors/ as far as they are asked for.
    #[arg(short, long, value_name = "DIR")]
    pub(super) out: PathBuf,

    /// Replace pictures that exist.
    #[arg(long)]
    pub(super) overwrite: bool,

    #[command(flatten)]
    pub(super) classes: ClassesArgs,

    /// Draw the classes over their scenes as well.
    #[arg(long)]
    pub(super) overlay: bool,

    /// How much of an overlay is the classes' colours: 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, requires = "overlay", value_parser = alpha)]
    pub(super) alpha: f64,

    /// The folder of scenes with the names of the masks. A run directory knows its own.
    #[arg(long, value_name = "DIR", requires = "overlay")]
    pub(super) images: Option<PathBuf>,

    /// Draw where masks differ from ground truth as well: a folder of masks, or labelled scenes, as `swath eval` takes them. What is right is
    /// pale, and what is left out grey.
    #[arg(long, value_name = "DIR")]
    pub(super) truth: Option<PathBuf>,

    #[command(flatten)]
    pub(super) truth_args: TruthArgs,

    /// The colour of what is wrong in error maps, such as #ff00ff; else it has the colour of the class that it should be.
    #[arg(long, value_name = "COLOR", requires = "truth")]
    pub(super) wrong: Option<ColorArg>,

    /// Print JSON instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

/// A colour as typed.
#[derive(Clone, Copy, Debug)]
pub(super) struct ColorArg(pub(super) Color);

impl std::str::FromStr for ColorArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Color::try_from(text.to_owned()).map(Self)
    }
}

fn alpha(text: &str) -> Result<f64, String> {
    let alpha = text.parse().ok().filter(|alpha| (0.0..=1.0).contains(alpha));
    alpha.ok_or_else(|| format!("`{text}` is no share; write a number from 0 to 1"))
}

#[derive(Debug, Args)]
pub(super) struct ClassesArgs {
    /// The pipeline file of the masks: its class table gives the values names, values without an entry are told, and [data] says what
    /// truth holds. A run directory has its own.
    #[arg(long, value_name = "PIPELINE")]
    pub(super) pipeline: Option<PathBuf>,

    /// Change a value of the pipeline file, e.g. data.labels=id.
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "pipeline")]
    pub(super) settings: Vec<String>,
}

#[cfg(test)]
mod tests;
