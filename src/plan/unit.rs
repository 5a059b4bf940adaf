//! Units: the granule of reading, batching, retry and checkpoint.

use serde::{Deserialize, Serialize};

use super::{BackendKind, Footprint, Plan, Scene};
use crate::geom::{PixelRect, Size, Span};
use crate::raster::PixelType;
use crate::tiler::{Blend, Grid};

/// One piece of work: read in one pass by one reader, its batches never mix with another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// A row of tiles of one scene, or some columns of it.
    Band {
        /// Index of the scene.
        scene: u32,
        /// Row of tiles.
        row: u32,
        /// Columns of tiles.
        cols: Span,
    },
    /// Whole scenes of one shape, one tile each.
    Group {
        /// Indices of the scenes.
        scenes: Span,
    },
}

/// A window of a scene that is read in one pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Index of the scene.
    pub scene: u32,
    /// The pixels its tiles are made of.
    pub window: PixelRect,
}

/// One tile of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Index of the part it is cut from.
    pub part: u32,
    /// First column of the crop in the scene, negative where it hangs over.
    pub crop_x: i64,
    /// First row of the crop in the scene.
    pub crop_y: i64,
    /// What it owns, in the scene.
    pub centre: PixelRect,
    /// What it owns, counted from the crop's corner.
    pub kept: PixelRect,
}

/// A unit spelled out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitGeometry {
    /// Windows that are read, one of each scene.
    pub parts: Vec<Part>,
    /// What is run, in the order of the batches.
    pub tiles: Vec<Tile>,
    /// Size of every crop.
    pub crop: Size,
    /// Tiles per batch; the last batch holds the rest.
    pub batch: u32,
    /// The plan's passes that run on it, ascending: the order of summation.
    pub passes: Vec<usize>,
    /// What comes of pixels that several tiles see. Where they are blended, it takes logits of other units' tiles.
    pub blend: Blend,
    /// Those units, ascending, as they are done themselves.
    pub lenders: Vec<Lender>,
}

/// A unit with tiles before those of another, which see pixels that the other owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lender {
    /// Index of the unit.
    pub unit: usize,
    /// What it is. Whose logits it takes itself is of no account here.
    pub geometry: UnitGeometry,
}

impl UnitGeometry {
    /// Number of tiles in the batch that tile `idx` is in.
    pub fn batch_len(&self, idx: usize) -> usize {
        let batch = self.batch.max(1) as usize;
        batch.min(self.tiles.len() - idx / batch * batch)
    }

    /// Which tiles are cut from a part.
    pub fn tiles_of(&self, part: u32) -> impl Iterator<Item = usize> + '_ {
        (0..self.tiles.len()).filter(move |tile| self.tiles[*tile].part == part)
    }

    /// What of a tile's crop comes to count somewhere, in a scene of this size.
    pub fn used(&self, tile: &Tile, scene: Size) -> PixelRect {
        if self.blend.is_none() {
            return tile.kept;
        }
        let inside = |start: i64, crop: u32, length: u32| {
            let position = |at: i64| u32::try_from(at.clamp(0, i64::from(crop))).unwrap_or(crop);
            Span::new(position(-start), position(i64::from(length) - start))
        };
        let (xs, ys) =
            (inside(tile.crop_x, self.crop.width, scene.width), inside(tile.crop_y, self.crop.height, scene.height));
        PixelRect::from_spans(xs, ys)
    }

    /// What the tiles of a part own together.
    pub fn owned_by(&self, part: u32) -> Option<PixelRect> {
        let hull = |a: PixelRect, b: PixelRect| PixelRect::from_spans(a.xs().union(b.xs()), a.ys().union(b.ys()));
        self.tiles_of(part).map(|tile| self.tiles[tile].centre).reduce(hull)
    }

    /// The tiles of each batch.
    pub fn batches(&self) -> impl Iterator<Item = &[Tile]> {
        self.tiles.chunks(self.batch.max(1) as usize)
    }
}

impl Unit {
    /// The scenes it touches.
    pub fn scenes(&self) -> std::ops::Range<usize> {
        match *self {
            Self::Band { scene, .. } => scene as usize..scene as usize + 1,
            Self::Group { scenes } => scenes.start as usize..scenes.end as usize,
        }
    }

    /// The same among the scenes from this one on.
    pub(super) fn counted_from(self, scene: usize) -> Self {
        let less = |index: u32| index - u32::try_from(scene).unwrap_or(index);
        match self {
            Self::Band { scene, row, cols } => Self::Band { scene: less(scene), row, cols },
            Self::Group { scenes } => Self::Group { scenes: Span::new(less(scenes.start), less(scenes.end)) },
        }
    }

    /// Whether its tiles see pixels that another's own, where those of a grid are blended: they are of one scene, and lie before these.
    fn lends_to(&self, other: &Self, grid: Grid) -> bool {
        let (Self::Band { scene, row, cols }, Self::Band { scene: of, row: below, cols: theirs }) = (*self, *other)
        else {
            return false;
        };
        let reach = Span::new(theirs.start.saturating_sub(1), theirs.end);
        let is_beside = grid.x.lag > 0 && row == below && cols.end == theirs.start;
        let is_above = grid.y.lag > 0 && row + 1 == below && cols.start < reach.end && reach.start < cols.end;
        scene == of && (is_beside || is_above)
    }

    /// Its reads and tiles as planned. How it is really done, [`Concessions::geometry`](super::Concessions::geometry) says.
    pub fn geometry(&self, plan: &Plan) -> UnitGeometry {
        let lenders = plan.lenders(self).map(|unit| Lender { unit, geometry: plan.units[unit].own_geometry(plan) });
        UnitGeometry { lenders: lenders.collect(), ..self.own_geometry(plan) }
    }

    /// The same without what others lend.
    fn own_geometry(&self, plan: &Plan) -> UnitGeometry {
        let (passes, lenders) = ((0..plan.passes.len()).collect(), Vec::new());
        match *self {
            Self::Band { scene, row, cols } => {
                let grid = plan.scenes[scene as usize].grid;
                let border = plan.pipeline.tiling.border;
                let sources = (cols.start..cols.end).map(|col| grid.x.source(col, border));
                let xs = sources.reduce(Span::union).unwrap_or(Span::new(0, 0));
                let part = Part { scene, window: PixelRect::from_spans(xs, grid.y.source(row, border)) };
                let tiles = (cols.start..cols.end).map(|col| tile(&plan.scenes[scene as usize], 0, col, row)).collect();
                let crop = grid.crop();
                let blend = plan.blend_of(scene as usize);
                UnitGeometry { parts: vec![part], tiles, crop, batch: plan.batch(crop), passes, blend, lenders }
            }
            Self::Group { scenes } => {
                let all = &plan.scenes[scenes.start as usize..scenes.end as usize];
                let parts = (scenes.start..scenes.end).zip(all);
                let parts =
                    parts.map(|(scene, s)| Part { scene, window: PixelRect::whole(s.network_size()) }).collect();
                let tiles = (0..).zip(all).map(|(part, s)| tile(s, part, 0, 0)).collect();
                let crop = all.first().map_or(Size::new(0, 0), |s| s.grid.crop());
                UnitGeometry { parts, tiles, crop, batch: plan.batch(crop), passes, blend: Blend::None, lenders }
            }
        }
    }

    /// Planes of bytes that are held of each tile of a scene: the plan's, and which pixels lie inside its area.
    fn n_planes(plan: &Plan, scene: usize) -> usize {
        plan.planes.len() + usize::from(plan.scenes[scene].within.is_some())
    }

    /// Pixels that the networks see: an integer cost that depends on nothing but the plan.
    pub fn cost(&self, plan: &Plan) -> u64 {
        match *self {
            Self::Band { scene, cols, .. } => plan.scenes[scene as usize].grid.crop().area() * u64::from(cols.len()),
            Self::Group { .. } => self.scenes().map(|s| plan.scenes[s].network_pixels()).sum(),
        }
    }

    /// The memory of the parts that belong to one scene.
    pub fn part_footprint(&self, plan: &Plan, scene: usize) -> Footprint {
        let geometry = self.own_geometry(plan);
        let parts = (0..).zip(&geometry.parts).filter(|(_, part)| part.scene as usize == scene);
        parts.fold(Footprint::default(), |sum, (idx, part)| {
            let tiles = geometry.tiles.iter().filter(|t| t.part == idx).map(|t| t.centre.size);
            sum + plan.scenes[scene].footprint(part.window, plan.bands.len())
                + Footprint::planes(tiles, Self::n_planes(plan, scene))
        })
    }

    /// What the decoder's cache must hold while one reader reads it, so that no block is decoded twice.
    pub fn block_row_bytes(&self, plan: &Plan) -> u64 {
        let of = |part: &Part| {
            let scene = &plan.scenes[part.scene as usize];
            scene.header.block_row_bytes(scene.source(part.window).size, plan.bands.len())
        };
        self.own_geometry(plan).parts.iter().map(of).max().unwrap_or(0)
    }

    /// The memory it holds between its read and its commit.
    pub fn footprint(&self, plan: &Plan) -> Footprint {
        let geometry = self.own_geometry(plan);
        let n_bands = plan.bands.len();
        (0..).zip(&geometry.parts).fold(Footprint::default(), |sum, (idx, part)| {
            let scene = part.scene as usize;
            let centres = geometry.tiles_of(idx).map(|tile| geometry.tiles[tile].centre.size);
            let blended = if geometry.blend.is_none() { 0 } else { geometry.tiles.len() as u64 };
            sum + plan.scenes[scene].footprint(part.window, n_bands)
                + Footprint::planes(centres, Self::n_planes(plan, scene))
                + Footprint { logits: blended * plan.blended_bytes(&plan.scenes[scene]), ..Footprint::default() }
        })
    }
}

/// For every unit, the budget without which it could never be admitted, in bytes.
///
/// Whatever entered can leave, but a row of tiles lets go of its labels only when its last unit has arrived: where a row is cut into
/// several units, the labels of the earlier ones are still held when the later ones ask. Where tiles are blended, so is all of the row above.
pub fn admission_needs(plan: &Plan) -> Vec<u64> {
    let mut held: Vec<(u32, u32, u64)> = Vec::new();
    let mut need = |unit: &Unit| {
        let footprint = unit.footprint(plan);
        let Unit::Band { scene, row, .. } = *unit else {
            held.clear();
            return footprint.total();
        };
        let above = u32::from(!plan.blend_of(scene as usize).is_none());
        held.retain(|(of, at, _)| *of == scene && at + above >= row);
        let need = held.iter().map(|(.., bytes)| bytes).sum::<u64>() + footprint.total();
        held.push((scene, row, footprint.planes + footprint.logits));
        need
    };
    plan.units.iter().map(&mut need).collect()
}

impl Plan {
    /// Whether tiles of some scene are blended.
    pub fn is_blended(&self) -> bool {
        (0..self.scenes.len()).any(|scene| !self.blend_of(scene).is_none())
    }

    /// What comes of pixels that several tiles of a scene see. A device that only makes planes up does not blend them.
    fn blend_of(&self, scene: usize) -> Blend {
        let is_blended = self.scenes[scene].grid.is_blended() && self.backend != BackendKind::Null;
        if is_blended { self.pipeline.tiling.blend } else { Blend::None }
    }

    /// The units whose logits go into the planes of this one beside its own, ascending.
    fn lenders<'a>(&'a self, unit: &'a Unit) -> impl Iterator<Item = usize> + 'a {
        let grid = self.scenes[unit.scenes().start].grid;
        self.units_near(unit).filter(move |other| self.units[*other].lends_to(unit, grid))
    }

    /// The units into whose planes the logits of this one go, ascending.
    pub fn borrowers(&self, unit: usize) -> impl Iterator<Item = usize> + '_ {
        let grid = self.scenes[self.units[unit].scenes().start].grid;
        self.units_near(&self.units[unit]).filter(move |other| self.units[unit].lends_to(&self.units[*other], grid))
    }

    /// The units of a scene's row of tiles, of the one above and of the one below, where tiles are blended.
    fn units_near(&self, unit: &Unit) -> std::ops::Range<usize> {
        let Unit::Band { scene, row, .. } = *unit else { return 0..0 };
        if self.blend_of(scene as usize).is_none() {
            return 0..0;
        }
        let all = self.units_of(scene as usize);
        let before = |end: u32| {
            let is_before = |unit: &Unit| matches!(unit, Unit::Band { row, .. } if *row < end);
            all.start + self.units[all.clone()].partition_point(is_before)
        };
        before(row.saturating_sub(1))..before(row + 2)
    }
}

impl Scene {
    /// The pixels of it that a tile is made of.
    pub fn seen_by(&self, tile: &Tile, border: crate::tiler::Border) -> PixelRect {
        let (x, y) = (self.grid.x, self.grid.y);
        PixelRect::from_spans(x.source(x.tile_at(tile.centre.x), border), y.source(y.tile_at(tile.centre.y), border))
    }
}

fn tile(scene: &Scene, part: u32, col: u32, row: u32) -> Tile {
    let grid = scene.grid;
    Tile {
        part,
        crop_x: grid.x.crop_start(col),
        crop_y: grid.y.crop_start(row),
        centre: grid.centre(col, row),
        kept: grid.kept(col, row),
    }
}

/// Groups of small scenes are read together up to this many bytes of pixels. A number of the plan: it never changes with memory.
const GROUP_BYTES: u64 = 8 << 20;

/// And up to this many scenes, so that a group is committed within a breath.
const GROUP_SCENES: u64 = 64;

/// Cuts a plan's scenes, in their order, into units.
pub(super) fn units_of(plan: &Plan) -> Vec<Unit> {
    let (scenes, n_bands) = (&plan.scenes, plan.bands.len());
    let (unit_max, border) = (plan.pipeline.unit_max, plan.pipeline.tiling.border);
    let mut units = Vec::new();
    let mut next = 0;
    while let Some(first) = scenes.get(next) {
        let start = u32::try_from(next).unwrap_or(u32::MAX);
        if first.grid.n_tiles() > 1 {
            units.extend(bands_of(start, first, unit_max, n_bands, border));
            next += 1;
            continue;
        }
        let shape = |s: &Scene| -> (Size, PixelType) { (s.network_size(), s.header.dtype) };
        let alike = scenes[next..].iter().take_while(|s| shape(s) == shape(first)).count();
        let n = alike.min(group_len(first, plan.batch(first.grid.crop()), n_bands));
        units.push(Unit::Group { scenes: Span::new(start, start + u32::try_from(n).unwrap_or(1)) });
        next += n;
    }
    units
}

/// Scenes per group: whole batches, as many as the bytes allow, at least one batch.
fn group_len(scene: &Scene, batch: u32, n_bands: usize) -> usize {
    let bytes = Footprint::pixels(&scene.header, scene.network_size(), n_bands).total().max(1);
    let batch = u64::from(batch.max(1));
    let batches = ((GROUP_BYTES / bytes).min(GROUP_SCENES) / batch).max(1);
    usize::try_from(batches * batch).unwrap_or(1)
}

/// One unit per run of tiles in a row, which is all of it where no area cuts the scene; a run that needs more than `unit_max` bytes is cut into spans of columns if the file is tiled. (A
/// strip holds whole rows: cutting those would decode each strip once per span.)
fn bands_of(idx: u32, scene: &Scene, unit_max: u64, n_bands: usize, border: crate::tiler::Border) -> Vec<Unit> {
    let axis = scene.grid.x;
    let mut units = Vec::new();
    for row in 0..scene.grid.y.n_tiles() {
        let height = scene.grid.y.source(row, border).len();
        for run in scene.planned_of(row) {
            let width = axis.source(run.start, border).union(axis.source(run.end - 1, border)).len();
            let bytes = Footprint::pixels(&scene.header, Size::new(width, height), n_bands).total();
            let n_spans = if scene.header.is_tiled() { bytes.div_ceil(unit_max.max(1)) } else { 1 };
            let per_span = u64::from(run.len()).div_ceil(n_spans.clamp(1, u64::from(run.len())));
            let per_span = u32::try_from(per_span).unwrap_or(run.len()).max(1);
            let mut col = run.start;
            while col < run.end {
                let end = (col + per_span).min(run.end);
                units.push(Unit::Band { scene: idx, row, cols: Span::new(col, end) });
                col = end;
            }
        }
    }
    units
}
