//! Decoders in processes of their own.
//!
//! A source starts its child on first use (a child dies with the thread that started it) and asks it one window after the other, a
//! strip of whole rows at a time. Pixels travel through a file in memory of two halves: while the parent copies one strip out of its
//! half, the child decodes the next one into the other. So a child's memory does not depend on the window: the program, GDAL's cache,
//! one strip in its hands and two in the file.
//!
//! The child limits itself before it touches a file: address space, processor time per answer, size of what it writes. The parent
//! limits the time it waits for an answer. A child that dies is replaced for the next strip; when a second one dies over the same
//! request, the file is at fault.
//!
//! A mosaic names other files. Where such are allowed a source has a second child for them, which before it opens anything gives up all
//! that it does not need: the formats that are not allowed, and every folder but those of the inputs.

mod protocol;
mod serve;
mod source;
mod strips;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Allowed, OpenSource, RasterSource};
use source::IsolatedSource;

pub use protocol::Terms;
pub use serve::serve;

/// Bytes of a strip, unless a single row has more. Small enough to stay in a core's cache between the copies: strips of 4 MiB took a
/// quarter more processor time for an uncompressed scene (2 cores, 2026-11).
pub const STRIP_BYTES: u64 = 512 << 10;

/// Address space beyond what is counted: the decoder's and the C library's own.
const SLACK: u64 = 256 << 20;

/// GDAL's cache while only headers are looked at.
const PLANNING_CACHE: u64 = 16 << 20;

/// Address space that looking at a header may take.
const PLANNING_MEMORY: u64 = 512 << 20;

/// What one decoder may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecoderLimits {
    /// Bytes of GDAL's cache.
    pub cache: u64,
    /// Bytes of a strip.
    pub strip: u64,
    /// Bytes of address space beyond what it has when it is ready.
    pub memory: u64,
    /// How long an answer may take, in time and in processor time.
    pub timeout: Duration,
}

impl DecoderLimits {
    /// For looking at headers.
    pub fn planning(timeout: Duration) -> Self {
        Self { cache: PLANNING_CACHE, strip: STRIP_BYTES, memory: PLANNING_MEMORY, timeout }
    }

    /// For reading scenes whose widest row and largest row of blocks have so many bytes, all bands.
    pub fn reading(cache: u64, row: u64, block_row: u64, timeout: Duration) -> Self {
        let strip = STRIP_BYTES.max(row);
        // Beside the cache a block is there as it is stored and as it is unpacked.
        let memory = [strip, block_row.saturating_mul(2), SLACK].into_iter().fold(cache, u64::saturating_add);
        Self { cache, strip, memory, timeout }
    }

    /// The same, where vector files are read as well: what a library needs for one nobody knows before, and the same file was read within
    /// the limits of planning.
    pub fn and_vectors(self, are_read: bool) -> Self {
        Self { memory: if are_read { self.memory.saturating_add(PLANNING_MEMORY) } else { self.memory }, ..self }
    }

    /// The same, where mosaics are read of whose sources GDAL holds so many bytes beside blocks. It passes their pixels through numbers of
    /// 8 bytes and a mask.
    pub fn and_mosaics(self, beside: u64) -> Self {
        let passed = if beside == 0 { 0 } else { self.strip.saturating_mul(12) };
        Self { memory: self.memory.saturating_add(beside).saturating_add(passed), ..self }
    }

    /// Bytes that strips take: one in the child's hands and the two halves of what is shared.
    pub fn strips(&self) -> u64 {
        self.strip.saturating_mul(3)
    }
}

/// Opens sources in child processes of this program.
#[derive(Clone, Debug)]
pub struct Isolated {
    settings: Arc<Settings>,
}

/// What the sources of a family share.
#[derive(Debug)]
struct Settings {
    limits: DecoderLimits,
    allowed: Allowed,
    /// Another program than this one.
    program: Option<PathBuf>,
    /// Bytes that the children of sources which are gone have held at most, summed up.
    peaks: AtomicU64,
}

impl Isolated {
    /// Decoders under these limits.
    pub fn new(limits: DecoderLimits) -> Self {
        Self::of(limits, Allowed::default(), None)
    }

    /// Decoders that are started as `program decoder`: for programs that are not swath themselves.
    pub fn by(limits: DecoderLimits, program: PathBuf) -> Self {
        Self::of(limits, Allowed::default(), Some(program))
    }

    /// Decoders under these limits that open what is allowed.
    pub fn allowing(limits: DecoderLimits, allowed: Allowed) -> Self {
        Self::of(limits, allowed, None)
    }

    fn of(limits: DecoderLimits, allowed: Allowed, program: Option<PathBuf>) -> Self {
        Self { settings: Arc::new(Settings { limits, allowed, program, peaks: AtomicU64::new(0) }) }
    }
}

impl OpenSource for Isolated {
    fn open(&self) -> Box<dyn RasterSource> {
        Box::new(IsolatedSource::new(Arc::clone(&self.settings)))
    }

    fn helpers_peak(&self) -> u64 {
        self.settings.peaks.load(Ordering::Relaxed)
    }
}
