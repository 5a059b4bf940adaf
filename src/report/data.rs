//! `swath data`: what labelled scenes hold.

use serde::Serialize;

use super::Undrawn;
use super::models::{table, thousands};
use crate::words::{count, percent};

/// Strays and refused pairs that the text lists; JSON has all.
const LISTED: usize = 50;

/// What labelled scenes hold, and what of them is no use.
#[derive(Clone, Debug, Serialize)]
pub struct DataReport {
    /// How many pairs there are for what.
    pub parts: Vec<PartRow>,
    /// Pairs that are no use.
    pub refused: Vec<RefusedPair>,
    /// Files whose decoder warns of their pixels, and of what.
    pub warned: Vec<FileNote>,
    /// Files that are in no pair.
    pub strays: Vec<FileNote>,
    /// How much there is of each class, in the pairs that are of use.
    pub classes: Vec<ClassRow>,
    /// Pixels that take no part.
    pub ignored: u64,
    /// The bands that the pipeline reads.
    pub bands: Vec<BandRow>,
    /// Columns and rows of the smallest image.
    pub smallest: Option<[u32; 2]>,
    /// The same of the largest.
    pub largest: Option<[u32; 2]>,
    /// Lengths of a pixel on the ground, and how many images have them.
    pub resolutions: Vec<(String, u64)>,
}

/// Labelled scenes whose masks networks do not believe.
#[derive(Clone, Debug, Serialize)]
pub struct CleanReport {
    /// Scenes that were held against their labels.
    pub scenes: u64,
    /// Labelled scenes without a mask.
    pub missing: u64,
    /// What could not be compared, and why.
    pub mismatched: Vec<String>,
    /// Mean IoU over all of them.
    pub miou: Option<f64>,
    /// The suspects, the worst first.
    pub suspects: Vec<Suspect>,
    /// The list of them.
    pub list: String,
    /// The contact sheet.
    pub sheet: Option<String>,
}

/// A labelled scene that somebody should look at.
#[derive(Clone, Debug, Serialize)]
pub struct Suspect {
    /// What `--exclude` finds it by.
    pub name: String,
    /// Its own mean IoU.
    pub miou: f64,
}

impl CleanReport {
    /// What was found, in a sentence.
    pub fn lead(&self) -> String {
        let all = self.miou.map_or(String::new(), |miou| format!(", which have {miou:.4} together"));
        let of = count(self.scenes, "scene");
        match self.suspects.as_slice() {
            [] => format!("No suspects among {of}{all}."),
            [only] => format!("1 suspect among {of}{all}: mean IoU {:.4}.", only.miou),
            [first, .., last] => {
                let n = self.suspects.len();
                format!("{n} suspects among {of}{all}: mean IoU {:.4} to {:.4}.", first.miou, last.miou)
            }
        }
    }

    /// As text.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n", self.lead());
        for Suspect { name, miou } in self.suspects.iter().take(LISTED) {
            text += &format!("  {miou:.4}  {name}\n");
        }
        if self.suspects.len() > LISTED {
            text += &format!("  ... and {} more\n", self.suspects.len() - LISTED);
        }
        if self.missing > 0 {
            text += &format!("without a mask: {}\n", count(self.missing, "labelled scene"));
        }
        text += &self.mismatched.iter().map(|pair| format!("not compared: {pair}\n")).collect::<String>();
        text += &format!("list: {}\n", self.list);
        text + &self.sheet.iter().map(|sheet| format!("contact sheet: {sheet}\n")).collect::<String>()
    }
}

/// What networks were sure of.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PseudoReport {
    /// Scenes that have a mask of it.
    pub scenes: u64,
    /// Scenes that could not be read.
    pub failed: Vec<Undrawn>,
    /// By class of the masks.
    pub classes: Vec<PseudoClass>,
    /// The list.
    pub list: String,
    /// Pairs that it has, those that it was joined with included.
    pub pairs: u64,
}

/// How much of a class is kept.
#[derive(Clone, Debug, Serialize)]
pub struct PseudoClass {
    /// Its name.
    pub name: String,
    /// Pixels that have it in the run's masks.
    pub pixels: u64,
    /// Those that keep it.
    pub kept: u64,
    /// The probability that these have at least.
    pub probability: f64,
}

impl PseudoReport {
    /// Why scenes could not be used.
    pub fn causes(&self) -> String {
        let listed = self.failed.iter().take(3).map(|own| format!("{}: {}", own.name, own.cause));
        listed.collect::<Vec<_>>().join("; ")
    }

    /// As text.
    pub fn text(&self) -> String {
        let mut lines = vec![["class", "pixels", "kept", "probability from"].map(str::to_owned)];
        lines.extend(self.classes.iter().map(|class| {
            let share =
                if class.pixels == 0 { "-".to_owned() } else { percent(class.kept as f64 / class.pixels as f64) };
            [class.name.clone(), thousands(class.pixels), share, format!("{:.3}", class.probability)]
        }));
        let mut text = table(&lines);
        text += &self.failed.iter().map(|own| format!("left out: {}: {}\n", own.name, own.cause)).collect::<String>();
        text + &format!(
            "{} with labels of networks, {} in {}\n",
            count(self.scenes, "scene"),
            count(self.pairs, "pair"),
            self.list
        )
    }
}

/// A part of the split: what training, validation or a test is made on.
#[derive(Clone, Debug, Serialize)]
pub struct PartRow {
    /// Its name.
    pub part: String,
    /// Images with masks in it.
    pub pairs: u64,
}

/// A pair that is no use.
#[derive(Clone, Debug, Serialize)]
pub struct RefusedPair {
    /// Its name.
    pub name: String,
    /// Its part.
    pub part: String,
    /// Why.
    pub cause: String,
}

/// A file, and what is to be said of it.
#[derive(Clone, Debug, Serialize)]
pub struct FileNote {
    /// The file.
    pub path: String,
    /// Why it takes no part, or what its decoder warns of.
    pub cause: String,
}

/// A class, and how much of it there is.
#[derive(Clone, Debug, Serialize)]
pub struct ClassRow {
    /// Its id.
    pub id: u8,
    /// Its name.
    pub name: String,
    /// Labelled pixels that have it.
    pub pixels: u64,
    /// Their share of all that have a class.
    pub share: f64,
    /// Pairs that have any.
    pub pairs: u64,
}

/// A band, over the pixels with data, in the unit that is normalised: value by `input.divide`.
#[derive(Clone, Debug, Serialize)]
pub struct BandRow {
    /// The band.
    pub band: String,
    /// Mean; `None` where no pixel has data.
    pub mean: Option<f64>,
    /// Standard deviation, likewise.
    pub std: Option<f64>,
}

/// A list that was written.
#[derive(Clone, Debug, Serialize)]
pub struct SplitReport {
    /// The list.
    pub path: String,
    /// How many groups went somewhere as one.
    pub groups: u64,
    /// How many pairs are where.
    pub parts: Vec<PartRow>,
}

impl DataReport {
    /// Whether every file is in a pair that is of use.
    pub fn is_clean(&self) -> bool {
        self.refused.is_empty() && self.strays.is_empty() && self.warned.is_empty()
    }

    /// What is wrong, and what is there.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for RefusedPair { name, part, cause } in self.refused.iter().take(LISTED) {
            text += &format!("refused  {part}/{name}: {cause}\n");
        }
        for FileNote { path, cause } in self.strays.iter().take(LISTED) {
            text += &format!("stray    {path}: {cause}\n");
        }
        for FileNote { path, cause } in self.warned.iter().take(LISTED) {
            text += &format!("doubtful {path}: its decoder warns: {cause}\n");
        }
        let hidden = [self.refused.len(), self.strays.len(), self.warned.len()].map(|n| n.saturating_sub(LISTED));
        let more: usize = hidden.iter().sum();
        if more > 0 {
            text += &format!("and {more} more (--json has all)\n");
        }
        let n: u64 = self.parts.iter().map(|row| row.pairs).sum();
        let (refused, strays) = (self.refused.len() as u64, self.strays.len() as u64);
        text += &format!(
            "{} ({}), {refused} refused, {} in no pair\n",
            count(n, "pair"),
            parts(&self.parts),
            count(strays, "file")
        );
        if let (Some([w, h]), Some([wide, high])) = (self.smallest, self.largest) {
            text +=
                &format!("images of {w} x {h} to {wide} x {high} pixels; size of a pixel: {}\n", self.pixel_sizes());
        }
        text + "\n" + &self.class_table() + "\n" + &self.band_table()
    }

    fn pixel_sizes(&self) -> String {
        let sizes = self.resolutions.iter().map(|(size, n)| format!("{size} ({n})"));
        sizes.collect::<Vec<_>>().join(", ")
    }

    fn class_table(&self) -> String {
        let mut rows = vec![["id", "class", "pixels", "share", "pairs"].map(str::to_owned)];
        rows.extend(self.classes.iter().map(|row| {
            let share = if row.pixels == 0 { "none".to_owned() } else { percent(row.share) };
            [row.id.to_string(), row.name.clone(), thousands(row.pixels), share, row.pairs.to_string()]
        }));
        rows.push([String::new(), "ignored".into(), thousands(self.ignored), String::new(), String::new()]);
        table(&rows)
    }

    fn band_table(&self) -> String {
        let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.6}"));
        let mut rows = vec![["band", "mean", "std"].map(str::to_owned)];
        rows.extend(self.bands.iter().map(|row| [row.band.clone(), number(row.mean), number(row.std)]));
        table(&rows)
    }
}

impl SplitReport {
    /// What was written.
    pub fn text(&self) -> String {
        format!("{}: {} from {}\n", self.path, parts(&self.parts), count(self.groups, "group"))
    }
}

fn parts(rows: &[PartRow]) -> String {
    rows.iter().map(|row| format!("{} {}", row.pairs, row.part)).collect::<Vec<_>>().join(", ")
}
