//! What must hold before any work: one list, for `swath run` and for `swath plan`, so that the one approves of what the other does.
//!
//! That a disk may be too small stays a warning: what outputs take once they are compressed nobody knows before, a mask of one class takes
//! a thousandth of its pixels, and a run that finds no more room stops and goes on later.

use std::io;
use std::path::Path;

use super::outputs::Outputs;
use super::{Job, PartialArchive, Reuse, RunOptions, StageName, disk};
use crate::app::Error;
use crate::atomic::WriteError;
use crate::config::{Checkpoint, Pipeline};
use crate::infer::{self, DeviceError};
use crate::journal::{Checkpoints, JOURNAL_FILE, State};
use crate::outputs::{KINDS, OutputKind, kinds_of};
use crate::plan::BackendKind;

/// What needs no run directory: the options, and the devices that are asked for.
///
/// # Errors
/// When options contradict each other or the pipeline, or a device is not there.
pub(in crate::app) fn of_job(job: &Job, options: &RunOptions) -> Result<(), Error> {
    check_options(options, &job.planned.plan.pipeline)?;
    if let Some(problem) = kinds_of(&job.planned.plan.pipeline).find_map(OutputKind::problem) {
        return Err(Error::Usage(problem));
    }
    // A device that is gone when a run goes on by itself was lost on the way: the run counts that.
    if options.origin.restarted || job.is_elsewhere || job.planned.plan.backend != BackendKind::Torch {
        return Ok(());
    }
    job.schedule.devices.iter().try_for_each(|device| match infer::problem(&job.planned.plan, *device) {
        Some(detail) => Err(DeviceError::Missing { device: *device, detail }.into()),
        None => Ok(()),
    })
}

/// That the run directory can be written, or made.
///
/// # Errors
/// When it cannot.
pub(in crate::app) fn of_folder(job: &Job, options: &RunOptions) -> Result<(), Error> {
    let needed = disk::need(&job.planned.plan, |_| disk::Done::Nothing);
    check_writable(&options.out, options.journal_dir()).map_err(|e| disk::explain(e, &options.out, needed))
}

/// That its journal can be read, and nobody else's files are in the way. What is in it holds as long as nobody else may write: a run has
/// the lock already.
///
/// # Errors
/// When it is not so.
pub(in crate::app) fn of_outputs(job: &Job, options: &RunOptions) -> Result<(Outputs, State), Error> {
    let (outputs, state) = Outputs::open(options)?;
    let foreign = outputs.foreign(job.planned.names(), &job.planned.plan.pipeline);
    if foreign.is_empty() || options.overwrite { Ok((outputs, state)) } else { Err(Error::Foreign(foreign)) }
}

fn check_options(options: &RunOptions, pipeline: &Pipeline) -> Result<(), Error> {
    let usage = |text: String| Err(Error::Usage(text));
    let keeps = |kind| pipeline.checkpoints.contains(&kind);
    match (options.partial, options.reuse, options.until) {
        (PartialArchive::Blank(value), _, _) if !pipeline.classes.holds(value) => usage(format!(
            "--allow-partial=blank:{value}: no class of the pipeline has the value {value}; masks may hold only those"
        )),
        (_, Reuse::Before(from), Some(until)) if from > until => {
            usage("--from names a later stage than --until: nothing would be left to do".into())
        }
        (_, _, Some(StageName::Infer)) if !keeps(Checkpoint::MemberLogits) => usage(
            "--until infer keeps the members' logits; in the pipeline: checkpoints = [\"labels\", \"member-logits\"]"
                .into(),
        ),
        (_, _, Some(StageName::Average | StageName::Stitch | StageName::Post)) if !keeps(Checkpoint::Labels) => {
            usage("--until average, stitch and post keep labels; in the pipeline: checkpoints = [\"labels\"]".into())
        }
        (_, _, _) => Ok(()),
    }
}

/// Whether files can be written into a run directory and its journal, or they can be made. Looks, and touches nothing.
fn check_writable(dir: &Path, journal: &Path) -> Result<(), Error> {
    let fail = |operation, path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| Error::Write(WriteError { operation, path, source })
    };
    if !dir.exists() {
        let above = std::path::absolute(dir).map_err(fail("look at the folder", dir))?;
        let above = above.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/")).to_owned();
        return disk::check_folder(&above).map_err(fail("create the folder", dir));
    }
    let folders = KINDS.iter().map(|kind| kind.folder()).chain([Checkpoints::FOLDER]).map(|folder| dir.join(folder));
    for folder in std::iter::once(dir.to_owned()).chain(folders) {
        if folder.exists() {
            disk::check_folder(&folder).map_err(fail("write into the folder", &folder))?;
        }
    }
    let journal = journal.join(JOURNAL_FILE);
    if journal.exists() { disk::check_file(&journal).map_err(fail("write", &journal)) } else { Ok(()) }
}
