//! `swath eval --select`: which members are worth their time.

use serde::Serialize;

use super::models::table;
use crate::words::time;

/// Members that were selected.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Selection {
    /// All that there are, each alone.
    pub members: Vec<SelectionMember>,
    /// What was selected, one step after the other; the last one is the selection.
    pub steps: Vec<SelectionStep>,
    /// All members with equal weights.
    pub all: SelectionStep,
    /// The pipeline file of the selection.
    pub pipeline: String,
    /// Where it is.
    pub path: String,
}

/// A member alone.
#[derive(Clone, Debug, Serialize)]
pub struct SelectionMember {
    /// Its name.
    pub name: String,
    /// Its mean IoU.
    pub miou: Option<f64>,
    /// Seconds of its forward passes.
    pub seconds: f64,
}

/// Some members together.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SelectionStep {
    /// The one that was added last.
    pub added: String,
    /// All of them, and how much each counts.
    pub weights: Vec<(String, u32)>,
    /// Their mean IoU.
    pub miou: Option<f64>,
    /// Seconds of their forward passes.
    pub seconds: f64,
}

impl SelectionStep {
    /// In a line.
    pub fn text(&self) -> String {
        format!("{}: {}", self.members(), share(self.miou))
    }

    fn members(&self) -> String {
        let member =
            |(name, weight): &(String, u32)| if *weight == 1 { name.clone() } else { format!("{weight} x {name}") };
        self.weights.iter().map(member).collect::<Vec<_>>().join(" + ")
    }
}

fn share(miou: Option<f64>) -> String {
    miou.map_or("-".to_owned(), |miou| format!("{:.2}%", miou * 100.0))
}

impl Selection {
    /// Tables, and the pipeline file.
    pub fn text(&self) -> String {
        let mut lines = vec![["members", "mIoU", "networks' time"].map(str::to_owned)];
        lines
            .extend(self.members.iter().map(|own| [format!("{} alone", own.name), share(own.miou), time(own.seconds)]));
        let row = |what: &str, step: &SelectionStep| {
            [format!("{what}{}", step.members()), share(step.miou), time(step.seconds)]
        };
        lines.extend(self.steps.iter().map(|step| row("", step)));
        lines.push(row("all: ", &self.all));
        format!("{}\n{}\npipeline file: {}\n", table(&lines), self.pipeline, self.path)
    }
}
