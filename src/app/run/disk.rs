//! Room on disk: what a run may need, and what there is.

use std::error::Error as StdError;
use std::io;
use std::path::Path;

use rustix::fs::Access;

use crate::app::Error;
use crate::config::Checkpoint;
use crate::exit::ExitCode;
use crate::journal::is_disk_full;
use crate::outputs::{OutputKind, kinds_of};
use crate::plan::{Plan, Scene};
use crate::words::format_bytes;

/// What the journal and the report say of a scene.
const RECORDS: u64 = 4 << 10;

/// How much of what is wanted of a scene is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::app) enum Done {
    Nothing,
    /// Its files: the archive is not made yet.
    Files,
    /// Everything; but records are written again.
    All,
}

/// Bytes that the scenes of a plan take at most beyond what is there: the largest size of every output, twice of what is packed, the checkpoints and the records. Compression makes it less, often much less.
pub(in crate::app) fn need(plan: &Plan, done: impl Fn(usize) -> Done) -> u64 {
    let needs = |(idx, scene): (usize, &Scene)| match done(idx) {
        Done::Nothing => need_of(plan, scene),
        Done::Files => RECORDS + output_bytes(plan, scene, |kind| kind.packing().is_some()),
        Done::All => RECORDS,
    };
    plan.scenes.iter().enumerate().map(needs).fold(0, u64::saturating_add)
}

fn output_bytes(plan: &Plan, scene: &Scene, is_meant: impl Fn(&dyn OutputKind) -> bool) -> u64 {
    let kinds = kinds_of(&plan.pipeline).filter(|kind| is_meant(*kind));
    kinds.map(|kind| kind.max_bytes(&scene.subject(&plan.pipeline))).fold(0, u64::saturating_add)
}

fn need_of(plan: &Plan, scene: &Scene) -> u64 {
    let pipeline = &plan.pipeline;
    let keeps = |kind| u64::from(pipeline.checkpoints.contains(&kind));
    let outputs = output_bytes(plan, scene, |_| true);
    let packed = output_bytes(plan, scene, |kind| kind.packing().is_some());
    let crop = scene.grid.crop();
    let logits = plan
        .passes
        .iter()
        .map(|pass| &plan.members[pass.member])
        .map(|m| m.member.spec.logit_size(crop).area() * u64::from(m.member.spec.classes) * 4);
    let per_tile = keeps(Checkpoint::MemberLogits) * (logits.sum::<u64>() + crop.area());
    let labels = scene.network_size().area() * plan.planes.len() as u64 * keeps(Checkpoint::Labels);
    let logits = scene.n_tiles().saturating_mul(per_tile);
    [outputs, packed, labels, logits].into_iter().fold(RECORDS, u64::saturating_add)
}

/// Bytes that are free where a run directory is or will be; `None` where the system does not tell.
pub(in crate::app) fn free(dir: &Path) -> Option<u64> {
    let there = std::path::absolute(dir).ok()?.ancestors().find(|path| path.exists())?.to_owned();
    let stat = rustix::fs::statvfs(&there).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// What a person should know before a run whose outputs may not fit.
pub(in crate::app) fn warning(needed: u64, free: Option<u64>) -> Option<String> {
    let free = free.filter(|free| *free < needed)?;
    Some(format!(
        "the outputs may take up to {} (uncompressed; often a tenth of it) and {} are free on their disk; a run that finds no more room \
         stops and goes on later",
        format_bytes(needed),
        format_bytes(free)
    ))
}

/// Whether files can be made in a folder.
///
/// # Errors
/// When it is no folder, or the system would refuse.
pub(in crate::app) fn check_folder(path: &Path) -> io::Result<()> {
    if !path.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(rustix::fs::access(path, Access::WRITE_OK | Access::EXEC_OK)?)
}

/// Whether a file can be written.
///
/// # Errors
/// When the system would refuse.
pub(in crate::app) fn check_file(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::access(path, Access::WRITE_OK)?)
}

/// Says what an error about the outputs means: that there is no room, with how much the rest may need and how much there is; that the
/// system refuses for another reason, which the error tells; or that nobody knows.
pub(in crate::app) fn explain(error: Error, dir: &Path, needed: u64) -> Error {
    if error.exit_code() != ExitCode::Output {
        return error;
    }
    let free = free(dir).map_or_else(|| "an unknown number".to_owned(), format_bytes);
    let (needed, is_about_room, is_told) = (format_bytes(needed), is_about_room(&error), is_told(&error));
    let source = Box::new(error);
    match (is_about_room, is_told) {
        (true, _) => Error::NoRoom { needed, free, source },
        (false, true) => Error::OutputRefused { source },
        (false, false) => Error::Unwritable { needed, free, source },
    }
}

/// Whether the system says why.
fn is_told(error: &(dyn StdError + 'static)) -> bool {
    error.is::<io::Error>() || error.source().is_some_and(is_told)
}

fn is_about_room(error: &(dyn StdError + 'static)) -> bool {
    let io = error.downcast_ref::<io::Error>().map(io::Error::kind);
    matches!(io, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
        || is_disk_full(error)
        || error.source().is_some_and(is_about_room)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::atomic::WriteError;

    #[test]
    fn an_error_of_the_outputs_names_path_and_bytes_and_others_stay_as_they_are() {
        let write = |code| {
            let source = io::Error::from_raw_os_error(code);
            Error::Write(WriteError { operation: "write", path: "out/a.png".into(), source })
        };
        let (no_space, over_quota, broken, not_allowed) = (28, 122, 5, 13);
        for (code, says) in [(no_space, true), (over_quota, true), (broken, false), (not_allowed, false)] {
            let error = explain(write(code), Path::new("."), 3 << 20);
            let text = format!("{error}: {}", error.source().unwrap());
            assert!(text.contains("out/a.png"), "{text}");
            assert_eq!((text.contains("no room"), text.contains("3.0 MiB")), (says, says), "{text}");
        }
        assert!(matches!(explain(Error::Usage("x".into()), Path::new("."), 1), Error::Usage(_)));
    }

    #[test]
    fn this_disk_has_room_and_the_warning_comes_only_when_it_is_short() {
        let free = free(Path::new("/not/there/yet")).unwrap();
        assert!(free > 0 && warning(0, Some(free)).is_none());
        assert!(warning(free + 1, Some(free)).unwrap().contains("free"));
    }
}
