//! How many pixels of a mask have each label.

use crate::config::classes::ClassId;

/// Pixels of a scene by label; 255 is nodata.
#[derive(Clone, Debug)]
pub struct LabelCounts(Box<[u64; 256]>);

impl Default for LabelCounts {
    fn default() -> Self {
        Self(Box::new([0; 256]))
    }
}

impl LabelCounts {
    /// Counts a row. Labels come in runs, so it counts runs: adding to one counter again and again would wait for memory each time.
    pub(super) fn add(&mut self, row: &[ClassId]) {
        for run in row.chunk_by(|a, b| a == b) {
            self.0[usize::from(run[0])] += run.len() as u64;
        }
    }

    /// The labels that occur, ascending.
    pub(super) fn occurring(&self) -> Vec<(ClassId, u64)> {
        (0..=ClassId::MAX).zip(self.0.iter().copied()).filter(|(_, n)| *n > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pixel_counts_once() {
        let mut counts = LabelCounts::default();
        for row in [&[3, 3, 0, 255][..], &[], &[255], &[3, 0, 3]] {
            counts.add(row);
        }
        assert_eq!(counts.occurring(), [(0, 2), (3, 4), (255, 2)]);
    }
}
