//! Arrays as they lie in a storage: an offset, and a step for each dimension.

use std::ops::Range;

/// Most dimensions that an array may have; weights have at most five.
pub(super) const MAX_DIMS: usize = 8;
/// Most elements that an array may have whose steps repeat values (step 0), beyond what its storage holds.
const MAX_REPEATED: usize = 1 << 20;

/// Which elements of a storage an array consists of. Everything counts in elements, and lies within the storage.
#[derive(Clone, Debug)]
pub(super) struct Strided {
    shape: Vec<usize>,
    strides: Vec<usize>,
    offset: usize,
    n_elements: usize,
    /// One past the last element of the storage that is used.
    end: usize,
}

impl Strided {
    /// The elements `offset + sum(index * stride)` of a storage of `n_stored` elements.
    ///
    /// # Errors
    /// When the array leaves the storage, has too many dimensions, or repeats values to more than a storage may hold.
    pub(super) fn new(shape: Vec<usize>, strides: Vec<usize>, offset: usize, n_stored: usize) -> Result<Self, String> {
        if shape.len() != strides.len() || shape.len() > MAX_DIMS {
            return Err(format!("{} sizes and {} steps, at most {MAX_DIMS}", shape.len(), strides.len()));
        }
        let outside = || format!("{shape:?} with the steps {strides:?} from {offset} leaves its {n_stored} values");
        let n_elements = shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size)).ok_or_else(outside)?;
        if n_elements == 0 {
            return Ok(Self { shape, strides, offset: 0, n_elements, end: 0 });
        }
        let last = shape.iter().zip(&strides).try_fold(offset, |at, (&size, &step)| {
            // No size is 0 here.
            at.checked_add((size - 1).checked_mul(step)?)
        });
        let end = last.and_then(|last| last.checked_add(1)).filter(|end| *end <= n_stored).ok_or_else(outside)?;
        if n_elements > n_stored.max(MAX_REPEATED) {
            return Err(format!("{shape:?} repeats the {n_stored} values of its storage too often"));
        }
        Ok(Self { shape, strides, offset, n_elements, end })
    }

    /// Row-major (or, of `column_major`, the other) order without gaps.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(super) fn dense(shape: Vec<usize>, column_major: bool, n_stored: usize) -> Result<Self, String> {
        let mut strides = vec![0; shape.len()];
        let mut step = 1usize;
        for nth in 0..shape.len() {
            let dim = if column_major { nth } else { shape.len() - 1 - nth };
            strides[dim] = step;
            step = step.saturating_mul(shape[dim]);
        }
        Self::new(shape, strides, 0, n_stored)
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The stretch of the storage that holds all elements.
    pub(super) fn span(&self) -> Range<usize> {
        self.offset..self.end
    }

    /// The elements in row-major order, from the bytes of [`Self::span`].
    pub(super) fn gather(&self, span: Vec<u8>, element_bytes: usize) -> Vec<u8> {
        if self.is_contiguous() {
            return span;
        }
        let mut gathered = Vec::with_capacity(self.n_elements.saturating_mul(element_bytes));
        let mut index = vec![0usize; self.shape.len()];
        for _ in 0..self.n_elements {
            let at: usize = index.iter().zip(&self.strides).map(|(i, step)| i * step).sum();
            gathered.extend_from_slice(&span[at * element_bytes..][..element_bytes]);
            self.advance(&mut index);
        }
        gathered
    }

    /// The index after `index` in row-major order.
    fn advance(&self, index: &mut [usize]) {
        for dim in (0..index.len()).rev() {
            index[dim] += 1;
            if index[dim] < self.shape[dim] {
                return;
            }
            index[dim] = 0;
        }
    }

    /// Whether the span is the array already.
    fn is_contiguous(&self) -> bool {
        let mut step = 1;
        for (&size, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if size != 1 && stride != step {
                return self.n_elements == 0;
            }
            step *= size;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(shape: &[usize], strides: &[usize], offset: usize, storage: &[u8]) -> Vec<u8> {
        let array = Strided::new(shape.to_vec(), strides.to_vec(), offset, storage.len()).unwrap();
        array.gather(storage[array.span()].to_vec(), 1)
    }

    #[test]
    fn offsets_and_steps_select_the_elements() {
        let storage: Vec<u8> = (0..12).collect();
        assert_eq!(gathered(&[2, 2], &[4, 1], 3, &storage), [3, 4, 7, 8]);
        assert_eq!(gathered(&[3, 2], &[1, 3], 0, &storage), [0, 3, 1, 4, 2, 5]);
        assert_eq!(gathered(&[2, 3], &[3, 1], 6, &storage), [6, 7, 8, 9, 10, 11]);
        assert_eq!(gathered(&[3], &[0], 5, &storage), [5, 5, 5]);
        assert_eq!(gathered(&[], &[], 11, &storage), [11]);
        assert_eq!(gathered(&[0, 3], &[3, 1], 99, &storage), [0u8; 0]);
        assert_eq!(gathered(&[1, 4], &[77, 1], 2, &storage), [2, 3, 4, 5]);
    }

    #[test]
    fn what_leaves_the_storage_or_overflows_is_refused() {
        for (shape, strides, offset) in [
            (vec![2, 2], vec![4, 1], 7),
            (vec![13], vec![1], 0),
            (vec![1], vec![1], 12),
            (vec![2], vec![usize::MAX], 1),
            (vec![usize::MAX, usize::MAX], vec![0, 0], 0),
            (vec![1 << 40], vec![0], 0),
            (vec![1, 1], vec![1], 0),
            (vec![1; 9], vec![1; 9], 0),
        ] {
            assert!(
                Strided::new(shape.clone(), strides.clone(), offset, 12).is_err(),
                "{shape:?} {strides:?} {offset}"
            );
        }
    }
}
