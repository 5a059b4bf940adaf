//! What follows from a confusion matrix.

use serde::Serialize;

/// Scores over all counted pixels. A share of nothing is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Scores {
    /// Mean intersection over union of the values that occurred in truth or masks, ignored ones left out.
    pub miou: Option<f64>,
    /// Share of counted pixels that are right.
    pub accuracy: Option<f64>,
    /// Share of all pixels, ignored ones included, where both files hold the same value.
    pub agreement: Option<f64>,
    /// Pixels that count.
    pub counted: u64,
    /// Pixels that are left out: their truth is ignored or no data.
    pub ignored: u64,
    /// By value, ascending; ignored ones left out.
    pub values: Vec<ValueScore>,
    /// The counts.
    pub matrix: Matrix,
}

/// Scores of one value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ValueScore {
    /// What the files hold.
    pub value: u16,
    /// Pixels with it on both sides, of those with it on either side.
    pub iou: f64,
    /// Share of its pixels in the masks that are right; absent where no mask holds it.
    pub precision: Option<f64>,
    /// Share of its pixels in the truth that are found; absent where no truth holds it.
    pub recall: Option<f64>,
    /// Share of the counted pixels whose truth it is.
    pub share: f64,
}

/// The confusion matrix.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Matrix {
    /// The values of its rows and columns, ascending.
    pub values: Vec<u16>,
    /// Pixels: one row per truth value, one column per mask value.
    pub counts: Vec<Vec<u64>>,
}

impl Scores {
    /// From counts by truth and mask value; `ignore` are the values that are no class unless the truth of a counted pixel is one.
    pub(super) fn of(
        values: Vec<u16>,
        counts: Vec<Vec<u64>>,
        ignored: u64,
        ignored_equal: u64,
        ignore: &[u16],
    ) -> Self {
        let matrix = Matrix { values, counts };
        let counted = matrix.counts.iter().flatten().sum::<u64>();
        let right: u64 = (0..matrix.values.len()).map(|i| matrix.counts[i][i]).sum();
        let is_class = |i: &usize| !ignore.contains(&matrix.values[*i]) || matrix.in_truth(*i) > 0;
        let classes = (0..matrix.values.len()).filter(is_class);
        let values: Vec<ValueScore> = classes.filter_map(|i| matrix.score(i, counted)).collect();
        #[expect(clippy::cast_precision_loss, reason = "at most 1024 values")]
        let mean = |sum: f64| (!values.is_empty()).then(|| sum / values.len() as f64);
        Self {
            miou: mean(values.iter().map(|v| v.iou).sum()),
            accuracy: ratio(right, counted),
            agreement: ratio(right + ignored_equal, counted + ignored),
            counted,
            ignored,
            values,
            matrix,
        }
    }
}

impl Matrix {
    /// Counted pixels whose truth is the value at position `i`.
    pub(super) fn in_truth(&self, i: usize) -> u64 {
        self.counts[i].iter().sum()
    }

    /// Counted pixels where the masks hold it.
    pub(super) fn in_masks(&self, i: usize) -> u64 {
        self.counts.iter().map(|row| row[i]).sum()
    }

    /// Scores of the value at position `i`; `None` if it occurs on neither side.
    fn score(&self, i: usize, counted: u64) -> Option<ValueScore> {
        let both = self.counts[i][i];
        let (truth, mask) = (self.in_truth(i), self.in_masks(i));
        Some(ValueScore {
            value: self.values[i],
            iou: ratio(both, truth + mask - both)?,
            precision: ratio(both, mask),
            recall: ratio(both, truth),
            share: ratio(truth, counted)?,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 pixels lose nothing that a score shows")]
fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::Confusion;

    fn scores(truth: &[u16], mask: &[u16], ignore: &[u16]) -> Scores {
        let mut confusion = Confusion::new();
        confusion.add(truth, mask, ignore).unwrap();
        confusion.scores()
    }

    fn close(found: Option<f64>, wanted: f64) -> bool {
        found.is_some_and(|found| (found - wanted).abs() < 1e-12)
    }

    /// By hand: truth 1 x4, 2 x4, 3 x2; 1 right 3, 2 right 2, 3 right 0.
    const TRUTH: [u16; 10] = [1, 1, 1, 1, 2, 2, 2, 2, 3, 3];
    const MASK: [u16; 10] = [1, 1, 1, 2, 2, 2, 1, 4, 1, 2];

    #[test]
    fn scores_are_those_computed_by_hand() {
        let s = scores(&TRUTH, &MASK, &[]);
        // 1: 3 of 4 + 5 - 3; 2: 2 of 4 + 4 - 2; 3: 0 of 2; 4: 0 of 1.
        let ious: Vec<f64> = s.values.iter().map(|v| v.iou).collect();
        assert_eq!(ious, [3.0 / 6.0, 2.0 / 6.0, 0.0, 0.0]);
        assert!(close(s.miou, (3.0 / 6.0 + 2.0 / 6.0) / 4.0));
        assert_eq!(s.values[0].precision, Some(3.0 / 5.0));
        assert_eq!(s.values[0].recall, Some(3.0 / 4.0));
        assert_eq!((s.values[2].precision, s.values[2].recall), (None, Some(0.0)));
        assert_eq!((s.values[3].precision, s.values[3].recall), (Some(0.0), None));
        assert_eq!(s.values.iter().map(|v| v.share).collect::<Vec<_>>(), [0.4, 0.4, 0.2, 0.0]);
        assert_eq!((s.accuracy, s.agreement), (Some(0.5), Some(0.5)));
    }

    #[test]
    fn the_ignored_value_counts_for_agreement_only() {
        // Without truth 2, six pixels are left: 1 x4 (3 right), 3 x2 (none).
        let s = scores(&TRUTH, &MASK, &[2]);
        assert_eq!((s.counted, s.ignored), (6, 4));
        assert_eq!(s.accuracy, Some(0.5));
        // Right on counted pixels: 3; equal on ignored ones: 2.
        assert_eq!(s.agreement, Some(0.5));
        // 1: 3 of 4 + 4 - 3; 3: 0. Value 2 in the mask makes 1 and 3 miss, but is no class; 4 stands on truth 2 only.
        assert_eq!(s.values.iter().map(|v| (v.value, v.iou)).collect::<Vec<_>>(), [(1, 0.6), (3, 0.0)]);
        assert!(close(s.miou, 0.3));
        assert_eq!(s.matrix.values, [1, 2, 3]);
    }

    #[test]
    fn perfect_masks_score_one() {
        let s = scores(&TRUTH, &TRUTH, &[9]);
        assert_eq!((s.miou, s.accuracy, s.agreement), (Some(1.0), Some(1.0), Some(1.0)));
        assert!(s.values.iter().all(|v| v.precision == Some(1.0) && v.recall == Some(1.0)));
    }

    #[test]
    fn where_all_is_ignored_there_are_no_scores() {
        let s = scores(&[0, 0], &[0, 1], &[0]);
        assert_eq!((s.miou, s.accuracy, s.agreement), (None, None, Some(0.5)));
        let empty = Confusion::new().scores();
        assert_eq!((empty.miou, empty.agreement), (None, None));
        let json = serde_json::to_value(&s).unwrap();
        assert!(json["miou"].is_null() && json["agreement"] == 0.5 && json["ignored"] == 2);
    }
}
