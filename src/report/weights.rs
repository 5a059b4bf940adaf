//! `swath weights`: what a file holds, and how two differ.

use serde::Serialize;

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
    /// Number of values.
    pub values: u64,
    /// Networks with just these weights; `None` where the build has no networks.
    pub fits: Option<Vec<String>>,
    /// The tensors in the file's order.
    pub tensors: Vec<TensorRow>,
}

/// A tensor.
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

/// What was compressed.
#[derive(Debug, Serialize)]
pub struct CompressedFiles {
    /// The files in the order in which they were named.
    pub files: Vec<CompressedFile>,
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
        text
    }
}

impl WeightsSheet {
    /// The sheet as text.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{}\nformat  {}\nsha256  {}\n{} tensors, {} values\n",
            self.path,
            self.format,
            self.digest,
            self.tensors.len(),
            self.values
        );
        for note in &self.notes {
            text += &format!("note    {note}\n");
        }
        match self.fits.as_deref() {
            None => {}
            Some([]) => text += "fits    no network that this build knows\n",
            Some(fits) => text.extend(fits.iter().map(|fit| format!("fits    {fit}\n"))),
        }
        text.push('\n');
        let width = self.tensors.iter().map(|t| t.name.chars().count()).max().unwrap_or(0);
        for TensorRow { name, dtype, shape } in &self.tensors {
            let shape = shape.as_ref().map_or("shape not in the file".to_owned(), |s| format!("{s:?}"));
            text += &format!("{name:<width$}  {dtype:<5} {shape}\n");
        }
        text
    }
}

impl WeightsDiff {
    /// The differences as text.
    pub fn text(&self) -> String {
        let mut text = format!("{} tensors are equal\n", self.equal);
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
