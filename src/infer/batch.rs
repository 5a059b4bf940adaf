//! What goes into a device and what comes out.

use crate::geom::{PixelRect, Size};
use crate::plan::TilePlanes;
use crate::raster::PixelBuf;

/// Raw crops of equal size: `[tile][band][row][column]`, in the scene's own pixel type.
#[derive(Debug)]
pub struct RawBatch {
    /// What it is cut from, as a device that fails is asked about it: `scene y24 x0` of its first tile, or all its scenes.
    pub name: String,
    /// Size of every crop.
    pub crop: Size,
    /// Bands per crop: those of the plan, ascending.
    pub n_bands: usize,
    /// The crops one behind the other, each band by band.
    pub pixels: PixelBuf,
    /// Which pixels hold data, `[tile][row][column]`, 0 or 1; `None` when all do.
    pub valid: Option<Vec<u8>>,
    /// What each tile owns, counted from its crop's corner.
    pub kept: Vec<PixelRect>,
    /// Tiles that stand for nothing: their scene failed or the file stores nothing there. They keep their slot, as zeros.
    pub blank: Vec<bool>,
}

impl RawBatch {
    /// Number of tiles.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether there is no tile.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Whether every tile is blank, so that nothing needs to run.
    pub fn is_blank(&self) -> bool {
        self.blank.iter().all(|b| *b)
    }

    /// What of it becomes a network's input.
    #[cfg(feature = "torch")]
    pub(super) fn crops(&self) -> crate::tensor::Crops<'_> {
        crate::tensor::Crops {
            size: self.crop,
            n_bands: self.n_bands,
            pixels: &self.pixels,
            valid: self.valid.as_deref(),
            blank: &self.blank,
        }
    }

    /// One tile's validity plane.
    pub fn valid_of(&self, tile: usize) -> Option<&[u8]> {
        let area = self.crop.len();
        self.valid.as_ref().map(|v| &v[tile * area..(tile + 1) * area])
    }
}

/// What comes of a tile, or why nothing does.
pub type TileResult = Result<TilePlanes, TileFault>;

/// Why nothing comes of a tile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileFault {
    /// A member returned infinities or NaN, in f32 too.
    #[error("member `{member}` returns non-finite logits")]
    NonFinite {
        /// The member.
        member: String,
    },
    /// A member's stored logits cannot be read, and the scene was not decoded because they were thought to be there.
    #[error("stored logits of member `{member}` cannot be read; run again with --from infer")]
    Lost {
        /// The member.
        member: String,
    },
    /// Some member has no logits for it, which is a bug.
    #[error("the logits of some member are missing; this is a bug in swath")]
    Missing,
    /// The device has not the memory for it, not even without the other tiles of its batch.
    #[error(
        "the device is out of memory even with a batch of 1 ({detail}); use smaller tiles (centre, centres or whole_max, and \
         dilation, in the pipeline's [tiler]) or another device"
    )]
    OutOfMemory {
        /// What the library said.
        detail: String,
    },
    /// The forward pass failed.
    #[error("member `{member}` cannot run: {detail}")]
    Forward {
        /// The member.
        member: String,
        /// What the library said.
        detail: String,
    },
}
