//! `swath run --shard` and `swath merge`: a plan in parts.

use std::path::{Path, PathBuf};

use clap::Args;

use super::engine::{ShardList, shard};
use super::talk::{TalkArgs, Watching, limits, show};
use super::values::ShardArg;
use crate::app::{
    self, JobRequest, MergeRequest, Origin, PATIENCE, Part, PartialArchive, RunOptions, Saved, Sharing, TimeLimits,
    What,
};
use crate::config::{ByteSize, Span};
use crate::lifecycle::SupervisorLink;
use crate::outputs::OutputLayout;
use crate::plan::ShardCut;

/// Which part of a plan a run is about.
#[derive(Clone, Debug, Args)]
pub(super) struct PartArgs {
    /// Do this shard of the plan alone, counted from 0, in a folder that runs of the others share: `swath merge` puts together what they
    /// leave. `auto` takes the index that a batch engine gives (Slurm, Kubernetes, AWS Batch, HyperQueue, PBS, SGE, LSF).
    #[arg(long, value_name = "I", requires_all = ["plan", "shards"], conflicts_with_all = ["deadline", "from", "until", "fresh"])]
    shard: Option<ShardArg>,

    /// How many shards the plan is cut into, as `swath shard` says. Never the number of jobs that are submitted: that may be of a few.
    #[arg(long, value_name = "N", requires = "shard", value_parser = clap::value_parser!(u32).range(1..))]
    shards: Option<u32>,

    /// How many of them run at a time: their sizes fall by rounds of so many. Without it all cost the same.
    #[arg(long, value_name = "H", requires = "shard", value_parser = clap::value_parser!(u32).range(1..))]
    slots: Option<u32>,

    /// The shards that indices from 0 on stand for, e.g. 3,17-19, where only those are to run again.
    #[arg(long, value_name = "LIST", requires = "shard")]
    shard_list: Option<ShardList>,

    /// A folder on this host's own disk for the journal of a shard. Default: the system's folder for temporary files.
    #[arg(long, value_name = "DIR", requires = "shard")]
    scratch: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct MergeArgs {
    /// The folder that the runs of shards share.
    pub(super) dir: PathBuf,

    /// The whole plan's file. Default: where the runs of shards had it.
    #[arg(long, value_name = "FILE")]
    pub(super) plan: Option<PathBuf>,

    /// The folder that holds the scenes here, where the plan has them elsewhere.
    #[arg(long, value_name = "DIR")]
    pub(super) input_root: Option<PathBuf>,

    /// A folder on this host's own disk in which the journal is made before it is copied into DIR: for network file systems on which SQLite
    /// does not work.
    #[arg(long, value_name = "DIR")]
    pub(super) scratch: Option<PathBuf>,

    /// How long what other hosts have written may take to be seen from here. A number alone counts seconds.
    #[arg(long, value_name = "DURATION", default_value_t = Span(PATIENCE))]
    pub(super) patience: Span,

    /// Pack submit.zip although scenes failed: without them, or with blank:VALUE for each.
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "omit")]
    pub(super) allow_partial: Option<PartialArchive>,

    /// Memory for pixels and labels in flight, e.g. 512MiB. Default: a quarter of what is free.
    #[arg(long, value_name = "SIZE")]
    pub(super) memory: Option<ByteSize>,

    /// Pack submit.zip although the networks are fake: its masks mean nothing.
    #[arg(long)]
    pub(super) pack_fake: bool,

    /// Write no report.html. `swath report DIR` makes it later.
    #[arg(long)]
    pub(super) no_page: bool,

    #[command(flatten)]
    pub(super) talk: TalkArgs,

    #[command(flatten)]
    pub(super) watching: Watching,
}

/// A part of a plan, where a run is about one.
pub(super) struct OfPart {
    cut: ShardCut,
    index: u32,
}

impl PartArgs {
    /// Which part is meant.
    ///
    /// # Errors
    /// When no engine says so, or several do, or the list does not hold it.
    pub(super) fn part(&self) -> Result<Option<OfPart>, app::Error> {
        let (Some(asked), Some(count)) = (self.shard, self.shards) else { return Ok(None) };
        let index = shard(asked, self.shard_list.as_ref())?;
        Ok(Some(OfPart { cut: ShardCut { slots: self.slots, count }, index }))
    }
}

impl OfPart {
    /// What is to be done of a plan.
    pub(super) fn what(&self, plan: Saved) -> What {
        What::Part { plan, cut: self.cut, index: self.index }
    }

    /// How it is carried out: masks are written, and what tells of all of them is left to the merge.
    pub(super) fn options(&self, args: &PartArgs, plan: &Path, options: RunOptions) -> RunOptions {
        let scratch = args.scratch.as_deref();
        let part = Part::of((self.cut, self.index), plan, scratch, &options.origin.supervisor);
        RunOptions { page: false, until: Some(app::StageName::Encode), sharing: Sharing::Part(part), ..options }
    }
}

/// How a merge is carried out. `arguments` are the command's own.
pub(super) fn merge(args: &MergeArgs, arguments: Vec<String>, supervisor: SupervisorLink) -> MergeRequest {
    let limits = limits(&supervisor, None, Span(TimeLimits::GRACE), Span(TimeLimits::STALL));
    let restarted = supervisor.attempt().begun;
    let options = RunOptions {
        partial: args.allow_partial.unwrap_or_default(),
        pack_fake: args.pack_fake,
        page: !args.no_page,
        show: show(args.talk),
        limits,
        origin: Origin { arguments, supervisor, restarted, ..Origin::default() },
        ..RunOptions::into(&args.dir)
    };
    MergeRequest {
        plan: args.plan.clone(),
        root: args.input_root.clone(),
        scratch: args.scratch.clone(),
        patience: args.patience.0,
        job: job(args),
        options,
    }
}

/// What a merge is about, of which its folder has the plan by now.
pub(super) fn job(args: &MergeArgs) -> JobRequest {
    let plan = OutputLayout { dir: args.dir.clone() }.plan();
    let what = What::Done(Saved { file: plan, root: args.input_root.clone() });
    JobRequest { memory: args.memory, ..JobRequest::of(what) }
}
