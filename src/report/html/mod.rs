//! `report.html`: what a run did, for people who do not program. One file, which asks for nothing else.
//!
//! [`PageFacts`] is what `app` knows beside report.json, `view` makes of both what the page says, `map` draws outlines, and the text is
//! `page.html` within `base.html` with `style.css` and `page.js`, askama's templates: whatever they show is escaped there. The page's own
//! policy lets no other script run. The page of a training (`training`, `training.html`, with curves by `chart`) stands in the same frame.
//!
//! A page has at most [`MAX_BYTES`], however many scenes there are: pictures have a budget, tables and lists are cut and say so.

mod chart;
mod examples;
mod frame;
mod map;
mod scores;
mod training;
mod view;

use std::path::Path;

use askama::Template;

use super::RunReport;
pub use examples::TrainingExample;
pub(crate) use examples::suspects_page;
pub use scores::ValueClass;
pub(crate) use scores::scores_page;
pub use training::{TrainingPage, write_training_page};
use view::Page;

/// What the legend calls pixels without data.
pub(crate) const NO_DATA: &str = "no data";

/// Bytes of a page at most.
pub const MAX_BYTES: usize = 20_000_000;

/// Those of them that pictures may have.
pub(crate) const PICTURE_BYTES: usize = 12_000_000;

/// Colours of a plane that tells how far members disagree, from agreement on.
pub(crate) const HEAT: [[u8; 3]; 5] = [[255, 255, 204], [254, 217, 118], [253, 141, 60], [227, 26, 28], [128, 0, 38]];

/// Scenes in the table of those without pictures.
const ROWS: usize = 2000;

/// What a page shows beside what report.json has.
#[derive(Debug)]
pub(crate) struct PageFacts<'a> {
    pub(crate) dir: &'a Path,
    /// Name and colour of each class, in order, and of what has no data.
    pub(crate) legend: Vec<(String, [u8; 3])>,
    /// The reference systems that scenes lie in.
    pub(crate) systems: Vec<PlaneSystem>,
    pub(crate) scenes: Vec<PageScene>,
    /// The pipeline as TOML.
    pub(crate) pipeline: String,
    /// What the networks are.
    pub(crate) members: Vec<String>,
}

/// A plane that outlines are drawn in.
#[derive(Clone, Debug)]
pub(crate) struct PlaneSystem {
    /// What it is called.
    pub(crate) name: String,
    /// The length of its unit; `None` where its coordinates are degrees, or nobody knows.
    pub(crate) metres: Option<f64>,
    /// Whether its coordinates are longitude and latitude.
    pub(crate) is_degrees: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct PageScene {
    /// The name of its outputs, under which reports have it.
    pub(crate) name: String,
    /// Square metres, where they are known.
    pub(crate) square_metres: Option<f64>,
    /// Where it lies: the system, and its corners from the upper left one on, clockwise as the image is seen.
    pub(crate) outline: Option<(usize, [[f64; 2]; 4])>,
    /// What there are pictures of.
    pub(crate) pictures: Pictures,
}

/// Pictures as data URIs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pictures {
    /// The scene.
    pub(crate) image: Option<String>,
    /// Its classes.
    pub(crate) mask: Option<String>,
    /// Where members disagree.
    pub(crate) heat: Option<String>,
}

impl Pictures {
    /// Bytes that they take in the page.
    pub(crate) fn bytes(&self) -> usize {
        [&self.image, &self.mask, &self.heat].into_iter().flatten().map(String::len).sum()
    }
}

/// The page. Names as long as files can have them may make it too large: then pictures and rows go, and it says so.
///
/// # Errors
/// When the template fails.
pub(crate) fn page(report: &RunReport, mut facts: PageFacts<'_>) -> Result<String, askama::Error> {
    let text = Page::new(report, &facts, ROWS).render()?;
    if text.len() <= MAX_BYTES {
        return Ok(text);
    }
    facts.scenes.iter_mut().for_each(|scene| scene.pictures = Pictures::default());
    Page::new(report, &facts, ROWS / 20).render()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{FailedScene, SceneReport};

    fn report(n: usize, name: &dyn Fn(usize) -> String) -> RunReport {
        let mut report: RunReport = serde_json::from_value(serde_json::json!({
            "format": 2, "swath": "0", "state": "finished", "plan": "", "totals": crate::report::Totals::default(),
            "run": crate::report::RunInfo::default(), "scenes": {}, "failed": [], "outputs": {}, "earlier": [],
            "stages": [], "memory": crate::report::BudgetReport::default(),
        }))
        .unwrap();
        let scene = SceneReport {
            scene: String::new(),
            resolution: None,
            size: [8, 8],
            bands: 1,
            pixel_type: "u8".into(),
            done_before: false,
            seconds: 0.0,
            nodata: 0.0,
            classes: (0..20).map(|class| (format!("class {class}"), 0.05)).collect(),
            warnings: vec!["<".repeat(10_000)],
        };
        report.scenes = (0..n).map(|i| (name(i), scene.clone())).collect();
        report.totals.done = n as u64;
        let failed = |i: usize| FailedScene {
            name: format!("f{i}"),
            scene: name(i),
            stage: "read".into(),
            cause: format!("{}{}", "&".repeat(10_000), i % 2000),
            action: String::new(),
        };
        report.failed = (0..n / 10).map(failed).collect();
        report
    }

    fn facts(n: usize, name: &dyn Fn(usize) -> String) -> PageFacts<'static> {
        let picture = "A".repeat(PICTURE_BYTES / 360);
        let scene = |i: usize| PageScene {
            name: name(i),
            square_metres: Some(64.0),
            outline: Some((0, [[0.0, 0.0], [8.0, 0.0], [8.0, -8.0], [0.0, -8.0]].map(|[x, y]| [x + i as f64, y]))),
            pictures: Pictures { mask: (i < 360).then(|| picture.clone()), ..Pictures::default() },
        };
        PageFacts {
            dir: Path::new("/runs/out"),
            legend: (0..20).map(|class| (format!("class {class}"), [class; 3])).collect(),
            systems: vec![PlaneSystem { name: "plane".into(), metres: Some(1.0), is_degrees: false }],
            scenes: (0..n).map(scene).collect(),
            pipeline: "x".repeat(1 << 20),
            members: Vec::new(),
        }
    }

    #[test]
    fn no_number_of_scenes_and_no_length_of_names_makes_a_page_too_large() {
        // Some ten thousand are enough: tables are cut before, and an outline has some forty bytes.
        let n = 20_000;
        let short = |i: usize| format!("scene {i}");
        let text = page(&report(n, &short), facts(n, &short)).unwrap();
        assert!(text.len() <= MAX_BYTES && text.contains(&"A".repeat(1000)), "{}", text.len());
        assert!(text.contains("Not in this table: 17640 more scenes; report.json has all."));
        assert!(text.matches("class=\"cause\"").count() == 1);
        let long = |i: usize| format!("{}{i:05}", "<&>".repeat(400));
        let text = page(&report(n, &long), facts(n, &long)).unwrap();
        assert!(text.len() <= MAX_BYTES && !text.contains(&"A".repeat(1000)), "{}", text.len());
    }
}
