//! Sequences of coded symbols, cut into four bit streams where they are long.
//!
//! What the next code is depends on where the last one ended, so a decoder of one stream waits for memory most of the time. Four
//! streams, one per quarter of the sequence, are decoded in turns and hide that from each other.

use std::ops::Range;

use super::bits::{BitReader, BitWriter, REFILLED};
use super::fields::{Broken, Fields, length};
use super::huffman::{Code, MAX_LENGTH, Table};

/// Sequences shorter than this are one stream: three more would cost more than they save.
const FOUR_FROM: usize = 4096;
/// Codes that are decoded between two refills.
const PER_REFILL: usize = (REFILLED / MAX_LENGTH as u32) as usize;

/// What turns bits into values.
pub(super) trait Decoder {
    /// A value.
    type Value: Copy;
    /// What is remembered from one value of a stream to the next.
    type State: Copy + Default;

    /// The next value of a reader that has [`MAX_LENGTH`] bits available.
    fn next(&self, state: &mut Self::State, reader: &mut BitReader<'_>) -> Self::Value;

    /// Whether there is but one value, so that streams hold zeros alone.
    fn is_single(&self) -> bool;
}

impl<T: Copy> Decoder for Table<T> {
    type Value = T;
    type State = ();

    #[inline(always)]
    fn next(&self, (): &mut (), reader: &mut BitReader<'_>) -> T {
        Self::next(self, reader)
    }

    fn is_single(&self) -> bool {
        Self::is_single(self)
    }
}

/// How many streams a sequence of `n` symbols is cut into.
fn n_streams(n: usize) -> usize {
    if n < FOUR_FROM { 1 } else { 4 }
}

/// The symbols of each stream of a sequence of `n`.
pub(super) fn parts(n: usize) -> impl Iterator<Item = Range<usize>> {
    let part = n.div_ceil(n_streams(n));
    (0..n_streams(n)).map(move |idx| (idx * part).min(n)..((idx + 1) * part).min(n))
}

/// Upper bound of what [`write`] appends for `n` symbols of `n_bits` bits together; it is never off by more than three bytes.
pub(super) fn max_bytes(n: usize, n_bits: u64) -> u64 {
    let n_streams = n_streams(n) as u64;
    n_streams * 4 + n_bits.div_ceil(8) + n_streams - 1
}

/// Appends the codes of `n` symbols: the lengths of the streams in bytes, then the streams.
pub(super) fn write(out: &mut Vec<u8>, n: usize, code: impl Fn(usize) -> Code) -> Result<(), Broken> {
    let mut streams = Vec::new();
    for part in parts(n) {
        let mut writer = BitWriter::default();
        for symbol in part {
            let code = code(symbol);
            writer.push(code.bits.into(), code.length.into());
        }
        let stream = writer.finish();
        out.extend(length(stream.len())?);
        streams.push(stream);
    }
    streams.iter().for_each(|stream| out.extend(stream));
    Ok(())
}

/// Reads what [`write`] has written. Nothing is allocated unless the streams have a bit per symbol.
pub(super) fn read<D: Decoder>(
    fields: &mut Fields<'_>,
    n: usize,
    decoder: &D,
    blank: D::Value,
) -> Result<Vec<D::Value>, Broken> {
    let mut streams: [&[u8]; 4] = [&[]; 4];
    let streams = &mut streams[..n_streams(n)];
    let lengths = streams.iter().map(|_| fields.length()).collect::<Result<Vec<_>, _>>()?;
    for ((stream, length), part) in streams.iter_mut().zip(lengths).zip(parts(n)) {
        *stream = fields.take(length)?;
        if part.len().div_ceil(8) > stream.len() {
            return Err(Broken::new("it has fewer bits than values"));
        }
    }
    if decoder.is_single() && streams.iter().any(|stream| stream.iter().any(|b| *b != 0)) {
        return Err(Broken::new("its only symbol is not zero bits throughout"));
    }
    let mut values = vec![blank; n];
    let is_spent = match *streams {
        [a, b, c, d] => decode_four(decoder, [a, b, c, d], &mut values, n.div_ceil(4)),
        _ => streams.iter().all(|stream| Stream::new(stream).decode(decoder, &mut values)),
    };
    if is_spent { Ok(values) } else { Err(Broken::new("its values end before or behind its bits")) }
}

/// A stream that is being decoded.
struct Stream<'a, D: Decoder> {
    reader: BitReader<'a>,
    state: D::State,
}

impl<'a, D: Decoder> Stream<'a, D> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { reader: BitReader::new(bytes), state: D::State::default() }
    }

    #[inline(always)]
    fn next(&mut self, decoder: &D) -> D::Value {
        decoder.next(&mut self.state, &mut self.reader)
    }

    /// Decodes into all of `out`; whether the bits end with it.
    fn decode(mut self, decoder: &D, out: &mut [D::Value]) -> bool {
        for values in out.chunks_mut(PER_REFILL) {
            self.reader.refill();
            values.iter_mut().for_each(|value| *value = self.next(decoder));
        }
        self.reader.is_spent()
    }
}

/// Decodes four streams at once into the four parts of `out`; whether the bits end with them.
fn decode_four<D: Decoder>(decoder: &D, streams: [&[u8]; 4], out: &mut [D::Value], part: usize) -> bool {
    let (first, rest) = out.split_at_mut(part);
    let (second, rest) = rest.split_at_mut(part);
    let (third, fourth) = rest.split_at_mut(part);
    // The fourth part may be shorter than the others.
    let n_common = fourth.len() / PER_REFILL * PER_REFILL;
    let [mut a, mut b, mut c, mut d] = streams.map(Stream::<D>::new);
    let (first, first_rest) = first.split_at_mut(n_common);
    let (second, second_rest) = second.split_at_mut(n_common);
    let (third, third_rest) = third.split_at_mut(n_common);
    let (fourth, fourth_rest) = fourth.split_at_mut(n_common);
    let chunks = |(((first, second), third), fourth)| (first, second, third, fourth);
    let together = first.as_chunks_mut::<PER_REFILL>().0.iter_mut().zip(second.as_chunks_mut::<PER_REFILL>().0);
    let together = together.zip(third.as_chunks_mut::<PER_REFILL>().0).zip(fourth.as_chunks_mut::<PER_REFILL>().0);
    for (first, second, third, fourth) in together.map(chunks) {
        a.reader.refill();
        b.reader.refill();
        c.reader.refill();
        d.reader.refill();
        for idx in 0..PER_REFILL {
            first[idx] = a.next(decoder);
            second[idx] = b.next(decoder);
            third[idx] = c.next(decoder);
            fourth[idx] = d.next(decoder);
        }
    }
    let rests = [(a, first_rest), (b, second_rest), (c, third_rest), (d, fourth_rest)];
    rests.into_iter().all(|(stream, rest)| stream.decode(decoder, rest))
}

#[cfg(test)]
mod tests {
    use super::super::huffman;
    use super::*;

    /// `n` symbols, small ones more often.
    fn symbols(n: usize) -> Vec<usize> {
        (0..n).map(|i| (i.wrapping_mul(2_654_435_761) >> 7) % 64).map(|x| x * x / 256).collect()
    }

    fn coded(symbols: &[usize]) -> (Vec<u8>, Vec<u8>, u64) {
        let mut counts = [0; 16];
        symbols.iter().for_each(|&s| counts[s] += 1);
        let lengths = huffman::lengths(&counts);
        let codes = huffman::codes(&lengths);
        let mut out = Vec::new();
        write(&mut out, symbols.len(), |i| codes[symbols[i]]).unwrap();
        let n_bits = counts.iter().zip(&lengths).map(|(n, l)| n * u64::from(*l)).sum();
        (lengths, out, n_bits)
    }

    fn decoded(lengths: &[u8], bytes: &[u8], n: usize) -> Result<Vec<usize>, Broken> {
        let values: Vec<usize> = (0..lengths.len()).collect();
        let mut fields = Fields(bytes);
        let read = read(&mut fields, n, &Table::new(lengths, &values), 0)?;
        fields.end()?;
        Ok(read)
    }

    #[test]
    fn sequences_of_every_length_survive_and_their_size_is_foretold() {
        for n in (1..40).chain(FOUR_FROM - 2..FOUR_FROM + 40).chain([100_003]) {
            let symbols = symbols(n);
            let (lengths, bytes, n_bits) = coded(&symbols);
            assert!((0..=3).contains(&(max_bytes(n, n_bits) - bytes.len() as u64)), "{n}");
            assert_eq!(decoded(&lengths, &bytes, n).unwrap(), symbols, "{n}");
        }
    }

    #[test]
    fn a_stream_of_another_length_is_refused() {
        for n in [50, 5000] {
            let (lengths, bytes, _) = coded(&symbols(n));
            assert!(decoded(&lengths, &bytes, n + 8).is_err() && decoded(&lengths, &bytes, n - 8).is_err());
            assert!(decoded(&lengths, &bytes[..bytes.len() - 1], n).is_err());
            let longer = [&bytes[..], &[0]].concat();
            assert!(decoded(&lengths, &longer, n).is_err());
        }
    }

    #[test]
    fn more_values_than_bits_are_refused_before_anything_is_allocated() {
        let error =
            decoded(&[1, 1], &[&16u32.to_le_bytes().repeat(4)[..], &[0; 64]].concat(), usize::MAX / 8).unwrap_err();
        assert!(error.0.contains("fewer bits than values"), "{error:?}");
    }

    #[test]
    fn a_lone_symbol_is_zero_bits() {
        let (lengths, mut bytes, _) = coded(&[3; 20]);
        assert_eq!(decoded(&lengths, &bytes, 20).unwrap(), [3; 20]);
        bytes[5] = 1;
        assert!(decoded(&lengths, &bytes, 20).is_err());
    }
}
