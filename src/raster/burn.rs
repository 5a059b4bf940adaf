//! Shapes on the ground, burned into the pixels of a raster.
//!
//! A request names shapes and the grid that they are wanted on; a source that can read them gives polygons in ground coordinates, and this
//! module fills them, without GDAL: a pixel belongs to a polygon where its centre lies inside by the even-odd rule, its left and upper
//! border included. All arithmetic is in the grid's own pixel coordinates, so what a pixel gets does not depend on the window that is asked
//! for. Rows are swept from top to bottom and the memory is that of the polygons.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{RasterError, SceneHeader};
use crate::geom::{GeoTransform, PixelRect, Size, Span};

/// What is burned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Shapes {
    /// The polygons of a vector file.
    File {
        /// The file.
        path: PathBuf,
        /// The layer of it; `None` for the only one.
        layer: Option<String>,
    },
    /// A rectangle.
    Bounds {
        /// The least x and y, the greatest x and y.
        bounds: [f64; 4],
        /// What these are coordinates of, as `EPSG:4326`, x first; `None` for those of the grid.
        crs: Option<String>,
    },
}

/// What becomes of the bytes where shapes lie.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Burn {
    /// A byte for each cell of so many pixels, from the window's corner on: 0 where no pixel is inside, 255 where all are, else 1.
    Cover {
        /// Extent of a cell.
        cell: Size,
    },
    /// A byte for each pixel: the feature's value of a numeric field. Where several features lie, the last one counts.
    Field {
        /// Name of the field.
        name: String,
        /// What the others get.
        background: u8,
    },
}

/// Where the pixels of a raster lie.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroundGrid {
    /// Extent.
    pub size: Size,
    /// Pixel to ground; its numbers are finite, and it can be inverted.
    pub transform: GeoTransform,
    /// The reference system as WKT, where one is known.
    pub crs: Option<String>,
}

/// Asks for shapes as pixels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BurnRequest {
    /// The shapes.
    pub shapes: Shapes,
    /// What is made of them.
    pub burn: Burn,
    /// The grid.
    pub grid: GroundGrid,
    /// The part of it that is wanted.
    pub window: PixelRect,
}

/// What a source says of shapes beside the pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Burned {
    /// Where all of them lie in the grid's reference system: the least x and y, the greatest x and y.
    pub extent: Option<[f64; 4]>,
    /// Bytes that a source holds while it burns those that meet the grid.
    pub bytes: u64,
}

impl GroundGrid {
    /// That of a scene.
    ///
    /// # Errors
    /// When the scene does not say where it lies.
    pub fn of(header: &SceneHeader) -> Result<Self, String> {
        let Some(transform) = header.transform else {
            return Err("the scene does not say where it lies (it has no transform)".into());
        };
        let [_, a, b, _, c, d] = transform.0;
        let det = a * d - b * c;
        if !(transform.0.iter().all(|number| number.is_finite()) && det.is_finite() && det != 0.0) {
            return Err("the scene's transform maps no pixel to the ground".into());
        }
        Ok(Self { size: header.size, transform, crs: header.crs.clone() })
    }

    /// Another grid over the same ground, edge to edge.
    pub fn resized(self, size: Size) -> Self {
        let (x, y) = (self.size, size);
        let (across, down) = (f64::from(x.width) / f64::from(y.width), f64::from(x.height) / f64::from(y.height));
        let [x0, a, b, y0, c, d] = self.transform.0;
        Self { size, transform: GeoTransform([x0, a * across, b * down, y0, c * across, d * down]), ..self }
    }

    /// A place on the ground in pixels: corners of pixels are whole numbers.
    fn pixel(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let [x0, a, b, y0, c, d] = self.transform.0;
        let (dx, dy) = (x - x0, y - y0);
        if b == 0.0 && c == 0.0 {
            return [dx / a, dy / d];
        }
        let det = a * d - b * c;
        [(dx * d - dy * b) / det, (dy * a - dx * c) / det]
    }

    /// The least and greatest coordinates of its corners.
    pub fn extent(&self) -> [f64; 4] {
        let [x0, a, b, y0, c, d] = self.transform.0;
        let (w, h) = (f64::from(self.size.width), f64::from(self.size.height));
        let corners = [[0.0, 0.0], [w, 0.0], [0.0, h], [w, h]];
        extent(corners.iter().map(|[col, row]| [x0 + col * a + row * b, y0 + col * c + row * d])).unwrap_or_default()
    }
}

/// The least x and y and the greatest x and y of some points.
pub(super) fn extent(points: impl IntoIterator<Item = [f64; 2]>) -> Option<[f64; 4]> {
    let grow = |[x0, y0, x1, y1]: [f64; 4], [x, y]: [f64; 2]| [x0.min(x), y0.min(y), x1.max(x), y1.max(y)];
    let mut points = points.into_iter();
    let [x, y] = points.next()?;
    Some(points.fold([x, y, x, y], grow))
}

impl BurnRequest {
    /// Extent of what comes of it: a byte each.
    pub fn size(&self) -> Size {
        let Size { width, height } = self.window.size;
        match self.burn {
            Burn::Cover { cell } => Size::new(width.div_ceil(cell.width.max(1)), height.div_ceil(cell.height.max(1))),
            Burn::Field { .. } => self.window.size,
        }
    }

    /// The same about some of its rows of bytes.
    pub(super) fn rows(&self, from: u32, n: u32) -> Self {
        let height = match self.burn {
            Burn::Cover { cell } => cell.height.max(1),
            Burn::Field { .. } => 1,
        };
        let ys = self.window.ys();
        let row = |idx: u32| ys.start.saturating_add(idx.saturating_mul(height)).min(ys.end);
        let window = PixelRect::from_spans(self.window.xs(), Span::new(row(from), row(from.saturating_add(n))));
        Self { window, ..self.clone() }
    }
}

/// What a feature covers: closed rings in ground coordinates.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Polygon {
    /// What is burned where a field is.
    pub(super) value: u8,
    pub(super) rings: Vec<Vec<[f64; 2]>>,
}

/// Points of each side of a rectangle that goes into another reference system, where its sides are no straight lines.
const POINTS_PER_SIDE: u32 = 64;

impl Polygon {
    /// A rectangle.
    pub(super) fn of_bounds([x0, y0, x1, y1]: [f64; 4]) -> Self {
        let corners = [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]];
        let side = |ends: &[[f64; 2]]| {
            let (from, to) = (ends[0], ends[1]);
            let at = move |n: u32| f64::from(n) / f64::from(POINTS_PER_SIDE);
            (0..POINTS_PER_SIDE).map(move |n| [0, 1].map(|axis: usize| from[axis] + (to[axis] - from[axis]) * at(n)))
        };
        let mut ring: Vec<[f64; 2]> = corners.windows(2).flat_map(side).collect();
        ring.push(corners[0]);
        Self { value: 0, rings: vec![ring] }
    }

    #[cfg(feature = "gdal")]
    pub(super) fn extent(&self) -> Option<[f64; 4]> {
        extent(self.rings.iter().flatten().copied())
    }

    /// Whether a pixel of the grid may lie inside.
    #[cfg(any(feature = "gdal", test))]
    pub(super) fn meets(&self, grid: &GroundGrid) -> bool {
        let pixels = extent(self.rings.iter().flatten().map(|point| grid.pixel(*point)));
        let (w, h) = (f64::from(grid.size.width), f64::from(grid.size.height));
        pixels.is_some_and(|[x0, y0, x1, y1]| x0 < w && y0 < h && x1 > 0.0 && y1 > 0.0)
    }

    /// Bytes that it takes while it is burned: its points, their edges, and which of those a row meets.
    pub(super) fn bytes(&self) -> u64 {
        let points = self.rings.iter().map(Vec::len).sum::<usize>();
        (points * (size_of::<[f64; 2]>() + size_of::<Edge>() + size_of::<usize>() + size_of::<(u32, f64)>())) as u64
    }
}

/// A side of a polygon, from top to bottom, in pixels.
struct Edge {
    from: [f64; 2],
    to: [f64; 2],
    polygon: u32,
}

impl Edge {
    /// Where it crosses a row.
    fn at(&self, y: f64) -> f64 {
        let ([x0, y0], [x1, y1]) = (self.from, self.to);
        (y - y0) * (x1 - x0) / (y1 - y0) + x0
    }
}

/// Burns polygons into `into`, of the request's size.
pub(super) fn burn(request: &BurnRequest, polygons: &[Polygon], into: &mut [u8]) -> Result<(), RasterError> {
    let size = request.size();
    if into.len() != size.len() || !request.window.fits(request.grid.size) {
        return Err(RasterError::Changed);
    }
    let row_len = size.width as usize;
    match &request.burn {
        Burn::Field { background, .. } => {
            into.fill(*background);
            sweep(request, polygons, |row, spans| {
                let bytes = &mut into[row as usize * row_len..][..row_len];
                for (polygon, span) in spans.iter() {
                    bytes[span.start as usize..span.end as usize].fill(polygons[*polygon as usize].value);
                }
            });
        }
        Burn::Cover { cell } => {
            let mut inside = vec![0_u64; size.len()];
            sweep(request, polygons, |row, spans| {
                let counts = &mut inside[(row / cell.height.max(1)) as usize * row_len..][..row_len];
                let mut end = 0;
                // Polygons may overlap: a pixel counts once.
                spans.sort_unstable_by_key(|(_, span)| span.start);
                for (_, span) in spans.iter() {
                    let span = Span::new(span.start.max(end), span.end.max(end));
                    end = span.end;
                    count(span, cell.width.max(1), counts);
                }
            });
            let of = |length: u32, cell: u32, idx: u32| u64::from((length - idx * cell).min(cell));
            for ((row, col), (byte, inside)) in positions(size).zip(into.iter_mut().zip(inside)) {
                let all = of(request.window.size.height, cell.height.max(1), row)
                    * of(request.window.size.width, cell.width.max(1), col);
                *byte = if inside == 0 { 0 } else { if inside == all { u8::MAX } else { 1 } };
            }
        }
    }
    Ok(())
}

fn positions(size: Size) -> impl Iterator<Item = (u32, u32)> {
    (0..size.height).flat_map(move |row| (0..size.width).map(move |col| (row, col)))
}

/// Adds the pixels of a span to the cells that they lie in.
fn count(mut span: Span, cell: u32, counts: &mut [u64]) {
    while !span.is_empty() {
        let end = ((span.start / cell + 1).saturating_mul(cell)).min(span.end);
        counts[(span.start / cell) as usize] += u64::from(end - span.start);
        span.start = end;
    }
}

/// Gives the spans of each row of the window that lie inside polygons, in their order; rows and columns are counted from its corner.
fn sweep(request: &BurnRequest, polygons: &[Polygon], mut row_of: impl FnMut(u32, &mut Vec<(u32, Span)>)) {
    let (xs, ys) = (request.window.xs(), request.window.ys());
    let edges = edges(&request.grid, polygons, ys);
    let column = |x: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between the window's columns")]
        let column = (x + 0.5).floor().clamp(f64::from(xs.start), f64::from(xs.end)) as u32;
        column - xs.start
    };
    let (mut next, mut met, mut crossings, mut spans) = (0, Vec::new(), Vec::new(), Vec::new());
    for row in ys.start..ys.end {
        let y = f64::from(row) + 0.5;
        while next < edges.len() && edges[next].from[1] <= y {
            met.push(next);
            next += 1;
        }
        met.retain(|idx: &usize| edges[*idx].to[1] > y);
        crossings.clear();
        crossings.extend(met.iter().map(|idx| (edges[*idx].polygon, edges[*idx].at(y))));
        crossings.sort_unstable_by(|a: &(u32, f64), b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        spans.clear();
        // Rings are closed: each crosses a row an even number of times.
        let pairs = crossings.chunks_exact(2).map(|pair| (pair[0].0, Span::new(column(pair[0].1), column(pair[1].1))));
        spans.extend(pairs.filter(|(_, span)| !span.is_empty()));
        if !spans.is_empty() {
            row_of(row - ys.start, &mut spans);
        }
    }
}

/// The edges that cross the centres of some rows, those that begin first before the others.
fn edges(grid: &GroundGrid, polygons: &[Polygon], rows: Span) -> Vec<Edge> {
    let (first, last) = (f64::from(rows.start) + 0.5, f64::from(rows.end) - 0.5);
    let mut edges = Vec::new();
    for (polygon, own) in (0..).zip(polygons) {
        for ring in &own.rings {
            let next = ring.iter().skip(1).chain(ring.first());
            for (one, other) in ring.iter().zip(next) {
                let (one, other) = (grid.pixel(*one), grid.pixel(*other));
                let (from, to) = if one[1] < other[1] { (one, other) } else { (other, one) };
                // Of a level edge, or one that is nowhere, no row is told apart.
                if from[1] < to[1] && from[1] <= last && to[1] > first {
                    edges.push(Edge { from, to, polygon });
                }
            }
        }
    }
    edges.sort_by(|a: &Edge, b| a.from[1].total_cmp(&b.from[1]));
    edges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(transform: [f64; 6]) -> GroundGrid {
        GroundGrid { size: Size::new(40, 30), transform: GeoTransform(transform), crs: None }
    }

    const NORTH_UP: [f64; 6] = [500.0, 2.0, 0.0, 900.0, 0.0, -2.0];
    const SOUTH_UP: [f64; 6] = [500.0, 2.0, 0.0, 840.0, 0.0, 2.0];
    const ROTATED: [f64; 6] = [500.0, 1.6, 0.9, 900.0, 0.7, -1.8];

    fn request(grid: &GroundGrid, burn: Burn, window: PixelRect) -> BurnRequest {
        let shapes = Shapes::Bounds { bounds: [0.0; 4], crs: None };
        BurnRequest { shapes, burn, grid: grid.clone(), window }
    }

    fn burned(request: &BurnRequest, polygons: &[Polygon]) -> Vec<u8> {
        let mut into = vec![77; request.size().len()];
        burn(request, polygons, &mut into).unwrap();
        into
    }

    /// A star with a hole, across the grid's border, and a triangle over it.
    fn star() -> Vec<Polygon> {
        let ring = |n: u32, radii: [f64; 2], at: [f64; 2]| {
            let point = |idx: u32| {
                let angle = f64::from(idx) * std::f64::consts::TAU / f64::from(n) + 0.123;
                let radius = radii[idx as usize % 2];
                [at[0] + radius * angle.cos(), at[1] + radius * angle.sin()]
            };
            (0..=n).map(|idx| point(idx % n)).collect::<Vec<_>>()
        };
        let star = vec![ring(10, [37.7, 13.3], [531.3, 872.1]), ring(7, [6.1, 5.9], [531.0, 872.0])];
        let triangle = vec![vec![[560.3, 890.1], [577.9, 845.5], [522.2, 861.7], [560.3, 890.1]]];
        vec![Polygon { value: 3, rings: star }, Polygon { value: 9, rings: triangle }]
    }

    /// By the definition, pixel by pixel.
    fn naive(grid: &GroundGrid, polygon: &Polygon, col: u32, row: u32) -> bool {
        let (x, y) = (f64::from(col) + 0.5, f64::from(row) + 0.5);
        let mut inside = false;
        for ring in &polygon.rings {
            for pair in ring.windows(2) {
                let (a, b) = (grid.pixel(pair[0]), grid.pixel(pair[1]));
                if (a[1] <= y) != (b[1] <= y) && (y - a[1]) * (b[0] - a[0]) / (b[1] - a[1]) + a[0] <= x {
                    inside = !inside;
                }
            }
        }
        inside
    }

    #[test]
    fn pixels_whose_centres_lie_inside_are_burned_on_any_grid_and_from_any_window() {
        for transform in [NORTH_UP, SOUTH_UP, ROTATED] {
            let (grid, polygons) = (grid(transform), star());
            let field = Burn::Field { name: "class".into(), background: 5 };
            let whole = burned(&request(&grid, field.clone(), PixelRect::whole(grid.size)), &polygons);
            let expected = positions(grid.size).map(|(row, col)| {
                let of = |polygon: &Polygon| naive(&grid, polygon, col, row).then_some(polygon.value);
                polygons.iter().filter_map(of).next_back().unwrap_or(5)
            });
            assert_eq!(whole, expected.collect::<Vec<_>>(), "{transform:?}");
            assert!([3, 5, 9].iter().all(|value| whole.contains(value)), "{transform:?}");
            let window = PixelRect { x: 7, y: 5, size: Size::new(21, 17) };
            let part = burned(&request(&grid, field, window), &polygons);
            let rows = whole.chunks(40).skip(5).take(17).flat_map(|row| row[7..28].to_vec());
            assert_eq!(part, rows.collect::<Vec<_>>(), "{transform:?}");
        }
    }

    #[test]
    fn cells_say_whether_none_some_or_all_of_their_pixels_are_covered() {
        let (grid, polygons) = (grid(NORTH_UP), star());
        let one = Burn::Cover { cell: Size::new(1, 1) };
        let pixels = burned(&request(&grid, one, PixelRect::whole(grid.size)), &polygons);
        assert!(pixels.iter().all(|byte| [0, 255].contains(byte)));
        let cell = Size::new(7, 4);
        let asked = request(&grid, Burn::Cover { cell }, PixelRect::whole(grid.size));
        let cells = burned(&asked, &polygons);
        assert_eq!(asked.size(), Size::new(6, 8));
        for ((row, col), byte) in positions(asked.size()).zip(&cells) {
            let own = positions(grid.size).zip(&pixels);
            let own: Vec<u8> = own.filter(|((y, x), _)| (y / 4, x / 7) == (row, col)).map(|(_, byte)| *byte).collect();
            let expected = match (own.contains(&255), own.contains(&0)) {
                (false, _) => 0,
                (true, false) => 255,
                (true, true) => 1,
            };
            assert_eq!(*byte, expected, "{row} {col}");
        }
        assert!([0, 1, 255].iter().all(|byte| cells.contains(byte)));
        let part = asked.rows(2, 3);
        assert_eq!((part.window.ys(), part.size()), (Span::new(8, 20), Size::new(6, 3)));
        assert_eq!(burned(&part, &polygons), cells[12..30]);
        assert_eq!(asked.rows(6, 9).window.ys(), Span::new(24, 30));
    }

    #[test]
    fn a_rectangle_takes_its_left_and_upper_border_and_what_lies_outside_meets_nothing() {
        let grid = grid(NORTH_UP);
        let cover = |bounds| {
            let polygon = Polygon::of_bounds(bounds);
            let asked = request(&grid, Burn::Cover { cell: Size::new(1, 1) }, PixelRect::whole(grid.size));
            let n = burned(&asked, std::slice::from_ref(&polygon)).iter().filter(|byte| **byte > 0).count();
            (n, polygon.meets(&grid))
        };
        assert_eq!(cover([500.0, 840.0, 580.0, 900.0]), (1200, true), "all of it");
        assert_eq!(cover([501.0, 895.0, 505.0, 899.0]), (4, true), "borders through pixel centres");
        assert_eq!(cover([0.0, 0.0, 500.0, 900.0]), (0, false));
        assert_eq!(cover([f64::NAN, 0.0, 600.0, 900.0]).0, 0);
        assert_eq!(grid.extent(), [500.0, 840.0, 580.0, 900.0]);
    }
}
