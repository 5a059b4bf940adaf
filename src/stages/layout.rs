//! Where the files of a run lie.

use std::path::{Path, PathBuf};

use crate::config::Pipeline;

/// Where the files of a run lie.
#[derive(Clone, Debug)]
pub struct OutputLayout {
    /// The run directory.
    pub dir: PathBuf,
}

impl OutputLayout {
    /// The mask of a scene.
    pub fn mask(&self, name: &str) -> PathBuf {
        self.dir.join("masks").join(format!("{name}.png"))
    }

    /// Its colour picture.
    pub fn color(&self, name: &str) -> PathBuf {
        self.dir.join("color").join(format!("{name}.png"))
    }

    /// The archive.
    pub fn archive(&self) -> PathBuf {
        self.dir.join("submit.zip")
    }

    /// The report.
    pub fn report(&self) -> PathBuf {
        self.dir.join("report.json")
    }

    /// A path as reports and the journal name it: relative to the run directory, with `/`.
    pub fn relative(&self, path: &Path) -> String {
        let inside = path.strip_prefix(&self.dir).unwrap_or(path);
        inside.components().map(|c| c.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
    }

    /// Every file of a scene under a pipeline, the mask first.
    pub fn files(&self, name: &str, pipeline: &Pipeline) -> Vec<PathBuf> {
        let color = pipeline.outputs.color.then(|| self.color(name));
        std::iter::once(self.mask(name)).chain(color).collect()
    }
}
