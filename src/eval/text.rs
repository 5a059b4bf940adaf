//! Scores as a table for people.

use super::{Evaluation, Scores};
use crate::config::classes::ClassTable;

/// Names of problem files beyond so many are counted, not listed.
const LISTED: usize = 10;

impl Scores {
    /// A table: one line per value, the totals below. Names come from `classes`, where given.
    pub fn text(&self, classes: Option<&ClassTable>) -> String {
        let names: Vec<&str> = self.values.iter().map(|v| name(classes, v.value)).collect();
        let width = names.iter().map(|n| n.chars().count()).max().unwrap_or(0).max(4);
        let named = |name: &str| if classes.is_some() { format!("  {name:<width$}") } else { String::new() };
        let mut lines = vec![format!("value{}      IoU  precision  recall    share", named("name"))];
        for (score, name) in self.values.iter().zip(names) {
            let (iou, share) = (percent(Some(score.iou)), percent(Some(score.share)));
            let (precision, recall) = (percent(score.precision), percent(score.recall));
            lines.push(format!("{:>5}{}  {iou}    {precision} {recall}  {share}", score.value, named(name)));
        }
        lines.push(String::new());
        let totals = [("mIoU", self.miou), ("accuracy", self.accuracy), ("agreement", self.agreement)];
        lines.extend(totals.map(|(name, value)| format!("{name:<9}  {}", percent(value))));
        lines.push(format!("pixels     {} counted, {} ignored", self.counted, self.ignored));
        lines.join("\n") + "\n"
    }
}

impl Evaluation {
    /// The scores' table, below it the files that did not count, and what is likely to be amiss.
    pub fn text(&self, classes: Option<&ClassTable>) -> String {
        let mut text = self.scores.text(classes);
        text.push_str(&format!("pairs      {} compared\n", self.pairs));
        for value in &self.nodata {
            text.push_str(&format!("nodata     truth of {value} is left out: its GeoTIFF declares it\n"));
        }
        for (from, to) in &self.remap {
            text.push_str(&format!(
                "remap      {from} counts as {to}, in masks and truth: the pipeline's post.remap\n"
            ));
        }
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

fn name(classes: Option<&ClassTable>, value: u16) -> &str {
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
value      IoU  precision  recall    share
    1   66.67%    100.00%  66.67%   75.00%
    9    0.00%      0.00%       -    0.00%
  800    0.00%      0.00%   0.00%   25.00%

mIoU        22.22%
accuracy    50.00%
agreement   50.00%
pixels     4 counted, 2 ignored
";
        assert_eq!(scores().text(None), wanted);
    }

    #[test]
    fn names_come_from_the_class_table() {
        let text = scores().text(Some(&table()));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "value  name           IoU  precision  recall    share");
        assert_eq!(lines[1], "    1  water       66.67%    100.00%  66.67%   75.00%");
        assert_eq!(lines[2], "    9  nodata       0.00%      0.00%       -    0.00%");
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
