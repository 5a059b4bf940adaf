//! One axis of two grids over the same ground, edge to edge: which positions of the one a position of the other is made of.
//!
//! Everything follows from whole numbers, so that it is the same from whatever window it is asked.

use super::Span;

/// An axis of `from` positions that becomes one of `to`, both at least 1 and below 2^31.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rescale {
    /// Positions of the first grid.
    pub from: u32,
    /// Positions of the second.
    pub to: u32,
}

impl Rescale {
    /// The position of the first grid that the centre of `at` of the second lies in.
    pub fn nearest(self, at: u32) -> u32 {
        let position = (2 * u64::from(at) + 1) * u64::from(self.from) / (2 * u64::from(self.to));
        u32::try_from(position).unwrap_or(u32::MAX).min(self.from - 1)
    }

    /// [`Self::nearest`] of every position, in order.
    pub fn all_nearest(self) -> impl Iterator<Item = u32> {
        // Steps instead of a division for each, which would take longer than all else about a row of labels.
        let (whole, step, over) = (2 * u64::from(self.to), self.from / self.to, 2 * u64::from(self.from % self.to));
        let (mut next, mut rest) = (self.nearest(0), u64::from(self.from) % whole);
        (0..self.to).map(move |_| {
            let position = next;
            rest += over;
            let carry = rest >= whole;
            rest -= if carry { whole } else { 0 };
            next = position + step + u32::from(carry);
            position
        })
    }

    /// The positions of the second grid whose centres lie in these of the first.
    pub fn centred_in(self, positions: Span) -> Span {
        // The first whose centre, (2 at + 1) from / 2 to, has reached a position.
        let first = |position: u32| {
            let (from, to) = (u64::from(self.from), u64::from(self.to));
            let reached = (2 * u64::from(position) * to).saturating_sub(from).div_ceil(2 * from);
            u32::try_from(reached).unwrap_or(u32::MAX).min(self.to)
        };
        Span::new(first(positions.start), first(positions.end))
    }

    /// The positions of the first grid that these of the second are averages, or samples of a curve, of.
    pub fn source(self, positions: Span) -> Span {
        Span::new(self.reach(positions.start).start, self.reach(positions.end.max(1) - 1).end)
    }

    /// What `at` is made of: the first of its positions and the share of each, which add up to [`Self::total`].
    ///
    /// Where the second grid has fewer positions, or as many, a share is the length that both have in common, in whole numbers: so means
    /// of integers are exact. Where it has more, shares are those of cubic convolution (Keys 1981, a = -0.5), and what would lie beyond an
    /// end has none.
    pub fn shares(self, at: u32, shares: &mut Vec<f64>) -> u32 {
        shares.clear();
        let reach = self.reach(at);
        if self.to > self.from {
            let (base, fraction) = self.centre(at);
            shares
                .extend((reach.start..reach.end).map(|position| cubic((i64::from(position) - base) as f64 - fraction)));
            let sum: f64 = shares.iter().sum();
            shares.iter_mut().for_each(|share| *share /= sum);
        } else {
            let (from, to) = self.lowest_terms();
            let (start, end) = (u64::from(at) * from, (u64::from(at) + 1) * from);
            let common = |position: u32| {
                let position = u64::from(position);
                ((position + 1) * to).min(end) - (position * to).max(start)
            };
            shares.extend((reach.start..reach.end).map(|position| common(position) as f64));
        }
        reach.start
    }

    /// What the shares of a position add up to.
    pub fn total(self) -> f64 {
        if self.to > self.from { 1.0 } else { self.lowest_terms().0 as f64 }
    }

    fn reach(self, at: u32) -> Span {
        let position = |v: u64| u32::try_from(v).unwrap_or(self.from).min(self.from);
        if self.to > self.from {
            let (base, _) = self.centre(at);
            let clamped = |v: i64| position(u64::try_from(v).unwrap_or(0));
            return Span::new(clamped(base - 1), clamped(base + 3));
        }
        let (from, to) = self.lowest_terms();
        Span::new(position(u64::from(at) * from / to), position(((u64::from(at) + 1) * from).div_ceil(to)))
    }

    /// The centre of `at` among the centres of the first grid: the last one before it, and how far behind that it lies.
    fn centre(self, at: u32) -> (i64, f64) {
        let (from, to) = (i64::from(self.from), i64::from(self.to));
        let (above, below) = ((2 * i64::from(at) + 1) * from - to, 2 * to);
        (above.div_euclid(below), above.rem_euclid(below) as f64 / below as f64)
    }

    fn lowest_terms(self) -> (u64, u64) {
        let (mut a, mut b) = (self.from, self.to);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        (u64::from(self.from / a.max(1)), u64::from(self.to / a.max(1)))
    }
}

/// The kernel of cubic convolution.
fn cubic(distance: f64) -> f64 {
    let x = distance.abs();
    match x {
        _ if x <= 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        _ if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shares(from: u32, to: u32, at: u32) -> (u32, Vec<f64>) {
        let mut shares = Vec::new();
        (Rescale { from, to }.shares(at, &mut shares), shares)
    }

    #[test]
    fn shrinking_takes_the_length_that_is_covered() {
        // Five become three: 5/3 each.
        assert_eq!(
            [0, 1, 2].map(|at| shares(5, 3, at)),
            [(0, vec![3.0, 2.0]), (1, vec![1.0, 3.0, 1.0]), (3, vec![2.0, 3.0])]
        );
        assert_eq!(shares(8, 4, 3), (6, vec![1.0, 1.0]));
        assert_eq!(shares(7, 7, 4), (4, vec![1.0]));
        assert_eq!(shares(64, 1, 0), (0, vec![1.0; 64]));
    }

    #[test]
    fn enlarging_takes_the_four_around_with_the_weights_of_keys() {
        // Twice as many: a quarter behind the second centre, and a quarter before it.
        let quarter = [-0.070_312_5, 0.867_187_5, 0.226_562_5, -0.023_437_5];
        let reversed: Vec<f64> = quarter.iter().rev().copied().collect();
        assert_eq!([shares(10, 20, 9), shares(10, 20, 8)], [(3, quarter.to_vec()), (2, reversed)]);
        // At an end what is missing is left out, and the rest sums to 1.
        let (first, ends) = shares(10, 20, 0);
        assert_eq!((first, ends.len()), (0, 2));
        assert!((ends.iter().sum::<f64>() - 1.0).abs() < 1e-15);
        assert_eq!(shares(1, 64, 63), (0, vec![1.0]));
    }

    proptest! {
        #[test]
        fn the_two_grids_cover_each_other(from in 1u32..200, to in 1u32..200, start in 0u32..200, len in 1u32..200) {
            let axis = Rescale { from, to };
            let span = Span::new(start % to, (start % to + len).min(to));
            let mut all = Vec::new();
            let reaches: Vec<Span> = (span.start..span.end)
                .map(|at| {
                    let mut own = Vec::new();
                    let first = axis.shares(at, &mut own);
                    let sum: f64 = own.iter().sum();
                    all.push((sum - axis.total()).abs() < 1e-12);
                    Span::new(first, first + u32::try_from(own.len()).unwrap())
                })
                .collect();
            prop_assert!(all.iter().all(|sums_up| *sums_up));
            let union = reaches.into_iter().reduce(Span::union).unwrap();
            prop_assert_eq!(axis.source(span), union);
            let nearest: Vec<u32> = (0..to).map(|at| axis.nearest(at)).collect();
            prop_assert_eq!(axis.all_nearest().collect::<Vec<_>>(), nearest.clone());
            let of = Span::new(start % from, (start % from + len).min(from));
            let centred = axis.centred_in(of);
            let inside: Vec<u32> = (0..to).filter(|at| (of.start..of.end).contains(&nearest[*at as usize])).collect();
            prop_assert_eq!((centred.start..centred.end).collect::<Vec<_>>(), inside);
        }
    }

    #[test]
    fn the_largest_grids_stay_within_the_numbers() {
        let most = u32::try_from(i32::MAX).unwrap();
        for (from, to) in [(most, most / 64 + 1), (most / 64 + 1, most), (most, most - 1)] {
            let axis = Rescale { from, to };
            assert_eq!(axis.centred_in(Span::new(0, from)), Span::new(0, to));
            assert_eq!(axis.source(Span::new(0, to)), Span::new(0, from));
            assert_eq!((axis.nearest(0), from - 1 - axis.nearest(to - 1)), (from / to / 2, from / to / 2));
        }
    }
}
