//! `swath launch`: its arguments, and what becomes of them.

use std::path::PathBuf;

use clap::{Args, Subcommand, value_parser};

use super::engine::ShardList;
use crate::app::{
    self, AwsBatch, EachJob, Engine, Error, Kubernetes, LaunchRequest, Output, Pace, Shards, Slurm, Submit, Volume,
};
use crate::config::{ByteSize, Span};
use crate::exit::ExitCode;
use crate::plan::MOST_SHARDS;
use crate::report;

#[derive(Debug, Subcommand)]
pub(super) enum LaunchCommand {
    /// A job array of Slurm, and a job that merges.
    Slurm {
        #[command(flatten)]
        shards: ShardsArgs,

        #[command(flatten)]
        jobs: JobsArgs,

        /// The kind of GPU, as the site calls it: --gres=gpu:KIND:N.
        #[arg(long, value_name = "KIND")]
        gpu_kind: Option<String>,

        /// The most tasks that an array may have here: MaxArraySize, as `scontrol show config` tells it.
        #[arg(long, value_name = "N", default_value_t = Slurm::MAX_ARRAY, value_parser = value_parser!(u32).range(1..))]
        max_array: u32,

        /// Another option of sbatch, e.g. --sbatch=--partition=gpu. Give it again for several.
        #[arg(long = "sbatch", value_name = "OPTION", allow_hyphen_values = true)]
        options: Vec<String>,

        /// A line of shell before swath starts, e.g. 'module load cuda'. Give it again for several.
        #[arg(long, value_name = "LINE")]
        set_up: Vec<String>,

        /// A folder for logs, one of each attempt. Default: DIR/logs.
        #[arg(long, value_name = "FOLDER")]
        logs: Option<PathBuf>,
    },
    /// An Indexed Job of Kubernetes, and a Job that merges, as JSON.
    K8s {
        #[command(flatten)]
        containers: ContainersArgs,

        /// A claim and where containers see it. Give it again for several. Paths are those that containers see.
        #[arg(long = "volume", value_name = "CLAIM:/PATH[:ro]")]
        volumes: Vec<Volume>,

        /// The kind of GPU: what the nodes' label nvidia.com/gpu.product says.
        #[arg(long, value_name = "KIND")]
        gpu_kind: Option<String>,

        /// The namespace, if not that of the context.
        #[arg(long, value_name = "NAME")]
        namespace: Option<String>,
    },
    /// An array job of AWS Batch, and a job that merges, as JSON for `aws batch`.
    AwsBatch {
        #[command(flatten)]
        containers: ContainersArgs,

        /// The job queue; its compute environment decides on the kind of GPU.
        #[arg(long, value_name = "NAME")]
        queue: String,

        /// A file system of EFS (fs-...) or a folder of the hosts, and where containers see it. Give it again for several. Paths are those
        /// that containers see.
        #[arg(long = "volume", value_name = "SOURCE:/PATH[:ro]")]
        volumes: Vec<Volume>,

        /// The role that the containers have.
        #[arg(long, value_name = "ARN")]
        job_role: Option<String>,
    },
    /// A command a line, for whatever starts commands on hosts.
    List {
        #[command(flatten)]
        shards: ShardsArgs,
    },
}

/// What runs, in containers.
#[derive(Debug, Args)]
pub(super) struct ContainersArgs {
    #[command(flatten)]
    shards: ShardsArgs,

    #[command(flatten)]
    jobs: JobsArgs,

    /// The container image (tests/cluster/Containerfile makes one).
    #[arg(long, value_name = "IMAGE")]
    image: String,
}

/// What runs, and what becomes of the files.
#[derive(Debug, Args)]
pub(super) struct ShardsArgs {
    /// The plan, which `swath plan --save` wrote.
    plan: PathBuf,

    /// How many shards the plan is cut into (`swath shard` tells what comes of it).
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=i64::from(MOST_SHARDS)))]
    shards: u32,

    /// How many of them run at a time; then their sizes fall. Without it they are of equal cost.
    #[arg(long, value_name = "H", value_parser = value_parser!(u32).range(1..))]
    slots: Option<u32>,

    /// The run directory, which all hosts share.
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,

    /// Run these shards alone, as `swath merge` lists those that are missing, e.g. 3,17-19. --shards stays what it was.
    #[arg(long, value_name = "LIST")]
    shard_list: Option<ShardList>,

    /// A folder on each host's own disk.
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,

    /// What the plan's paths of scenes are relative to.
    #[arg(long, value_name = "DIR")]
    input_root: Option<PathBuf>,

    /// How the hosts call swath.
    #[arg(long, value_name = "PROGRAM", default_value = "swath")]
    program: String,

    /// One more argument of the merge, e.g. --merge-arg=--allow-partial. Give it again for several.
    #[arg(long = "merge-arg", value_name = "ARG", allow_hyphen_values = true)]
    merge_args: Vec<String>,

    /// How long one shard takes to start: when that is more than a tenth of all time it is told. Default: as `swath tune` measured it
    /// before the plan was made, or else 30s.
    #[arg(long, value_name = "DURATION")]
    startup: Option<Span>,

    /// How long all of the work would take one slot, where the plan does not tell.
    #[arg(long, value_name = "DURATION", requires = "startup")]
    work: Option<Span>,

    /// Write the files into this folder instead of printing them.
    #[arg(long, value_name = "FOLDER")]
    write: Option<PathBuf>,

    /// Replace files in it.
    #[arg(long, requires = "write")]
    overwrite: bool,

    /// Give the files to the engine.
    #[arg(long)]
    submit: bool,

    /// More arguments of each `swath run`, behind --.
    #[arg(last = true, value_name = "ARG")]
    run_args: Vec<String>,
}

/// What each job gets.
#[derive(Debug, Args)]
pub(super) struct JobsArgs {
    /// What the jobs are called.
    #[arg(long, value_name = "NAME", default_value = "swath", value_parser = job_name)]
    name: String,

    /// GPUs of a shard, all of which it drives.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(..=1024))]
    gpus: u32,

    /// Cores of a job.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = value_parser!(u32).range(1..=4096))]
    cpus: u32,

    /// Memory of a job.
    #[arg(long, value_name = "SIZE", default_value = "32GiB")]
    memory: ByteSize,

    /// How long a job may take, e.g. 12h. Default: as long as the engine lets it.
    #[arg(long, value_name = "DURATION")]
    time: Option<Span>,

    /// How often a shard is tried again whose exit code is not that of a mistake (2, 12, 15, 20).
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u32).range(..=1000))]
    retries: u32,
}

/// The strictest of the engines' rules: with what they add, a name stays within 63 characters.
fn job_name(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_sound = text.starts_with(|c: char| c.is_ascii_lowercase()) && !text.ends_with('-') && text.len() <= 50;
    match is_sound && text.chars().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err("it is a-z, 0-9 and -, up to 50 of them, from a letter on".into()),
    }
}

impl From<JobsArgs> for EachJob {
    fn from(JobsArgs { name, gpus, cpus, memory, time, retries }: JobsArgs) -> Self {
        Self { name, gpus, cpus, memory, time, retries }
    }
}

/// Makes the files.
pub(super) fn launch(command: LaunchCommand) -> Result<ExitCode, Error> {
    let (args, engine) = match command {
        LaunchCommand::Slurm { shards, jobs, gpu_kind, max_array, options, set_up, logs } => {
            (shards, Engine::Slurm(jobs.into(), Slurm { gpu_kind, max_array, options, set_up, logs }))
        }
        LaunchCommand::K8s { containers, volumes, gpu_kind, namespace } => {
            let ContainersArgs { shards, jobs, image } = containers;
            (shards, Engine::Kubernetes(jobs.into(), Kubernetes { image, volumes, gpu_kind, namespace }))
        }
        LaunchCommand::AwsBatch { containers, queue, volumes, job_role } => {
            let ContainersArgs { shards, jobs, image } = containers;
            (shards, Engine::AwsBatch(jobs.into(), AwsBatch { image, queue, volumes, job_role }))
        }
        LaunchCommand::List { shards } => (shards, Engine::List),
    };
    report::print(&app::launch(&request(args, engine))?)?;
    Ok(ExitCode::Done)
}

fn request(args: ShardsArgs, engine: Engine) -> LaunchRequest {
    let ShardsArgs { plan, shards: count, slots, out, shard_list: list, scratch, input_root, program, .. } = args;
    let ShardsArgs { merge_args, startup, work, write, overwrite, submit, run_args, .. } = args;
    let pace = Pace { startup: startup.map(|span| span.0), work: work.map(|span| span.0) };
    let list = list.map(ShardList::into_numbers);
    LaunchRequest {
        shards: Shards { plan, out, count, slots, list, scratch, input_root, program, run_args, merge_args },
        engine,
        pace,
        write: write.map(|path| Output { path, overwrite }),
        submit: if submit { Submit::Now } else { Submit::Later },
    }
}
