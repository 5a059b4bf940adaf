//! Scores as a table for people.

use super::{Boundaries, Calibration, Evaluation, SceneScores, Scores};
use crate::config::classes::ClassTable;
use crate::words::count;

/// Names of problem files beyond so many are counted, not listed.
const LISTED: usize = 10;

impl Scores {
    /// A table: one line per value, the totals below. Names come from `classes`, where given.
    pub fn text(&self, classes: Option<&ClassTable>) -> String {
        let names: Vec<&str> = self.values.iter().map(|v| name(classes, v.value)).collect();
        let width = names.iter().map(|n| n.chars().count()).max().unwrap_or(0).max(4);
        let named = |name: &str| if classes.is_some() { format!("  {name:<width$}") } else { String::new() };
        let bounded = |text: String| if self.boundary_iou.is_some() { text } else { String::new() };
        let title = bounded("  boundary".to_owned());
        let mut lines = vec![format!("value{}      IoU       F1  precision  recall{title}    share", named("name"))];
        for (score, name) in self.values.iter().zip(names) {
            let [iou, f1, share] = [score.iou, score.f1, score.share].map(|share| percent(Some(share)));
            let (precision, recall) = (percent(score.precision), percent(score.recall));
            let boundary = bounded(format!("   {}", percent(score.boundary_iou)));
            let named = named(name);
            lines.push(format!("{:>5}{named}  {iou}  {f1}    {precision} {recall}{boundary}  {share}", score.value));
        }
        lines.push(String::new());
        let total = |(name, value): (&str, String)| format!("{name:<9}  {value:>7}");
        lines.extend(self.totals().into_iter().map(total));
        if let Some(Calibration { bins, pixels, unscored, .. }) = &self.calibration {
            let used = bins.iter().filter(|bin| bin.pixels > 0).count() as u64;
            let without = if *unscored > 0 { format!(", {unscored} without a probability") } else { String::new() };
            lines.push(format!("           {pixels} pixels in {}{without}", count(used, "bin")));
        }
        lines.push(format!("pixels     {} counted, {} ignored", self.counted, self.ignored));
        lines.join("\n") + "\n"
    }

    /// Each of its figures that is no value's, with what it is called.
    pub fn totals(&self) -> Vec<(&'static str, String)> {
        let shares = [("mIoU", self.miou), ("FWIoU", self.fwiou), ("macro F1", self.macro_f1)];
        let others = [("accuracy", self.accuracy), ("agreement", self.agreement)];
        let share = |(name, value): (&'static str, Option<f64>)| (name, percent(value).trim().to_owned());
        let mut all: Vec<(&str, String)> = shares.into_iter().chain(others).map(share).collect();
        all.push(("kappa", self.kappa.map_or("-".to_owned(), |kappa| format!("{kappa:.4}"))));
        all.extend(self.boundary_iou.map(|boundary| ("boundary", percentage(boundary))));
        all.extend(self.calibration.as_ref().map(|calibration| ("ECE", percentage(calibration.ece))));
        all
    }
}

impl Evaluation {
    /// The scores' table, below it the files that did not count, and what is likely to be amiss.
    pub fn text(&self, classes: Option<&ClassTable>) -> String {
        let mut text = self.scores.text(classes);
        if let Some(Boundaries { distance, too_large }) = self.boundary.as_ref().filter(|_| self.scores.counted > 0) {
            text.push_str(&format!("distance   {distance}, from the contours that the boundary IoU is about\n"));
            list(&mut text, ["pair too large for that distance", "pairs too large for that distance"], too_large);
        }
        text.push_str(&format!("pairs      {} compared\n", self.pairs));
        if self.elsewhere > 0 {
            text.push_str(&format!(
                "elsewhere  {} of the data that the run has not seen\n",
                count(self.elsewhere, "pair")
            ));
        }
        for value in &self.nodata {
            text.push_str(&format!("nodata     truth of {value} is left out: its GeoTIFF declares it\n"));
        }
        for (from, to) in &self.remap {
            text.push_str(&format!(
                "remap      {from} counts as {to}, in masks and truth: the pipeline's post.remap\n"
            ));
        }
        text.push_str(&self.scene_table());
        let mismatched: Vec<String> = self.mismatched.iter().map(|m| format!("{}: {}", m.name, m.cause)).collect();
        list(&mut text, ["true mask without a mask", "true masks without a mask"], &self.missing);
        list(&mut text, ["mask without a true mask", "masks without a true mask"], &self.extra);
        list(&mut text, ["file left out, a PNG has its name", "files left out, PNGs have their names"], &self.beside);
        list(&mut text, ["pair that cannot be compared", "pairs that cannot be compared"], &mismatched);
        if !self.hints.is_empty() {
            text.push('\n');
        }
        self.hints.iter().for_each(|hint| text.push_str(&format!("hint: {hint}\n")));
        text
    }
}

impl Evaluation {
    /// The scenes, the worst first, where there are several.
    fn scene_table(&self) -> String {
        if self.scenes.len() < 2 {
            return String::new();
        }
        let mut worst: Vec<&SceneScores> = self.scenes.iter().collect();
        worst.sort_by(|a, b| a.scores.miou.unwrap_or(2.0).total_cmp(&b.scores.miou.unwrap_or(2.0)));
        worst.truncate(LISTED);
        let width = worst.iter().map(|scene| scene.name.chars().count()).max().unwrap_or(0).max(5);
        let mut text = format!("\n{:<width$}     mIoU  accuracy  macro F1   pixels\n", "scene");
        for SceneScores { name, scores } in worst {
            let [miou, accuracy, f1] = [scores.miou, scores.accuracy, scores.macro_f1].map(percent);
            text.push_str(&format!("{name:<width$}  {miou}   {accuracy}   {f1}  {:>7}\n", scores.counted));
        }
        if self.scenes.len() > LISTED {
            let more = self.scenes.len() - LISTED;
            text.push_str(&format!("and {more} with higher mIoU (--json and --html have all)\n"));
        }
        text
    }
}

/// What a class table calls a value; nothing without one.
pub(super) fn name(classes: Option<&ClassTable>, value: u16) -> &str {
    let Some(classes) = classes else { return "" };
    let class = classes.classes().iter().find(|c| c.value == value);
    let other = classes.nodata().filter(|n| n.value == value).map_or("(no class)", |_| "nodata");
    class.map_or(other, |c| c.name.as_str())
}

fn percent(share: Option<f64>) -> String {
    let text = share.map_or("-".to_owned(), percentage);
    format!("{text:>7}")
}

/// A share for people.
pub(super) fn percentage(share: f64) -> String {
    format!("{:.2}%", share * 100.0)
}

/// Lists lines under a title for one, or for several.
fn list(text: &mut String, title: [&str; 2], lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    text.push_str(&format!("\n{} {}:\n", lines.len(), title[usize::from(lines.len() > 1)]));
    for line in lines.iter().take(LISTED) {
        text.push_str(&format!("  {line}\n"));
    }
    if lines.len() > LISTED {
        text.push_str(&format!("  and {} more\n", lines.len() - LISTED));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::classes::{Class, Color, Nodata};
    use crate::eval::{Confusion, Mismatch};

    fn scores() -> Scores {
        let mut confusion = Confusion::new();
        confusion.add(&[1, 1, 1, 800, 0, 0], &[1, 1, 800, 9, 0, 1], &[0]).unwrap();
        confusion.scores()
    }

    fn table() -> ClassTable {
        let class = |id: u8, name: &str, value| Class { id, name: name.into(), value, color: Color([0; 3]) };
        let nodata = Some(Nodata { value: 9, color: Color([0; 3]) });
        ClassTable::new(vec![class(0, "water", 1), class(1, "bare soil", 800)], nodata).unwrap()
    }

    #[test]
    fn the_table_lists_values_and_totals() {
        let wanted = "\
value      IoU       F1  precision  recall    share
    1   66.67%   80.00%    100.00%  66.67%   75.00%
    9    0.00%    0.00%      0.00%       -    0.00%
  800    0.00%    0.00%      0.00%   0.00%   25.00%

mIoU        22.22%
FWIoU       50.00%
macro F1    26.67%
accuracy    50.00%
agreement   50.00%
kappa       0.1111
pixels     4 counted, 2 ignored
";
        assert_eq!(scores().text(None), wanted);
    }

    #[test]
    fn names_come_from_the_class_table() {
        let text = scores().text(Some(&table()));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "value  name           IoU       F1  precision  recall    share");
        assert_eq!(lines[1], "    1  water       66.67%   80.00%    100.00%  66.67%   75.00%");
        assert_eq!(lines[2], "    9  nodata       0.00%    0.00%      0.00%       -    0.00%");
    }

    #[test]
    fn files_that_do_not_count_are_listed_up_to_a_number() {
        let mismatched = vec![Mismatch { name: "a.png".into(), cause: "it is cut".into() }];
        let missing = (0..12).map(|i| format!("{i}.png")).collect();
        let text = Evaluation { scores: scores(), pairs: 3, missing, mismatched, ..Evaluation::default() }.text(None);
        assert!(text.contains("pairs      3 compared\n\n12 true masks without a mask:\n  0.png\n"), "{text}");
        assert!(text.contains("  9.png\n  and 2 more\n") && !text.contains("without a true mask"), "{text}");
        assert!(text.ends_with("1 pair that cannot be compared:\n  a.png: it is cut\n"), "{text}");
    }
}
