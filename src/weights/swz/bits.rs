//! Bits in bytes, the most significant first.

/// Bits that one [`BitReader::refill`] makes available at least.
pub(super) const REFILLED: u32 = 56;

/// Bits on their way into bytes.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// The bits that are not yet in `bytes`, at the upper end.
    buffer: u64,
    /// How many they are: fewer than 32 between calls.
    used: u32,
}

impl BitWriter {
    /// Appends the lower `length` bits of `code`, which has no others; at most 32.
    #[inline]
    pub(super) fn push(&mut self, code: u32, length: u32) {
        self.used += length;
        self.buffer |= u64::from(code) << (64 - self.used);
        if self.used >= 32 {
            let [a, b, c, d, ..] = self.buffer.to_be_bytes();
            self.bytes.extend([a, b, c, d]);
            self.buffer <<= 32;
            self.used -= 32;
        }
    }

    /// The bytes, the last one filled up with zeros.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let n_bytes = self.used.div_ceil(8);
        self.bytes.extend(self.buffer.to_be_bytes().into_iter().take(n_bytes as usize));
        self.bytes
    }
}

/// Bits out of bytes. Behind the last byte come zeros without end, so that reading never fails: [`Self::is_spent`] tells afterwards
/// whether exactly what was there has been read.
#[derive(Debug)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    /// The first byte that `buffer` does not count yet.
    position: usize,
    buffer: u64,
    /// Bits of `buffer` that count, from the upper end; what lies below them is what the next refill brings again.
    available: u32,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, buffer: 0, available: 0 }
    }

    /// Makes [`REFILLED`] bits available or more.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        let word = match self.bytes.get(self.position..).and_then(|rest| rest.first_chunk()) {
            Some(&chunk) => u64::from_be_bytes(chunk),
            None => self.last_word(),
        };
        self.buffer |= word >> self.available;
        let n_bytes = (63 - self.available) / 8;
        self.position += n_bytes as usize;
        self.available += n_bytes * 8;
    }

    /// The next 64 bits; as many as are available are right.
    #[inline(always)]
    pub(super) fn peek(&self) -> u64 {
        self.buffer
    }

    /// Takes `length` of the available bits.
    #[inline(always)]
    pub(super) fn consume(&mut self, length: u32) {
        self.buffer <<= length;
        self.available -= length;
    }

    /// Whether the bytes have been read to the end, up to fewer than eight bits, which are zeros.
    pub(super) fn is_spent(&self) -> bool {
        let (read, there) = (self.position as u64 * 8 - u64::from(self.available), self.bytes.len() as u64 * 8);
        let left = there.checked_sub(read);
        left.is_some_and(|left| left < 8 && self.bytes.last().is_none_or(|last| last.trailing_zeros() as u64 >= left))
    }

    /// As much as there is of eight bytes, then zeros.
    #[cold]
    fn last_word(&self) -> u64 {
        let mut word = [0; 8];
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        word.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        u64::from_be_bytes(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ends of codes that fall on every bit of a byte and a word.
    const CODES: [(u32, u32); 9] =
        [(1, 1), (0b101, 3), (0xfff, 12), (0, 7), (0x7fff, 15), (1, 12), (0x1234_5678, 32), (0, 1), (9, 5)];

    fn written() -> Vec<u8> {
        let mut writer = BitWriter::default();
        CODES.iter().for_each(|&(code, length)| writer.push(code, length));
        writer.finish()
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = written();
        assert_eq!(bytes.len(), 11);
        let mut reader = BitReader::new(&bytes);
        for (code, length) in CODES {
            assert!(!reader.is_spent());
            reader.refill();
            assert_eq!(reader.peek() >> (64 - length), u64::from(code));
            reader.consume(length);
        }
        assert!(reader.is_spent());
    }

    #[test]
    fn too_many_or_too_few_bits_are_seen() {
        let mut reader = BitReader::new(&[0b1010_0000]);
        reader.refill();
        reader.consume(2);
        assert!(!reader.is_spent(), "a one is left");
        reader.consume(1);
        assert!(reader.is_spent());
        reader.consume(6);
        assert!(!reader.is_spent(), "nine bits of one byte");
        assert!(BitReader::new(&[]).is_spent() && !BitReader::new(&[0]).is_spent());
    }
}
