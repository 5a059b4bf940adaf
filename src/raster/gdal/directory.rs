//! A TIFF directory read without libtiff: the few tags that say how its pixels are stored.
//!
//! GDAL tells how it hands pixels out, which is not always how the file stores them: a strip of many rows comes row by row. What a file
//! claims can only be judged by its own words. A directory that this reader does not understand is not judged at all: libtiff decides.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::geom::Size;

/// libtiff refuses directories with more entries.
const MOST_ENTRIES: u64 = 4096;

/// Values of one tag that are looked at: one for each sample at most.
const MOST_VALUES: u64 = 65_535;

/// Strips or tiles of one image whose places are looked at, and how many of them at a time.
const MOST_LISTED: u64 = 1 << 22;
const PIECE: u64 = 8192;

/// How a directory says that its pixels are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directory {
    /// Extent of the image.
    pub(super) size: Size,
    /// Bits of one sample.
    pub(super) bits: u64,
    /// Samples of one pixel.
    pub(super) samples: u64,
    /// Each sample has strips or tiles of its own.
    pub(super) planar: bool,
    /// Code of the compression.
    pub(super) compression: u64,
    /// Code of the colour space.
    pub(super) photometric: u64,
    /// Samples are signed integers.
    pub(super) signed: bool,
    /// Extent of a whole tile, or of a strip.
    pub(super) block: Size,
    /// Pixels are stored in tiles.
    pub(super) tiled: bool,
    /// What the image is to the others of its file.
    role: u64,
    /// Where it is itself.
    offset: u64,
    /// Where the next directory is; 0 behind the last.
    pub(super) next: u64,
    /// Where the first block of each plane is, of the planes that have one block, or of the first plane alone; 0 where it is not stored.
    first_blocks: Vec<u64>,
}

impl Directory {
    /// Reads the one at `offset`; `None` where it cannot be understood.
    pub(super) fn read(path: &Path, offset: u64) -> Option<Self> {
        let mut tags = Tags::read(path, offset).ok()??;
        let next = tags.next;
        let size = Size::new(tags.number(IMAGE_WIDTH)?, tags.number(IMAGE_LENGTH)?);
        let tiled = tags.has(TILE_WIDTH);
        if size.is_empty() || tiled && tags.has(STRIP_OFFSETS) {
            return None;
        }
        let block = match tiled {
            true => Size::new(tags.number(TILE_WIDTH)?, tags.number(TILE_LENGTH)?),
            false => Size::new(size.width, tags.number_or(ROWS_PER_STRIP, u64::from(u32::MAX))?.min(size.height)),
        };
        let directory = Self {
            size,
            bits: tags.value_or(BITS_PER_SAMPLE, 1)?,
            samples: tags.value_or(SAMPLES_PER_PIXEL, 1)?,
            planar: tags.value_or(PLANAR_CONFIG, 1)? == 2,
            compression: tags.value_or(COMPRESSION, 1)?,
            photometric: tags.value_or(PHOTOMETRIC, 0)?,
            signed: tags.value_or(SAMPLE_FORMAT, 1)? == 2,
            block,
            tiled,
            role: tags.value_or(SUBFILE_TYPE, 0)?,
            offset,
            next,
            first_blocks: Vec::new(),
        };
        if block.is_empty() {
            return None;
        }
        let n_planes = if directory.planar && directory.is_one_strip() { directory.samples } else { 1 };
        let first_blocks = tags.values(if tiled { TILE_OFFSETS } else { STRIP_OFFSETS }, n_planes)?;
        Some(Self { first_blocks, ..directory })
    }

    /// Whether the first block of a plane is stored; in files without planes of their own there is but the first.
    pub(super) fn is_stored(&self, plane: usize) -> bool {
        let plane = if self.planar { plane } else { 0 };
        self.first_blocks.get(plane).is_some_and(|offset| *offset != 0)
    }

    /// Whether the first blocks of all planes that have one block are stored.
    pub(super) fn is_all_stored(&self) -> bool {
        !self.first_blocks.is_empty() && self.first_blocks.iter().all(|offset| *offset != 0)
    }

    /// Whether some strip or tile is not stored; a list of them that cannot be read, or is longer than anybody wants to read, says so too.
    pub(super) fn lacks_blocks(&self, path: &Path) -> bool {
        let tags = Tags::read(path, self.offset).ok().flatten();
        tags.is_some_and(|mut tags| {
            tags.holds_zero(if self.tiled { TILE_OFFSETS } else { STRIP_OFFSETS }).unwrap_or(true)
        })
    }

    /// Number of strips or tiles.
    pub(super) fn n_blocks(&self) -> u64 {
        let across = |side: u32, block: u32| u64::from(side.div_ceil(block));
        let planes = if self.planar { self.samples } else { 1 };
        let in_plane = across(self.size.width, self.block.width) * across(self.size.height, self.block.height);
        in_plane.saturating_mul(planes)
    }

    /// Bytes of a whole block when it is unpacked.
    pub(super) fn block_bytes(&self) -> u64 {
        let samples = if self.planar { 1 } else { self.samples };
        let row_bits = u64::from(self.block.width).saturating_mul(samples).saturating_mul(self.bits);
        row_bits.div_ceil(8).saturating_mul(u64::from(self.block.height))
    }

    /// The file holds one strip per band at most.
    pub(super) fn is_one_strip(&self) -> bool {
        !self.tiled && self.block.height >= self.size.height
    }

    /// A mask of another image, at full size.
    pub(super) fn is_mask(&self) -> bool {
        self.role & (MASK | REDUCED) == MASK
    }

    /// Neither a mask nor an overview.
    pub(super) fn is_page(&self) -> bool {
        self.role & (MASK | REDUCED) == 0
    }
}

const SUBFILE_TYPE: u16 = 254;
const IMAGE_WIDTH: u16 = 256;
const IMAGE_LENGTH: u16 = 257;
const BITS_PER_SAMPLE: u16 = 258;
const COMPRESSION: u16 = 259;
const PHOTOMETRIC: u16 = 262;
const STRIP_OFFSETS: u16 = 273;
const SAMPLES_PER_PIXEL: u16 = 277;
const ROWS_PER_STRIP: u16 = 278;
const PLANAR_CONFIG: u16 = 284;
const TILE_WIDTH: u16 = 322;
const TILE_LENGTH: u16 = 323;
const TILE_OFFSETS: u16 = 324;
const SAMPLE_FORMAT: u16 = 339;

/// Bits of [`SUBFILE_TYPE`].
const REDUCED: u64 = 1;
const MASK: u64 = 4;

/// The entries of a directory.
struct Tags {
    file: File,
    form: Form,
    entries: Vec<u8>,
    next: u64,
}

/// How a file writes numbers.
#[derive(Clone, Copy, Debug)]
struct Form {
    little: bool,
    big: bool,
}

impl Form {
    /// The form of a file that begins like this; `None` when it is no TIFF.
    fn of(start: [u8; 4]) -> Option<Self> {
        match &start {
            b"II\x2a\0" => Some(Self { little: true, big: false }),
            b"II\x2b\0" => Some(Self { little: true, big: true }),
            b"MM\0\x2a" => Some(Self { little: false, big: false }),
            b"MM\0\x2b" => Some(Self { little: false, big: true }),
            _ => None,
        }
    }

    /// An unsigned number of up to 8 bytes.
    fn number(self, bytes: &[u8]) -> u64 {
        let add = |sum: u64, byte: &u8| (sum << 8) | u64::from(*byte);
        if self.little { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) }
    }

    /// Bytes of an offset.
    fn offset(self) -> usize {
        if self.big { 8 } else { 4 }
    }

    /// Bytes of an entry: tag, type, count, value or its offset.
    fn entry(self) -> usize {
        4 + 2 * self.offset()
    }

    /// Bytes of the number of entries.
    fn count(self) -> usize {
        if self.big { 8 } else { 2 }
    }
}

/// Bytes of a value of an unsigned integer type; of the signed ones those that are not negative look alike.
fn width_of(kind: u64) -> Option<usize> {
    match kind {
        1 | 6 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 13 => Some(4),
        16..=18 => Some(8),
        _ => None,
    }
}

impl Tags {
    fn read(path: &Path, offset: u64) -> io::Result<Option<Self>> {
        let mut file = File::open(path)?;
        let mut start = [0; 4];
        file.read_exact(&mut start)?;
        let Some(form) = Form::of(start) else { return Ok(None) };
        let count = bytes_at(&mut file, offset, form.count())?;
        let count = form.number(&count);
        if count > MOST_ENTRIES {
            return Ok(None);
        }
        let length = usize::try_from(count).unwrap_or(0) * form.entry();
        let entries = bytes_at(&mut file, offset.saturating_add(form.count() as u64), length)?;
        let mut next = vec![0; form.offset()];
        // A file may end behind its last entry.
        let next = file.read_exact(&mut next).map_or(0, |()| form.number(&next));
        Ok(Some(Self { file, form, entries, next }))
    }

    /// The first entry of a tag; libtiff ignores further ones.
    fn entry(&self, tag: u16) -> Option<&[u8]> {
        let is_it = |entry: &&[u8]| self.form.number(&entry[..2]) == u64::from(tag);
        self.entries.chunks_exact(self.form.entry()).find(is_it)
    }

    fn has(&self, tag: u16) -> bool {
        self.entry(tag).is_some()
    }

    /// The first value of a tag; `None` where there is none or it is no integer.
    fn value(&mut self, tag: u16) -> Option<u64> {
        self.values(tag, 1)?.first().copied()
    }

    /// The first values of a tag, up to `most` of them.
    fn values(&mut self, tag: u16, most: u64) -> Option<Vec<u64>> {
        let form = self.form;
        let entry = self.entry(tag)?.to_vec();
        let (head, value) = entry.split_at(4 + form.offset());
        let width = width_of(form.number(&head[2..4]))?;
        let count = form.number(&head[4..]);
        let n = usize::try_from(count.min(most).min(MOST_VALUES)).ok()?;
        let is_inline = count.saturating_mul(width as u64) <= form.offset() as u64;
        let bytes = match is_inline {
            true => value[..n * width].to_vec(),
            false => bytes_at(&mut self.file, form.number(value), n * width).ok()?,
        };
        Some(bytes.chunks_exact(width).map(|bytes| form.number(bytes)).collect())
    }

    /// The same, or what is meant where the tag is missing.
    fn value_or(&mut self, tag: u16, default: u64) -> Option<u64> {
        if self.has(tag) { self.value(tag) } else { Some(default) }
    }

    fn number(&mut self, tag: u16) -> Option<u32> {
        self.value(tag)?.try_into().ok()
    }

    fn number_or(&mut self, tag: u16, default: u64) -> Option<u32> {
        self.value_or(tag, default)?.try_into().ok()
    }

    /// Whether one of the values of a tag is 0; `None` where that cannot be said.
    fn holds_zero(&mut self, tag: u16) -> Option<bool> {
        let form = self.form;
        let entry = self.entry(tag)?.to_vec();
        let (head, value) = entry.split_at(4 + form.offset());
        let width = width_of(form.number(&head[2..4]))?;
        let count = form.number(&head[4..]);
        let is_zero = |bytes: &[u8]| bytes.chunks_exact(width).any(|value| value.iter().all(|byte| *byte == 0));
        if count.saturating_mul(width as u64) <= form.offset() as u64 {
            return Some(is_zero(&value[..usize::try_from(count).ok()? * width]));
        }
        if count > MOST_LISTED {
            return None;
        }
        let (mut left, mut at) = (count, form.number(value));
        while left > 0 {
            let n = left.min(PIECE);
            let bytes = bytes_at(&mut self.file, at, usize::try_from(n).ok()? * width).ok()?;
            if is_zero(&bytes) {
                return Some(true);
            }
            (left, at) = (left - n, at.saturating_add(n * width as u64));
        }
        Some(false)
    }
}

fn bytes_at(file: &mut File, offset: u64, n: usize) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = vec![0; n];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}
