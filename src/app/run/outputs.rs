//! What lies in the run directory before a run, and whose it is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{Reuse, RunOptions, Sharing};
use crate::app::Error;
use crate::atomic::{Fingerprint, WriteError};
use crate::config::Pipeline;
use crate::journal::ledger::RECORDS_FOLDER;
use crate::journal::{Journal, State};
use crate::outputs::OutputLayout;
use crate::plan::Plan;
use crate::report::RunReport;

/// The run directory as an earlier run left it.
#[derive(Debug)]
pub(in crate::app) struct Outputs {
    pub(in crate::app) layout: OutputLayout,
    /// Where what tells of all of the run lies: elsewhere, where others share its directory.
    pub(in crate::app) book: OutputLayout,
    /// Whether others make files of the same scenes at the same time.
    is_shared: bool,
    /// Whether what lies in it was made by parts of one plan.
    is_theirs: bool,
    earlier: Option<RunReport>,
    /// Files that the journal knows.
    recorded: BTreeSet<String>,
}

impl Outputs {
    /// Looks at a run directory, which need not exist, and gives what is used of its journal. Where nothing is, it need not be readable.
    ///
    /// # Errors
    /// When it has a journal that cannot be read.
    pub(in crate::app) fn open(options: &RunOptions) -> Result<(Self, State), Error> {
        let (layout, reuse) = (OutputLayout { dir: options.out.clone() }, options.reuse);
        let book = OutputLayout { dir: options.book_dir().to_owned() };
        let is_shared = matches!(options.sharing, Sharing::Part(_));
        let is_theirs = !matches!(options.sharing, Sharing::Alone) && layout.dir.join(RECORDS_FOLDER).is_dir();
        let earlier = RunReport::read(&book.report());
        let found = Journal::open_read_only(options.journal_dir());
        let state = match found.and_then(|found| found.map(|journal| journal.state()).transpose()) {
            Err(_) if reuse == Reuse::Nothing => State::default(),
            state => state?.unwrap_or_default(),
        };
        let recorded = state.scenes.values().flat_map(|scene| scene.files()).map(|file| file.path.clone()).collect();
        let used = if reuse == Reuse::Nothing { State::default() } else { state };
        Ok((Self { layout, book, is_shared, is_theirs, earlier, recorded }, used))
    }

    /// Files at names that this run will write and that no earlier run into this directory wrote.
    pub(in crate::app) fn foreign<'a>(
        &self,
        names: impl Iterator<Item = &'a str>,
        pipeline: &Pipeline,
    ) -> Vec<PathBuf> {
        let files = names.flat_map(|name| OutputLayout::files(name, pipeline)).map(|file| self.layout.dir.join(file));
        let legend = pipeline.outputs.legend.then(|| self.book.legend());
        let mut wanted: Vec<PathBuf> = files.chain(self.of_every_run()).chain(legend).collect();
        wanted.retain(|path| path.symlink_metadata().is_ok() && !self.is_ours(path));
        wanted
    }

    fn of_every_run(&self) -> [PathBuf; 4] {
        [self.book.archive(), self.book.report(), self.book.page(), self.book.plan()]
    }

    fn is_ours(&self, path: &Path) -> bool {
        let name = self.layout.relative(path);
        let own = self.earlier.is_some() || !self.recorded.is_empty();
        self.is_theirs
            || (own && (self.of_every_run().iter().any(|file| file == path) || path == self.book.legend()))
            || self.recorded.contains(&name)
            || self.earlier.as_ref().is_some_and(|e| e.knows(&name))
    }

    /// Files that earlier runs wrote, that are still there and that this run does not write.
    pub(in crate::app) fn left_over(
        &self,
        planned: &BTreeMap<String, Option<Fingerprint>>,
        pipeline: &Pipeline,
    ) -> Vec<String> {
        let Some(earlier) = &self.earlier else { return Vec::new() };
        // Reports do not have it: it is of no scene. The plan that lies there is still that of the command before.
        let legend = self.layout.relative(&self.book.legend());
        let had_legend = Plan::head_of(&self.book.plan()).is_ok_and(|plan| plan.pipeline.outputs.legend);
        let mut names: Vec<String> = earlier.outputs.keys().chain(&earlier.earlier).cloned().collect();
        names.extend(had_legend.then(|| legend.clone()));
        names.retain(|name| !planned.contains_key(name) && self.layout.dir.join(name).exists());
        names.retain(|name| !(pipeline.outputs.legend && *name == legend));
        names.sort();
        names.dedup();
        names
    }

    /// Takes an old archive away: from now on it would not match the masks.
    pub(in crate::app) fn withdraw_archive(&self) -> Result<(), Error> {
        remove(&self.book.archive())
    }

    /// Takes an old page away: it would show what is no more. One that stays is told of when it cannot be replaced, which fails no run.
    pub(in crate::app) fn withdraw_page(&self) {
        remove(&self.book.page()).unwrap_or_default();
    }

    /// Takes away what an earlier run made of a scene that failed in this one. What others make of it is theirs.
    pub(in crate::app) fn withdraw_scene(&self, name: &str, pipeline: &Pipeline) -> Result<(), Error> {
        if self.is_shared {
            return Ok(());
        }
        let files = OutputLayout::files(name, pipeline).map(|file| self.layout.dir.join(file));
        files.filter(|path| self.is_ours(path)).try_for_each(|path| remove(&path))
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(WriteError { operation: "remove the old", path: path.to_owned(), source: e }.into())
        }
        _ => Ok(()),
    }
}
