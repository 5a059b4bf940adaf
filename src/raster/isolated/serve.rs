//! The decoder's side.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::DecoderLimits;
use super::protocol::{Answer, Ask, ExactHeader, Question, Ready, Said, Terms};
use crate::faults::{Fault, Faults};
use crate::process::{FrameError, Frames, limit_files, limit_memory, limit_processor};
use crate::raster::{BurnRequest, Gdal, OpenSource, RasterError, RasterSource, ReadRequest, Shapes};

/// Decodes for the process that started this one until that has no more questions.
///
/// # Errors
/// When no other process has started this one, or it sends nonsense.
pub fn serve() -> Result<(), FrameError> {
    let frames = Frames::of_parent()?;
    let (terms, memory) = frames.recv_file::<Terms>()?;
    let limits = terms.limits;
    let memory = memory.ok_or_else(|| FrameError::Nonsense("limits without a file".into()))?;
    let set_up = || {
        let gdal = Gdal::set_up().map_err(|e| e.to_string())?;
        gdal.limit_cache(limits.cache).map_err(|e| e.to_string())?;
        let limit = confine(&limits).map_err(|e| format!("cannot limit itself: {e}"))?;
        // Last: what it takes up to here it may have to read where it may not any more.
        Ok((gdal.under(&terms).open(), limit))
    };
    let source = match set_up() {
        Ok((source, limit)) => {
            frames.send(&Ready::Ok(limit))?;
            source
        }
        Err(why) => return frames.send(&Ready::Err(why)),
    };
    let mut decoder =
        Decoder { source, memory: memory.into(), buffer: Vec::new(), limits, faults: Faults::at("decode") };
    match decoder.answer_all(&frames) {
        Err(FrameError::Closed) => Ok(()),
        ended => ended,
    }
}

/// Sets the limits that hold for good; returns that of the address space.
fn confine(limits: &DecoderLimits) -> std::io::Result<u64> {
    limit_files(limits.strips())?;
    limit_memory(limits.memory)
}

struct Decoder {
    source: Box<dyn RasterSource>,
    memory: File,
    /// Of words, so that it is aligned for every type of pixel.
    buffer: Vec<u64>,
    limits: DecoderLimits,
    faults: Faults,
}

impl Decoder {
    /// Ends with an error: at the latest when the parent is gone.
    fn answer_all(&mut self, frames: &Frames) -> Result<(), FrameError> {
        loop {
            let Question { number, ask } = frames.recv(None)?;
            limit_processor(self.limits.timeout)?;
            let said = match ask {
                Ask::Inspect { path, page } => self.inspect(&path, page),
                Ask::Parts { path } => self.source.parts(&path).map(Said::Parts),
                Ask::Read { strip, at } => self.read(&strip, at),
                Ask::Rasterise(request) => self.rasterise(&request),
            };
            frames.send(&Answer { number, said })?;
        }
    }

    fn inspect(&mut self, path: &Path, page: Option<u32>) -> Result<Said, RasterError> {
        if strike(&self.faults, "open", path) {
            return Err(RasterError::Open { detail: "planted fault".into() });
        }
        self.source.inspect(path, page).map(|header| Said::Header(Box::new(ExactHeader::from(header))))
    }

    fn read(&mut self, strip: &ReadRequest, at: u64) -> Result<Said, RasterError> {
        if strike(&self.faults, "read", &strip.path) {
            return Err(RasterError::Read { band: 1, window: strip.window, detail: "planted fault".into() });
        }
        self.pass_on(strip.buffer_bytes(), at, |source, pixels| source.read(strip, pixels)).map(Said::Pixels)
    }

    fn rasterise(&mut self, request: &BurnRequest) -> Result<Said, RasterError> {
        if let Shapes::File { path, .. } = &request.shapes
            && strike(&self.faults, "rasterise", path)
        {
            return Err(RasterError::Vectors { detail: "planted fault".into() });
        }
        self.pass_on(request.size().len(), 0, |source, pixels| source.rasterise(request, pixels)).map(Said::Burned)
    }

    /// Has so many bytes filled and writes them into the shared memory.
    fn pass_on<T>(
        &mut self,
        bytes: usize,
        at: u64,
        fill: impl FnOnce(&mut dyn RasterSource, &mut [u8]) -> Result<T, RasterError>,
    ) -> Result<T, RasterError> {
        if self.buffer.len() < bytes.div_ceil(8) {
            self.buffer.resize(bytes.div_ceil(8), 0);
        }
        let pixels = &mut bytemuck::cast_slice_mut::<u64, u8>(&mut self.buffer)[..bytes];
        let reply = fill(self.source.as_mut(), pixels)?;
        let written = self.memory.write_all_at(pixels, at);
        written.map_err(|e| RasterError::Crashed { detail: format!("cannot pass pixels on: {e}") })?;
        Ok(reply)
    }
}

/// Carries a planted fault out; whether it is one that is returned as an error. What is at hand is called "open a.tif" or "read a.tif".
fn strike(faults: &Faults, doing: &str, path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match faults.strike(&format!("{doing} {name}")) {
        None
        | Some(
            Fault::OutOfMemory
            | Fault::Lost
            | Fault::NonFinite
            | Fault::Drain
            | Fault::Cut
            | Fault::Late
            | Fault::Full
            | Fault::Trip
            | Fault::Hold,
        ) => false,
        Some(Fault::Error) => true,
        Some(Fault::Panic) => panic!("planted fault"),
        Some(Fault::Abort) => std::process::abort(),
        Some(Fault::Stall) => loop {
            std::hint::spin_loop();
        },
        Some(Fault::Balloon) => {
            let mut taken = Vec::new();
            loop {
                taken.push(vec![1_u8; 1 << 20]);
            }
        }
    }
}
