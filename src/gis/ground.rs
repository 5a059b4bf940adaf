//! Where scenes lie on the earth, and how large they are there: what a reference system means, by PROJ.

use std::path::Path;

use gdal::spatial_ref::{AxisMappingStrategy, CoordTransform, SpatialRef};

use super::tiff::{Said, begin, heard};
use crate::geom::{GeoTransform, Size};
use crate::raster::PixelArea;

pub(crate) struct Ground {
    crs: SpatialRef,
}

impl Ground {
    /// That of a WKT; nothing where GDAL makes none of it.
    pub(crate) fn of(wkt: &str) -> Option<Self> {
        begin(Path::new(""));
        let mut crs = heard(SpatialRef::from_definition(wkt), Path::new("")).ok()?;
        crs.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
        Some(Self { crs })
    }

    /// Square metres that a raster covers, where the system has an answer.
    pub(crate) fn square_metres(&self, transform: GeoTransform, size: Size) -> Option<f64> {
        // A column of pixels is one tall pixel.
        let GeoTransform([x, dx, rx, y, ry, dy]) = transform;
        let height = f64::from(size.height);
        let column = PixelArea::of(Some(&self.crs), GeoTransform([x, dx, rx * height, y, ry, dy * height]));
        match column {
            PixelArea::Plane(area) => Some(area * f64::from(size.width)),
            PixelArea::Grid { .. } => Some(column.of_pixel(0) * f64::from(size.width)),
            PixelArea::Unknown => None,
        }
    }

    /// How long a unit of its coordinates is in metres, where these lie in a plane.
    pub(crate) fn metres(&self) -> Option<f64> {
        self.crs.is_projected().then(|| self.crs.linear_units())
    }

    /// Points of this system as longitude and latitude in degrees.
    pub(crate) fn degrees(&self, points: [[f64; 2]; 4]) -> Option<[[f64; 2]; 4]> {
        begin(Path::new(""));
        let (mut x, mut y) = (points.map(|p| p[0]), points.map(|p| p[1]));
        let mut transform = || -> Said<()> {
            let mut earth = SpatialRef::from_epsg(4326)?;
            earth.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
            CoordTransform::new(&self.crs, &earth)?.transform_coords(&mut x, &mut y, &mut [])
        };
        heard(transform(), Path::new("")).ok()?;
        let points = [0, 1, 2, 3].map(|i| [x[i], y[i]]);
        points.iter().flatten().all(|v| v.is_finite()).then_some(points)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scene_has_its_area_and_its_place_on_the_earth() {
        let utm = Ground::of(&SpatialRef::from_epsg(32652).unwrap().to_wkt().unwrap()).unwrap();
        let transform = GeoTransform::north_up(500_000.0, 4_000_000.0, 10.0);
        assert_eq!(utm.square_metres(transform, Size::new(100, 50)), Some(500_000.0));
        assert_eq!(utm.metres(), Some(1.0));
        let [corner, ..] = utm.degrees([[500_000.0, 4_000_000.0]; 4]).unwrap();
        // On the central meridian of zone 52; the latitude by Snyder's series.
        assert!((corner[0] - 129.0).abs() < 1e-9 && (corner[1] - 36.1445).abs() < 1e-3, "{corner:?}");
        let degrees = Ground::of(&SpatialRef::from_epsg(4326).unwrap().to_wkt().unwrap()).unwrap();
        let cell = degrees.square_metres(GeoTransform::north_up(10.0, 1.0, 1.0), Size::new(1, 1)).unwrap();
        assert!((cell / 1.2309e10 - 1.0).abs() < 1e-3 && degrees.metres().is_none(), "{cell}");
        assert!(Ground::of("PROJCS[what is this").is_none());
    }
}
