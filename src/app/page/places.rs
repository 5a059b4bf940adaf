//! Where the scenes of a plan lie: outlines in planes that a map can be drawn in.

use std::collections::BTreeMap;

use crate::geom::{GeoTransform, Size};
use crate::gis::Ground;
use crate::plan::Plan;
use crate::raster::{GroundPoint, SceneHeader};
use crate::report::{PageScene, PlaneSystem};

/// What GDAL calls degrees of longitude and latitude.
const EARTH: &str = "longitude and latitude (WGS 84)";

/// Gives scenes their outlines and areas, and returns the systems that outlines are in.
///
/// Where all scenes that have a system share it the map is in that; otherwise it is in degrees, and what cannot be brought there is in
/// none. Scenes that have a transform alone lie in a plane of their own. Those that have ground control points lie where a transform through
/// these would have them, near enough for a map and not for an area; those that have coefficients of a camera (RPCs) need heights.
pub(super) fn place(plan: &Plan, scenes: &mut [PageScene]) -> Vec<PlaneSystem> {
    let headers = || plan.scenes.iter().map(|scene| &scene.header);
    let mut grounds: BTreeMap<&str, Option<Ground>> = BTreeMap::new();
    for wkt in headers().filter(|header| transform(header).is_some()).filter_map(|header| header.crs.as_deref()) {
        grounds.entry(wkt).or_insert_with(|| Ground::of(wkt));
    }
    let shared = if let [(wkt, ground)] = grounds.iter().collect::<Vec<_>>().as_slice() {
        Some(PlaneSystem {
            name: name_of(wkt).to_owned(),
            metres: ground.as_ref().and_then(Ground::metres),
            is_degrees: is_in_degrees(wkt),
        })
    } else {
        None
    };
    let is_shared = shared.is_some();
    let earth = PlaneSystem { name: EARTH.to_owned(), metres: None, is_degrees: true };
    let nowhere = PlaneSystem { name: "without a reference system".to_owned(), metres: None, is_degrees: false };
    for (own, header) in scenes.iter_mut().zip(headers()) {
        let Some(corners) = transform(header).map(|transform| corners(transform, header.size)) else { continue };
        let ground = header.crs.as_deref().map(|wkt| grounds.get(wkt).and_then(Option::as_ref));
        let area = |ground: &Ground| ground.square_metres(header.transform?, header.size);
        own.square_metres = ground.flatten().and_then(area);
        own.outline = match ground {
            None => Some((1, corners)),
            Some(_) if is_shared => Some((0, corners)),
            Some(ground) => ground.and_then(|ground| ground.degrees(corners)).map(|corners| (0, corners)),
        };
        own.outline = own.outline.filter(|(_, corners)| corners.iter().flatten().all(|v| v.is_finite()));
    }
    vec![shared.unwrap_or(earth), nowhere]
}

/// Where a scene lies, or about where.
fn transform(header: &SceneHeader) -> Option<GeoTransform> {
    header.transform.or_else(|| fitted(&header.ties.as_ref()?.points))
}

/// The transform nearest to these points, by least squares; nothing where they lie in a line.
fn fitted(points: &[GroundPoint]) -> Option<GeoTransform> {
    let n = points.len() as f64;
    let mean = |of: &dyn Fn(&GroundPoint) -> f64| points.iter().map(of).sum::<f64>() / n;
    let [col, row] = [0, 1].map(|axis| mean(&|point| point.pixel[axis]));
    let product = |a: &dyn Fn(&GroundPoint) -> f64, b: &dyn Fn(&GroundPoint) -> f64| mean(&|point| a(point) * b(point));
    let (u, v) = (|point: &GroundPoint| point.pixel[0] - col, |point: &GroundPoint| point.pixel[1] - row);
    let (uu, uv, vv) = (product(&u, &u), product(&u, &v), product(&v, &v));
    let det = uu * vv - uv * uv;
    let of_axis = |axis: usize| {
        let origin = mean(&|point| point.ground[axis]);
        let g = |point: &GroundPoint| point.ground[axis] - origin;
        let (ug, vg) = (product(&u, &g), product(&v, &g));
        let (by_col, by_row) = ((ug * vv - vg * uv) / det, (vg * uu - ug * uv) / det);
        [origin - by_col * col - by_row * row, by_col, by_row]
    };
    let ([x, dx, rx], [y, ry, dy]) = (of_axis(0), of_axis(1));
    (det > 1e-9 * uu * vv).then_some(GeoTransform([x, dx, rx, y, ry, dy]))
}

/// From the upper left one on, clockwise.
fn corners(GeoTransform(t): GeoTransform, Size { width, height }: Size) -> [[f64; 2]; 4] {
    let (w, h) = (f64::from(width), f64::from(height));
    let at = |x: f64, y: f64| [t[0] + x * t[1] + y * t[2], t[3] + x * t[4] + y * t[5]];
    [at(0.0, 0.0), at(w, 0.0), at(w, h), at(0.0, h)]
}

/// What a system is called: what a WKT has between its first quotes.
fn name_of(wkt: &str) -> &str {
    wkt.split('"').nth(1).unwrap_or("an unnamed system")
}

fn is_in_degrees(wkt: &str) -> bool {
    ["GEOGCS", "GEOGCRS", "GEODCRS"].iter().any(|kind| wkt.trim_start().starts_with(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_fitted_unless_they_lie_in_a_line() {
        let point = |col: f64, row: f64, [x, y]: [f64; 2]| GroundPoint { pixel: [col, row], ground: [x, y, 5.0] };
        let turned = |col: f64, row: f64| [1e5 + 2.0 * col - 0.5 * row, 2e6 - 0.25 * col - 3.0 * row];
        let of =
            |places: &[(f64, f64)]| places.iter().map(|(col, row)| point(*col, *row, turned(*col, *row))).collect();
        let all: Vec<GroundPoint> = of(&[(0.0, 0.0), (90.0, 3.0), (5.0, 70.0), (80.0, 60.0)]);
        let GeoTransform(found) = fitted(&all).unwrap();
        for (found, wanted) in found.iter().zip([1e5, 2.0, -0.5, 2e6, -0.25, -3.0]) {
            assert!((found - wanted).abs() < 1e-6, "{found} for {wanted}");
        }
        assert!(fitted(&of(&[(0.0, 0.0), (10.0, 10.0), (20.0, 20.0)])).is_none());
        assert!(fitted(&of(&[(0.0, 0.0)])).is_none() && fitted(&[]).is_none());
    }
}
