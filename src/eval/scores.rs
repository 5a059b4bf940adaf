//! What follows from a confusion matrix.

use serde::Serialize;

use super::boundary::Areas;
use super::calibration::Calibration;
use crate::config::classes::ClassTable;

/// Scores over all counted pixels. A share of nothing is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Scores {
    /// Mean intersection over union of the values that occurred in truth or masks, ignored ones left out.
    pub miou: Option<f64>,
    /// Mean intersection over union, each value weighted by its share of the truth.
    pub fwiou: Option<f64>,
    /// Mean F1 of the values that are in the mean IoU.
    pub macro_f1: Option<f64>,
    /// Cohen's kappa: agreement beyond that of chance; absent where there is one value alone.
    pub kappa: Option<f64>,
    /// Mean boundary IoU of the values that are in the mean IoU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boundary_iou: Option<f64>,
    /// How far probabilities can be believed, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// Share of counted pixels that are right.
    pub accuracy: Option<f64>,
    /// Share of all pixels, ignored ones included, where both files hold the same value.
    pub agreement: Option<f64>,
    /// Pixels that have a value on both sides which counts.
    pub counted: u64,
    /// Pixels that are left out: their truth is ignored or no data.
    pub ignored: u64,
    /// By value, ascending; ignored ones left out.
    pub values: Vec<ValueScore>,
    /// What all scores follow from.
    pub matrix: Matrix,
}

/// Scores of one value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ValueScore {
    /// What the files hold.
    pub value: u16,
    /// Pixels with it on both sides, of those with it on either side.
    pub iou: f64,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// Intersection over union of what lies at its contours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boundary_iou: Option<f64>,
    /// Share of its pixels in the masks that are right; absent where no mask holds it.
    pub precision: Option<f64>,
    /// Share of its pixels in the truth that are found; absent where no truth holds it.
    pub recall: Option<f64>,
    /// Share of the counted pixels whose truth it is.
    pub share: f64,
}

/// Pixels by true class and class in the mask.
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
        let mean = |of: fn(&ValueScore) -> f64| mean(values.iter().map(of));
        let accuracy = ratio(right, counted);
        Self {
            miou: mean(|v| v.iou),
            fwiou: accuracy.map(|_| values.iter().map(|v| v.iou * v.share).sum()),
            macro_f1: mean(|v| v.f1),
            kappa: accuracy.and_then(|accuracy| matrix.kappa(accuracy, counted)),
            boundary_iou: None,
            calibration: None,
            accuracy,
            agreement: ratio(right + ignored_equal, counted + ignored),
            counted,
            ignored,
            values,
            matrix,
        }
    }

    /// The same with boundary IoUs.
    pub(super) fn with_boundaries(mut self, areas: &Areas) -> Self {
        for score in &mut self.values {
            score.boundary_iou = areas.get(&score.value).and_then(|[common, either]| ratio(*common, *either));
        }
        self.boundary_iou = mean(self.values.iter().filter_map(|score| score.boundary_iou));
        self
    }
}

impl Matrix {
    /// Pixels by class: a row per class of the truth, a column per class of the masks, and behind these one for what is none, such as no data.
    pub fn by_class(&self, classes: &ClassTable) -> Vec<Vec<u64>> {
        let n = classes.classes().len();
        let class_of = |value: &u16| classes.classes().iter().position(|class| class.value == *value);
        let places: Vec<Option<usize>> = self.values.iter().map(class_of).collect();
        let mut counts = vec![vec![0; n + 1]; n];
        for (row, own) in self.counts.iter().zip(&places).filter_map(|(row, own)| Some((row, (*own)?))) {
            row.iter().zip(&places).for_each(|(pixels, other)| counts[own][other.unwrap_or(n)] += pixels);
        }
        counts
    }

    /// Cohen's kappa.
    #[expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 pixels lose nothing that a score shows")]
    fn kappa(&self, accuracy: f64, counted: u64) -> Option<f64> {
        let share = |n: u64| n as f64 / counted as f64;
        let by_chance: f64 = (0..self.values.len()).map(|i| share(self.in_truth(i)) * share(self.in_masks(i))).sum();
        (by_chance < 1.0).then(|| (accuracy - by_chance) / (1.0 - by_chance))
    }

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
            f1: ratio(2 * both, truth + mask)?,
            boundary_iou: None,
            precision: ratio(both, mask),
            recall: ratio(both, truth),
            share: ratio(truth, counted)?,
        })
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (n, sum) = values.fold((0_u32, 0.0), |(n, sum), value| (n + 1, sum + value));
    (n > 0).then(|| sum / f64::from(n))
}

#[expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 pixels lose nothing that a score shows")]
fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::classes::{Class, Color};
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
        // F1: 2 x 3 of 4 + 5; 2 x 2 of 4 + 4; 0; 0.
        assert_eq!(s.values.iter().map(|v| v.f1).collect::<Vec<_>>(), [6.0 / 9.0, 4.0 / 8.0, 0.0, 0.0]);
        assert!(close(s.macro_f1, (6.0 / 9.0 + 4.0 / 8.0) / 4.0));
        assert!(close(s.fwiou, 0.4 * 3.0 / 6.0 + 0.4 * 2.0 / 6.0));
        // By chance: 0.4 x 0.5 + 0.4 x 0.4 + 0.2 x 0 + 0 x 0.1 = 0.36.
        assert!(close(s.kappa, (0.5 - 0.36) / (1.0 - 0.36)));
        assert_eq!(scores(&[1, 1], &[1, 1], &[]).kappa, None, "one value alone says nothing");
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
    fn counts_by_class_have_a_row_and_a_column_for_each_class() {
        let class = |id: u8, value| Class { id, name: format!("c{id}"), value, color: Color([id; 3]) };
        let classes = ClassTable::new(vec![class(0, 3), class(1, 1), class(2, 7)], None).unwrap();
        let matrix = scores(&TRUTH, &MASK, &[2]).matrix;
        // Truth 3: one each as 1 and as 2, which is no class; truth 1: three right and one as 2; no 7.
        assert_eq!(matrix.by_class(&classes), [[0, 1, 0, 1], [0, 3, 0, 1], [0, 0, 0, 0]]);
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
