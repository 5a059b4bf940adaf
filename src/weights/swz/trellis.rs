//! Values coded as levels of which only every other one can be meant: trellis-coded quantisation.
//!
//! The levels are about half as far apart as those of a scalar quantiser of the same size. They belong to four subsets in turn, D0 D1
//! D2 D3, and a machine of eight states walks along with the values: in half of the states a value has a level of D0 or D2, in the
//! others of D1 or D3, and which of the two it is moves the machine. A value thus picks among levels that are no closer than a scalar
//! quantiser's, but an encoder that looks ahead steers which ones they are, and its errors are a decibel smaller at equal size
//! (Marcellin and Fischer, "Trellis coded quantization of memoryless and Gauss-Markov sources", 1990; with codes of their own for both
//! kinds of states: Fischer and Wang, "Entropy-constrained trellis-coded quantization", 1992).
//!
//! The machine is the systematic feedback encoder of Ungerboeck's code with the parity checks 13 and 04 (octal) ("Channel coding with
//! multilevel/phase signals", 1982, table I, eight states).

use half::f16;

use super::bits::BitReader;
use super::fields::{Broken, Fields};
use super::huffman::{self, MAX_SYMBOLS, Table};
use super::scales::Scales;
use super::streams::{self, Decoder};

pub(super) const N_STATES: usize = 8;

/// The kind of a state: 0 for D0 and D2, 1 for D1 and D3.
pub(super) const fn kind(state: u8) -> u8 {
    state & 1
}

/// Where a level moves the machine; `branch` is 0 for D0 and D1, 1 for D2 and D3.
pub(super) const fn next_state(state: u8, branch: u8) -> u8 {
    let (first, second, third) = (state & 1, state >> 1 & 1, state >> 2 & 1);
    (second ^ first) | (third ^ branch) << 1 | first << 2
}

/// A level of one kind of states.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Level {
    pub(super) value: f16,
    pub(super) branch: u8,
    /// Length of its code.
    pub(super) length: u8,
}

/// Appends the levels of one kind of states.
pub(super) fn write_levels(out: &mut Vec<u8>, levels: &[Level]) -> Result<(), Broken> {
    let n_levels = u16::try_from(levels.len()).map_err(|_| Broken::new("it has too many levels"))?;
    out.extend(n_levels.to_le_bytes());
    out.extend(levels.iter().flat_map(|level| level.value.to_le_bytes()));
    out.extend(levels.chunks(8).map(|group| group.iter().rev().fold(0, |byte, level| byte << 1 | level.branch)));
    out.extend(huffman::pack(&levels.iter().map(|level| level.length).collect::<Vec<_>>()));
    Ok(())
}

/// Bytes of [`write_levels`].
pub(super) fn level_bytes(n_levels: usize) -> usize {
    2 + 2 * n_levels + n_levels.div_ceil(8) + n_levels.div_ceil(2)
}

fn read_levels(fields: &mut Fields<'_>) -> Result<Vec<Level>, Broken> {
    let n_levels = usize::from(fields.u16()?);
    if !(2..=MAX_SYMBOLS).contains(&n_levels) {
        return Err(Broken::new(format!("{n_levels} levels are too few or too many")));
    }
    let values: Vec<f16> = fields.take(2 * n_levels)?.as_chunks().0.iter().map(|&v| f16::from_le_bytes(v)).collect();
    if values.iter().any(|value| !value.is_finite()) {
        return Err(Broken::new("a level is not finite"));
    }
    let branches = fields.take(n_levels.div_ceil(8))?;
    let lengths = huffman::unpack(fields.take(n_levels.div_ceil(2))?, n_levels)?;
    let branch = |idx: usize| branches[idx / 8] >> (idx % 8) & 1;
    let levels = values.into_iter().zip(lengths).enumerate();
    Ok(levels.map(|(idx, (value, length))| Level { value, branch: branch(idx), length }).collect())
}

/// Both tables, and the machine.
struct Walk {
    /// What every sequence of `bits` bits begins with, first in states of kind 0, then of kind 1.
    entries: Vec<Step>,
    bits: u32,
}

#[derive(Clone, Copy)]
struct Step {
    value: f32,
    length: u8,
    branch: u8,
}

impl Walk {
    fn new(levels: &[Vec<Level>; 2]) -> Result<Self, Broken> {
        let tables = levels.each_ref().map(|levels| {
            let lengths: Vec<u8> = levels.iter().map(|level| level.length).collect();
            Table::new(&lengths, levels)
        });
        if tables.iter().any(Table::is_single) {
            return Err(Broken::new("a kind of states has but one level"));
        }
        let bits = tables.each_ref().map(|table| table.entries().0);
        let longest = bits[0].max(bits[1]);
        let mut entries = Vec::with_capacity(2 << longest);
        for (table, bits) in tables.iter().zip(bits) {
            for (level, length) in table.entries().1 {
                let step = Step { value: level.value.to_f32(), length: *length, branch: level.branch };
                entries.extend(std::iter::repeat_n(step, 1 << (longest - bits)));
            }
        }
        Ok(Self { entries, bits: longest })
    }
}

impl Decoder for Walk {
    type Value = f32;
    type State = u8;

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "after the shift at most MAX_LENGTH bits are left")]
    fn next(&self, state: &mut u8, reader: &mut BitReader<'_>) -> f32 {
        let bits = (reader.peek() >> (64 - self.bits)) as usize;
        let step = self.entries[usize::from(kind(*state)) << self.bits | bits];
        reader.consume(u32::from(step.length));
        *state = next_state(*state, step.branch);
        step.value
    }

    fn is_single(&self) -> bool {
        false
    }
}

/// The `n` values in `n_rows` channels that bytes stand for: scales, the levels of both kinds of states, streams.
pub(super) fn decode(fields: &mut Fields<'_>, n: usize, n_rows: usize) -> Result<Vec<f32>, Broken> {
    let scales = Scales::read(fields, n_rows)?;
    let levels = [read_levels(fields)?, read_levels(fields)?];
    let mut values = streams::read(fields, n, &Walk::new(&levels)?, 0.0)?;
    scales.apply(&mut values);
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_reached_from_two_states_of_which_each_has_two_ways() {
        let mut ways = [0; N_STATES];
        for state in 0..8 {
            assert_ne!(next_state(state, 0), next_state(state, 1));
            for branch in [0, 1] {
                ways[usize::from(next_state(state, branch))] += 1;
            }
        }
        assert_eq!(ways, [2; N_STATES]);
    }

    #[test]
    fn levels_survive() {
        let level = |i: u8| Level {
            value: f16::from_f32(f32::from(i) - 4.5),
            branch: i & 1,
            length: if i < 6 { 3 } else { 4 },
        };
        let levels: Vec<Level> = (0..10).map(level).collect();
        let mut bytes = Vec::new();
        write_levels(&mut bytes, &levels).unwrap();
        assert_eq!(bytes.len(), level_bytes(10));
        assert_eq!(read_levels(&mut Fields(&bytes)).unwrap(), levels);
        bytes[3] = 0x7c;
        assert!(read_levels(&mut Fields(&bytes)).is_err(), "infinite");
    }

    #[test]
    fn a_lone_level_is_refused() {
        let one = [Level { value: f16::ONE, branch: 0, length: 1 }];
        let mut bytes = Vec::new();
        write_levels(&mut bytes, &one).unwrap();
        assert!(read_levels(&mut Fields(&bytes)).is_err());
        let unused = Level { length: 0, ..one[0] };
        assert!(Walk::new(&[vec![one[0], unused], vec![one[0], unused]]).is_err());
    }
}
