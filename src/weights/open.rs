//! A file of weights in any format: its table of contents first, then one tensor at a time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use super::digest::{digest, other_than_known};
use super::file::SafetensorsFile;
use super::fit::{Mismatch, Unfit};
use super::huffman::{self, HuffmanDir};
use super::listing::{Listing, Metadata};
use super::pth::PthFile;
use super::reader::{Hashed, WeightsReader};
use super::selection::Selection;
use super::swz::SwzFile;
use super::tensor::{FileTensor, widen};
use super::{Format, Note, WeightsError, onnx};

/// Bytes of a file that tell its format.
const HEAD_BYTES: u64 = 16;

/// An open file (or directory) of weights whose table of contents has been checked.
#[derive(Debug)]
pub struct WeightsFile {
    path: PathBuf,
    format: Format,
    listing: Listing,
    content: Content,
    /// The digest that it must have, and what is hashed while it is read; a directory is hashed in the end.
    expected: Option<(String, Option<Hashed>)>,
}

/// Where the values come from. A format has one variant here, one arm in each `match` on it, and its magic bytes in [`Format`].
#[derive(Debug)]
enum Content {
    Safetensors(SafetensorsFile),
    Pth(PthFile),
    Huffman(HuffmanDir),
    Swz(SwzFile),
}

impl WeightsFile {
    /// Opens the network's tensors in `path`, whose content decides the format.
    ///
    /// # Errors
    /// When the file cannot be read, is of no known format, is damaged, or has no tensors that could be read as data.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        Self::open_selected(path, Selection::Network)
    }

    /// Opens the tensors in `path` that `selection` asks for.
    ///
    /// # Errors
    /// As [`Self::open`], and when there is no average to be had.
    pub fn open_selected(path: &Path, selection: Selection) -> Result<Self, WeightsError> {
        Self::open_reader(path, selection, || WeightsReader::open(path))
    }

    /// As [`Self::open`], of a file whose digest is known to be `digest`: [`Self::verify`] says whether it is.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_as(path: &Path, digest: &str) -> Result<Self, WeightsError> {
        let mut hashed = None;
        let file = Self::open_reader(path, Selection::Network, || {
            let (reader, beginning) = WeightsReader::open_hashed(path)?;
            hashed = Some(beginning);
            Ok(reader)
        })?;
        Ok(Self { expected: Some((digest.to_owned(), hashed)), ..file })
    }

    fn open_reader(
        path: &Path,
        selection: Selection,
        reader: impl FnOnce() -> Result<WeightsReader, WeightsError>,
    ) -> Result<Self, WeightsError> {
        let format = Format::of(path)?;
        let has_average = matches!(format, Format::PthZip | Format::PthLegacy);
        if selection == Selection::Average && !has_average {
            let reason = format!("a {format} holds no averaged weights beside others: do not ask for them");
            return Err(WeightsError::Unusable { path: path.to_owned(), reason });
        }
        let (listing, content) = match format {
            Format::Safetensors => {
                let (listing, file) = SafetensorsFile::open(path, reader()?)?;
                (listing, Content::Safetensors(file))
            }
            Format::PthZip | Format::PthLegacy => {
                let (listing, file) = PthFile::open(path, reader()?, format, selection)?;
                (listing, Content::Pth(file))
            }
            Format::Huffman => {
                let (listing, directory) = HuffmanDir::open(path, selection)?;
                (listing, Content::Huffman(directory))
            }
            Format::Swz => {
                let file = SwzFile::of(path, reader()?)?;
                let listing = Listing::new(file.tensors().to_vec(), vec![]);
                (Listing { metadata: file.metadata().clone(), ..listing }, Content::Swz(file))
            }
        };
        Ok(Self { path: path.to_owned(), format, listing, content, expected: None })
    }

    /// Compares what was opened under a digest with it, once all that is wanted has been read. What is known of the digests of files is
    /// forgotten where it is not so.
    ///
    /// # Errors
    /// When it is another file, or cannot be read.
    pub fn verify(&self) -> Result<(), WeightsError> {
        let Some((expected, hashed)) = &self.expected else { return Ok(()) };
        let found = match hashed {
            Some(hashed) => hashed.digest().map_err(WeightsError::io("read", &self.path))?,
            None => digest(&self.path)?,
        };
        if found == *expected { Ok(()) } else { Err(other_than_known(&self.path, expected, &found)) }
    }

    /// The path it was opened at.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the content is.
    pub fn format(&self) -> Format {
        self.format
    }

    /// What was unwrapped, renamed or left out on the way to [`Self::tensors`].
    pub fn notes(&self) -> &[Note] {
        &self.listing.notes
    }

    /// What the file says of its weights; nothing in formats that have no place for it (PyTorch checkpoints, Huffman directories).
    pub fn metadata(&self) -> &Metadata {
        &self.listing.metadata
    }

    /// The table of contents, in the file's order.
    pub fn tensors(&self) -> &[FileTensor] {
        &self.listing.tensors
    }

    /// A [`Mismatch::Duplicate`] for every name that the file has more than once. If there is one, nothing can be read.
    pub fn duplicates(&self) -> &[Mismatch] {
        &self.listing.duplicates
    }

    /// Gives tensors that are stored without a shape the one that the network has (name, shape), if their streams allow it.
    ///
    /// Those that remain without are a [`Mismatch::Size`] for [`compare`](super::compare).
    ///
    /// # Errors
    /// When a stream is damaged or cannot be read.
    pub fn adopt_shapes(&mut self, expected: &[(String, Vec<usize>)]) -> Result<(), WeightsError> {
        let Content::Huffman(directory) = &mut self.content else { return Ok(()) };
        let expected: BTreeMap<&str, &[usize]> = expected.iter().map(|(n, shape)| (n.as_str(), &shape[..])).collect();
        for tensor in self.listing.tensors.iter_mut().filter(|tensor| tensor.is_shapeless()) {
            if let Some(shape) = expected.get(tensor.name.as_str())
                && directory.agrees(tensor.idx(), shape)?
            {
                tensor.adopt(shape);
            }
        }
        Ok(())
    }

    /// The values of `tensor`, one of [`Self::tensors`], widened to f32; not a number where the type is not readable.
    ///
    /// # Errors
    /// When the system refuses the read, the values turn out to be damaged, or the file has a name twice.
    pub fn read(&mut self, tensor: &FileTensor) -> Result<Vec<f32>, WeightsError> {
        self.refuse_duplicates()?;
        if let Content::Swz(file) = &mut self.content {
            // The levels are f32 whatever type was compressed.
            return file.read(tensor);
        }
        Ok(widen(tensor.dtype, &self.read_raw(tensor)?))
    }

    /// The values of several of [`Self::tensors`], as [`Self::read`] returns them; what is compressed is decoded on all cores.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_many(&mut self, tensors: &[FileTensor]) -> Result<Vec<Vec<f32>>, WeightsError> {
        self.refuse_duplicates()?;
        if let Content::Swz(file) = &mut self.content {
            let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
            return file.read_many(tensors, threads);
        }
        tensors.iter().map(|tensor| self.read(tensor)).collect()
    }

    /// The values of `tensor` in its own type: row-major, little-endian, without gaps.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_raw(&mut self, tensor: &FileTensor) -> Result<Vec<u8>, WeightsError> {
        self.refuse_duplicates()?;
        match &mut self.content {
            Content::Safetensors(file) => file.read(tensor.idx()),
            Content::Pth(file) => file.read(tensor.idx()),
            Content::Huffman(directory) => directory.read(tensor.idx(), tensor.known_shape()),
            Content::Swz(file) => file.read_bytes(tensor),
        }
    }

    /// Where a name stands twice there is no telling which tensor is meant, and formats have not checked the places of either.
    fn refuse_duplicates(&self) -> Result<(), WeightsError> {
        match self.listing.duplicates.is_empty() {
            true => Ok(()),
            false => Err(Unfit::new(&self.path, self.listing.duplicates.clone()).into()),
        }
    }
}

impl Format {
    /// Whether `path` is of one of the formats, sound or not, and no text: what begins one may begin the other.
    pub fn is_weights(path: &Path) -> bool {
        let mut head = Vec::new();
        // What comes through a pipe can be read once.
        if !path.is_file() {
            return huffman::is_huffman(path).is_ok_and(|is_huffman| is_huffman);
        }
        let read = File::open(path).and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut head));
        let is_text = || !head.contains(&0) && !matches!(head.first(), Some(0x80 | 0x89));
        read.is_ok() && Self::of_head(&head).is_some() && !is_text()
    }

    /// Recognises the format by content; the name of the file does not matter.
    ///
    /// # Errors
    /// When the path cannot be read or is of no known format.
    pub fn of(path: &Path) -> Result<Self, WeightsError> {
        let mut file = File::open(path).map_err(WeightsError::io("open", path))?;
        if file.metadata().map_err(WeightsError::io("read the kind of", path))?.is_dir() {
            return match huffman::is_huffman(path)? {
                true => Ok(Self::Huffman),
                false => Err(WeightsError::UnknownFormat { path: path.to_owned() }),
            };
        }
        let mut head = Vec::new();
        (&mut file).take(HEAD_BYTES).read_to_end(&mut head).map_err(WeightsError::io("read", path))?;
        let unknown = || match onnx::is_onnx(path) {
            false => WeightsError::UnknownFormat { path: path.to_owned() },
            true => WeightsError::Unusable {
                path: path.to_owned(),
                reason: "it is an ONNX model, a network with its weights inside: network = \"onnx\" runs it".to_owned(),
            },
        };
        Self::of_head(&head).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_none_of_them_is_refused_with_what_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let text = Format::of(dir.path()).unwrap_err().to_string();
        assert!(text.contains("Huffman directory"), "{text}");
        let path = dir.path().join("weights.pth");
        crate::atomic::write(&path, b"\x89HDF\r\n\x1a\n and so on").unwrap();
        let text = Format::of(&path).unwrap_err().to_string();
        assert!(text.contains("weights.pth") && text.contains("safetensors"), "{text}");
        assert!(Format::of(&dir.path().join("none")).unwrap_err().to_string().starts_with("cannot open the weights"));
    }
}
