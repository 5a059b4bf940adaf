//! The border between untrusted files and the rest.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::burn::{Polygon, burn};
use super::{BurnRequest, Burned, Identity, Palette, PixelType, RasterError, Scale, SceneHeader, Shapes, Warnings};
use crate::geom::PixelRect;

/// Asks for a window of a scene.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadRequest {
    /// The file.
    pub path: PathBuf,
    /// The page of it, counted from 1; `None` for the only one.
    pub page: Option<u32>,
    /// Where each band has a file of its own: those of the wanted bands, instead of `path`.
    pub files: Vec<PathBuf>,
    /// Part of the scene, inside it.
    pub window: PixelRect,
    /// Bands counted from 1, in the order they are wanted.
    pub bands: Vec<u32>,
    /// The type that the header stated.
    pub dtype: PixelType,
    /// The nodata value of each band, as the bits of an f64: JSON would round. A value that is converted is compared before.
    pub nodata: Vec<Option<u64>>,
    /// What is made of a palette.
    pub palette: Palette,
    /// What is made of scale and offset.
    pub scale: Scale,
    /// Whether the mask or alpha plane is wanted behind the bands.
    pub mask: bool,
    /// Parts of the scene for which the reply says whether the file stores nothing at all (sparse blocks).
    pub probes: Vec<PixelRect>,
    /// Whether nothing is read where the file stores nothing of any probe: then the buffer stays as it is.
    pub skip_blank: bool,
}

impl SceneHeader {
    /// Asks for a window of this scene: the bands alone.
    pub fn request(&self, path: PathBuf, page: Option<u32>, window: PixelRect, bands: Vec<u32>) -> ReadRequest {
        let nodata = |band: &u32| self.nodata.get(*band as usize - 1).copied().flatten().map(f64::to_bits);
        let nodata = bands.iter().map(nodata).collect();
        let (dtype, palette, scale) = (self.dtype, self.palette, self.scale);
        let (files, mask, probes, skip_blank) = (Vec::new(), false, Vec::new(), false);
        ReadRequest { path, page, files, window, bands, dtype, nodata, palette, scale, mask, probes, skip_blank }
    }
}

impl ReadRequest {
    /// Bytes of one band's plane.
    pub fn plane_bytes(&self) -> usize {
        self.window.size.len() * self.dtype.bytes()
    }

    /// Bytes of the buffer: the planes of the bands one after another, rows top down, then one byte per pixel of mask if wanted.
    pub fn buffer_bytes(&self) -> usize {
        self.plane_bytes() * self.bands.len() + if self.mask { self.window.size.len() } else { 0 }
    }
}

impl ReadReply {
    /// Whether there were probes, and the file stores nothing of any of them.
    pub fn is_blank(&self) -> bool {
        !self.blank.is_empty() && self.blank.iter().all(|blank| *blank)
    }
}

/// What a source says beside the pixels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadReply {
    /// For each probe: the file stores no block of it.
    pub blank: Vec<bool>,
    /// What the decoder warned of.
    pub warnings: Warnings,
}

/// Reads scenes. Owned by one thread; keeps the file it read last open.
pub trait RasterSource: Send {
    /// Reads and checks the header of a file, or of a page of it, counted from 1; allocates nothing that the file's numbers decide.
    ///
    /// # Errors
    /// When the file cannot be opened or the preflight refuses it.
    fn inspect(&mut self, path: &Path, page: Option<u32>) -> Result<SceneHeader, RasterError>;

    /// The files that a mosaic is made of, those of mosaics inside it included, as far as its text tells; none of another file. What is
    /// wrong with it, [`Self::inspect`] tells.
    ///
    /// # Errors
    /// When it cannot be looked at.
    fn parts(&mut self, _path: &Path) -> Result<Vec<PathBuf>, RasterError> {
        Ok(Vec::new())
    }

    /// Fills `into`, of [`ReadRequest::buffer_bytes`], and decodes each block of the window once.
    ///
    /// # Errors
    /// When a block cannot be decoded, or the decoder complained although it returned.
    fn read(&mut self, request: &ReadRequest, into: &mut [u8]) -> Result<ReadReply, RasterError>;

    /// Fills `into`, of the size that the request has, with shapes. A source that reads no vectors knows rectangles in the grid's own
    /// reference system only.
    ///
    /// # Errors
    /// [`RasterError::Refused`] when the shapes cannot be brought to that grid; when they cannot be had at all, another.
    fn rasterise(&mut self, request: &BurnRequest, into: &mut [u8]) -> Result<Burned, RasterError> {
        let Shapes::Bounds { bounds, crs: None } = &request.shapes else {
            let detail =
                "this build of swath has no GDAL, which reads vector files and knows coordinate systems".into();
            return Err(RasterError::Vectors { detail });
        };
        let polygon = Polygon::of_bounds(*bounds);
        let burned = Burned { extent: Some(*bounds), bytes: polygon.bytes() };
        burn(request, &[polygon], into).map(|()| burned)
    }
}

/// Makes a source for a thread.
pub trait OpenSource: Send + Sync {
    /// A new source.
    fn open(&self) -> Box<dyn RasterSource>;

    /// Which file a path stands for now.
    ///
    /// # Errors
    /// When it is no regular file or cannot be read.
    fn identify(&self, path: &Path) -> Result<Identity, RasterError> {
        Identity::of(path)
    }

    /// Which files some paths stand for, as one.
    ///
    /// # Errors
    /// When one of them is no regular file or cannot be read.
    fn identify_all(&self, paths: &[PathBuf]) -> Result<Identity, RasterError> {
        let all: Vec<Identity> = paths.iter().map(|path| self.identify(path)).collect::<Result<_, _>>()?;
        Ok(Identity::of_all(all))
    }

    /// The most memory in bytes that other processes held on behalf of the sources that are gone, all sources together.
    fn helpers_peak(&self) -> u64 {
        0
    }
}
