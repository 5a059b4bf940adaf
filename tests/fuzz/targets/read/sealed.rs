//! Compressed weights with the right checksums: they are read or refused.

use swath::weights::Format;

use super::weights::weights;

/// The bytes as compressed weights whose checksums are right and whose last tensor ends where the bytes do: what is behind the checks must
/// hold its own. Returns whether they were sound.
pub(crate) fn swz(data: &[u8]) -> bool {
    let mut content = data.to_vec();
    let is_sealed = seal(&mut content).is_some();
    weights(&content, &[Format::Swz]) && is_sealed
}

/// Bytes in front of the header: magic, version, the header's length and its CRC-32.
const PREFIX_BYTES: usize = 20;
/// Bytes behind the last tensor, which reading one tensor does not look at.
const DIGEST_BYTES: usize = 32;

/// Sets the length of the last tensor and every CRC-32. `None` where the header makes no sense.
fn seal(content: &mut [u8]) -> Option<()> {
    let number = |content: &[u8], at: usize, n: usize| {
        let bytes = content.get(at..at.checked_add(n)?)?;
        Some(bytes.iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte)))
    };
    let end = PREFIX_BYTES.checked_add(number(content, 12, 4)?)?;
    let tensors_end = content.len().checked_sub(DIGEST_BYTES).filter(|e| end <= *e)?;
    let n_tensors = number(content, PREFIX_BYTES, 4)?;
    let (mut at, mut start) = (PREFIX_BYTES + 4, end);
    for idx in 0..n_tensors {
        // Name, type, coding, dimensions; then the tensor's length and its CRC-32.
        at = at.checked_add(2 + number(content, at, 2)? + 2)?;
        at = at.checked_add(1 + 4 * number(content, at, 1)?)?;
        if idx + 1 == n_tensors {
            let rest = u32::try_from(tensors_end - start).ok()?;
            content.get_mut(at..at + 4)?.copy_from_slice(&rest.to_le_bytes());
        }
        let stop = start.checked_add(number(content, at, 4)?).filter(|stop| *stop <= tensors_end)?;
        let crc = crc32fast::hash(&content[start..stop]);
        content.get_mut(at + 4..at + 8)?.copy_from_slice(&crc.to_le_bytes());
        (at, start) = (at + 8, stop);
    }
    let crc = crc32fast::hash(&content[PREFIX_BYTES..end]);
    content.get_mut(16..PREFIX_BYTES)?.copy_from_slice(&crc.to_le_bytes());
    Some(())
}
