//! The path of least cost through a [`trellis`](super::trellis): Viterbi's algorithm, with a price per bit.

use super::histogram::{Binned, N_KEYS};
use super::trellis::{N_STATES, kind, next_state};

/// Number of subsets of levels: subset `s` is of kind `s & 1` and branch `s >> 1`.
pub(super) const N_SUBSETS: usize = 4;
/// Values after which path costs are brought back to small numbers.
const REBASE: usize = 32;

/// The two ways into each state: the state before, and the subset of the level that leads from it.
const WAYS: [[(u8, u8); 2]; N_STATES] = {
    let mut ways = [[(0, 0); 2]; N_STATES];
    let mut n_ways = [0; N_STATES];
    let mut state = 0;
    while (state as usize) < N_STATES {
        let mut branch = 0;
        while branch < 2 {
            let next = next_state(state, branch) as usize;
            ways[next][n_ways[next]] = (state, kind(state) | branch << 1);
            n_ways[next] += 1;
            branch += 1;
        }
        state += 1;
    }
    ways
};

/// Subset of a level and its position there.
pub(super) type Symbol = (u8, u16);

/// A level as far as a path is concerned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guess {
    pub(super) value: f64,
    /// Length of its code, which need not be whole.
    pub(super) bits: f64,
}

/// The levels of each subset, in ascending order.
pub(super) type Subsets = [Vec<Guess>; N_SUBSETS];

/// Which level of each subset stands for the values of a bin, and at what cost.
pub(super) struct Choices {
    /// Squared distance plus price of the bits, in units of the price.
    costs: Vec<[f32; N_SUBSETS]>,
    /// The position in the subset.
    levels: Vec<[u16; N_SUBSETS]>,
}

impl Choices {
    /// The best level of every subset for every bin, at a `price` per bit. Subsets are not empty.
    pub(super) fn new(binned: &Binned, subsets: &Subsets, price: f64) -> Self {
        let mut choices = Self { costs: vec![[0.0; N_SUBSETS]; N_KEYS], levels: vec![[0; N_SUBSETS]; N_KEYS] };
        let histogram = &binned.histogram;
        for (subset, levels) in subsets.iter().enumerate() {
            let values: Vec<f64> = levels.iter().map(|guess| guess.value).collect();
            let bits: Vec<f64> = levels.iter().map(|guess| guess.bits).collect();
            let mut reaches = reaches(&values, &bits, price).into_iter().peekable();
            for (key, mean) in histogram.keys.iter().zip(&histogram.means) {
                while reaches.next_if(|(_, end)| end <= mean).is_some() {}
                let Some(&(level, _)) = reaches.peek() else { continue };
                let cost = (mean - values[level]).powi(2) / price + bits[level];
                choices.costs[usize::from(*key)][subset] = rounded(cost);
                choices.levels[usize::from(*key)][subset] = u16::try_from(level).unwrap_or(u16::MAX);
            }
        }
        choices
    }

    /// The path of least cost through the values of these bins, from state 0 on.
    pub(super) fn path(&self, keys: &[u16]) -> Vec<Symbol> {
        let mut costs = [f32::INFINITY; N_STATES];
        costs[0] = 0.0;
        let mut decisions = Vec::with_capacity(keys.len());
        for run in keys.chunks(REBASE) {
            for key in run {
                let (next, decision) = advance(&costs, &self.costs[usize::from(*key)]);
                costs = next;
                decisions.push(decision);
            }
            let least = costs.iter().copied().fold(f32::INFINITY, f32::min);
            costs.iter_mut().for_each(|cost| *cost -= least);
        }
        let best = (0..N_STATES).min_by(|a, b| costs[*a].total_cmp(&costs[*b]));
        let mut state = best.unwrap_or(0);
        let mut path = vec![(0, 0); keys.len()];
        for ((symbol, key), decision) in path.iter_mut().zip(keys).zip(decisions).rev() {
            let (before, subset) = WAYS[state][usize::from(decision >> state & 1)];
            *symbol = (subset, self.levels[usize::from(*key)][usize::from(subset)]);
            state = usize::from(before);
        }
        path
    }

    /// Upper bound of the largest error of a value of the tensor.
    pub(super) fn max_error(&self, binned: &Binned, subsets: &Subsets) -> f64 {
        let of_bin = |(idx, key): (usize, &u16)| {
            let of_subset = |(levels, position): (&Vec<Guess>, &u16)| {
                binned.histogram.max_error(idx, levels[usize::from(*position)].value)
            };
            subsets.iter().zip(&self.levels[usize::from(*key)]).map(of_subset).fold(0.0, f64::max)
        };
        binned.histogram.keys.iter().enumerate().map(of_bin).fold(0.0, f64::max)
    }
}

/// The levels that are best anywhere, in ascending order, each with the value where its reach ends; the last is infinite.
///
/// The cost of a level is a parabola over the value, all of them equally wide, so their lower envelope is one of straight lines and
/// each level has one interval or none.
fn reaches(levels: &[f64], bits: &[f64], price: f64) -> Vec<(usize, f64)> {
    let meet = |a: usize, b: usize| {
        let distance = levels[b] - levels[a];
        if distance > 0.0 {
            (levels[a] + levels[b]) / 2.0 + price * (bits[b] - bits[a]) / (2.0 * distance)
        } else if bits[b] < bits[a] {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        }
    };
    let mut envelope: Vec<(usize, f64)> = Vec::with_capacity(levels.len());
    for level in 0..levels.len() {
        let start = loop {
            match envelope.last() {
                None => break f64::NEG_INFINITY,
                Some(&(top, top_start)) => {
                    let start = meet(top, level);
                    if start > top_start {
                        break start;
                    }
                    envelope.pop();
                }
            }
        };
        if start < f64::INFINITY {
            envelope.push((level, start));
        }
    }
    let ends = envelope.iter().skip(1).map(|(_, start)| *start).chain([f64::INFINITY]);
    envelope.iter().map(|(level, _)| *level).zip(ends).collect()
}

/// One value further: the least cost of each state, and in bit `s` of a byte which of its two ways state `s` was reached on.
#[inline(always)]
fn advance(costs: &[f32; N_STATES], choices: &[f32; N_SUBSETS]) -> ([f32; N_STATES], u8) {
    let mut next = [0.0; N_STATES];
    let mut decision = 0;
    for (state, ways) in WAYS.iter().enumerate() {
        let [first, second] = ways.map(|(before, subset)| costs[usize::from(before)] + choices[usize::from(subset)]);
        next[state] = if second < first { second } else { first };
        decision |= u8::from(second < first) << state;
    }
    (next, decision)
}

#[expect(clippy::cast_possible_truncation, reason = "costs of paths need no more than f32")]
fn rounded(cost: f64) -> f32 {
    cost as f32
}

#[cfg(test)]
mod tests {
    use super::super::testing::gaussian;
    use super::*;

    /// Levels at the multiples of 1/2, all with codes of equal length.
    fn subsets() -> Subsets {
        [0i8, 1, 2, 3].map(|subset| {
            let multiples = (-4..=4i8).map(|j| f64::from(4 * j + subset) / 2.0);
            multiples.map(|value| Guess { value, bits: 3.0 }).collect()
        })
    }

    fn cost(path: &[Symbol], values: &[f64]) -> f64 {
        let error = |(&(subset, level), x): (&Symbol, &f64)| {
            (subsets()[usize::from(subset)][usize::from(level)].value - x).powi(2)
        };
        path.iter().zip(values).map(error).sum()
    }

    #[test]
    fn a_path_is_one_that_the_machine_can_walk_and_none_is_better() {
        let values = gaussian(5, 10);
        let binned = Binned::new(&values, 1);
        let factor = f64::from(binned.scales.factors()[0]);
        let scaled: Vec<f64> = values.iter().map(|v| f64::from(*v) / factor).collect();
        let choices = Choices::new(&binned, &subsets(), 0.1);
        let path = choices.path(&binned.keys);
        let mut state = 0;
        for (subset, _) in &path {
            assert_eq!(subset & 1, kind(state));
            state = next_state(state, subset >> 1);
        }
        let found = cost(&path, &scaled);
        for branches in 0..1u16 << values.len() {
            let mut state = 0;
            let other: Vec<Symbol> = (0..values.len())
                .map(|idx| {
                    let branch = u8::from(branches >> idx & 1 == 1);
                    let subset = kind(state) | branch << 1;
                    state = next_state(state, branch);
                    (subset, choices.levels[usize::from(binned.keys[idx])][usize::from(subset)])
                })
                .collect();
            assert!(cost(&other, &scaled) > found - 1e-4);
        }
    }

    #[test]
    fn a_dear_level_reaches_less_far_or_nowhere() {
        assert_eq!(reaches(&[0.0, 2.0], &[1.0, 1.0], 1.0), [(0, 1.0), (1, f64::INFINITY)]);
        assert_eq!(reaches(&[0.0, 2.0], &[1.0, 2.0], 1.0), [(0, 1.25), (1, f64::INFINITY)]);
        assert_eq!(reaches(&[0.0, 1.0, 2.0], &[1.0, 9.0, 1.0], 1.0), [(0, 1.0), (2, f64::INFINITY)]);
    }
}
