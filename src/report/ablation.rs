//! `swath eval --ablate`: what each part of a pipeline is good for.

use serde::Serialize;

use super::models::table;
use crate::words::time;

/// A pipeline as it is, and without each of its parts.
#[derive(Clone, Debug, Serialize)]
pub struct Ablation {
    /// What the pipeline does as it is.
    pub whole: AblationRun,
    /// Without one part each.
    pub rows: Vec<AblationRow>,
}

/// What came of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AblationRun {
    /// Mean IoU over the classes that occur; `None` where no pixel was compared.
    pub miou: Option<f64>,
    /// From the plan to the last mask.
    pub seconds: f64,
    /// Scenes without a mask.
    pub failed: u64,
}

/// A part of a pipeline.
#[derive(Clone, Debug, Serialize)]
pub struct AblationRow {
    /// In words: "view hflip", "dilation 64".
    pub part: String,
    /// What took its place.
    pub instead: String,
    /// What came of it.
    pub run: Option<AblationRun>,
    /// What the part adds to the mean IoU.
    pub adds: Option<f64>,
    /// And to the time, in seconds.
    pub costs: Option<f64>,
    /// Why nothing came of it.
    pub cause: Option<String>,
}

impl AblationRow {
    /// A row, from what came of it.
    pub fn new([part, instead]: [String; 2], run: Result<AblationRun, String>, whole: &AblationRun) -> Self {
        let (run, cause) = match run {
            Ok(run) => (Some(run), None),
            Err(cause) => (None, Some(cause)),
        };
        let adds = run.and_then(|run| Some(whole.miou? - run.miou?));
        Self { part, instead, run, adds, costs: run.map(|run| whole.seconds - run.seconds), cause }
    }
}

impl Ablation {
    /// A table, and below it what could not be run.
    pub fn text(&self) -> String {
        let share = |miou: Option<f64>| miou.map_or("-".to_owned(), |miou| format!("{:.2}%", miou * 100.0));
        let heading = ["part", "instead", "mIoU", "it adds", "time", "it costs"].map(str::to_owned);
        let Ablation { whole, rows } = self;
        let none = String::new;
        let mut lines =
            vec![heading, ["as it is".into(), none(), share(whole.miou), none(), time(whole.seconds), none()]];
        lines.extend(rows.iter().map(|row| {
            let adds = row.adds.map_or("-".to_owned(), |adds| format!("{:+.2}", adds * 100.0));
            let costs = row.costs.map_or("-".to_owned(), |costs| format!("{costs:+.1} s"));
            let (miou, seconds) = (row.run.and_then(|run| run.miou), row.run.map(|run| time(run.seconds)));
            [row.part.clone(), row.instead.clone(), share(miou), adds, seconds.unwrap_or("-".into()), costs]
        }));
        let mut text = table(&lines);
        for row in rows.iter() {
            let name = format!("{}, {}", row.part, row.instead);
            text += &row.cause.iter().map(|cause| format!("{name}: {cause}\n")).collect::<String>();
            text += &row
                .run
                .filter(|run| run.failed > 0)
                .map_or(none(), |run| format!("{name}: {} failed scenes\n", run.failed));
        }
        text
    }
}
