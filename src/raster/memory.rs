//! Scenes in memory: for tests, and for builds without GDAL.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use super::{
    Identity, Mask, OpenSource, Order, Palette, PixelBuf, PixelType, RasterError, RasterSource, ReadReply, ReadRequest,
    Scale, SceneHeader,
};
use crate::geom::Size;

/// A scene in memory.
#[derive(Clone, Debug)]
pub struct MemoryRaster {
    /// What `inspect` returns.
    pub header: SceneHeader,
    /// Planes of the bands one after another.
    pub pixels: PixelBuf,
    /// One byte per pixel, when the header says so.
    pub mask: Vec<u8>,
    /// What goes wrong when it is read.
    pub fault: Option<ReadFault>,
}

/// A failure to be had on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFault {
    /// Opening fails.
    Open,
    /// Any window that holds this row fails.
    Row(u32),
}

impl MemoryRaster {
    /// A scene of `n_bands` planes, one row per block, without nodata.
    ///
    /// # Panics
    /// When `pixels` has another length than the size and the bands ask for: a bug in a test.
    pub fn new(size: Size, n_bands: u32, pixels: PixelBuf) -> Self {
        assert_eq!(pixels.len(), size.len() * n_bands as usize);
        let header = SceneHeader {
            driver: "memory".into(),
            size,
            n_bands,
            dtype: pixels.dtype(),
            nodata: vec![None; n_bands as usize],
            mask: Mask::None,
            palette: Palette::None,
            scale: Scale::None,
            names: Vec::new(),
            block: Size::new(size.width, 1),
            order: Order::Blocks,
            sparse: false,
            interleaved: true,
            transform: None,
            crs: None,
            pixel_metres: None,
            ties: None,
            mosaic: None,
        };
        Self { header, pixels, mask: Vec::new(), fault: None }
    }

    /// A scene of u8 planes.
    pub fn u8(size: Size, n_bands: u32, values: &[u8]) -> Self {
        Self::new(size, n_bands, PixelBuf::from_slice(PixelType::U8, values))
    }
}

/// Scenes by path, and the number of rows read.
#[derive(Clone, Debug, Default)]
pub struct MemorySource {
    scenes: Arc<BTreeMap<PathBuf, MemoryRaster>>,
    rows_read: Arc<AtomicU64>,
}

impl MemorySource {
    /// A source of these scenes.
    pub fn new(scenes: impl IntoIterator<Item = (PathBuf, MemoryRaster)>) -> Self {
        Self { scenes: Arc::new(scenes.into_iter().collect()), rows_read: Arc::default() }
    }

    /// Rows read so far by every source of this family.
    pub fn rows_read(&self) -> u64 {
        self.rows_read.load(Ordering::Relaxed)
    }

    fn scene(&self, path: &Path) -> Result<&MemoryRaster, RasterError> {
        let scene = self.scenes.get(path).ok_or_else(|| RasterError::Open { detail: "no such scene".into() })?;
        if scene.fault == Some(ReadFault::Open) {
            return Err(RasterError::Open { detail: "planted fault".into() });
        }
        Ok(scene)
    }
}

impl OpenSource for MemorySource {
    fn open(&self) -> Box<dyn RasterSource> {
        Box::new(self.clone())
    }

    fn identify(&self, path: &Path) -> Result<Identity, RasterError> {
        let pixels = self.scenes.get(path).map(|s| s.pixels.bytes()).unwrap_or_default();
        let ends_sha256 = crate::hex(&Sha256::digest(pixels));
        Ok(Identity { bytes: pixels.len() as u64, modified_ns: 0, ends_sha256 })
    }
}

impl RasterSource for MemorySource {
    fn inspect(&mut self, path: &Path, _page: Option<u32>) -> Result<SceneHeader, RasterError> {
        self.scene(path).map(|s| s.header.clone())
    }

    fn read(&mut self, request: &ReadRequest, into: &mut [u8]) -> Result<ReadReply, RasterError> {
        let scene = self.scene(&request.path)?;
        let (window, full) = (request.window, scene.header.size);
        if let Some(ReadFault::Row(row)) = scene.fault
            && window.ys().start <= row
            && row < window.ys().end
        {
            return Err(RasterError::Read { band: 1, window, detail: "planted fault".into() });
        }
        let unit = request.dtype.bytes();
        let mut planes = into.chunks_exact_mut((window.size.len() * unit).max(1));
        for (file, plane) in request.files.iter().zip(&mut planes) {
            copy_window(self.scene(file)?.pixels.bytes(), full, request, unit, plane);
        }
        let bands = if request.files.is_empty() { request.bands.as_slice() } else { &[] };
        for (&band, plane) in bands.iter().zip(&mut planes) {
            let base = (band as usize - 1) * full.len() * unit;
            copy_window(&scene.pixels.bytes()[base..], full, request, unit, plane);
        }
        if request.mask {
            let at = request.plane_bytes() * request.bands.len();
            copy_window(&scene.mask, full, request, 1, &mut into[at..]);
        }
        self.rows_read.fetch_add(u64::from(window.size.height), Ordering::Relaxed);
        Ok(ReadReply { blank: vec![false; request.probes.len()], ..ReadReply::default() })
    }
}

fn copy_window(plane: &[u8], full: Size, request: &ReadRequest, unit: usize, into: &mut [u8]) {
    let window = request.window;
    let row_bytes = window.size.width as usize * unit;
    for (y, row) in (window.y..window.ys().end).zip(into.chunks_exact_mut(row_bytes.max(1))) {
        let start = (y as usize * full.width as usize + window.x as usize) * unit;
        row.copy_from_slice(&plane[start..start + row_bytes]);
    }
}
