//! Counts of (truth, mask) pairs of values.

use super::EvalError;
use super::scores::Scores;

/// More different values than this are no classes.
pub(super) const MAX_VALUES: usize = 1024;

/// Index of a value that has not occurred.
const UNSEEN: u16 = u16::MAX;

/// The confusion matrix over the values that occurred, and what was left out of it.
///
/// A pixel whose truth is an ignored value is left out: it is counted as ignored and for the agreement, nothing else.
/// Where a mask holds that value on a counted pixel, the pixel is simply wrong.
#[derive(Clone, Debug)]
pub struct Confusion {
    /// Position of each value, by value.
    index: Box<[u16; 1 << 16]>,
    /// The values in order of occurrence.
    values: Vec<u16>,
    /// Rows of `stride` counts, one row per truth value.
    counts: Vec<u64>,
    stride: usize,
    ignored: u64,
    /// Ignored pixels where the mask holds the same value.
    ignored_equal: u64,
    /// Values that were to be ignored, ascending.
    ignore: Vec<u16>,
}

impl Default for Confusion {
    fn default() -> Self {
        Self::new()
    }
}

impl Confusion {
    /// Nothing counted.
    pub fn new() -> Self {
        Self {
            index: Box::new([UNSEEN; 1 << 16]),
            values: Vec::new(),
            counts: Vec::new(),
            stride: 0,
            ignored: 0,
            ignored_equal: 0,
            ignore: Vec::new(),
        }
    }

    /// Counts pixels; `ignore` are the truth values that are left out.
    ///
    /// # Errors
    /// When the two are not equally long, or more values occur than there can be classes. The counts are not usable
    /// then.
    pub fn add(&mut self, truth: &[u16], mask: &[u16], ignore: &[u16]) -> Result<(), EvalError> {
        if truth.len() != mask.len() {
            return Err(EvalError::Length { truth: truth.len(), mask: mask.len() });
        }
        ignore.iter().for_each(|value| self.no_class(*value));
        let is_left_out: Vec<bool> = truth.iter().map(|value| ignore.contains(value)).collect();
        self.add_row(truth, mask, &is_left_out)
    }

    /// Counts pixels that are not left out.
    pub(super) fn add_row(&mut self, truth: &[u16], mask: &[u16], is_left_out: &[bool]) -> Result<(), EvalError> {
        for ((truth, mask), is_left_out) in truth.iter().zip(mask).zip(is_left_out) {
            if *is_left_out {
                self.ignored += 1;
                self.ignored_equal += u64::from(truth == mask);
                continue;
            }
            let (mut row, mut column) = (self.index[usize::from(*truth)], self.index[usize::from(*mask)]);
            if row == UNSEEN || column == UNSEEN {
                (row, column) = (self.admit(*truth)?, self.admit(*mask)?);
            }
            self.counts[usize::from(row) * self.stride + usize::from(column)] += 1;
        }
        Ok(())
    }

    /// Says that a value is no class where no counted truth holds it.
    pub(super) fn no_class(&mut self, value: u16) {
        if let Err(at) = self.ignore.binary_search(&value) {
            self.ignore.insert(at, value);
        }
    }

    /// Adds what another one counted.
    ///
    /// # Errors
    /// As [`Self::add`]'s for too many values.
    pub fn merge(&mut self, other: &Self) -> Result<(), EvalError> {
        for (i, truth) in other.values.iter().enumerate() {
            for (j, mask) in other.values.iter().enumerate() {
                let n = other.counts[i * other.stride + j];
                if n > 0 {
                    let (row, column) = (self.admit(*truth)?, self.admit(*mask)?);
                    self.counts[usize::from(row) * self.stride + usize::from(column)] += n;
                }
            }
        }
        self.ignored += other.ignored;
        self.ignored_equal += other.ignored_equal;
        self.ignore.extend(&other.ignore);
        self.ignore.sort_unstable();
        self.ignore.dedup();
        Ok(())
    }

    /// What follows from the counts.
    pub fn scores(&self) -> Scores {
        let mut order: Vec<usize> = (0..self.values.len()).collect();
        order.sort_unstable_by_key(|i| self.values[*i]);
        let values = order.iter().map(|i| self.values[*i]).collect();
        let row = |i: &usize| order.iter().map(|j| self.counts[i * self.stride + j]).collect();
        Scores::of(values, order.iter().map(row).collect(), self.ignored, self.ignored_equal, &self.ignore)
    }

    /// Position of a value, given one if it has none.
    fn admit(&mut self, value: u16) -> Result<u16, EvalError> {
        let known = self.index[usize::from(value)];
        if known != UNSEEN {
            return Ok(known);
        }
        let next = u16::try_from(self.values.len()).ok().filter(|n| usize::from(*n) < MAX_VALUES);
        let next = next.ok_or(EvalError::TooManyValues)?;
        if self.values.len() == self.stride {
            self.widen();
        }
        self.values.push(value);
        self.index[usize::from(value)] = next;
        Ok(next)
    }

    fn widen(&mut self) {
        let stride = (self.stride * 2).max(16);
        let mut counts = vec![0; stride * stride];
        for (i, row) in self.counts.chunks_exact(self.stride.max(1)).enumerate() {
            counts[i * stride..][..row.len()].copy_from_slice(row);
        }
        (self.counts, self.stride) = (counts, stride);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(truth: &[u16], mask: &[u16], ignore: &[u16]) -> Confusion {
        let mut confusion = Confusion::new();
        confusion.add(truth, mask, ignore).unwrap();
        confusion
    }

    #[test]
    fn the_matrix_counts_by_truth_then_mask_in_order_of_value() {
        let scores = count(&[7, 7, 7, 1, 1, 300], &[7, 1, 1, 1, 300, 300], &[]).scores();
        assert_eq!(scores.matrix.values, [1, 7, 300]);
        assert_eq!(scores.matrix.counts, [[1, 0, 1], [2, 1, 0], [0, 0, 1]]);
        assert_eq!((scores.counted, scores.ignored), (6, 0));
    }

    #[test]
    fn ignored_truth_leaves_no_trace_in_the_matrix() {
        let scores = count(&[0, 0, 5, 5], &[9, 0, 5, 0], &[0]).scores();
        assert_eq!(scores.matrix.values, [0, 5]);
        assert_eq!(scores.matrix.counts, [[0, 0], [1, 1]]);
        assert_eq!((scores.counted, scores.ignored), (2, 2));
    }

    #[test]
    fn it_grows_to_as_many_values_as_there_may_be_classes() {
        let all: Vec<u16> = (0..1024).map(|v| v * 64).collect();
        let mut confusion = Confusion::new();
        for value in &all {
            confusion.add(&[*value, *value], &[*value, 0], &[]).unwrap();
        }
        let scores = confusion.scores();
        assert_eq!(scores.matrix.values, all);
        for (i, row) in scores.matrix.counts.iter().enumerate() {
            let diagonal = if i == 0 { 2 } else { 1 };
            assert_eq!((row[i], row[0], row.iter().sum::<u64>()), (diagonal, if i == 0 { 2 } else { 1 }, 2));
        }
        assert!(matches!(confusion.add(&[1], &[0], &[]), Err(EvalError::TooManyValues)));
    }

    #[test]
    fn the_largest_value_is_a_value_like_others() {
        let scores = count(&[65535, 65535], &[65535, 0], &[]).scores();
        assert_eq!((scores.matrix.values, scores.matrix.counts), (vec![0, 65535], vec![vec![0, 0], vec![1, 1]]));
    }

    #[test]
    fn merged_counts_equal_counts_made_at_once() {
        let truth: Vec<u16> = (0..1000u16).map(|i| i.wrapping_mul(i) % 37).collect();
        let mask: Vec<u16> = (0..1000u16).map(|i| i % 41).collect();
        let mut merged = count(&truth[..300], &mask[..300], &[4]);
        merged.merge(&count(&truth[300..], &mask[300..], &[4])).unwrap();
        let at_once = count(&truth, &mask, &[4]).scores();
        assert_eq!(merged.scores(), at_once);
        assert_eq!(at_once.counted + at_once.ignored, 1000);
    }

    #[test]
    fn unequal_lengths_are_refused() {
        let error = Confusion::new().add(&[1, 2], &[1], &[]).unwrap_err();
        assert!(matches!(error, EvalError::Length { truth: 2, mask: 1 }));
    }
}
