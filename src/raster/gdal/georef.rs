//! What an open image says of its place on the ground.

use gdal::{Dataset, Metadata};

use crate::geom::{GeoTransform, Size, radians_on_ground};
use crate::raster::{GroundPoint, Ties};

/// The reference system of its transform, or else of its ground control points.
pub(super) fn crs(dataset: &Dataset) -> Option<String> {
    let of_points = || dataset.gcp_projection().unwrap_or_default();
    Some(dataset.projection()).filter(|wkt| !wkt.is_empty()).or_else(|| Some(of_points()).filter(|wkt| !wkt.is_empty()))
}

/// Its transform; one with what is no number in it is none.
pub(super) fn transform(dataset: &Dataset) -> Option<GeoTransform> {
    let transform = dataset.geo_transform().ok()?;
    transform.iter().all(|number| number.is_finite()).then_some(GeoTransform(transform))
}

/// Metres from a pixel to the next one of its row and of its column: by the unit of its projection, which need not be that of the ground,
/// and of degrees on the ellipsoid at its centre.
pub(super) fn pixel_metres(dataset: &Dataset, transform: GeoTransform, size: Size) -> Option<[f64; 2]> {
    let crs = dataset.spatial_ref().ok().filter(|crs| !crs.is_geocentric())?;
    let unit = if crs.is_geographic() {
        let (angle, [_, y]) = (crs.angular_units(), transform.centre(size));
        radians_on_ground(y * angle, crs.semi_major().ok()?, crs.semi_minor().ok()?).map(|length| length * angle)
    } else {
        [crs.linear_units(); 2]
    };
    Some(transform.pixel_lengths(unit)).filter(|lengths| lengths.iter().all(|length| length.is_normal()))
}

/// What it says beside that; most files have nothing.
pub(super) fn ties(dataset: &Dataset) -> Option<Box<Ties>> {
    let points = dataset
        .gcps()
        .iter()
        .map(|gcp| GroundPoint { pixel: [gcp.pixel(), gcp.line()], ground: [gcp.x(), gcp.y(), gcp.z()] });
    let points: Vec<GroundPoint> = points.collect();
    let is_finite = |point: &GroundPoint| point.pixel.iter().chain(&point.ground).all(|number| number.is_finite());
    let rpc = dataset.metadata_domain("RPC").unwrap_or_default();
    let ties = Ties {
        pixel_is_point: dataset.metadata_item("AREA_OR_POINT", "").is_some_and(|kind| kind == "Point"),
        points: if points.iter().all(is_finite) { points } else { Vec::new() },
        rpc: rpc.iter().filter_map(|item| item.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect(),
    };
    (ties != Ties::default()).then(|| Box::new(ties))
}
