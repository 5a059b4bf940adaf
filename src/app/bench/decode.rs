//! `swath bench decode`: what one reader gets out of files.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::scenes::{temporary_folder, texture};
use super::{interruptible, report, spread};
use crate::app::Error;
use crate::app::synth::geotiff;
use crate::flow::Stop;
use crate::geom::{PixelRect, Size, Span};
use crate::plan::Decode;
use crate::process::{cpu_of_children, cpu_of_thread};
use crate::raster::{
    DecoderLimits, Gdal, Isolated, Mask, OpenSource, PixelBuf, RasterError, RasterSource, ReadRequest, SceneHeader,
    TiffLayout, write_geotiff,
};
use crate::report::{BenchReport, DecodeFigures, DecodeRow};

/// What `swath bench decode` is asked.
#[derive(Clone, Debug)]
pub struct DecodeRequest {
    /// Files; none for drawn ones of every layout.
    pub files: Vec<PathBuf>,
    /// Size of drawn scenes.
    pub size: Size,
    /// Where they are decoded; none for each in turn.
    pub decode: Option<Decode>,
    /// Times that each is read.
    pub repeats: usize,
}

/// Rows that are read at once: about those of a row of tiles.
const ROWS: u32 = 1024;

/// As a run over scenes of this kind would have it.
const CACHE: u64 = 64 << 20;

/// Compressions of drawn scenes.
const COMPRESSIONS: [&str; 3] = ["NONE", "DEFLATE", "LZW"];

/// Reads each file whole, again and again.
///
/// # Errors
/// When a file cannot be read or a scene cannot be drawn, or somebody stops it.
pub fn decode(request: &DecodeRequest) -> Result<BenchReport<DecodeFigures>, Error> {
    let rows = interruptible(|stop| {
        let folder = temporary_folder()?;
        let files = match request.files.as_slice() {
            [] => drawn(folder.path(), request.size, stop)?,
            files => files.iter().map(|file| (file.display().to_string(), file.clone())).collect(),
        };
        let mut rows = Vec::new();
        for (name, file) in &files {
            for place in Decode::NAMED.map(|(_, place)| place) {
                let is_wanted = request.decode.is_none_or(|wanted| name_of(wanted) == name_of(place));
                if is_wanted && !stop.is_cut() {
                    rows.push(row(name, file, place, request.repeats, stop)?);
                }
            }
        }
        Ok(rows)
    })?;
    Ok(report("decode", DecodeFigures { repeats: request.repeats, rows }))
}

fn name_of(place: Decode) -> &'static str {
    match place {
        Decode::Isolated { .. } => "isolated",
        Decode::InProcess => "in-process",
    }
}

/// A scene in every layout, with a name for each.
fn drawn(folder: &Path, size: Size, stop: &Stop) -> Result<Vec<(String, PathBuf)>, Error> {
    let texture = texture(size);
    let layouts =
        COMPRESSIONS.into_iter().flat_map(|compression| [false, true].map(|tiled| TiffLayout { compression, tiled }));
    let mut files = Vec::new();
    for layout in layouts.take_while(|_| !stop.is_cut()) {
        let name = format!("{}, {}", layout.compression, if layout.tiled { "tiles" } else { "strips" });
        let file = folder.join(format!("{}-{}.tif", layout.compression, layout.tiled));
        write_geotiff(&file, &geotiff(&texture, size, layout))?;
        files.push((name, file));
    }
    Ok(files)
}

fn row(name: &str, file: &Path, place: Decode, repeats: usize, stop: &Stop) -> Result<DecodeRow, Error> {
    let failed = |e: RasterError| Error::Usage(format!("cannot read `{}`: {e}", file.display()));
    let header = Isolated::new(DecoderLimits::planning(Decode::TIMEOUT)).open().inspect(file, None).map_err(failed)?;
    let opened: Box<dyn OpenSource> = match place {
        Decode::InProcess => {
            let gdal = Gdal::set_up()?;
            gdal.limit_cache(CACHE)?;
            Box::new(gdal)
        }
        Decode::Isolated { timeout } => {
            let row = |rows: u32| {
                u64::from(header.size.width) * u64::from(header.n_bands) * header.dtype.bytes() as u64 * u64::from(rows)
            };
            Box::new(Isolated::new(DecoderLimits::reading(CACHE, row(1), row(header.block.height), timeout)))
        }
    };
    // What it takes to start a decoder's process is not decoding; its time is known when it has ended.
    let start = processor_time(|| opened.open().inspect(file, None).map(drop)).map_err(failed)?;
    let (mut times, mut pixel_bytes) = (Vec::new(), 0);
    let used = processor_time(|| {
        let mut source = opened.open();
        for _ in (0..repeats).take_while(|_| !stop.is_cut()) {
            // Looking at the header closes the file: decoded blocks that are still there would be read again.
            source.inspect(file, None)?;
            let began = Instant::now();
            pixel_bytes = read(source.as_mut(), file, &header, stop)?;
            times.push(began.elapsed());
        }
        Ok(())
    });
    let used = used.map_err(failed)?.saturating_sub(start);
    let pixels = header.size.area();
    let per_second = |n: usize, time: Duration| (pixels * n as u64) as f64 / 1e6 / time.as_secs_f64().max(1e-9);
    Ok(DecodeRow {
        file: name.to_owned(),
        decode: name_of(place),
        pixels,
        file_bytes: std::fs::metadata(file).map_or(0, |m| m.len()),
        pixel_bytes,
        mpx_per_core_second: per_second(times.len(), used),
        mpx_per_second: spread(&mut times).map_or(0.0, |(_, least)| per_second(1, least)),
    })
}

/// What some work takes of processors, in this thread and in processes that it starts and ends.
fn processor_time(work: impl FnOnce() -> Result<(), RasterError>) -> Result<Duration, RasterError> {
    let before = cpu_of_thread() + cpu_of_children();
    work()?;
    Ok((cpu_of_thread() + cpu_of_children()).saturating_sub(before))
}

/// Reads a scene from top to bottom; returns its bytes.
fn read(source: &mut dyn RasterSource, file: &Path, header: &SceneHeader, stop: &Stop) -> Result<u64, RasterError> {
    let mut bytes = 0;
    let mut pixels: Option<PixelBuf> = None;
    for y in (0..header.size.height).step_by(ROWS as usize).take_while(|_| !stop.is_cut()) {
        let rows = Span::new(y, y.saturating_add(ROWS).min(header.size.height));
        let window = PixelRect::from_spans(Span::new(0, header.size.width), rows);
        let request = header.request(file.to_owned(), None, window, (1..=header.n_bands).collect());
        let request = ReadRequest { mask: header.mask == Mask::Dataset, ..request };
        let needed = request.buffer_bytes();
        // A run has its pages by now: new ones would be counted as decoding.
        let into = pixels.get_or_insert_with(|| PixelBuf::of_bytes(header.dtype, needed));
        source.read(&request, &mut into.bytes_mut()[..needed])?;
        bytes += needed as u64;
    }
    Ok(bytes)
}
