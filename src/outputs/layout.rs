//! Where the files of a run lie.

use std::path::{Path, PathBuf};

use super::kinds_of;
use crate::config::Pipeline;

/// Where the files of a run lie.
#[derive(Clone, Debug)]
pub struct OutputLayout {
    /// The run directory.
    pub dir: PathBuf,
}

impl OutputLayout {
    /// Where submit.zip is, once all masks are.
    pub fn archive(&self) -> PathBuf {
        self.dir.join("submit.zip")
    }

    /// The plan of the last run.
    pub fn plan(&self) -> PathBuf {
        self.dir.join("plan.jsonl")
    }

    /// Which colour is which class.
    pub fn legend(&self) -> PathBuf {
        self.dir.join("legend.png")
    }

    /// Where the report for programs is.
    pub fn report(&self) -> PathBuf {
        self.dir.join("report.json")
    }

    /// The report for people to look at.
    pub fn page(&self) -> PathBuf {
        self.dir.join("report.html")
    }

    /// A path as reports and the journal name it: relative to the run directory, with `/`.
    pub fn relative(&self, path: &Path) -> String {
        let inside = path.strip_prefix(&self.dir).unwrap_or(path);
        inside.components().map(|c| c.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
    }

    /// Every file of a scene under a pipeline, relative to the run directory, the mask first.
    pub fn files<'a>(name: &'a str, pipeline: &Pipeline) -> impl Iterator<Item = String> + use<'a> {
        kinds_of(pipeline).flat_map(move |kind| kind.files(name))
    }
}
