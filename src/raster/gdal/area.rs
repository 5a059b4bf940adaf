//! How large pixels are on the ground.

use gdal::spatial_ref::SpatialRef;

use crate::geom::GeoTransform;
use crate::raster::SceneHeader;

/// How the areas of pixels are found, in square metres.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PixelArea {
    /// All pixels have this one, in the plane of the reference system.
    Plane(f64),
    /// Cells of a grid of degrees on an ellipsoid.
    Grid { top: f64, step: f64, width: f64, major: f64, eccentricity: f64 },
    /// Nobody knows.
    Unknown,
}

impl PixelArea {
    /// In a reference system, for a raster that lies there so.
    pub(crate) fn of(crs: Option<&SpatialRef>, GeoTransform(t): GeoTransform) -> Self {
        let Some(crs) = crs else { return Self::Unknown };
        if crs.is_projected() {
            return Self::Plane((t[1] * t[5] - t[2] * t[4]).abs() * crs.linear_units().powi(2));
        }
        match (crs.is_geographic() && t[2] == 0.0 && t[4] == 0.0, crs.semi_major(), crs.semi_minor()) {
            (true, Ok(major), Ok(minor)) => {
                let unit = crs.angular_units();
                let eccentricity = (1.0 - (minor / major).powi(2)).max(0.0).sqrt();
                Self::Grid { top: t[3] * unit, step: t[5] * unit, width: (t[1] * unit).abs(), major, eccentricity }
            }
            _ => Self::Unknown,
        }
    }

    /// That of a pixel of a row, where rows differ.
    pub(crate) fn of_pixel(self, row: u32) -> f64 {
        match self {
            Self::Plane(_) | Self::Unknown => 0.0,
            Self::Grid { top, step, width, major, eccentricity } => {
                let sum = |row: f64| authalic((top + row * step).sin(), eccentricity);
                let between = (sum(f64::from(row) + 1.0) - sum(f64::from(row))).abs();
                width * major * major * (1.0 - eccentricity * eccentricity) / 2.0 * between
            }
        }
    }
}

/// The square metres of a pixel in the middle of a scene; `None` where the header does not tell.
pub(crate) fn pixel_area(header: &SceneHeader) -> Option<f64> {
    let crs = SpatialRef::from_definition(header.crs.as_ref()?).ok()?;
    let area = PixelArea::of(Some(&crs), header.transform?);
    match area {
        PixelArea::Plane(area) => Some(area),
        PixelArea::Grid { .. } => Some(area.of_pixel(header.size.height / 2)),
        PixelArea::Unknown => None,
    }
}

/// The integral whose differences are areas between parallels (Snyder 1987, equation 3-12), for the sine of a latitude.
fn authalic(sine: f64, e: f64) -> f64 {
    if e < 1e-9 {
        return 2.0 * sine;
    }
    sine / (1.0 - (e * sine).powi(2)) + (e * sine).atanh() / e
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_cells_of_the_globe_add_up_to_it() {
        let crs = SpatialRef::from_epsg(4326).unwrap();
        let area = PixelArea::of(Some(&crs), GeoTransform([-180.0, 0.5, 0.0, 90.0, 0.0, -0.5]));
        let sum: f64 = (0..360).map(|row| 720.0 * area.of_pixel(row)).sum();
        // The surface of WGS 84, in square metres.
        assert!((sum / 510_065_621_724_078.9 - 1.0).abs() < 1e-9, "{sum}");
        let feet = SpatialRef::from_epsg(2263).unwrap();
        let PixelArea::Plane(pixel) = PixelArea::of(Some(&feet), GeoTransform([0.0, 2.0, 0.0, 0.0, 0.0, -2.0])) else {
            panic!()
        };
        assert!((pixel - 4.0 * (1200.0_f64 / 3937.0).powi(2)).abs() < 1e-12, "{pixel}");
        assert!(matches!(PixelArea::of(None, GeoTransform::north_up(0.0, 0.0, 1.0)), PixelArea::Unknown));
    }
}
