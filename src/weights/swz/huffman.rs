//! Canonical Huffman codes of at most [`MAX_LENGTH`] bits.
//!
//! Such a code is its lengths: codes are dealt out in the order of (length, symbol), each the one before plus one. The lengths are
//! optimal under the limit (package-merge: Larmore and Hirschberg, "A fast algorithm for optimal length-limited Huffman codes", 1990).
//! Only complete codes exist: those whose sum of `2^-length` is 1, or the code of a single symbol, which is the bit 0. So every sequence
//! of bits is a sequence of symbols, and a decoder has nothing to check while it runs.

use super::bits::BitReader;
use super::fields::Broken;

/// Longest code, in bits. A table of all its continuations with f32 values takes 32 KiB, the first cache of current processors;
/// four codes fit into what one refill brings.
pub(super) const MAX_LENGTH: u8 = 12;
/// Most symbols that a code may have: those that four bits less than the longest code could tell apart, and twice that.
pub(super) const MAX_SYMBOLS: usize = 1 << (MAX_LENGTH - 2);

/// What is written for a symbol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Code {
    /// The bits, in the lower end.
    pub(super) bits: u16,
    /// How many; 0 for a symbol that does not occur.
    pub(super) length: u8,
}

/// Lengths of the codes of symbols that occur so often, 0 where the count is 0. At most [`MAX_SYMBOLS`] counts.
pub(super) fn lengths(counts: &[u64]) -> Vec<u8> {
    let mut lengths = vec![0u8; counts.len()];
    let mut symbols: Vec<usize> = (0..counts.len()).filter(|&s| counts[s] > 0).collect();
    symbols.sort_by_key(|&s| (counts[s], s));
    if let [only] = symbols[..] {
        lengths[only] = 1;
    }
    if symbols.len() < 2 {
        return lengths;
    }
    let leaves: Vec<(u64, bool)> = symbols.iter().map(|&s| (counts[s], true)).collect();
    let mut levels = vec![leaves.clone()];
    for _ in 1..MAX_LENGTH {
        let deeper = levels.last().map_or(&[][..], |level| &level[..]);
        let packages = deeper.chunks_exact(2).map(|pair| (pair[0].0 + pair[1].0, false));
        let mut level: Vec<(u64, bool)> = leaves.iter().copied().chain(packages).collect();
        // A stable sort of two sorted runs is a merge; at equal weight a leaf comes first.
        level.sort_by_key(|&(weight, _)| weight);
        levels.push(level);
    }
    let mut n_taken = 2 * (symbols.len() - 1);
    for level in levels.iter().rev() {
        let n_leaves = level.iter().take(n_taken).filter(|(_, is_leaf)| *is_leaf).count();
        symbols.iter().take(n_leaves).for_each(|&s| lengths[s] += 1);
        n_taken = 2 * (n_taken - n_leaves);
    }
    lengths
}

/// The codes that belong to lengths.
pub(super) fn codes(lengths: &[u8]) -> Vec<Code> {
    let mut codes = vec![Code::default(); lengths.len()];
    let mut next = 0u16;
    for length in 1..=MAX_LENGTH {
        for (code, _) in codes.iter_mut().zip(lengths).filter(|(_, l)| **l == length) {
            *code = Code { bits: next, length };
            next += 1;
        }
        next <<= 1;
    }
    codes
}

/// Refuses lengths that are no complete code.
pub(super) fn check(lengths: &[u8]) -> Result<(), Broken> {
    if lengths.iter().any(|&l| l > MAX_LENGTH) {
        return Err(Broken::new("a code is too long"));
    }
    let used = lengths.iter().filter(|l| **l > 0);
    let sum: u64 = used.clone().map(|&l| 1u64 << (MAX_LENGTH - l)).sum();
    let is_whole = sum == 1 << MAX_LENGTH;
    let is_single = used.clone().count() == 1 && used.clone().all(|&l| l == 1);
    if is_whole || is_single { Ok(()) } else { Err(Broken::new("its code lengths make no complete code")) }
}

/// Lengths as half bytes, the first in the lower half.
pub(super) fn pack(lengths: &[u8]) -> Vec<u8> {
    lengths.chunks(2).map(|pair| pair[0] | pair.get(1).map_or(0, |second| second << 4)).collect()
}

/// Undoes [`pack`] for `n` lengths.
pub(super) fn unpack(bytes: &[u8], n: usize) -> Result<Vec<u8>, Broken> {
    let mut lengths: Vec<u8> = bytes.iter().flat_map(|b| [b & 15, b >> 4]).collect();
    if lengths.drain(n.min(lengths.len())..).any(|l| l != 0) {
        return Err(Broken::new("there is something behind its code lengths"));
    }
    check(&lengths)?;
    Ok(lengths)
}

/// What the first bits of a stream mean, for every value that they can have.
#[derive(Debug)]
pub(super) struct Table<T> {
    entries: Vec<(T, u8)>,
    /// Bits of a word less the bits that tell entries apart.
    shift: u32,
    is_single: bool,
}

impl<T: Copy> Table<T> {
    /// The table of a complete code, whose `symbol` decodes to `values[symbol]`.
    pub(super) fn new(lengths: &[u8], values: &[T]) -> Self {
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let mut entries = Vec::with_capacity(1 << longest);
        for length in 1..=longest {
            for (_, &value) in lengths.iter().zip(values).filter(|(l, _)| **l == length) {
                entries.extend(std::iter::repeat_n((value, length), 1 << (longest - length)));
            }
        }
        let is_single = entries.len() == 1;
        if let [only] = entries[..] {
            entries.push(only);
        }
        Self { entries, shift: 64 - u32::from(longest), is_single }
    }

    /// Length of the longest code, and the value and length of the code that each sequence of so many bits begins with.
    pub(super) fn entries(&self) -> (u32, &[(T, u8)]) {
        (64 - self.shift, &self.entries)
    }

    /// Whether the code has one symbol, so that its streams hold zeros alone.
    pub(super) fn is_single(&self) -> bool {
        self.is_single
    }

    /// The next value of a reader that has [`MAX_LENGTH`] bits available.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "after the shift at most MAX_LENGTH bits are left")]
    pub(super) fn next(&self, reader: &mut BitReader<'_>) -> T {
        let (value, length) = self.entries[(reader.peek() >> self.shift) as usize];
        reader.consume(u32::from(length));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(counts: &[u64], lengths: &[u8]) -> u64 {
        counts.iter().zip(lengths).map(|(n, l)| n * u64::from(*l)).sum()
    }

    /// Length of an unlimited Huffman code in bits: the sum of all inner nodes.
    fn unlimited(counts: &[u64]) -> u64 {
        let mut nodes: Vec<u64> = counts.iter().copied().filter(|n| *n > 0).collect();
        let mut sum = 0;
        while nodes.len() > 1 {
            nodes.sort_by_key(|n| std::cmp::Reverse(*n));
            let node = nodes.pop().unwrap() + nodes.pop().unwrap();
            sum += node;
            nodes.push(node);
        }
        sum
    }

    #[test]
    fn lengths_are_optimal_where_the_limit_does_not_bind() {
        for counts in [&[5, 1, 0, 2, 9, 9][..], &[1, 1], &[1; 1000], &[8, 4, 2, 1, 1], &[100, 1, 1, 1, 1, 1, 1]] {
            let lengths = lengths(counts);
            check(&lengths).unwrap();
            assert_eq!(bits(counts, &lengths), unlimited(counts), "{counts:?}");
            assert!(counts.iter().zip(&lengths).all(|(n, l)| (*n == 0) == (*l == 0)));
        }
    }

    #[test]
    fn the_limit_holds_where_it_binds() {
        let counts: Vec<u64> = (0..40).map(|i| 1 << i).collect();
        let lengths = lengths(&counts);
        check(&lengths).unwrap();
        assert_eq!(lengths.iter().copied().max(), Some(MAX_LENGTH));
        assert!(bits(&counts, &lengths) < unlimited(&counts) * 101 / 100);
        let many = super::lengths(&[1; MAX_SYMBOLS]);
        check(&many).unwrap();
    }

    #[test]
    fn one_symbol_takes_one_bit_and_none_takes_nothing() {
        assert_eq!(lengths(&[0, 7, 0]), [0, 1, 0]);
        assert!(check(&[0, 1, 0]).is_ok());
        assert_eq!(lengths(&[0, 0]), [0, 0]);
        assert!(check(&[0, 0]).is_err());
    }

    #[test]
    fn incomplete_and_overfull_codes_are_refused() {
        for lengths in [&[2, 2, 2][..], &[1, 1, 1], &[2], &[1, 0, 2], &[13, 1], &[]] {
            assert!(check(lengths).is_err(), "{lengths:?}");
        }
        assert!(check(&[1, 2, 2]).is_ok());
        assert_eq!(unpack(&pack(&[1, 2, 2]), 3).unwrap(), [1, 2, 2]);
        assert!(unpack(&[0x21, 0x12], 3).is_err(), "a fourth length");
    }

    #[test]
    fn codes_are_canonical() {
        let found: Vec<(u16, u8)> = codes(&[2, 1, 3, 3]).iter().map(|c| (c.bits, c.length)).collect();
        assert_eq!(found, [(0b10, 2), (0, 1), (0b110, 3), (0b111, 3)]);
    }
}
