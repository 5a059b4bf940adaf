//! Which colour a band is. The `gdal` crate panics at the colours that GDAL has learned since 3.10, near infrared among them.

use gdal::raster::{ColorInterpretation, RasterBand};

/// The colour of a band; `None` where it has none or one that the crate does not know.
#[expect(unsafe_code, reason = "the crate's own call panics at what it does not know")]
pub(super) fn color(band: &RasterBand<'_>) -> Option<ColorInterpretation> {
    // SAFETY: the band is open for as long as it is borrowed, and the call changes nothing.
    let code = unsafe { gdal_sys::GDALGetRasterColorInterpretation(band.c_rasterband()) };
    ColorInterpretation::from_c_int(code).filter(|color| *color != ColorInterpretation::Undefined)
}
