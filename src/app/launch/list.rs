//! A command a line, for GNU parallel, xargs, HyperQueue, or a loop.

use super::request::{Index, Shards};
use super::{How, JobFiles, shell};
use crate::app::Error;

/// The commands, and the one that comes after them.
///
/// # Errors
/// When the plan cannot be read.
pub(super) fn files(shards: &Shards) -> Result<JobFiles, Error> {
    let shards = shards.on_hosts()?;
    let line = |number| Ok(shell::command(&shards.run(Index::Number(number))?) + "\n");
    let commands = shards.numbers().into_iter().map(line).collect::<Result<String, Error>>()?;
    let merge = shell::command(&shards.merge()?);
    let how = How::ByHand(format!("after all of them, whatever became of each: {merge}"));
    Ok(JobFiles { files: vec![("shards.txt", commands), ("merge.sh", merge + "\n")], how })
}
