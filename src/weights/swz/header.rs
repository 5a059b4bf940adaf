//! The table of contents of a file.

use std::collections::BTreeSet;

use safetensors::Dtype;

use super::fields::{Broken, Fields, length};

/// Bytes in front of the header: [`MAGIC`], the version, the header's length and its CRC-32.
pub(super) const PREFIX_BYTES: usize = 20;
/// Bytes behind the last tensor: the SHA-256 of everything before.
pub(super) const DIGEST_BYTES: usize = 32;
/// First bytes of a file. The high bit and the line ends show a copy that was taken for text.
pub(super) const MAGIC: [u8; 8] = *b"\x89swz\r\n\x1a\n";
/// The version that is written, and the only one that is read.
pub(super) const VERSION: u32 = 1;
/// Longest header, in bytes.
pub(super) const MAX_HEADER_BYTES: usize = 16 << 20;
/// Longest name, in bytes.
const MAX_NAME_BYTES: usize = 1024;
/// Most dimensions.
const MAX_DIMENSIONS: usize = 8;
/// Types of values; the position is the byte in the file.
const DTYPES: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::BF16];

/// How the bytes of a tensor are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// `exact`, in the tensor's own type.
    Exact,
    /// `levels`.
    Levels,
    /// `trellis`.
    Trellis,
}

/// A tensor in the table of contents.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) layout: Layout,
    /// Length of its bytes, which follow those of the tensor before.
    pub(super) n_bytes: usize,
    /// Their CRC-32.
    pub(super) crc: u32,
}

impl Layout {
    /// All of them; the position is the byte in the file.
    const ALL: [Self; 3] = [Self::Exact, Self::Levels, Self::Trellis];
}

/// Bytes of a value of a type that files hold; nothing for other types.
pub(super) fn width(dtype: Dtype) -> Option<usize> {
    match DTYPES.iter().position(|d| *d == dtype)? {
        0 => Some(4),
        _ => Some(2),
    }
}

impl Entry {
    /// Number of values.
    pub(super) fn n_values(&self) -> usize {
        // Checked when the entry was made.
        self.shape.iter().product()
    }

    /// Refuses what no file may hold.
    pub(super) fn check(&self) -> Result<(), Broken> {
        if self.name.len() > MAX_NAME_BYTES {
            return Err(Broken::new(format!("a name of {} bytes is too long", self.name.len())));
        }
        if self.shape.len() > MAX_DIMENSIONS {
            return Err(Broken::new(format!("{} dimensions are too many", self.shape.len())));
        }
        let n_values = self.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        let n_bytes = n_values.and_then(|n| n.checked_mul(4)).filter(|n| isize::try_from(*n).is_ok());
        match n_bytes {
            None => Err(Broken::new(format!("the shape {:?} is too large", self.shape))),
            Some(0) if self.layout != Layout::Exact => Err(Broken::new("no values have no levels")),
            Some(_) => Ok(()),
        }
    }

    /// Bytes of [`Self::write`].
    pub(super) fn header_bytes(&self) -> usize {
        2 + self.name.len() + 3 + 4 * self.shape.len() + 8
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<(), Broken> {
        self.check()?;
        let byte = |position: Option<usize>| {
            position.and_then(|p| u8::try_from(p).ok()).ok_or_else(|| Broken::new(format!("{:?} values", self.dtype)))
        };
        let name_bytes = u16::try_from(self.name.len()).map_err(|_| Broken::new("its name is too long"))?;
        out.extend(name_bytes.to_le_bytes());
        out.extend(self.name.as_bytes());
        out.push(byte(DTYPES.iter().position(|d| *d == self.dtype))?);
        out.push(byte(Layout::ALL.iter().position(|l| *l == self.layout))?);
        out.push(byte(Some(self.shape.len()))?);
        for &dimension in &self.shape {
            out.extend(length(dimension)?);
        }
        out.extend(length(self.n_bytes)?);
        out.extend(self.crc.to_le_bytes());
        Ok(())
    }

    fn read(fields: &mut Fields<'_>) -> Result<Self, Broken> {
        let name_bytes = usize::from(fields.u16()?);
        let name = std::str::from_utf8(fields.take(name_bytes)?).map_err(|_| Broken::new("a name is not UTF-8"))?;
        let dtype = DTYPES.get(usize::from(fields.u8()?)).ok_or_else(|| Broken::new("a type is unknown"))?;
        let layout = Layout::ALL.get(usize::from(fields.u8()?)).ok_or_else(|| Broken::new("a coding is unknown"))?;
        let n_dimensions = usize::from(fields.u8()?);
        let shape = (0..n_dimensions).map(|_| fields.length()).collect::<Result<_, _>>()?;
        let (n_bytes, crc) = (fields.length()?, fields.u32()?);
        let entry = Self { name: name.to_owned(), dtype: *dtype, shape, layout: *layout, n_bytes, crc };
        entry.check()?;
        Ok(entry)
    }
}

/// Everything in front of the tensors.
pub(super) fn write(entries: &[Entry]) -> Result<Vec<u8>, Broken> {
    let mut header = length(entries.len())?.to_vec();
    entries.iter().try_for_each(|entry| entry.write(&mut header))?;
    if header.len() > MAX_HEADER_BYTES {
        return Err(Broken::new("the names and shapes take too much space"));
    }
    let mut out = MAGIC.to_vec();
    out.extend(VERSION.to_le_bytes());
    out.extend(length(header.len())?);
    out.extend(crc32fast::hash(&header).to_le_bytes());
    out.extend(header);
    Ok(out)
}

/// Length and CRC-32 of the header, from the bytes in front of it.
pub(super) fn read_prefix(prefix: &[u8]) -> Result<(usize, u32), Broken> {
    let mut fields = Fields(prefix);
    if fields.take(MAGIC.len())? != MAGIC {
        return Err(Broken::new("it does not begin like one"));
    }
    let version = fields.u32()?;
    if version != VERSION {
        return Err(Broken::new(format!("it has version {version}, this program reads version {VERSION}")));
    }
    Ok((fields.length()?, fields.u32()?))
}

/// The table of contents. Names are unique.
pub(super) fn read(header: &[u8], crc: u32) -> Result<Vec<Entry>, Broken> {
    if crc32fast::hash(header) != crc {
        return Err(Broken::new("its header has changed since it was written"));
    }
    let mut fields = Fields(header);
    let n_entries = fields.length()?;
    let (mut entries, mut names) = (Vec::new(), BTreeSet::new());
    for _ in 0..n_entries {
        let entry = Entry::read(&mut fields)?;
        if !names.insert(entry.name.clone()) {
            return Err(Broken::new(format!("the tensor `{}` stands in it twice", entry.name)));
        }
        entries.push(entry);
    }
    fields.end()?;
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, shape: &[usize]) -> Entry {
        Entry {
            name: name.to_owned(),
            dtype: Dtype::BF16,
            shape: shape.to_vec(),
            layout: Layout::Exact,
            n_bytes: 77,
            crc: 5,
        }
    }

    fn read_again(bytes: &[u8]) -> Result<Vec<Entry>, Broken> {
        let (n_bytes, crc) = read_prefix(&bytes[..PREFIX_BYTES])?;
        assert_eq!(n_bytes, bytes.len() - PREFIX_BYTES);
        read(&bytes[PREFIX_BYTES..], crc)
    }

    #[test]
    fn entries_survive_and_take_what_is_foretold() {
        let entries = [entry("a.weight", &[3, 4]), entry("", &[]), entry("ü", &[0, 7])];
        let bytes = write(&entries).unwrap();
        assert_eq!(read_again(&bytes).unwrap(), entries);
        assert_eq!(bytes.len(), PREFIX_BYTES + 4 + entries.iter().map(Entry::header_bytes).sum::<usize>());
    }

    #[test]
    fn every_changed_byte_is_seen() {
        let bytes = write(&[entry("a", &[1])]).unwrap();
        for idx in (0..12).chain(16..bytes.len()) {
            let mut changed = bytes.clone();
            changed[idx] ^= 4;
            assert!(read_again(&changed).is_err(), "byte {idx}");
        }
    }

    #[test]
    fn what_no_file_may_hold_is_refused() {
        assert!(write(&[entry(&"x".repeat(2000), &[1])]).is_err());
        assert!(write(&[entry("a", &[1; 9])]).is_err());
        assert!(write(&[entry("a", &[usize::MAX, 2])]).is_err());
        assert!(write(&[Entry { dtype: Dtype::I64, ..entry("a", &[1]) }]).is_err());
        let twice = write(&[entry("a", &[1]), entry("a", &[1])]).unwrap();
        assert_eq!(read_again(&twice).unwrap_err().0, "the tensor `a` stands in it twice");
    }
}
