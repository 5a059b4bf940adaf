//! What can be wrong with an output.

use std::io;
use std::path::PathBuf;

use crate::atomic::WriteError;
use crate::config::classes::ClassId;
use crate::geom::Size;
use crate::raster::RasterError;

/// Why an output cannot be written, or a mask not be read.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The file system refuses: what it refuses to this file it refuses to the next one too.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// PNG has no form for this picture.
    #[error("cannot write `{}` as a PNG of {size} pixels", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// Its extent.
        size: Size,
        /// What the encoder says.
        #[source]
        source: png::EncodingError,
    },
    /// GDAL has no form for this raster.
    #[error("GDAL cannot write `{}`: {detail}", path.display())]
    Gdal {
        /// The file.
        path: PathBuf,
        /// What GDAL says.
        detail: String,
    },
    /// The scene's own pixels, which it is to show.
    #[error("cannot read the scene again for `{}`: {source}; outputs.overlay = false does without", path.display())]
    Scene {
        /// The file that is made of them.
        path: PathBuf,
        /// Why not.
        source: RasterError,
    },
    /// A label that the class table has no entry for.
    #[error("label {label} at column {x}, row {y} of `{}` has no entry in the class table", path.display())]
    Label {
        /// The file.
        path: PathBuf,
        /// The label.
        label: ClassId,
        /// Column, from 0.
        x: u32,
        /// Row, from 0.
        y: u32,
    },
    /// Labels that are no whole rows.
    #[error("got {labels} labels for `{}`, not whole rows of {width}", path.display())]
    Width {
        /// The file.
        path: PathBuf,
        /// How many came.
        labels: usize,
        /// Labels of a row.
        width: u32,
    },
    /// More or fewer rows than the file has.
    #[error("got {got} rows for `{}`, which has {expected}", path.display())]
    Rows {
        /// The file.
        path: PathBuf,
        /// How many it has.
        expected: u32,
        /// How many came.
        got: u64,
    },
    /// A value that the samples cannot hold.
    #[error("value {value} does not fit the 8 bits of `{}`; write masks of 16 bits", path.display())]
    Depth {
        /// The file.
        path: PathBuf,
        /// The value.
        value: u16,
    },
    /// The file cannot be opened.
    #[error("cannot open the mask `{}`", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is no PNG, or a damaged one.
    #[error("cannot decode the mask `{}` as PNG", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// What the decoder says.
        #[source]
        source: png::DecodingError,
    },
    /// A PNG that does not hold one class value per pixel.
    #[error(
        "`{}` holds {found}; a class mask holds one grey value of 8 or 16 bits, or one palette index, per pixel, \
         not interlaced",
        path.display()
    )]
    NotAMask {
        /// The file.
        path: PathBuf,
        /// What it holds instead.
        found: String,
    },
}
