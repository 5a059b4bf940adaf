//! The table of contents of a file.

use std::collections::BTreeSet;

use safetensors::Dtype;

use super::fields::{Broken, Fields, length};
use crate::weights::Metadata;

/// Bytes in front of the header: [`MAGIC`], the version, the header's length and its CRC-32.
pub(super) const PREFIX_BYTES: usize = 20;
/// Bytes behind the last tensor: the SHA-256 of everything before.
pub(super) const DIGEST_BYTES: usize = 32;
/// First bytes of a file. The high bit and the line ends show a copy that was taken for text.
pub(super) const MAGIC: [u8; 8] = *b"\x89swz\r\n\x1a\n";
/// The version that is written, and the last one that is read. The first has no metadata.
pub(super) const VERSION: u32 = 2;
/// Longest header, in bytes.
pub(super) const MAX_HEADER_BYTES: usize = 16 << 20;
/// Most bytes of metadata: the rest is left to names and shapes.
pub(in crate::weights) const MAX_METADATA_BYTES: usize = MAX_HEADER_BYTES / 2;
/// Longest name, in bytes.
const MAX_NAME_BYTES: usize = 1024;
const MAX_DIMENSIONS: usize = 8;
/// Types of values; the position is the byte in the file.
const DTYPES: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::BF16];

/// How the bytes of a tensor are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// `exact`, in the tensor's own type.
    Exact = 0,
    Trellis = 2,
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
    pub(super) crc: u32,
}

impl Layout {
    fn read(byte: u8) -> Result<Self, Broken> {
        match byte {
            0 => Ok(Self::Exact),
            1 => Err(Broken::new(
                "it was written with scalar levels, which are not read any more: compress the original weights again (swath weights compress)",
            )),
            2 => Ok(Self::Trellis),
            _ => Err(Broken::new("a coding is unknown")),
        }
    }
}

/// Bytes of a value of a type that files hold; nothing for other types.
pub(super) fn width(dtype: Dtype) -> Option<usize> {
    match DTYPES.iter().position(|d| *d == dtype)? {
        0 => Some(4),
        _ => Some(2),
    }
}

impl Entry {
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
        out.push(self.layout as u8);
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
        let layout = Layout::read(fields.u8()?)?;
        let n_dimensions = usize::from(fields.u8()?);
        let shape = (0..n_dimensions).map(|_| fields.length()).collect::<Result<_, _>>()?;
        let (n_bytes, crc) = (fields.length()?, fields.u32()?);
        let entry = Self { name: name.to_owned(), dtype: *dtype, shape, layout, n_bytes, crc };
        entry.check()?;
        Ok(entry)
    }
}

/// Everything in front of the tensors.
pub(super) fn write(entries: &[Entry], metadata: &Metadata) -> Result<Vec<u8>, Broken> {
    let mut header = length(entries.len())?.to_vec();
    entries.iter().try_for_each(|entry| entry.write(&mut header))?;
    header.extend(length(metadata.len())?);
    for text in metadata.iter().flat_map(|(key, value)| [key, value]) {
        header.extend(length(text.len())?);
        header.extend(text.as_bytes());
    }
    if header.len() > MAX_HEADER_BYTES {
        return Err(Broken::new(format!(
            "names, shapes and metadata take {} bytes, and an swz file holds {MAX_HEADER_BYTES} of them",
            header.len()
        )));
    }
    let mut out = MAGIC.to_vec();
    out.extend(VERSION.to_le_bytes());
    out.extend(length(header.len())?);
    out.extend(crc32fast::hash(&header).to_le_bytes());
    out.extend(header);
    Ok(out)
}

/// Bytes that metadata takes.
pub(in crate::weights) fn metadata_bytes(metadata: &Metadata) -> usize {
    4 + metadata.iter().map(|(key, value)| 8 + key.len() + value.len()).sum::<usize>()
}

/// What stands in front of the header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prefix {
    version: u32,
    /// Length of the header.
    pub(super) n_bytes: usize,
    crc: u32,
}

/// Reads the first [`PREFIX_BYTES`].
pub(super) fn read_prefix(prefix: &[u8]) -> Result<Prefix, Broken> {
    let mut fields = Fields(prefix);
    if fields.take(MAGIC.len())? != MAGIC {
        return Err(Broken::new("it does not begin like one"));
    }
    let version = fields.u32()?;
    if !(1..=VERSION).contains(&version) {
        return Err(Broken::new(format!("it has version {version}, this program reads versions 1 to {VERSION}")));
    }
    Ok(Prefix { version, n_bytes: fields.length()?, crc: fields.u32()? })
}

/// The table of contents and the metadata. Names and keys are unique.
pub(super) fn read(header: &[u8], prefix: Prefix) -> Result<(Vec<Entry>, Metadata), Broken> {
    if crc32fast::hash(header) != prefix.crc {
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
    let mut metadata = Metadata::new();
    let n_texts = if prefix.version == 1 { 0 } else { fields.length()? };
    for _ in 0..n_texts {
        let (key, value) = (read_text(&mut fields)?, read_text(&mut fields)?);
        if metadata.insert(key.clone(), value).is_some() {
            return Err(Broken::new(format!("the key `{key}` stands in its metadata twice")));
        }
    }
    fields.end()?;
    Ok((entries, metadata))
}

fn read_text(fields: &mut Fields<'_>) -> Result<String, Broken> {
    let n_bytes = fields.length()?;
    let text = std::str::from_utf8(fields.take(n_bytes)?).map_err(|_| Broken::new("its metadata is not UTF-8"))?;
    Ok(text.to_owned())
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

    fn written(entries: &[Entry]) -> Result<Vec<u8>, Broken> {
        write(entries, &Metadata::new())
    }

    fn read_again(bytes: &[u8]) -> Result<(Vec<Entry>, Metadata), Broken> {
        let prefix = read_prefix(&bytes[..PREFIX_BYTES])?;
        assert_eq!(prefix.n_bytes, bytes.len() - PREFIX_BYTES);
        read(&bytes[PREFIX_BYTES..], prefix)
    }

    /// The header of a file with a CRC-32 that fits.
    fn sealed(version: u32, header: &[u8]) -> Vec<u8> {
        let length = u32::try_from(header.len()).unwrap().to_le_bytes();
        let parts = [&MAGIC[..], &version.to_le_bytes(), &length, &crc32fast::hash(header).to_le_bytes(), header];
        parts.concat()
    }

    #[test]
    fn entries_and_metadata_survive_and_take_what_is_foretold() {
        let entries = [entry("a.weight", &[3, 4]), entry("", &[]), entry("ü", &[0, 7])];
        let metadata: Metadata = [("", "empty"), ("classes", "[\"ü\"]")].map(|(k, v)| (k.into(), v.into())).into();
        let bytes = write(&entries, &metadata).unwrap();
        assert_eq!(read_again(&bytes).unwrap(), (entries.to_vec(), metadata.clone()));
        let of_entries = entries.iter().map(Entry::header_bytes).sum::<usize>();
        assert_eq!(bytes.len(), PREFIX_BYTES + 4 + of_entries + metadata_bytes(&metadata));
    }

    #[test]
    fn a_file_of_the_first_version_has_no_metadata() {
        let entries = [entry("a", &[3])];
        let bytes = written(&entries).unwrap();
        let old = sealed(1, &bytes[PREFIX_BYTES..bytes.len() - 4]);
        assert_eq!(read_again(&old).unwrap(), (entries.to_vec(), Metadata::new()));
        assert!(read_again(&sealed(2, &old[PREFIX_BYTES..])).is_err(), "the second has a number of texts");
        assert!(read_again(&sealed(1, &bytes[PREFIX_BYTES..])).is_err(), "the first has none");
        assert!(read_again(&sealed(3, &bytes[PREFIX_BYTES..])).unwrap_err().0.contains("reads versions 1 to 2"));
    }

    #[test]
    fn a_coding_of_the_first_version_is_refused_with_what_to_do() {
        let bytes = written(&[entry("a", &[3])]).unwrap();
        let mut header = bytes[PREFIX_BYTES..].to_vec();
        header[4 + 2 + 1 + 1] = 1;
        let reason = read_again(&sealed(1, &header[..header.len() - 4])).unwrap_err().0;
        assert!(reason.contains("scalar levels") && reason.contains("swath weights compress"), "{reason}");
    }

    #[test]
    fn metadata_that_no_header_holds_or_that_is_no_map_is_refused() {
        let large: Metadata = [("a".to_owned(), "x".repeat(MAX_HEADER_BYTES))].into();
        let reason = write(&[entry("a", &[3])], &large).unwrap_err().0;
        assert!(reason.contains("metadata take 16777"), "{reason}");
        let texts = |texts: &[&[u8]]| {
            let mut header = [0u32.to_le_bytes(), u32::try_from(texts.len() / 2).unwrap().to_le_bytes()].concat();
            for text in texts {
                header.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
                header.extend(*text);
            }
            read_again(&sealed(2, &header))
        };
        assert_eq!(texts(&[b"k", b"v"]).unwrap().1["k"], "v");
        assert!(texts(&[b"k", b"v", b"k", b"w"]).unwrap_err().0.contains("`k` stands in its metadata twice"));
        assert!(texts(&[b"k", b"\xff"]).unwrap_err().0.contains("not UTF-8"));
    }

    #[test]
    fn every_changed_byte_is_seen() {
        let bytes = written(&[entry("a", &[1])]).unwrap();
        for idx in (0..12).chain(16..bytes.len()) {
            let mut changed = bytes.clone();
            changed[idx] ^= 4;
            assert!(read_again(&changed).is_err(), "byte {idx}");
        }
    }

    #[test]
    fn what_no_file_may_hold_is_refused() {
        assert!(written(&[entry(&"x".repeat(2000), &[1])]).is_err());
        assert!(written(&[entry("a", &[1; 9])]).is_err());
        assert!(written(&[entry("a", &[usize::MAX, 2])]).is_err());
        assert!(written(&[Entry { dtype: Dtype::I64, ..entry("a", &[1]) }]).is_err());
        let twice = written(&[entry("a", &[1]), entry("a", &[1])]).unwrap();
        assert_eq!(read_again(&twice).unwrap_err().0, "the tensor `a` stands in it twice");
    }
}
