//! `swath viz`: which pictures were drawn.

use serde::Serialize;

use crate::words::count;

/// Masks that the text lists; JSON has all.
const LISTED: usize = 20;

/// What `swath viz` drew, and what it could not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VizReport {
    /// The folder that they are in.
    pub dir: String,
    /// How many there are of each kind, by the folder of the kind.
    pub pictures: Vec<(&'static str, u64)>,
    /// Masks that could not be drawn.
    pub failed: Vec<Undrawn>,
    /// Masks without truth, so without an error map.
    pub without_truth: Vec<String>,
    /// Truth without a mask.
    pub without_mask: Vec<String>,
}

/// A mask that could not be drawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Undrawn {
    /// Its name.
    pub name: String,
    /// Why it was not drawn.
    pub cause: String,
}

impl VizReport {
    /// What was drawn, and what was not.
    pub fn text(&self) -> String {
        let failed = self.failed.iter().map(|own| format!("{}: {}", own.name, own.cause)).collect();
        let lists: [(&str, Vec<String>); 3] =
            [("failed", failed), ("no truth", self.without_truth.clone()), ("no mask", self.without_mask.clone())];
        let mut text = String::new();
        for (title, names) in &lists {
            names.iter().take(LISTED).for_each(|name| text += &format!("{title:<10}  {name}\n"));
            if names.len() > LISTED {
                text += &format!("{title:<10}  and {} more (--json has all)\n", names.len() - LISTED);
            }
        }
        for (folder, n) in &self.pictures {
            text += &format!("{:<10}  {}/{folder}\n", count(*n, "picture"), self.dir);
        }
        text
    }
}
