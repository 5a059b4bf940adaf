//! The parent's side: a source whose decoder is another process.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Settings;
use super::protocol::{Answer, Ask, Question, Ready, Said, Terms};
use super::strips::Strips;
use crate::process::{Child, FrameError, Start, ending, own_peak, shared_memory};
use crate::raster::{BurnRequest, Burned, RasterError, RasterSource, ReadReply, ReadRequest, SceneHeader};

/// How long a decoder may take to be ready: its libraries may have to come from a slow disk.
const START_PATIENCE: Duration = Duration::from_secs(120);

/// The signal of a process that has used up its processor time.
const SIGXCPU: i32 = 24;

/// One thread's source.
pub(super) struct IsolatedSource {
    settings: Arc<Settings>,
    /// By what they decode.
    decoders: [Option<Decoder>; 2],
    /// The most bytes that one of each has held.
    peaks: [u64; 2],
}

/// What a decoder is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Files,
    Mosaics,
}

/// Why there is no answer.
enum Trouble {
    /// The decoder says what is wrong with the file.
    File(RasterError),
    /// The decoder is not what it was.
    Decoder(FrameError),
}

impl From<FrameError> for Trouble {
    fn from(error: FrameError) -> Self {
        Self::Decoder(error)
    }
}

impl IsolatedSource {
    pub(super) fn new(settings: Arc<Settings>) -> Self {
        Self { settings, decoders: [None, None], peaks: [0; 2] }
    }

    /// The decoder that these files are for.
    fn kind<'a>(&self, files: impl IntoIterator<Item = &'a PathBuf>) -> Kind {
        if self.settings.allowed.are_mosaics(files) { Kind::Mosaics } else { Kind::Files }
    }

    /// Asks until there is an answer: a decoder that dies may have been killed by somebody, so a second one has a try.
    fn ask<T>(
        &mut self,
        kind: Kind,
        doing: &str,
        mut attempt: impl FnMut(&mut Decoder) -> Result<T, Trouble>,
    ) -> Result<T, RasterError> {
        let mut has_died = false;
        loop {
            let slot = &mut self.decoders[kind as usize];
            let decoder = match slot.take() {
                Some(decoder) => decoder,
                None => Decoder::start_at_last(&self.settings, kind)?,
            };
            match attempt(slot.insert(decoder)) {
                Ok(answer) => return Ok(answer),
                Err(Trouble::File(error)) => return Err(error),
                Err(Trouble::Decoder(error)) => {
                    let death = self.bury(kind, error, doing);
                    if death.is_final || has_died {
                        return Err(RasterError::Crashed { detail: death.detail });
                    }
                    has_died = true;
                }
            }
        }
    }

    /// Ends the decoder and finds out how it died.
    fn bury(&mut self, kind: Kind, error: FrameError, doing: &str) -> Death {
        let Some(mut decoder) = self.decoders[kind as usize].take() else { return Death::unknown("is gone") };
        let peak = &mut self.peaks[kind as usize];
        *peak = (*peak).max(decoder.held());
        let status = decoder.child.kill();
        let timeout = self.settings.limits.timeout.as_secs();
        match (error, status) {
            (FrameError::Late, _) => Death {
                detail: format!("gave no answer within {timeout} s (--decode-timeout) while it {doing} the file"),
                is_final: true,
            },
            (FrameError::Closed, Ok(status)) => decoder.death(status, doing, timeout),
            (FrameError::Closed, Err(e)) => Death::unknown(&format!("was lost while it {doing} the file: {e}")),
            (error @ (FrameError::System(_) | FrameError::Nonsense(_)), _) => {
                Death::unknown(&format!("cannot be understood while it {doing} the file: {error}"))
            }
        }
    }
}

impl RasterSource for IsolatedSource {
    fn inspect(&mut self, path: &Path, page: Option<u32>) -> Result<SceneHeader, RasterError> {
        let timeout = self.settings.limits.timeout;
        let path = path.to_owned();
        self.ask(self.kind([&path]), "opened", |decoder| {
            let number = decoder.send(Ask::Inspect { path: path.clone(), page })?;
            match decoder.answer(number, timeout)? {
                Said::Header(header) => header.into_header().ok_or_else(|| nonsense("an impossible header")),
                Said::Parts(_) | Said::Pixels(_) | Said::Burned(_) => Err(nonsense("no header")),
            }
        })
    }

    fn parts(&mut self, path: &Path) -> Result<Vec<PathBuf>, RasterError> {
        let timeout = self.settings.limits.timeout;
        let path = path.to_owned();
        self.ask(self.kind([&path]), "looked through", |decoder| {
            let number = decoder.send(Ask::Parts { path: path.clone() })?;
            match decoder.answer(number, timeout)? {
                Said::Parts(parts) => Ok(parts),
                Said::Header(_) | Said::Pixels(_) | Said::Burned(_) => Err(nonsense("no list of files")),
            }
        })
    }

    fn read(&mut self, request: &ReadRequest, into: &mut [u8]) -> Result<ReadReply, RasterError> {
        if into.len() != request.buffer_bytes() {
            return Err(RasterError::Changed);
        }
        let limits = self.settings.limits;
        let strips = Strips::new(request, limits.strip);
        // Survives the decoder: what was copied need not be read again.
        let (mut n_copied, mut reply) = (0, ReadReply::default());
        let kind = self.kind(request.files.iter().chain([&request.path]));
        self.ask(kind, "read", |decoder| {
            let mut numbers = Vec::new();
            let first = n_copied;
            while n_copied < strips.len() {
                // Whether there is anything to read the first answer says.
                let ahead = if request.skip_blank && n_copied == 0 { 1 } else { 2 };
                while first + numbers.len() < strips.len().min(n_copied + ahead) {
                    numbers.push(decoder.send(strips.ask(first + numbers.len()))?);
                }
                match decoder.answer(numbers[n_copied - first], limits.timeout)? {
                    Said::Pixels(said) => {
                        if n_copied == 0 {
                            reply.blank = said.blank;
                        }
                        reply.warnings.add_all(&said.warnings);
                        if request.skip_blank && reply.is_blank() {
                            break;
                        }
                    }
                    Said::Header(_) | Said::Parts(_) | Said::Burned(_) => return Err(nonsense("no pixels")),
                }
                strips.copy(n_copied, &decoder.memory, into).map_err(FrameError::System)?;
                n_copied += 1;
            }
            Ok(())
        })?;
        Ok(reply)
    }

    fn rasterise(&mut self, request: &BurnRequest, into: &mut [u8]) -> Result<Burned, RasterError> {
        let (size, limits) = (request.size(), self.settings.limits);
        if into.len() != size.len() {
            return Err(RasterError::Changed);
        }
        // What the child may write into the shared memory is one strip.
        let n_rows = u32::try_from(limits.strip / u64::from(size.width).max(1)).unwrap_or(u32::MAX).max(1);
        let mut burned = Burned::default();
        for (idx, rows) in (0..).zip(into.chunks_mut((size.width as usize * n_rows as usize).max(1))) {
            burned = self.ask(Kind::Files, "rasterised", |decoder| {
                let number = decoder.send(Ask::Rasterise(Box::new(request.rows(idx * n_rows, n_rows))))?;
                match decoder.answer(number, limits.timeout)? {
                    Said::Burned(burned) => {
                        decoder.memory.read_exact_at(rows, 0).map_err(FrameError::System)?;
                        Ok(burned)
                    }
                    Said::Header(_) | Said::Parts(_) | Said::Pixels(_) => {
                        Err(nonsense("something else than what was burned"))
                    }
                }
            })?;
        }
        Ok(burned)
    }
}

impl Drop for IsolatedSource {
    fn drop(&mut self) {
        let last = self.decoders.each_ref().map(|decoder| decoder.as_ref().map_or(0, Decoder::held));
        let peak: u64 = self.peaks.iter().zip(last).map(|(peak, last)| last.max(*peak)).sum();
        self.settings.peaks.fetch_add(peak, Ordering::Relaxed);
    }
}

fn nonsense(what: &str) -> Trouble {
    Trouble::Decoder(FrameError::Nonsense(what.into()))
}

/// How a decoder died.
struct Death {
    detail: String,
    /// Another one would fare no better.
    is_final: bool,
}

impl Death {
    fn unknown(detail: &str) -> Self {
        Self { detail: detail.into(), is_final: false }
    }
}

/// A child process that decodes.
struct Decoder {
    child: Child,
    /// Where strips arrive.
    memory: File,
    /// What it prints before it dies.
    errors: File,
    /// Bytes of address space that it may have.
    limit: u64,
    /// Questions so far.
    asked: u64,
}

/// How long to wait before another decoder is started in place of one that could not be.
const START_AGAIN_AFTER: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(2)];

impl Decoder {
    /// Starts one. One that dies before it is ready may have been killed by somebody, and a system that is out of processes, files or
    /// memory may have some again in a moment: that is no reason to lose a scene.
    fn start_at_last(settings: &Settings, kind: Kind) -> Result<Self, RasterError> {
        START_AGAIN_AFTER.iter().fold(Self::start(settings, kind), |started, wait| {
            started.or_else(|_| {
                std::thread::sleep(*wait);
                Self::start(settings, kind)
            })
        })
    }

    fn start(settings: &Settings, kind: Kind) -> Result<Self, RasterError> {
        let fail = |detail: String| RasterError::NoDecoder { detail };
        let system = |e: std::io::Error| fail(e.to_string());
        let memory = shared_memory("swath-strips").map_err(system)?;
        let errors = shared_memory("swath-errors").map_err(system)?;
        let arguments = [OsString::from("decoder")];
        let start = Start {
            arguments: &arguments,
            apart: true,
            program: settings.program.as_deref(),
            errors: Some(errors.try_clone().map_err(system)?),
        };
        let mut child = Child::start_as(start).map_err(system)?;
        let mosaics = kind == Kind::Mosaics;
        let terms = Terms { limits: settings.limits, allowed: settings.allowed.clone(), mosaics };
        let told = child.frames().send_file(&terms, memory.as_fd());
        match told.and_then(|()| child.frames().recv::<Ready>(Some(START_PATIENCE))) {
            Ok(Ok(limit)) => Ok(Self { child, memory, errors, limit, asked: 0 }),
            Ok(Err(why)) => Err(fail(why)),
            Err(FrameError::Closed) => {
                let end = child.kill().map_or_else(|e| e.to_string(), |status| format!("it {}", ending(status)));
                Err(fail(with_last_words(end, &errors)))
            }
            Err(e) => Err(fail(e.to_string())),
        }
    }

    fn send(&mut self, ask: Ask) -> Result<u64, FrameError> {
        self.asked += 1;
        self.child.frames().send(&Question { number: self.asked, ask })?;
        Ok(self.asked)
    }

    /// The answer to a question; those to questions that were given up are skipped.
    fn answer(&mut self, number: u64, timeout: Duration) -> Result<Said, Trouble> {
        loop {
            let answer: Answer = self.child.frames().recv(Some(timeout))?;
            if answer.number == number {
                return answer.said.map_err(Trouble::File);
            }
        }
    }

    /// Bytes that it holds or held and that are its alone, and the shared strips.
    fn held(&self) -> u64 {
        let strips = self.memory.metadata().map_or(0, |meta| meta.len());
        own_peak(self.child.id()).map_or(0, |own| own + strips)
    }

    fn death(&self, status: ExitStatus, doing: &str, timeout: u64) -> Death {
        let words = last_words(&self.errors);
        let is_out_of_memory = ["memory allocation of", "bad_alloc"].iter().any(|text| words.contains(text));
        if status.signal() == Some(SIGXCPU) {
            let detail = format!("used {timeout} s of processor time (--decode-timeout) while it {doing} the file");
            return Death { detail, is_final: true };
        }
        if is_out_of_memory {
            let limit = self.limit.div_ceil(1 << 20);
            return Death {
                detail: format!(
                    "ran out of its memory limit of {limit} MiB while it {doing} the file; if you trust the file, \
                     --decode in-process has no such limit"
                ),
                is_final: false,
            };
        }
        let end = format!("{} while it {doing} the file", ending(status));
        Death { detail: with_last_words(end, &self.errors), is_final: false }
    }
}

/// Bytes of what a dying decoder prints that are looked at, and that are told.
const WORDS_READ: usize = 4096;
const WORDS_TOLD: usize = 200;

fn last_words(errors: &File) -> String {
    let mut bytes = vec![0; WORDS_READ];
    let n = errors.read_at(&mut bytes, 0).unwrap_or(0);
    String::from_utf8_lossy(&bytes[..n]).into_owned()
}

/// A death with the first line that was printed, which tells the cause.
fn with_last_words(end: String, errors: &File) -> String {
    let words = last_words(errors);
    match words.lines().map(str::trim).find(|line| !line.is_empty()) {
        Some(line) => format!("{end}: {}", line.chars().take(WORDS_TOLD).collect::<String>()),
        None => end,
    }
}
