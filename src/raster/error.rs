//! Why a scene cannot be read.

use serde::{Deserialize, Serialize};

use crate::geom::PixelRect;

/// Why a scene cannot be read. The text names no path: whoever reports it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum RasterError {
    /// The file cannot be opened as a raster.
    #[error("cannot open: {detail}")]
    Open {
        /// What the system or GDAL said.
        detail: String,
    },
    /// The preflight refuses it.
    #[error("refused: {reason}")]
    Refused {
        /// What is wrong and, where there is one, the remedy.
        reason: String,
    },
    /// A block cannot be decoded.
    #[error("cannot read band {band}, rows {} to {}: {detail}", window.y, window.y + window.size.height)]
    Read {
        /// The band, counted from 1.
        band: u32,
        /// The columns that were asked for and the rows of the blocks that failed.
        window: PixelRect,
        /// What GDAL said.
        detail: String,
    },
    /// A vector file cannot be used, whatever the scene.
    #[error("{detail}")]
    Vectors {
        /// What is wrong and, where there is one, the remedy.
        detail: String,
    },
    /// The file is not the one that was planned.
    #[error("the file changed since it was planned; run again")]
    Changed,
    /// The process that decodes came to grief over the file.
    #[error("the decoder {detail}")]
    Crashed {
        /// How it ended, or what it did not do.
        detail: String,
    },
    /// There is no process to decode the file.
    #[error("cannot start a decoder, the file is not at fault: {detail}; --decode in-process needs none")]
    NoDecoder {
        /// What the system said.
        detail: String,
    },
}
