//! The arguments as typed. Nothing here looks at the machine.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::app::{Partial, RunOptions};
use crate::config::{ByteSize, parse_duration};
use crate::plan::DeviceId;

/// Turns a directory of remote-sensing rasters into land-cover masks with an ensemble of segmentation networks.
///
/// Exit codes: 0 done; 1 internal error; 2 usage, pipeline or plan; 3 done, some scenes failed; 4 done, but some scenes with fewer
/// members or later than --deadline; 5 the deadline left scenes over, the same command goes on; 11 the run directory is in use; 12 weights
/// refused; 13 output could not be written; 14 no device; 20 a run directory of an unreadable format; 129, 130, 143 stopped by a
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
    Run(RunArgs),
    /// Show what `run` would do: scenes, tiles, memory, disk, time. Touches nothing.
    Plan(PlanArgs),
    /// Show versions, formats, codecs and memory, and what is wrong.
    Doctor,
    /// Draw georeferenced sample scenes with true masks over 15 classes.
    Synth(SynthArgs),
    /// Score masks against true masks.
    Eval(EvalArgs),
    /// Show what a run directory holds: scenes done, failed and outstanding, checkpoints.
    Status(DirArgs),
    /// Read every recorded file of a run directory again and compare it with its digest.
    Verify(DirArgs),
    /// Run the last command of a run directory again.
    Retry(RetryArgs),
    /// Remove the checkpoints that the last command of a run directory cannot use any more.
    Gc(GcArgs),
    /// Show the networks, or compare them with their references.
    #[command(subcommand)]
    Models(ModelsCommand),
    /// Look at files of weights, convert and compare them.
    #[command(subcommand)]
    Weights(WeightsCommand),
    /// Decode scenes for another swath process, which starts this one.
    #[command(hide = true)]
    Decoder,
}

#[derive(Debug, Subcommand)]
pub(super) enum ModelsCommand {
    /// List the networks with their size, cost and source.
    List {
        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Show what a network is made of.
    Show {
        /// A name that `list` shows; the variant can be left out.
        name: String,

        /// Side of the image that output shapes and costs are told for.
        #[arg(long, value_name = "PIXELS", default_value_t = 512, value_parser = clap::value_parser!(u32).range(64..=16_384))]
        size: u32,

        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Write weights as the network's reference has them: PyTorch loads the file with strict=True. Or as training starts from them.
    Export {
        /// A name that `list` shows; the variant can be left out.
        name: String,

        /// A weights file of any format that fits the network.
        #[arg(long, value_name = "FILE")]
        weights: PathBuf,

        /// The safetensors file to write.
        #[arg(short, long, value_name = "FILE")]
        out: PathBuf,

        /// As the network runs: batch normalisation folded, without what only training uses.
        #[arg(long)]
        folded: bool,

        /// As training starts with other classes: all but what depends on their number, which is seeded. FILE may also be a backbone's
        /// alone, with ImageNet's classifier.
        #[arg(long, requires = "classes", conflicts_with = "folded")]
        drop_classifier: bool,

        /// With --drop-classifier: how many classes the network is to tell apart.
        #[arg(long, value_name = "N", requires = "drop_classifier", value_parser = clap::value_parser!(u32).range(1..=65_535))]
        classes: Option<u32>,

        /// With --drop-classifier: what the seeded values follow from.
        #[arg(long, value_name = "N", requires = "drop_classifier", default_value_t = 0)]
        seed: u64,
    },
    /// Compare networks with what their reference implementations returned. Exit code 1 if one differs.
    Check {
        /// A folder of fixtures: manifest.json, and for each network NAME.safetensors and NAME.keys.json.
        dir: PathBuf,

        /// Fixtures of it; all if none is named.
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
    /// Show what a file holds: format, tensors, digest, and which networks it fits.
    Inspect {
        /// A safetensors file, a PyTorch checkpoint or a Huffman directory.
        file: PathBuf,

        #[command(flatten)]
        which: WhichTensors,

        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Write the tensors of a file of any format as safetensors.
    Convert {
        /// A safetensors file, a PyTorch checkpoint or a Huffman directory.
        file: PathBuf,

        /// The safetensors file to write.
        #[arg(short, long, value_name = "FILE")]
        out: PathBuf,

        #[command(flatten)]
        which: WhichTensors,

        /// Type of the values; integers stay as they are.
        #[arg(long, value_enum, default_value_t = DtypeName::Same)]
        dtype: DtypeName,
    },
    /// Compress files so that they fit a size limit. Pipelines take the results as they are.
    Compress {
        /// Files of any format.
        #[arg(required = true)]
        files: Vec<PathBuf>,

        /// The folder for the compressed files: each keeps its name and ends in .swz.
        #[arg(short, long, value_name = "DIR")]
        out: PathBuf,

        /// All files together take this much at most (kB, MB, GB: powers of 1000; KiB, MiB, GiB: of 1024): bits are spent where they
        /// avoid most damage.
        #[arg(long, value_name = "SIZE", value_parser = parse_budget, required_unless_present_any = ["bits", "lossless"])]
        budget: Option<u64>,

        /// Instead: as many levels as this many bits tell apart, 1 to 8.
        #[arg(long, value_name = "N", conflicts_with_all = ["budget", "lossless"], value_parser = clap::value_parser!(u8).range(1..=8))]
        bits: Option<u8>,

        /// Instead: bit for bit.
        #[arg(long, conflicts_with = "budget")]
        lossless: bool,

        /// Scenes (a folder, a list file, or files) on which it is measured what each tensor's error does to a member's answers: the budget
        /// is spent accordingly, and it is told how far the masks agree.
        #[arg(long, num_args = 1.., value_name = "INPUT", requires = "pipeline")]
        data: Vec<PathBuf>,

        /// With --data: the pipeline whose members have these files as their weights.
        #[arg(long, value_name = "FILE", requires = "data")]
        pipeline: Option<PathBuf>,

        /// With --data: tiles that are run, from all over the scenes, to measure and then to compare the masks.
        #[arg(long, value_name = "N", requires = "data", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        tiles: u32,

        /// With --data: the device that runs them. Default: the first GPU, or else a CPU.
        #[arg(long, value_name = "DEVICE", requires = "data")]
        device: Option<DeviceId>,

        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Compare two files: names, shapes, types, values. Exit code 1 if they differ.
    Diff {
        /// The first.
        first: PathBuf,

        /// The second, of any format.
        second: PathBuf,

        #[command(flatten)]
        which: WhichTensors,

        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
}

/// Which tensors of a checkpoint are meant.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct WhichTensors {
    /// The weights averaged over the training (EMA) instead of the last ones.
    #[arg(long, conflicts_with = "everything")]
    pub(super) average: bool,

    /// All tensors under the names that they have in the file: nothing is unwrapped, renamed or left out.
    #[arg(long)]
    pub(super) everything: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum DtypeName {
    Same,
    F32,
    F16,
    Bf16,
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
pub(super) struct RetryArgs {
    /// The run directory.
    pub(super) dir: PathBuf,

    /// Only the scenes that failed and those that are outstanding; the others stay as they are. (What a plain run does, too.)
    #[arg(long, required = true)]
    pub(super) failed: bool,

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
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) job: JobArgs,

    /// Forget what earlier runs into this folder recorded, and do everything anew.
    #[arg(long)]
    pub(super) fresh: bool,

    /// Discard the stored results of this stage and later ones, and use those before it.
    #[arg(long, value_enum, value_name = "STAGE")]
    pub(super) from: Option<Stage>,

    /// Stop after this stage: no submit.zip.
    #[arg(long, value_enum, value_name = "STAGE")]
    pub(super) until: Option<Stage>,

    /// Be done within this time of the start of the command, e.g. 12h, 90m, 45s. When time gets short, what has not begun is left to
    /// fewer members, the last ones going first (exit code 4); when not even one member can do it, to another run (exit code 5). When
    /// time is up, no further forward pass begins. A run that ends later says by how much, and never with exit code 0. A run without
    /// --deadline does in full what was done with fewer members.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(super) deadline: Option<Duration>,

    /// Seconds that a run may take to finish the forward passes under way, and the files of the scenes that are complete, when it is told
    /// to stop (Ctrl-C); told again, it stops at once.
    #[arg(long, value_name = "SECONDS", default_value_t = RunOptions::GRACE.as_secs(), value_parser = clap::value_parser!(u64).range(..=86_400))]
    pub(super) grace: u64,

    /// Seconds that nothing may move before the run gives itself up and is started again; 0 for never.
    #[arg(long, value_name = "SECONDS", default_value_t = RunOptions::STALL_TIMEOUT.as_secs())]
    pub(super) stall_timeout: u64,

    #[command(flatten)]
    pub(super) watching: Watching,

    /// Take the folder over from a run on another host that is gone.
    #[arg(long)]
    pub(super) break_lock: bool,
}

/// Who watches over a run.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Watching {
    /// Run in this process, without one that starts it again when it dies. For debuggers.
    #[arg(long)]
    pub(super) no_supervise: bool,

    /// This process is the one that is started again.
    #[arg(long, hide = true)]
    pub(super) supervised: bool,
}

/// Names of stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Stage {
    Infer,
    Average,
    Stitch,
    Post,
    Encode,
    Pack,
}

#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    pub(super) job: JobArgs,

    /// Print JSON instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

/// Seconds that a decoder may take where nobody says otherwise.
pub(super) const DECODE_TIMEOUT: u64 = 60;

/// What `run` and `plan` have in common.
#[derive(Debug, Args)]
pub(super) struct JobArgs {
    /// The pipeline file (TOML).
    pub(super) pipeline: PathBuf,

    /// A folder (searched through), a list file (.txt, one path a line), or files.
    #[arg(short, long, required = true, num_args = 1.., value_name = "INPUT")]
    pub(super) input: Vec<PathBuf>,

    /// The run directory: masks, other layers, submit.zip and report.json go here.
    #[arg(short, long, value_name = "DIR")]
    pub(super) out: PathBuf,

    /// Change a value of the pipeline file, e.g. tiler.dilation=64 or members.0.weight=2.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) settings: Vec<String>,

    /// What runs the networks; `fake` is a deterministic stand-in without libtorch.
    #[arg(long, value_enum, default_value_t = BackendName::Torch)]
    pub(super) backend: BackendName,

    /// Devices, one worker each: cpu,cpu or cuda:0,cuda:1. Default: all GPUs, or else a worker per core.
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub(super) devices: Option<Vec<DeviceId>>,

    /// Reader threads.
    #[arg(long, value_name = "N")]
    pub(super) readers: Option<usize>,

    /// Memory for pixels and labels in flight, e.g. 512MiB. Default: a quarter of what is free.
    #[arg(long, value_name = "SIZE")]
    pub(super) memory: Option<ByteSize>,

    /// Where scenes are decoded: each reader in a process of its own, so that a file that crashes or hangs it costs only itself, or all in
    /// this process.
    #[arg(long, value_enum, default_value_t = DecodeName::Isolated, value_name = "WHERE")]
    pub(super) decode: DecodeName,

    /// Seconds that a decoder may take for an answer (some rows of a scene) before it is killed and the scene given up.
    #[arg(long, value_name = "SECONDS", default_value_t = DECODE_TIMEOUT, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(super) decode_timeout: u64,

    /// In a folder, take the files that match (relative path) instead of *.tif and *.tiff.
    #[arg(long, value_name = "GLOB")]
    pub(super) include: Vec<String>,

    /// In a folder, leave out the files that match.
    #[arg(long, value_name = "GLOB")]
    pub(super) exclude: Vec<String>,

    /// Replace files at output names that no earlier run into this folder wrote.
    #[arg(long)]
    pub(super) overwrite: bool,

    /// Pack submit.zip although scenes failed: without them (omit) or with a mask of one value in their place (blank:VALUE).
    #[arg(
        long,
        value_name = "HOW",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "omit",
        value_parser = partial
    )]
    pub(super) allow_partial: Option<Partial>,
}

/// Names of backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum BackendName {
    Torch,
    Fake,
}

/// Where scenes are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum DecodeName {
    Isolated,
    InProcess,
}

#[derive(Debug, Args)]
pub(super) struct SynthArgs {
    /// Decides every pixel.
    #[arg(long, default_value_t = 0)]
    pub(super) seed: u64,

    /// Where the folders `images` and `masks` go.
    #[arg(short, long, value_name = "DIR")]
    pub(super) out: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct EvalArgs {
    /// Folder of masks (PNG).
    pub(super) masks: PathBuf,

    /// Folder of true masks with the same names.
    #[arg(long, value_name = "DIR")]
    pub(super) truth: PathBuf,

    /// A value of the true masks that is left out.
    #[arg(long, value_name = "V")]
    pub(super) ignore: Option<u16>,

    /// A pipeline file whose class table names the values.
    #[arg(long, value_name = "PIPELINE")]
    pub(super) pipeline: Option<PathBuf>,

    /// Print JSON instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

/// A size as size limits are written: decimal units, binary ones with an `i`.
fn parse_budget(text: &str) -> Result<u64, String> {
    let bad = || format!("`{text}` is not a size; write e.g. 500MB or 476MiB");
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..split].parse().map_err(|_| bad())?;
    let unit = match text[split..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "kib" => 1024.0,
        "mib" => 1_048_576.0,
        "gib" => 1_073_741_824.0,
        _ => return Err(bad()),
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "digits make no negative number")]
    let bytes = (number * unit).floor() as u64;
    if bytes > 0 { Ok(bytes) } else { Err(bad()) }
}

fn partial(text: &str) -> Result<Partial, String> {
    let bad = || format!("`{text}` is neither omit nor blank:VALUE");
    match text.split_once(':') {
        None if text == "omit" => Ok(Partial::Omit),
        Some(("blank", value)) => value.parse().map(Partial::Blank).map_err(|_| bad()),
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_sound() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn allow_partial_takes_its_value_only_after_an_equals_sign() {
        let how = |flag: &str| {
            let parsed = parse(&format!("swath run p.toml -i in -o out {flag}")).unwrap();
            let Command::Run(args) = parsed.command else { panic!("not run") };
            args.job.allow_partial
        };
        assert_eq!(how("--allow-partial"), Some(Partial::Omit));
        assert_eq!(how("--allow-partial=omit"), Some(Partial::Omit));
        assert_eq!(how("--allow-partial=blank:7"), Some(Partial::Blank(7)));
        assert!(parse("swath run p.toml -i in -o out --allow-partial=blank:x").is_err());
    }

    #[test]
    fn a_deadline_is_a_span_of_time() {
        let deadline = |flag: &str| {
            let parsed = parse(&format!("swath run p.toml -i in -o out {flag}"))?;
            let Command::Run(args) = parsed.command else { panic!("not run") };
            Ok::<_, clap::Error>(args.deadline)
        };
        assert_eq!(deadline("--deadline 12h").unwrap(), Some(Duration::from_secs(43_200)));
        assert_eq!(deadline("").unwrap(), None);
        let error = deadline("--deadline 12").unwrap_err().to_string();
        assert!(error.contains("`12` is not a span of time") && error.contains("90m"), "{error}");
    }

    #[test]
    fn a_budget_is_decimal_unless_it_says_otherwise() {
        let sizes = ["500MB", "0.5GB", "476MiB", "12"].map(parse_budget).map(Result::unwrap);
        assert_eq!(sizes, [500_000_000, 500_000_000, 476 << 20, 12]);
        assert!(["", "MB", "1.2.3MB", "5 parsecs", "0"].into_iter().all(|text| parse_budget(text).is_err()));
    }

    #[test]
    fn devices_are_a_list() {
        let Command::Run(args) = parse("swath run p.toml -i a b -o out --devices cpu,cuda:3").unwrap().command else {
            panic!("not run")
        };
        assert_eq!(args.job.devices, Some(vec![DeviceId::Cpu, DeviceId::Cuda(3)]));
        assert_eq!(args.job.input.len(), 2);
    }
}
