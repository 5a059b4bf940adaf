//! `report.html`: what a run did, for people who do not program. One file, which asks for nothing else.
//!
//! [`PageFacts`] is what `app` knows beside report.json, `view` makes of both what the page says, `map` draws outlines, and the text is
//! `page.html` with `style.css` and `page.js`, askama's template: whatever it shows is escaped there. The page's own policy lets no other
//! script run.
//!
//! A page has at most [`MAX_BYTES`], however many scenes there are: pictures have a budget, tables and lists are cut and say so.

mod map;
mod view;

use std::path::Path;

use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::RunReport;
use view::Page;

/// What the legend calls pixels without data.
pub(crate) const NO_DATA: &str = "no data";

/// Bytes of a page at most.
pub const MAX_BYTES: usize = 20_000_000;

/// Those of them that pictures may have.
pub(crate) const PICTURE_BYTES: usize = 12_000_000;

/// Colours of a plane that tells how far members disagree, from agreement on.
pub(crate) const HEAT: [[u8; 3]; 5] = [[11, 42, 74], [61, 79, 110], [125, 124, 120], [191, 169, 92], [255, 233, 69]];

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("page.js");

/// Scenes in the table of those without pictures.
const ROWS: usize = 2000;

/// What a page shows beside what report.json has.
#[derive(Debug)]
pub(crate) struct PageFacts<'a> {
    /// The run directory.
    pub(crate) dir: &'a Path,
    /// Name and colour of each class, in order, and of what has no data.
    pub(crate) legend: Vec<(String, [u8; 3])>,
    /// The reference systems that scenes lie in.
    pub(crate) systems: Vec<PlaneSystem>,
    /// The planned scenes.
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

/// A planned scene.
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

/// What the page's policy calls its script.
fn script_digest() -> String {
    STANDARD.encode(Sha256::digest(SCRIPT))
}
