//! `swath models`: the networks, one of them, and how they compare with their references.

use serde::Serialize;

/// Names of tensors without stored values that are listed.
const FRESH: usize = 20;

/// Every network that can be built by name.
#[derive(Debug, Serialize)]
pub struct ModelList {
    /// One row per network on each of its backbones.
    pub networks: Vec<ModelRow>,
    /// Networks with a name of their own.
    pub presets: Vec<PresetRow>,
}

/// A network on a backbone.
#[derive(Debug, Serialize)]
pub struct ModelRow {
    /// `variant/network/backbone`.
    pub name: String,
    /// Trained values, with 3 bands and 15 classes (backbones: 1000).
    pub parameters: u64,
    /// Multiply-accumulate operations on 512 x 512 pixels.
    pub macs_512: u64,
    /// Multiply-accumulate operations on 1024 x 1024 pixels.
    pub macs_1024: u64,
    /// Stride of the deepest feature map.
    pub output_stride: u32,
    /// Input pixels per logit.
    pub logit_stride: u32,
    /// Height and width are multiples of this.
    pub multiple: u32,
    /// The definition that it follows.
    pub source: String,
}

/// A preset.
#[derive(Debug, Serialize)]
pub struct PresetRow {
    /// Its name.
    pub name: String,
    /// The network.
    pub network: String,
    /// Trained values, with 3 bands and 15 classes.
    pub parameters: u64,
    /// Multiply-accumulate operations on 512 x 512 pixels.
    pub macs_512: u64,
    /// What it is.
    pub about: String,
}

/// One network, layer by layer.
#[derive(Debug, Serialize)]
pub struct ModelSheet {
    /// The network in a row.
    pub row: ModelRow,
    /// Side of the image that the output shapes belong to.
    pub side: u32,
    /// Its tensors and what its operations return, by name.
    pub layers: Vec<LayerRow>,
}

/// Variables with a common prefix.
#[derive(Debug, Serialize)]
pub struct LayerRow {
    /// The prefix.
    pub name: String,
    /// Names and shapes of the variables.
    pub tensors: Vec<(String, Vec<usize>)>,
    /// Shape of the output, without the batch.
    pub output: Option<Vec<i64>>,
    /// Multiply-accumulate operations.
    pub macs: u64,
    /// The reference has it and does not use it.
    pub unused: bool,
}

/// Weights that training starts from.
#[derive(Debug)]
pub struct StartedModel {
    /// The file.
    pub path: String,
    /// The network.
    pub network: String,
    /// Its classes.
    pub classes: u32,
    /// Its bands.
    pub bands: u32,
    /// Tensors that are another file's.
    pub taken: usize,
    /// Names of those that start afresh.
    pub fresh: Vec<String>,
}

/// A network compared with its reference.
#[derive(Clone, Debug, Serialize)]
pub struct CheckRow {
    /// The fixture.
    pub name: String,
    /// Worst error in units of the tolerance, as trained.
    pub error: Option<f64>,
    /// The same as run, batch normalisation folded.
    pub folded_error: Option<f64>,
    /// Where the worst error was, why the check failed, or why the fixture was left out; and the first layer that differs.
    pub note: String,
    /// `pass`, `fail` or `skipped`.
    pub outcome: &'static str,
}

impl ModelList {
    /// The list as a table.
    pub fn text(&self) -> String {
        let header = ["name", "parameters", "GMACs 512", "1024", "stride", "logits", "size", "source"];
        let mut rows = vec![header.map(str::to_owned)];
        rows.extend(self.networks.iter().map(ModelRow::cells));
        let mut text = table(&rows);
        text.push_str("\nparameters with 3 bands and 15 classes (backbones: 1000); stride of the deepest map, of the logits; size: multiples of\n\npresets\n");
        let cells = |p: &PresetRow| {
            [format!("  {}", p.name), thousands(p.parameters), giga(p.macs_512), p.network.clone(), p.about.clone()]
        };
        let presets: Vec<_> = self.presets.iter().map(cells).collect();
        text + &table(&presets)
    }
}

impl ModelRow {
    fn cells(&self) -> [String; 8] {
        [
            self.name.clone(),
            thousands(self.parameters),
            giga(self.macs_512),
            giga(self.macs_1024),
            self.output_stride.to_string(),
            self.logit_stride.to_string(),
            self.multiple.to_string(),
            self.source.clone(),
        ]
    }
}

impl ModelSheet {
    /// The network as a tree.
    pub fn text(&self) -> String {
        let row = &self.row;
        let mut text = format!(
            "{}: {} parameters, {:.1} GMACs at 512 x 512, {:.1} at 1024 x 1024\n{}\noutput stride {}, logits at stride {}, sizes that are multiples of {}\n\n",
            row.name,
            thousands(row.parameters),
            row.macs_512 as f64 / 1e9,
            row.macs_1024 as f64 / 1e9,
            row.source,
            row.output_stride,
            row.logit_stride,
            row.multiple,
        );
        let mut before: Vec<&str> = Vec::new();
        for layer in &self.layers {
            let parts: Vec<&str> = layer.name.split('.').collect();
            let common = parts.iter().zip(&before).take_while(|(a, b)| a == b).count();
            for (depth, part) in parts.iter().enumerate().skip(common) {
                let indented = format!("{}{part}", "  ".repeat(depth));
                let line = if depth + 1 == parts.len() { format!("{indented:<40} {}", layer.text()) } else { indented };
                text.push_str(line.trim_end());
                text.push('\n');
            }
            before = parts;
        }
        text + &format!("\noutputs at {0} x {0}\n", self.side)
    }
}

impl LayerRow {
    fn text(&self) -> String {
        let tensors =
            self.tensors.iter().map(|(name, shape)| format!("{name} {shape:?}")).collect::<Vec<_>>().join(", ");
        let mut text = tensors;
        if let Some(output) = &self.output {
            text += &format!(" -> {output:?}");
        }
        if self.macs > 0 {
            text += &format!(", {:.2} GMACs", self.macs as f64 / 1e9);
        }
        if self.unused { text + " (not used)" } else { text }
    }
}

impl StartedModel {
    /// What was taken, and what starts afresh.
    pub fn text(&self) -> String {
        let Self { path, network, classes, bands, taken, fresh } = self;
        let n_fresh = fresh.len();
        let mut text = format!(
            "{path}: {network}, {classes} classes, {bands} bands; {taken} tensors are the file's, {n_fresh} start afresh\n"
        );
        text.extend(fresh.iter().take(FRESH).map(|name| format!("  afresh: {name}\n")));
        if n_fresh > FRESH {
            text += &format!("  and {} more\n", n_fresh - FRESH);
        }
        text
    }
}

impl CheckRow {
    /// The row as a line.
    pub fn text(&self) -> String {
        let error = |e: Option<f64>| e.map_or("-".to_owned(), |e| format!("{e:.3}"));
        let (plain, folded) = (error(self.error), error(self.folded_error));
        format!("{:<8} {:<34} {plain:>8} {folded:>8}  {}\n", self.outcome, self.name, self.note)
    }

    /// What stands above the lines.
    pub fn header() -> String {
        format!("{:<8} {:<34} {:>8} {:>8}  {}\n", "", "worst error / tolerance", "plain", "folded", "where, or why")
    }
}

/// Billions.
fn giga(n: u64) -> String {
    format!("{:.1}", n as f64 / 1e9)
}

/// Digits in groups of three.
pub(super) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(" ")
}

/// Columns as wide as their widest cell; the first and the last are flush left.
pub(super) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let is_number = cell == "-" || cell.starts_with(|c: char| c.is_ascii_digit());
            match is_number {
                true => format!("{cell:>w$}", w = width(column)),
                false => format!("{cell:<w$}", w = width(column)),
            }
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_groups_of_three() {
        assert_eq!([0, 999, 1000, 70_367_742].map(thousands), ["0", "999", "1 000", "70 367 742"]);
    }

    #[test]
    fn a_tree_names_each_level_once() {
        let row = ModelRow {
            name: "n".into(),
            parameters: 1,
            macs_512: 0,
            macs_1024: 0,
            output_stride: 8,
            logit_stride: 4,
            multiple: 1,
            source: "s".into(),
        };
        let layer = |name: &str| LayerRow {
            name: name.into(),
            tensors: vec![("weight".into(), vec![1])],
            output: Some(vec![1, 2, 2]),
            macs: 0,
            unused: false,
        };
        let sheet = ModelSheet { row, side: 512, layers: vec![layer("a.0.conv"), layer("a.0.bn"), layer("a.1.conv")] };
        let text = sheet.text();
        let names: Vec<&str> = text.lines().skip(4).filter_map(|l| l.split_whitespace().next()).collect();
        assert_eq!(names, ["a", "0", "conv", "bn", "1", "conv", "outputs"]);
    }
}
