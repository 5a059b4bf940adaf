//! Outlines of scenes as a drawing.

use super::PlaneSystem;
use crate::words::count;

/// Width of a map in its own units, and its height at most.
const WIDTH: f64 = 1000.0;
const MAX_HEIGHT: f64 = 640.0;
const MARGIN: f64 = 36.0;

/// An outline that is smaller than this is also marked.
const SMALL: f64 = 7.0;

/// Outlines that can be chosen; the others are drawn as one.
const CHOOSABLE: usize = 5000;

/// Outlines that are drawn.
const DRAWN: usize = 100_000;

/// Metres of a degree of latitude.
const DEGREE: f64 = 111_200.0;

/// A scene to draw.
#[derive(Clone, Debug)]
pub(super) struct Placed<'a> {
    /// Its number on the page.
    pub(super) number: usize,
    pub(super) corners: [[f64; 2]; 4],
    /// "done", "failed" or "left".
    pub(super) kind: &'static str,
    pub(super) title: &'a str,
    /// What it leads to; empty for nothing.
    pub(super) href: String,
    /// Whether the page has a picture of its mask.
    pub(super) has_mask: bool,
}

#[derive(Debug)]
pub(super) struct Map {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) pictures: Vec<Picture>,
    pub(super) outlines: Vec<Outline>,
    /// Outlines that cannot be chosen, by kind.
    pub(super) rest: Vec<(&'static str, String)>,
    pub(super) scale: Option<ScaleBar>,
    pub(super) caption: String,
}

/// A picture of one by one, and the affine map to its place.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) scene: usize,
    pub(super) matrix: String,
}

#[derive(Debug)]
pub(super) struct Outline {
    pub(super) kind: &'static str,
    pub(super) path: String,
    pub(super) title: String,
    pub(super) href: String,
}

#[derive(Debug)]
pub(super) struct ScaleBar {
    pub(super) length: f64,
    pub(super) label: String,
}

/// From the ground to the map.
#[derive(Clone, Copy, Debug)]
struct Frame {
    left: f64,
    top: f64,
    /// Units of the map per unit of the ground.
    scale: [f64; 2],
    offset: [f64; 2],
}

impl Frame {
    fn at(self, [x, y]: [f64; 2]) -> [f64; 2] {
        [self.offset[0] + (x - self.left) * self.scale[0], self.offset[1] + (self.top - y) * self.scale[1]]
    }
}

/// The map of the scenes that lie in one system; `None` where there is none.
pub(super) fn draw(system: &PlaneSystem, scenes: &[Placed<'_>]) -> Option<Map> {
    let points = || scenes.iter().flat_map(|scene| scene.corners);
    let least = |axis: usize| points().map(|p| p[axis]).fold(f64::INFINITY, f64::min);
    let most = |axis: usize| points().map(|p| p[axis]).fold(f64::NEG_INFINITY, f64::max);
    let (left, right, bottom, top) = (least(0), most(0), least(1), most(1));
    if scenes.is_empty() || ![left, right, bottom, top].iter().all(|v| v.is_finite()) {
        return None;
    }
    // A degree of longitude is shorter than one of latitude.
    let narrow = if system.is_degrees { ((top + bottom) / 2.0).to_radians().cos().max(0.05) } else { 1.0 };
    let (wide, high) = (((right - left) * narrow).max(f64::MIN_POSITIVE), (top - bottom).max(f64::MIN_POSITIVE));
    let inner = [WIDTH - 2.0 * MARGIN, MAX_HEIGHT - 2.0 * MARGIN];
    let per_unit = (inner[0] / wide).min(inner[1] / high);
    let height = (high * per_unit + 2.0 * MARGIN).max(MAX_HEIGHT / 2.0).round();
    let offset = [(WIDTH - wide * per_unit) / 2.0, (height - high * per_unit) / 2.0];
    let frame = Frame { left, top, scale: [per_unit * narrow, per_unit], offset };
    let shown = &scenes[..scenes.len().min(DRAWN)];
    let (choosable, rest) = shown.split_at(shown.len().min(CHOOSABLE));
    let with_masks = choosable.iter().filter(|scene| scene.has_mask);
    let cut = match scenes.len().saturating_sub(DRAWN) {
        0 => String::new(),
        n => format!("; {} more are not drawn", count(n as u64, "scene")),
    };
    Some(Map {
        width: WIDTH,
        height,
        pictures: with_masks.map(|scene| picture(frame, scene)).collect(),
        outlines: choosable.iter().map(|scene| outline(frame, scene)).collect(),
        rest: ["done", "failed", "left"].into_iter().filter_map(|kind| together(frame, rest, kind)).collect(),
        scale: unit_metres(system, (top + bottom) / 2.0).and_then(|metres| scale_bar(metres / frame.scale[0])),
        caption: format!("{}; {}, north is up{cut}", count(scenes.len() as u64, "scene"), system.name),
    })
}

fn picture(frame: Frame, scene: &Placed<'_>) -> Picture {
    let [ul, ur, _, ll] = scene.corners.map(|corner| frame.at(corner));
    let matrix = [ur[0] - ul[0], ur[1] - ul[1], ll[0] - ul[0], ll[1] - ul[1], ul[0], ul[1]];
    Picture { scene: scene.number, matrix: matrix.map(|v| format!("{v:.3}")).join(" ") }
}

fn outline(frame: Frame, scene: &Placed<'_>) -> Outline {
    let corners = scene.corners.map(|corner| frame.at(corner));
    let mut path = polygon(corners);
    let extent = |axis: usize| {
        let values = corners.map(|p| p[axis]);
        values.into_iter().fold(f64::NEG_INFINITY, f64::max) - values.into_iter().fold(f64::INFINITY, f64::min)
    };
    if extent(0).max(extent(1)) < SMALL {
        let centre = |axis: usize| corners.iter().map(|p| p[axis]).sum::<f64>() / 4.0;
        path += &format!("M{:.1} {:.1}a{SMALL} {SMALL} 0 1 0 .1 0z", centre(0), centre(1) + SMALL);
    }
    Outline { kind: scene.kind, path, title: scene.title.to_owned(), href: scene.href.clone() }
}

fn polygon(corners: [[f64; 2]; 4]) -> String {
    let [first, ..] = corners;
    let mut path = format!("M{:.1} {:.1}", first[0], first[1]);
    for pair in corners.windows(2) {
        // Relative: a hundred thousand of them are in one file.
        path += &format!("l{:.1} {:.1}", pair[1][0] - pair[0][0], pair[1][1] - pair[0][1]);
    }
    path + "z"
}

fn together(frame: Frame, scenes: &[Placed<'_>], kind: &'static str) -> Option<(&'static str, String)> {
    let own = scenes.iter().filter(|scene| scene.kind == kind);
    let path: String = own.map(|scene| polygon(scene.corners.map(|corner| frame.at(corner)))).collect();
    (!path.is_empty()).then_some((kind, path))
}

/// Metres of a unit from west to east.
fn unit_metres(system: &PlaneSystem, latitude: f64) -> Option<f64> {
    if system.is_degrees { Some(DEGREE * latitude.to_radians().cos().max(0.05)) } else { system.metres }
}

/// A bar of a round length.
fn scale_bar(metres_per_unit: f64) -> Option<ScaleBar> {
    let most = metres_per_unit * WIDTH / 4.0;
    let decade = 10_f64.powf(most.log10().floor());
    let metres = [5.0, 2.0, 1.0].into_iter().map(|n| n * decade).find(|metres| *metres <= most)?;
    let label = if metres >= 1000.0 { format!("{} km", metres / 1000.0) } else { format!("{metres} m") };
    let length = metres / metres_per_unit;
    length.is_finite().then_some(ScaleBar { length: length.round(), label })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system() -> PlaneSystem {
        PlaneSystem { name: "UTM".into(), metres: Some(1.0), is_degrees: false }
    }

    fn square(x: f64, y: f64, side: f64) -> Placed<'static> {
        let corners = [[x, y], [x + side, y], [x + side, y - side], [x, y - side]];
        Placed { number: 7, corners, kind: "done", title: "a", href: "#s7".into(), has_mask: true }
    }

    #[test]
    fn north_is_up_and_pictures_lie_in_their_outlines() {
        let map = draw(&system(), &[square(0.0, 2000.0, 1000.0), square(1000.0, 1000.0, 1000.0)]).unwrap();
        assert_eq!((map.width, map.height), (1000.0, 640.0));
        // 568 units for 2 km, in the middle of the width.
        assert_eq!(map.pictures[0].matrix, "284.000 0.000 0.000 284.000 216.000 36.000");
        assert_eq!(map.outlines[1].path, "M500.0 320.0l284.0 0.0l0.0 284.0l-284.0 0.0z");
        let bar = map.scale.unwrap();
        assert_eq!((bar.length, bar.label.as_str()), (142.0, "500 m"));
    }

    #[test]
    fn degrees_are_narrow_far_from_the_equator_and_specks_are_marked() {
        let degrees = PlaneSystem { name: "WGS 84".into(), metres: None, is_degrees: true };
        let map = draw(&degrees, &[square(0.0, 61.0, 2.0), square(40.0, 60.0, 0.001)]).unwrap();
        let first: Vec<f64> = map.pictures[0].matrix.split(' ').map(|v| v.parse().unwrap()).collect();
        assert!((first[0] / first[3] - 0.5).abs() < 0.02, "{first:?}");
        assert!(map.outlines[1].path.contains('a') && !map.outlines[0].path.contains('a'));
    }

    #[test]
    fn very_many_scenes_are_one_path() {
        let scenes: Vec<Placed<'_>> = (0..6000).map(|i| square(f64::from(i) * 10.0, 0.0, 10.0)).collect();
        let map = draw(&system(), &scenes).unwrap();
        assert_eq!((map.outlines.len(), map.rest.len()), (5000, 1));
        assert_eq!(map.rest[0].1.matches('M').count(), 1000);
        assert!(map.rest[0].1.len() < 40_000);
        let nowhere = Placed { corners: [[f64::NAN; 2]; 4], ..square(0.0, 0.0, 1.0) };
        assert!(draw(&system(), &[nowhere]).is_none());
    }
}
