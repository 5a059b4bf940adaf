//! `swath shard`: its arguments, and what becomes of them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, value_parser};

use super::engine::{self, ShardList};
use super::show;
use super::values::{ShardArg, up_to_a_day};
use crate::app::{self, Error, ShardAmount, ShardRequest};
use crate::config::Span;
use crate::exit::ExitCode;
use crate::plan::MOST_SHARDS;

#[derive(Debug, Args)]
pub(super) struct ShardArgs {
    /// What `swath plan --save` wrote.
    file: PathBuf,

    /// Processes that work at a time: one drives all GPUs of its job.
    #[arg(long, value_name = "H", value_parser = at_most_shards())]
    slots: u32,

    /// Number of shards. Default: rounds of one per slot, each of half of what is left, as long as a shard takes three times as long as its
    /// start.
    #[arg(long, value_name = "N", value_parser = at_most_shards(), conflicts_with = "uniform")]
    count: Option<u32>,

    /// So many shards of equal cost, for engines that do not start low indices first.
    #[arg(long, value_name = "N", value_parser = at_most_shards())]
    uniform: Option<u32>,

    /// How long a process takes to start. Default: what --throughput tells of it, or else what `swath tune` measured before the plan was made,
    /// or else 30s. A number alone counts seconds.
    #[arg(long, value_name = "DURATION", value_parser = up_to_a_day(Duration::ZERO))]
    startup: Option<Span>,

    /// How fast the devices are: files that `swath bench forward` or `bench pipeline` wrote there with --json, or profiles of `tune`. Default:
    /// the profile that the plan was made by.
    #[arg(long, value_delimiter = ',', value_name = "FILES")]
    throughput: Vec<PathBuf>,

    /// Devices that one process drives.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=1024))]
    per_slot: u32,

    /// Show this shard only; `auto` for the one that the batch engine has started this process for.
    #[arg(long, value_name = "I")]
    shard: Option<ShardArg>,

    /// With --shard: the shards that indices from 0 on stand for, e.g. 3,17-19.
    #[arg(long, value_name = "LIST", requires = "shard")]
    shard_list: Option<ShardList>,

    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// A number of shards, or of slots.
fn at_most_shards() -> clap::builder::RangedI64ValueParser<u32> {
    value_parser!(u32).range(1..=i64::from(MOST_SHARDS))
}

/// Shows how a plan is cut.
pub(super) fn shard(args: ShardArgs) -> Result<ExitCode, Error> {
    let amount = match (args.count, args.uniform) {
        (_, Some(count)) => ShardAmount::Uniform(count),
        (Some(count), None) => ShardAmount::Falling(count),
        (None, None) => ShardAmount::Usual,
    };
    let document = app::shard(&ShardRequest {
        file: args.file,
        slots: args.slots,
        per_slot: args.per_slot,
        amount,
        start_up: args.startup.map(|Span(time)| time),
        throughput: args.throughput,
        only: args.shard.map(|asked| engine::shard(asked, args.shard_list.as_ref())).transpose()?,
    })?;
    show(&document, args.json, document.text())?;
    Ok(ExitCode::Done)
}
