//! Which file a path stood for: so that an input that changes under a run is noticed.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::RasterError;
use crate::atomic::{KnownDigests, sha256_of_file};

/// Bytes digested at each end of the file.
const ENDS: u64 = 64 << 10;

/// Size, modification time and digest of the first and last 64 KiB of a file, and of what lies beside it and says which of its
/// pixels are data. Times are told apart from all else: copies on two hosts have their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Length in bytes.
    pub bytes: u64,
    /// Modification time in nanoseconds since 1970; of several files the sum of theirs, which changes with each.
    pub modified_ns: u128,
    /// SHA-256 over the first and last 64 KiB, hexadecimal.
    pub ends_sha256: String,
}

impl Identity {
    /// Looks at the file.
    ///
    /// # Errors
    /// When it is no regular file or cannot be read.
    pub fn of(path: &Path) -> Result<Self, RasterError> {
        let bytes = check_regular_file(path)?;
        let fail = |e: std::io::Error| RasterError::Open { detail: in_words(&e) };
        let mut file = File::open(path).map_err(fail)?;
        let modified = file.metadata().and_then(|m| m.modified()).map_err(fail)?;
        let mut hasher = Sha256::new();
        let mut buffer = Vec::new();
        (&mut file).take(ENDS).read_to_end(&mut buffer).map_err(fail)?;
        hasher.update(&buffer);
        if bytes > ENDS {
            buffer.clear();
            file.seek(SeekFrom::Start(bytes.saturating_sub(ENDS).max(ENDS))).map_err(fail)?;
            file.take(ENDS).read_to_end(&mut buffer).map_err(fail)?;
            hasher.update(&buffer);
        }
        let mut modified_ns = since_1970(modified);
        for sidecar in sidecars(path) {
            modified_ns = modified_ns.wrapping_add(hash_sidecar(&sidecar, &mut hasher).map_err(fail)?);
        }
        Ok(Self { bytes, modified_ns, ends_sha256: crate::hex(&hasher.finalize()) })
    }
}

fn since_1970(time: SystemTime) -> u128 {
    time.duration_since(UNIX_EPOCH).map(|d| d.as_nanos()).unwrap_or_default()
}

impl Identity {
    /// Whether it is the same but for when it was written: a copy, or a file that was touched.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        (self.bytes, &self.ends_sha256) == (other.bytes, &other.ends_sha256)
    }

    /// What tells at a glance that files changed whose identity this process knows: a number of their sizes and modification times.
    pub(crate) fn glance(paths: &[PathBuf]) -> Option<u64> {
        let mut hasher = DefaultHasher::new();
        for path in paths {
            let meta = path.metadata().ok()?;
            (meta.len(), meta.modified().ok()?).hash(&mut hasher);
        }
        Some(hasher.finish())
    }

    /// That of several files together.
    pub(crate) fn of_all(mut all: Vec<Self>) -> Self {
        if all.len() == 1 {
            return all.remove(0);
        }
        let mut hasher = Sha256::new();
        for Self { bytes, ends_sha256, .. } in &all {
            hasher.update(format!("{bytes} {ends_sha256}\n"));
        }
        Self {
            bytes: all.iter().map(|one| one.bytes).sum(),
            modified_ns: all.iter().map(|one| one.modified_ns).fold(0, u128::wrapping_add),
            ends_sha256: crate::hex(&hasher.finalize()),
        }
    }
}

/// Files beside a scene that decide which of its pixels are data.
const SIDECARS: [&str; 2] = [".msk", ".aux.xml"];

fn sidecars(path: &Path) -> impl Iterator<Item = PathBuf> {
    SIDECARS.into_iter().map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        name.into()
    })
}

/// Is told how many bytes are hashed, and of how many.
pub type HashProgress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// What scenes are known by whose files may be copied and touched: SHA-256 of the file, or where a scene has several, or sidecars, that of
/// the list of their digests and suffixes. Those of files that have not changed since they were hashed are known.
pub(crate) fn contents(scenes: &[Vec<PathBuf>], watch: HashProgress<'_>) -> Vec<Result<String, RasterError>> {
    contents_by(&KnownDigests::named("inputs.json"), scenes, watch)
}

/// The same of one scene, whose files are hashed in any case.
pub(crate) fn content(scene: Vec<PathBuf>) -> Result<String, RasterError> {
    contents_by(&KnownDigests::default(), &[scene], &|_, _| {}).remove(0)
}

fn contents_by(
    known: &KnownDigests,
    scenes: &[Vec<PathBuf>],
    watch: HashProgress<'_>,
) -> Vec<Result<String, RasterError>> {
    let with_sidecars = |path: &PathBuf| {
        let beside = SIDECARS.into_iter().zip(sidecars(path)).filter(|(_, sidecar)| sidecar.is_file());
        std::iter::once(("", path.clone())).chain(beside).collect::<Vec<_>>()
    };
    let files: Vec<Vec<(&str, PathBuf)>> =
        scenes.iter().map(|paths| paths.iter().flat_map(with_sidecars).collect()).collect();
    let all: Vec<(&Path, Option<&str>)> = files.iter().flatten().map(|(_, path)| (path.as_path(), None)).collect();
    let fail = |e: std::io::Error| RasterError::Open { detail: in_words(&e) };
    let (done, of_bytes) = (AtomicU64::new(0), known.unknown_bytes(all.iter().map(|(path, _)| *path)));
    let read = |n: usize| watch(done.fetch_add(n as u64, Ordering::Relaxed) + n as u64, of_bytes);
    // A pipe has no end.
    let hash = |path: &Path| match path.is_file() {
        true => Ok((sha256_of_file(path, read).map_err(fail)?, true)),
        false => Err(check_regular_file(path).err().unwrap_or(RasterError::Changed)),
    };
    let mut found = known.of(&all, hash).into_iter();
    let content = |files: &Vec<(&str, PathBuf)>| {
        // All of them are taken, also behind one that cannot be read.
        let own: Vec<_> = found.by_ref().take(files.len()).collect();
        let own: Vec<String> = own.into_iter().collect::<Result<_, _>>()?;
        match own.as_slice() {
            [only] => Ok(only.clone()),
            several => {
                let lines = several.iter().zip(files).map(|(sha256, (suffix, _))| format!("{sha256}  {suffix}\n"));
                Ok(crate::hex(&Sha256::digest(lines.collect::<String>())))
            }
        }
    };
    files.iter().map(content).collect()
}

/// Adds a sidecar's size and first 64 KiB, if there is one; returns when it was written.
fn hash_sidecar(path: &Path, hasher: &mut Sha256) -> std::io::Result<u128> {
    let Ok(file) = File::open(path) else { return Ok(0) };
    let meta = file.metadata()?;
    hasher.update(meta.len().to_le_bytes());
    let mut start = Vec::new();
    file.take(ENDS).read_to_end(&mut start)?;
    hasher.update(&start);
    Ok(since_1970(meta.modified()?))
}

/// The file's length, when it is a regular file: no folder, pipe, device or dangling link.
///
/// # Errors
/// When it is anything else, or missing, or empty.
pub fn check_regular_file(path: &Path) -> Result<u64, RasterError> {
    let refuse = |reason: &str| Err(RasterError::Refused { reason: reason.to_owned() });
    match std::fs::metadata(path) {
        _ if path.to_str().is_none() => refuse("its path is not UTF-8, which GDAL cannot open; rename it"),
        Ok(meta) if meta.is_file() && meta.len() == 0 => refuse("the file is empty; fetch or write it again"),
        Ok(meta) if meta.is_file() => Ok(meta.len()),
        Ok(_) => refuse("it is not a regular file"),
        Err(_) if path.is_symlink() => refuse("it is a link to nothing; mend or remove it"),
        Err(e) => Err(RasterError::Open { detail: in_words(&e) }),
    }
}

/// What the system said, without its number where it is a common thing.
fn in_words(error: &std::io::Error) -> String {
    let common = [
        (ErrorKind::NotFound, "there is no such file"),
        (ErrorKind::PermissionDenied, "permission denied; make it readable"),
    ];
    let known = common.into_iter().find(|(kind, _)| *kind == error.kind());
    known.map_or_else(|| error.to_string(), |(_, words)| words.into())
}
