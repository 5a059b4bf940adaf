//! The formats that are read.

use std::fmt;

/// A container of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// A safetensors file.
    Safetensors,
    /// What `torch.save` has written since PyTorch 1.6: a zip archive.
    PthZip,
    /// What `torch.save` wrote before: a stream of pickles, then the values.
    PthLegacy,
    /// A directory of Huffman-coded sparse matrices.
    Huffman,
    /// swath's own compressed weights.
    Swz,
}

impl Format {
    /// Another format that is a file has its magic bytes here.
    pub(super) fn of_head(head: &[u8]) -> Option<Self> {
        match head {
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Some(Self::PthZip),
            [0x80, 2..=5, ..] => Some(Self::PthLegacy),
            [0x89, b's', b'w', b'z', ..] => Some(Self::Swz),
            // The length of the header, then the header, which is a JSON object.
            [_, _, _, _, _, _, _, _, b'{', ..] => Some(Self::Safetensors),
            _ => None,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Safetensors => "safetensors file",
            Self::PthZip => "PyTorch checkpoint (zip)",
            Self::PthLegacy => "PyTorch checkpoint (legacy stream)",
            Self::Huffman => "Huffman directory",
            Self::Swz => "compressed weights (swz)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_format() {
        assert_eq!(Format::of_head(b"PK\x03\x04 and so on"), Some(Format::PthZip));
        assert_eq!(Format::of_head(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."), Some(Format::PthLegacy));
        assert_eq!(Format::of_head(b"\x40\0\0\0\0\0\0\0{\"a\":"), Some(Format::Safetensors));
        for other in [&b""[..], b"PK", b"\x80", b"\x80\x06", b"\x89HDF\r\n\x1a\n", b"\x40\0\0\0\0\0\0\0"] {
            assert_eq!(Format::of_head(other), None);
        }
    }
}
