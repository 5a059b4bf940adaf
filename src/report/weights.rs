//! `swath weights`: what a file holds, and how two differ.

use std::collections::BTreeMap;

use serde::Serialize;

use super::models::thousands;
use crate::words::format_bytes;

/// Tensors that a summary names.
const LARGEST: usize = 5;

/// Characters of a text from a file that are shown.
const SHOWN: usize = 100;

/// Lines that a text spends on one kind of difference.
const LINES: usize = 20;

/// What a file of weights holds.
#[derive(Debug, Serialize)]
pub struct WeightsSheet {
    /// The file or directory.
    pub path: String,
    /// What its content is.
    pub format: String,
    /// SHA-256.
    pub digest: String,
    /// What was unwrapped, renamed or left out.
    pub notes: Vec<String>,
    /// What it says as a bundle, or what is wrong with that; `None` where it is none.
    pub bundle: Option<String>,
    /// What the file says of its weights.
    pub metadata: BTreeMap<String, String>,
    /// Bytes of the file, or of the directory's files.
    pub bytes: u64,
    /// Number of values.
    pub values: u64,
    /// How many tensors have each type.
    pub dtypes: BTreeMap<String, u64>,
    /// Networks with just these weights; `None` where the build has no networks.
    pub fits: Option<Vec<String>>,
    /// The tensors in the file's order.
    pub tensors: Vec<TensorRow>,
}

/// A tensor of a file, without its values.
#[derive(Debug, Serialize)]
pub struct TensorRow {
    /// Its name.
    pub name: String,
    /// Type of the values.
    pub dtype: String,
    /// Its shape; `None` where the file does not tell.
    pub shape: Option<Vec<usize>>,
}

/// How two files of weights differ.
#[derive(Debug, Serialize)]
pub struct WeightsDiff {
    /// Tensors that are equal in everything.
    pub equal: usize,
    /// Each difference in words, by kind.
    pub differences: Vec<(String, Vec<String>)>,
}

/// Weights files that were compressed, and what that cost.
#[derive(Debug, Serialize)]
pub struct CompressedFiles {
    /// The files in the order in which they were named.
    pub files: Vec<CompressedFile>,
    /// The mean IoU of the pipeline's masks with the originals and with these, where truth was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub miou: Option<[f64; 2]>,
}

/// A compressed file.
#[derive(Debug, Serialize)]
pub struct CompressedFile {
    /// The file.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Number of values in it.
    pub values: u64,
    /// Root mean square of the error as a share of that of the weights, where they are not exact.
    pub relative_error: f64,
    /// The tensor with the largest share, and that.
    pub worst: Option<(String, f64)>,
    /// Tensors of integers, which were left out.
    pub left_out: usize,
    /// Root mean square of the error of the member's answers as a share of theirs, where it was measured.
    pub answers_error: Option<f64>,
    /// Share of the pixels that keep their class, where it was measured.
    pub masks_agree: Option<f64>,
}

impl CompressedFiles {
    /// A line for each file, and one for all.
    pub fn text(&self) -> String {
        let line = |name: &str, bytes: u64, values: u64| {
            let bits = bytes as f64 * 8.0 / values.max(1) as f64;
            format!("{name}: {:.2} MB, {:.1} M values, {bits:.2} bits each", bytes as f64 / 1e6, values as f64 / 1e6)
        };
        let mut text = String::new();
        for file in &self.files {
            text += &line(&file.path, file.bytes, file.values);
            text += &match &file.worst {
                None => ", exact".to_owned(),
                Some((name, share)) => {
                    format!(
                        ", error {:.2} % of the weights ({:.2} % in {name})",
                        file.relative_error * 100.0,
                        share * 100.0
                    )
                }
            };
            if let (Some(error), Some(agree)) = (file.answers_error, file.masks_agree) {
                text += &format!(", answers {:.2} % off, masks agree {agree:.4}", error * 100.0);
            }
            text +=
                &if file.left_out > 0 { format!(", {} integers left out\n", file.left_out) } else { "\n".to_owned() };
        }
        if self.files.len() > 1 {
            let sum = |of: fn(&CompressedFile) -> u64| self.files.iter().map(of).sum();
            text += &line("together", sum(|f| f.bytes), sum(|f| f.values));
            text.push('\n');
        }
        if let Some([before, after]) = self.miou {
            text += &format!("mean IoU: {before:.4} before, {after:.4} after\n");
        }
        text
    }
}

impl TensorRow {
    fn n_values(&self) -> u64 {
        self.shape.iter().flatten().map(|&n| n as u64).product()
    }

    fn shape(&self) -> String {
        self.shape.as_ref().map_or("shape not in the file".to_owned(), |shape| format!("{shape:?}"))
    }
}

impl WeightsSheet {
    /// The sheet as text, with its largest tensors.
    pub fn text(&self) -> String {
        self.head() + &self.largest()
    }

    /// The sheet as text, with every tensor.
    pub fn full_text(&self) -> String {
        let width = self.tensors.iter().map(|t| t.name.chars().count()).max().unwrap_or(0);
        let line = |t: &TensorRow| format!("{:<width$}  {:<5} {}\n", t.name, t.dtype, t.shape());
        format!("{}\n{}", self.head(), self.tensors.iter().map(line).collect::<String>())
    }

    fn head(&self) -> String {
        let n_tensors = match self.tensors.len() {
            1 => "1 tensor".to_owned(),
            n => format!("{n} tensors"),
        };
        let types: Vec<String> = self.dtypes.iter().map(|(dtype, n)| format!("{n} {dtype}")).collect();
        let mut text = format!(
            "{}\nformat  {}, {}\nsha256  {}\nholds   {n_tensors}, {} values ({})\n",
            self.path,
            self.format,
            format_bytes(self.bytes),
            self.digest,
            thousands(self.values),
            types.join(", ")
        );
        for note in &self.notes {
            text += &format!("note    {note}\n");
        }
        let none = "no: a pipeline file has to say which network, input and classes these weights are for";
        text += &format!("bundle  {}\n", self.bundle.as_deref().unwrap_or(none));
        // Of a pipeline file the first characters say nothing.
        let told = self.metadata.iter().filter(|(_, value)| !value.contains("\n[[members]]\n"));
        text.extend(told.map(|(key, value)| format!("says    {} = {}\n", shown(key), shown(value))));
        match self.fits.as_deref() {
            None => text += "fits    unknown: this build has no networks\n",
            Some([]) => text += "fits    no network that this build knows\n",
            Some(fits) => text.extend(fits.iter().map(|fit| format!("fits    {fit}\n"))),
        }
        text
    }

    /// The tensors with most values.
    fn largest(&self) -> String {
        let mut tensors: Vec<&TensorRow> = self.tensors.iter().collect();
        tensors.sort_by_key(|tensor| std::cmp::Reverse(tensor.n_values()));
        let line = |t: &&TensorRow| format!("  {} {} {}\n", t.name, t.dtype, t.shape());
        let named: String = tensors.iter().take(LARGEST).map(line).collect();
        match tensors.len() {
            0..=LARGEST => named,
            n => format!("largest tensors (--all lists all {n})\n{named}"),
        }
    }
}

/// A text from a file, on one line and not too long.
fn shown(text: &str) -> String {
    let line: String = text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(SHOWN).is_some() { line + "..." } else { line }
}

impl WeightsDiff {
    /// The differences as text.
    pub fn text(&self) -> String {
        let mut text = match self.equal {
            1 => "1 tensor is equal\n".to_owned(),
            n => format!("{n} tensors are equal\n"),
        };
        for (kind, lines) in self.differences.iter().filter(|(_, lines)| !lines.is_empty()) {
            text += &format!("{} {kind}\n", lines.len());
            text.extend(lines.iter().take(LINES).map(|line| format!("  {line}\n")));
            if lines.len() > LINES {
                text += &format!("  ... and {} more\n", lines.len() - LINES);
            }
        }
        text
    }
}
