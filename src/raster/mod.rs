//! Untrusted rasters behind one trait.
//!
//! Everything that parses a scene, its header included, sits behind [`RasterSource`]. Requests and replies are plain
//! serialisable data and pixels land in the caller's byte buffer, so that a source can live in another process: no GDAL type and
//! no closure crosses the border.
//!
//! [`Isolated`] is that: it has each source in a child process, so that a file which crashes, loops or swallows memory costs itself.
//!
//! Vector files are untrusted as well: what a source makes of them is pixels, too ([`RasterSource::rasterise`]).
//!
//! A source belongs to one thread. Each reader asks the [`OpenSource`] for its own.

mod burn;
mod drivers;
mod error;
mod fitting;
mod georef;
mod geotiff;
mod header;
mod identity;
mod isolated;
mod memory;
mod pixel_type;
mod pixels;
mod resample;
mod source;
mod warnings;

// Twins with one surface: the real decoder, or a stub that says the build has none.
#[cfg(feature = "gdal")]
#[path = "gdal/mod.rs"]
mod decoder;
#[cfg(not(feature = "gdal"))]
#[path = "gdal_stub.rs"]
mod decoder;

pub use burn::{Burn, BurnRequest, Burned, GroundGrid, Shapes};
pub(crate) use decoder::pixel_area;
pub use decoder::{Gdal, gdal_report, write_geotiff};
#[cfg(feature = "gdal")]
pub(crate) use decoder::{PixelArea, errors as gdal_errors};
pub use drivers::{Allowed, Driver, Drivers, is_mosaic};
pub use error::RasterError;
pub use fitting::{Fitting, Warned};
pub use georef::{GroundPoint, Ties};
pub use geotiff::{GdalError, GdalReport, GeoTiff, TiffLayout};
pub use header::{Mask, Mosaic, Order, Palette, Scale, SceneHeader};
pub use identity::{HashProgress, Identity, check_regular_file};
pub(crate) use identity::{content, contents};
pub use isolated::{DecoderLimits, Isolated, STRIP_BYTES, Terms, serve};
pub use memory::{MemoryRaster, MemorySource, ReadFault};
pub use pixel_type::{Held, PixelType};
pub(crate) use pixel_type::{whole, with_held};
pub use pixels::PixelBuf;
pub use resample::{Resampled, Resampling};
pub use source::{OpenSource, RasterSource, ReadReply, ReadRequest};
pub use warnings::Warnings;
