//! Where the scenes of a plan lie: outlines in planes that a map can be drawn in.

use std::collections::BTreeMap;

use crate::geom::{GeoTransform, Size};
use crate::gis::Ground;
use crate::plan::Plan;
use crate::report::{PageScene, PlaneSystem};

/// What GDAL calls degrees of longitude and latitude.
const EARTH: &str = "longitude and latitude (WGS 84)";

/// Gives scenes their outlines and areas, and returns the systems that outlines are in.
///
/// Where all scenes that have a system share it the map is in that; otherwise it is in degrees, and what cannot be brought there is in
/// none. Scenes that have a transform alone lie in a plane of their own.
pub(super) fn place(plan: &Plan, scenes: &mut [PageScene]) -> Vec<PlaneSystem> {
    let headers = || plan.scenes.iter().map(|scene| &scene.header);
    let mut grounds: BTreeMap<&str, Option<Ground>> = BTreeMap::new();
    for wkt in headers().filter(|header| header.transform.is_some()).filter_map(|header| header.crs.as_deref()) {
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
        let Some(transform) = header.transform else { continue };
        let corners = corners(transform, header.size);
        let ground = header.crs.as_deref().map(|wkt| grounds.get(wkt).and_then(Option::as_ref));
        own.square_metres = ground.flatten().and_then(|ground| ground.square_metres(transform, header.size));
        own.outline = match ground {
            None => Some((1, corners)),
            Some(_) if is_shared => Some((0, corners)),
            Some(ground) => ground.and_then(|ground| ground.degrees(corners)).map(|corners| (0, corners)),
        };
        own.outline = own.outline.filter(|(_, corners)| corners.iter().flatten().all(|v| v.is_finite()));
    }
    vec![shared.unwrap_or(earth), nowhere]
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
