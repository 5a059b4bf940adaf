//! Values coded exactly: bit for bit, whatever the bits mean.
//!
//! A value's bits are rotated to the left by one, so that its exponent begins with the highest bit and the sign ends up beside
//! the lowest bits of the mantissa, which are as random. Then all lowest bytes come first, all highest last: each is a plane, coded
//! or, as mantissas are, plain where that is shorter. The planes of trained f32 weights come to 27 bits per weight.

use super::fields::{Broken, Fields};
use super::huffman::{self, Table};
use super::streams;

/// Values that a byte can have.
const N_BYTES: usize = 256;
/// Bytes of the code lengths of a plane.
const CODE_BYTES: usize = N_BYTES / 2;
/// First byte of a plane that is stored as it is.
const PLAIN: u8 = 0;
/// First byte of a plane that is coded.
const CODED: u8 = 1;

/// How a plane is coded best.
struct Best {
    lengths: Vec<u8>,
    is_coded: bool,
    max_bytes: u64,
}

/// Codes values of `width` bytes each.
pub(super) fn encode(bytes: &[u8], width: usize) -> Result<Vec<u8>, Broken> {
    let mut out = Vec::new();
    for plane in split(bytes, width) {
        let best = Best::of(&plane);
        if best.is_coded {
            out.push(CODED);
            out.extend(huffman::pack(&best.lengths));
            let codes = huffman::codes(&best.lengths);
            streams::write(&mut out, plane.len(), |i| codes[usize::from(plane[i])])?;
        } else {
            out.push(PLAIN);
            out.extend(plane);
        }
    }
    Ok(out)
}

/// Upper bound of the bytes of [`encode`], a dozen at most above them.
pub(super) fn max_bytes(bytes: &[u8], width: usize) -> u64 {
    split(bytes, width).iter().map(|plane| Best::of(plane).max_bytes).sum()
}

/// Undoes [`encode`] for `n` values of `width` bytes.
pub(super) fn decode(fields: &mut Fields<'_>, n: usize, width: usize) -> Result<Vec<u8>, Broken> {
    let identity: Vec<u8> = (0..=u8::MAX).collect();
    let mut planes = Vec::new();
    for _ in 0..width {
        planes.push(match fields.u8()? {
            PLAIN => fields.take(n)?.to_vec(),
            CODED => {
                let lengths = huffman::unpack(fields.take(CODE_BYTES)?, N_BYTES)?;
                streams::read(fields, n, &Table::new(&lengths, &identity), 0)?
            }
            other => return Err(Broken::new(format!("no plane begins with the byte {other}"))),
        });
    }
    Ok(join(&planes, n))
}

impl Best {
    fn of(plane: &[u8]) -> Self {
        let mut counts = [0u64; N_BYTES];
        plane.iter().for_each(|&byte| counts[usize::from(byte)] += 1);
        let lengths = huffman::lengths(&counts);
        let n_bits = counts.iter().zip(&lengths).map(|(n, length)| n * u64::from(*length)).sum();
        let (plain, coded) = (plane.len() as u64, CODE_BYTES as u64 + streams::max_bytes(plane.len(), n_bits));
        Self { lengths, is_coded: coded < plain, max_bytes: 1 + coded.min(plain) }
    }
}

/// The planes of values of `width` bytes, lowest first.
fn split(bytes: &[u8], width: usize) -> Vec<Vec<u8>> {
    let mut planes = vec![Vec::with_capacity(bytes.len() / width); width];
    for value in bytes.chunks_exact(width) {
        // Each byte loses its highest bit to the next and gets that of the one below, the lowest that of the highest.
        let mut carry = value[width - 1] >> 7;
        for (plane, &byte) in planes.iter_mut().zip(value) {
            plane.push(byte << 1 | carry);
            carry = byte >> 7;
        }
    }
    planes
}

fn join(planes: &[Vec<u8>], n: usize) -> Vec<u8> {
    let mut bytes = vec![0; n * planes.len()];
    for (idx, value) in bytes.chunks_exact_mut(planes.len()).enumerate() {
        let mut carry = planes[0][idx] << 7;
        for (plane, byte) in planes.iter().zip(value).rev() {
            *byte = plane[idx] >> 1 | carry;
            carry = plane[idx] << 7;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(bytes: &[u8], width: usize) -> usize {
        let coded = encode(bytes, width).unwrap();
        assert!((0..=12).contains(&(max_bytes(bytes, width) - coded.len() as u64)));
        let mut fields = Fields(&coded);
        assert_eq!(decode(&mut fields, bytes.len() / width, width).unwrap(), bytes);
        fields.end().unwrap();
        coded.len()
    }

    #[test]
    fn every_bit_pattern_survives() {
        let patterns =
            [0x8000_0000, 0x7fc0_0001, 0x7f80_0001, 0xffff_ffff, 1, 0x7f80_0000, 0x0080_0000, 0x3f80_0000u32];
        let bytes: Vec<u8> = patterns.into_iter().flat_map(u32::to_le_bytes).collect();
        assert_eq!(round_trip(&bytes, 4), bytes.len() + 4);
        assert_eq!(round_trip(&bytes, 2), bytes.len() + 2);
        let all: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        round_trip(&all, 2);
        assert_eq!(round_trip(&[], 4), 4);
    }

    #[test]
    fn exponents_take_less_than_a_byte_and_zeros_a_bit_each() {
        let values = (0..20_000u32).map(|i| (i.wrapping_mul(2_654_435_769) >> 8) as f32 / 1.7e7 - 0.5);
        let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
        let n_bytes = round_trip(&bytes, 4);
        assert!(n_bytes < 20_000 * 27 / 8, "{n_bytes}");
        assert!(round_trip(&[0; 80_000], 4) < 10_800);
    }

    #[test]
    fn another_mode_is_refused() {
        assert!(decode(&mut Fields(&[2, 0, 0]), 1, 2).is_err());
    }
}
