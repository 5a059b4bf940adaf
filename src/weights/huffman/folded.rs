//! Tensors folded to sparse matrices.

/// Whether a matrix is stored by rows or by columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    Rows,
    Columns,
}

impl Order {
    /// What file names call it.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Rows => "csr",
            Self::Columns => "csc",
        }
    }
}

/// The matrix that a tensor is folded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Folded {
    n_rows: usize,
    n_columns: usize,
    pub(super) order: Order,
}

/// The arrays of a sparse matrix.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sparse<'a> {
    /// Bits of the values that are not zero.
    pub(super) data: &'a [u32],
    /// Position of each within its row (or column).
    pub(super) indices: &'a [u32],
    /// Values of each row (or column).
    pub(super) counts: &'a [u32],
}

impl Folded {
    /// The matrix of a tensor of this shape, `None` if it has no elements or too many.
    ///
    /// A matrix stays as it is. Anything else of n elements gets as many columns as the smallest divisor of n that is not below
    /// the root of n, rounded down. By rows if there are fewer rows than columns.
    pub(super) fn new(shape: &[usize]) -> Option<Self> {
        let n = shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size)).filter(|n| *n > 0)?;
        let (n_rows, n_columns) = match *shape {
            [n_rows, n_columns] => (n_rows, n_columns),
            _ => {
                let root = n.isqrt();
                // Above the root, the smallest divisor belongs to the largest one below.
                let divisor = (1..=root).rev().find(|d| n.is_multiple_of(*d))?;
                if divisor == root { (n / root, root) } else { (divisor, n / divisor) }
            }
        };
        let order = if n_rows < n_columns { Order::Rows } else { Order::Columns };
        Some(Self { n_rows, n_columns, order })
    }

    pub(super) fn n_elements(&self) -> usize {
        // `new` has seen that this does not overflow.
        self.n_rows * self.n_columns
    }

    /// Rows of a matrix by rows, columns of one by columns.
    pub(super) fn n_major(&self) -> usize {
        match self.order {
            Order::Rows => self.n_rows,
            Order::Columns => self.n_columns,
        }
    }

    /// The tensor's values, row-major, as little-endian f32.
    ///
    /// # Errors
    /// When the arrays contradict each other or leave the matrix.
    pub(super) fn unfold(&self, sparse: Sparse<'_>) -> Result<Vec<u8>, String> {
        let Sparse { data, indices, counts } = sparse;
        let n_values: u64 = counts.iter().map(|&count| u64::from(count)).sum();
        if counts.len() != self.n_major() || data.len() != indices.len() || n_values != data.len() as u64 {
            return Err(format!(
                "{} values, {} positions and {n_values} of {} {} do not make a matrix",
                data.len(),
                indices.len(),
                counts.len(),
                self.order.suffix(),
            ));
        }
        let n_minor = self.n_elements() / self.n_major();
        let mut bytes = vec![0; self.n_elements() * 4];
        let mut values = data.iter().zip(indices);
        for (major, &count) in counts.iter().enumerate() {
            let mut from = 0;
            for (&value, &minor) in values.by_ref().take(count as usize) {
                let minor = minor as usize;
                if minor < from || minor >= n_minor {
                    return Err(format!("a value at {minor} of {n_minor}, after {from}"));
                }
                from = minor + 1;
                let at = match self.order {
                    Order::Rows => major * self.n_columns + minor,
                    Order::Columns => minor * self.n_columns + major,
                };
                bytes[at * 4..][..4].copy_from_slice(&value.to_le_bytes());
            }
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(shape: &[usize]) -> (usize, usize, Order) {
        let folded = Folded::new(shape).unwrap();
        (folded.n_rows, folded.n_columns, folded.order)
    }

    #[test]
    fn the_smallest_divisor_from_the_root_upwards_is_the_number_of_columns() {
        assert_eq!(matrix(&[12, 3, 3, 3]), (18, 18, Order::Columns));
        assert_eq!(matrix(&[7, 12, 1, 1]), (7, 12, Order::Rows));
        assert_eq!(matrix(&[12]), (4, 3, Order::Columns));
        assert_eq!(matrix(&[13]), (1, 13, Order::Rows));
        assert_eq!(matrix(&[9, 20]), (9, 20, Order::Rows));
        assert_eq!(matrix(&[20, 9]), (20, 9, Order::Columns));
        assert_eq!(matrix(&[1]), (1, 1, Order::Columns));
        for n in 1..500usize {
            let columns = (n.isqrt()..=n).find(|d| n.is_multiple_of(*d)).unwrap();
            assert_eq!(matrix(&[n]).1, columns, "{n}");
        }
        assert_eq!(Folded::new(&[0, 3]), None);
        assert_eq!(Folded::new(&[usize::MAX, 2]), None);
    }

    #[test]
    fn values_return_to_their_places() {
        let (data, indices) = ([1f32.to_bits(), 2f32.to_bits(), 3f32.to_bits()], [2, 0, 1]);
        let values = |shape: &[usize], counts: &[u32]| -> Vec<f32> {
            let bytes = Folded::new(shape).unwrap().unfold(Sparse { data: &data, indices: &indices, counts }).unwrap();
            bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
        };
        assert_eq!(values(&[2, 3], &[1, 2]), [0., 0., 1., 2., 3., 0.]);
        assert_eq!(values(&[3, 2], &[1, 2]), [0., 2., 0., 3., 1., 0.]);
    }

    #[test]
    fn arrays_that_contradict_each_other_are_refused() {
        let refused = |data: &[u32], indices: &[u32], counts: &[u32]| {
            Folded::new(&[2, 3]).unwrap().unfold(Sparse { data, indices, counts }).is_err()
        };
        assert!(!refused(&[1, 2], &[0, 1], &[2, 0]));
        assert!(refused(&[1, 2], &[0, 0], &[2, 0]), "twice at one place");
        assert!(refused(&[1, 2], &[1, 0], &[2, 0]), "out of order");
        assert!(refused(&[1, 2], &[0, 3], &[2, 0]), "outside");
        assert!(refused(&[1, 2], &[0, 1], &[1, 0]), "too few");
        assert!(refused(&[1, 2], &[0, 1], &[u32::MAX, 3]), "too many");
        assert!(refused(&[1, 2], &[0], &[2, 0]), "a value without a place");
        assert!(refused(&[1, 2], &[0, 1], &[2]), "a row is missing");
    }
}
