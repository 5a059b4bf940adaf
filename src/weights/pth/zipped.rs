//! The zip container: `<root>/data.pkl` and one entry `<root>/data/<key>` per storage.

use std::collections::BTreeSet;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;

use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::super::flaw::{Flaw, quoted};
use super::super::pickle::{self, Pickle, Source};
use super::super::reader::WeightsReader;

/// What deflate can make of a byte at most, rounded up.
const DEFLATE_LIMIT: u64 = 1100;
/// Longest content of the entry `byteorder`.
const BYTE_ORDER_BYTES: u64 = 16;

#[derive(Debug)]
pub(super) struct Zipped {
    archive: ZipArchive<BufReader<WeightsReader>>,
    file_bytes: u64,
    /// The folder that everything is in, with its slash.
    root: String,
    /// Entries whose checksum has been compared.
    checked: BTreeSet<usize>,
}

impl Zipped {
    /// Opens the archive and reads its pickle.
    ///
    /// # Errors
    /// When it is damaged, of another byte order, or holds something else than a checkpoint.
    pub(super) fn open(file: WeightsReader) -> Result<(Pickle, Self), Flaw> {
        let file_bytes = file.metadata()?.len();
        let archive = ZipArchive::new(BufReader::new(file)).map_err(flaw)?;
        if archive.has_duplicate_names() {
            return Err(Flaw::broken("its directory lists an entry twice"));
        }
        let root = root(&archive)?;
        let mut zipped = Self { archive, file_bytes, root, checked: BTreeSet::new() };
        zipped.check_byte_order()?;
        let pickle = zipped.pickle().map_err(|flaw| flaw.within("data.pkl"))?;
        Ok((pickle, zipped))
    }

    fn pickle(&mut self) -> Result<Pickle, Flaw> {
        let entry = self.archive.by_name(&format!("{}data.pkl", self.root)).map_err(flaw)?;
        let n_bytes = entry.size();
        if n_bytes > pickle::MAX_BYTES {
            return Err(Flaw::broken(format!("it has {n_bytes} bytes, more than {}", pickle::MAX_BYTES)));
        }
        let mut source = Source::new(BufReader::new(entry), n_bytes);
        let pickle = Pickle::read(&mut source)?;
        // Reading to the end compares the checksum.
        match source.rest()? {
            0 => Ok(pickle),
            more => Err(Flaw::broken(format!("{more} bytes follow its object"))),
        }
    }

    /// Checks that the storage `key` is there and has `n_bytes` bytes.
    ///
    /// # Errors
    /// When it is not so.
    pub(super) fn check(&mut self, key: &str, n_bytes: u64) -> Result<(), Flaw> {
        if n_bytes == 0 {
            return Ok(());
        }
        let idx = self.position(key)?;
        let entry = self.archive.by_index_data(idx).map_err(flaw)?;
        let (found, packed) = (entry.size(), entry.compressed_size());
        let is_stored = entry.compression() == CompressionMethod::Stored;
        let is_possible = if is_stored { packed == found } else { found / DEFLATE_LIMIT <= packed };
        let is_possible = is_possible && packed <= self.file_bytes;
        match found == n_bytes && is_possible {
            true => Ok(()),
            false => Err(Flaw::broken(format!("its storage {} has {found} bytes instead of {n_bytes}", quoted(key)))),
        }
    }

    /// Bytes `range` of the storage `key`, which has `n_bytes` bytes.
    ///
    /// # Errors
    /// When the system refuses, the entry cannot be unpacked, or its checksum is wrong.
    pub(super) fn read(&mut self, key: &str, n_bytes: u64, range: Range<u64>) -> Result<Vec<u8>, Flaw> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        self.check(key, n_bytes)?;
        let idx = self.position(key)?;
        let named = |flaw: Flaw| flaw.within(&format!("its storage {}", quoted(key)));
        if range == (0..n_bytes) {
            return self.whole(idx, n_bytes).map_err(named);
        }
        if !self.checked.contains(&idx) {
            // Reading to the end compares the checksum.
            io::copy(&mut self.archive.by_index(idx).map_err(flaw)?, &mut io::sink()).map_err(|e| named(e.into()))?;
            self.checked.insert(idx);
        }
        self.part(idx, range).map_err(named)
    }

    fn whole(&mut self, idx: usize, n_bytes: u64) -> Result<Vec<u8>, Flaw> {
        let mut entry = self.archive.by_index(idx).map_err(flaw)?;
        let mut bytes = Vec::new();
        if entry.compression() == CompressionMethod::Stored {
            // No more than the file has, as `check` has seen.
            bytes.reserve_exact(usize::try_from(n_bytes).unwrap_or_default());
        }
        // One more byte than it says, so that the end is reached and the checksum compared.
        (&mut entry).take(n_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
        exactly(bytes, n_bytes)
    }

    fn part(&mut self, idx: usize, range: Range<u64>) -> Result<Vec<u8>, Flaw> {
        let n_bytes = range.end - range.start;
        let mut bytes = Vec::new();
        if self.archive.by_index_data(idx).map_err(flaw)?.compression() == CompressionMethod::Stored {
            let mut entry = self.archive.by_index_seek(idx).map_err(flaw)?;
            entry.seek(SeekFrom::Start(range.start))?;
            entry.take(n_bytes).read_to_end(&mut bytes)?;
        } else {
            let mut entry = self.archive.by_index(idx).map_err(flaw)?;
            io::copy(&mut (&mut entry).take(range.start), &mut io::sink())?;
            entry.take(n_bytes).read_to_end(&mut bytes)?;
        }
        exactly(bytes, n_bytes)
    }

    fn position(&self, key: &str) -> Result<usize, Flaw> {
        let found = self.archive.index_for_name(&format!("{}data/{key}", self.root));
        found.ok_or_else(|| Flaw::broken(format!("its storage {} is missing", quoted(key))))
    }

    fn check_byte_order(&mut self) -> Result<(), Flaw> {
        let Some(idx) = self.archive.index_for_name(&format!("{}byteorder", self.root)) else { return Ok(()) };
        let mut order = Vec::new();
        self.archive.by_index(idx).map_err(flaw)?.take(BYTE_ORDER_BYTES).read_to_end(&mut order)?;
        match order.as_slice() {
            b"little" => Ok(()),
            _ => Err(Flaw::big_endian()),
        }
    }
}

/// The folder of the checkpoint.
fn root(archive: &ZipArchive<BufReader<WeightsReader>>) -> Result<String, Flaw> {
    let names = || archive.file_names_raw().filter_map(|name| std::str::from_utf8(name).ok());
    let Some(root) = names().find_map(|name| name.strip_suffix("data.pkl").filter(|root| is_folder(root))) else {
        return Err(Flaw::unusable(
            "it is a zip archive without a data.pkl, so no PyTorch checkpoint: name the file that torch.save wrote",
        ));
    };
    let is_program = |name: &str| {
        name.strip_prefix(root).is_some_and(|inner| inner == "constants.pkl" || inner.starts_with("code/"))
    };
    if names().any(is_program) {
        return Err(Flaw::unusable(
            "it is a TorchScript archive, a program with its weights inside; in PyTorch, \
             torch.save(torch.jit.load(path).state_dict(), other_path), or, if you trust it, run it as a member with network = \
             \"torchscript\"",
        ));
    }
    Ok(root.to_owned())
}

/// Whether this is nothing, or one folder with its slash.
fn is_folder(path: &str) -> bool {
    path.is_empty() || path.find('/') == Some(path.len() - 1)
}

fn exactly(bytes: Vec<u8>, n_bytes: u64) -> Result<Vec<u8>, Flaw> {
    if bytes.len() as u64 == n_bytes {
        Ok(bytes)
    } else {
        Err(Flaw::broken(format!("{} bytes instead of {n_bytes}", bytes.len())))
    }
}

fn flaw(error: ZipError) -> Flaw {
    if let ZipError::Io(error) = error { error.into() } else { Flaw::broken(error.to_string()) }
}
