//! A file of weights in any format: its table of contents first, then one tensor at a time.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use super::file::{SafetensorsFile, duplicates, widen};
use super::huffman::HuffmanDir;
use super::pth::PthFile;
use super::swz::SwzFile;
use super::{FileTensor, Format, Mismatch, Note, Unfit, WeightsError};

/// Which tensors of a file are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// The network's own, by the network's names. An average over the training is taken when there is nothing else.
    #[default]
    Network,
    /// The network's average over the training (EMA).
    Average,
    /// All, by the names or paths that they have in the file.
    Everything,
}

/// An open file (or directory) of weights whose table of contents has been checked.
#[derive(Debug)]
pub struct WeightsFile {
    path: PathBuf,
    format: Format,
    listing: Listing,
    content: Content,
}

/// Where the values come from. A format has one variant here, one arm in each `match` on it, and its magic bytes in [`Format`].
#[derive(Debug)]
enum Content {
    Safetensors(SafetensorsFile),
    Pth(PthFile),
    Huffman(HuffmanDir),
    Swz(SwzFile),
}

/// A table of contents.
#[derive(Debug)]
pub(super) struct Listing {
    tensors: Vec<FileTensor>,
    duplicates: Vec<Mismatch>,
    notes: Vec<Note>,
}

impl Listing {
    pub(super) fn new(tensors: Vec<FileTensor>, notes: Vec<Note>) -> Self {
        let duplicates = duplicates(tensors.iter().map(|tensor| tensor.name.as_str()));
        Self { tensors, duplicates, notes }
    }
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
        let format = Format::of(path)?;
        let has_average = matches!(format, Format::PthZip | Format::PthLegacy);
        if selection == Selection::Average && !has_average {
            let reason = format!("a {format} holds no averaged weights beside others: do not ask for them");
            return Err(WeightsError::Unusable { path: path.to_owned(), reason });
        }
        let (listing, content) = match format {
            Format::Safetensors => {
                let (listing, file) = SafetensorsFile::open(path)?;
                (listing, Content::Safetensors(file))
            }
            Format::PthZip | Format::PthLegacy => {
                let (listing, file) = PthFile::open(path, format, selection)?;
                (listing, Content::Pth(file))
            }
            Format::Huffman => {
                let (listing, directory) = HuffmanDir::open(path, selection)?;
                (listing, Content::Huffman(directory))
            }
            Format::Swz => {
                let file = SwzFile::open(path)?;
                (Listing::new(file.tensors().to_vec(), vec![]), Content::Swz(file))
            }
        };
        Ok(Self { path: path.to_owned(), format, listing, content })
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
            return Ok(file.read(tensor)?);
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
            return Ok(file.read_many(tensors, threads)?);
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
            Content::Swz(file) => Ok(file.read_bytes(tensor)?),
        }
    }

    /// Where a name stands twice there is no telling which tensor is meant, and formats have not checked the places of either.
    fn refuse_duplicates(&self) -> Result<(), WeightsError> {
        match self.listing.duplicates.is_empty() {
            true => Ok(()),
            false => Err(Unfit { path: self.path.clone(), mismatches: self.listing.duplicates.clone() }.into()),
        }
    }
}
