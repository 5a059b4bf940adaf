//! `swath decoder`: decodes for the process that started this one.

use super::Error;
use crate::raster::serve;

/// Decodes until the other process has no more questions.
///
/// # Errors
/// When no swath has started this one.
pub fn decoder() -> Result<(), Error> {
    serve().map_err(|e| Error::Usage(format!("`swath decoder` serves another swath: {e}")))
}
