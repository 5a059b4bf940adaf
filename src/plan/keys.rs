//! The keys of a plan's stage results: what each of them depends on, and nothing else.

use serde::Serialize;

use super::{Area, Concessions, Lender, MemberPlan, Pass, Plan, Plane, Scene, Tile, Unit, UnitGeometry};
use crate::config::NodataRule;
use crate::geom::View;
use crate::geom::{PixelRect, Size};
use crate::journal::{KeyHasher, StageKey};
use crate::outputs::{OutputKind, kinds_of};
use crate::raster::Palette;

/// Computes keys. Made once per plan.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Per scene: which file it is and how its pixels are read.
    scenes: Vec<StageKey>,
    /// Per pass: network, weights, input, arithmetic, where it runs, and the view.
    passes: Vec<StageKey>,
    /// How passes are combined.
    combination: StageKey,
    planes: Vec<Plane>,
    /// The area, and the scenes that its border cuts.
    area: Option<(StageKey, Vec<Option<Scene>>)>,
}

/// What a tile's result depends on beside its scene and the members.
#[derive(Serialize)]
struct TilePart {
    crop: Size,
    crop_x: i64,
    crop_y: i64,
    centre: PixelRect,
    kept: PixelRect,
    /// Tiles in its batch: the size of a batch may change the last bit of a result.
    batch: usize,
}

impl Keys {
    /// Those of a plan.
    pub fn new(plan: &Plan) -> Self {
        let may_lack = plan.pipeline.classes.nodata().is_some();
        let reading = KeyHasher::new("read").value(&plan.bands).value(&plan.pipeline.tiling.border).value(&may_lack);
        let gdal: Vec<_> = plan.versions.iter().filter(|(name, _)| *name == "gdal").collect();
        // As scenes are usually read needs no word.
        let reading = match plan.pipeline.reading.nodata {
            NodataRule::All => reading.value(&gdal),
            NodataRule::Any => reading.value(&gdal).text("any"),
        };
        let reading = reading.finish();
        let scene = |s: &Scene| {
            let lacking = (&s.header.nodata, s.header.mask);
            let key = KeyHasher::new("scene");
            let key = match &s.content {
                None => key.value(&s.identity),
                Some(content) => key.text(content),
            };
            let key = key.value(&lacking).key(&reading);
            let made = (&s.chosen, s.header.palette, s.header.scale);
            let is_plain = s.chosen.is_empty() && !matches!(made.1, Palette::Colors { .. }) && !s.header.is_scaled();
            let key = if is_plain { key } else { key.value(&made) };
            let key = if s.resampling().is_none() { key } else { key.text("resampled").value(&s.network_size()) };
            s.page.iter().fold(key, KeyHasher::value).finish()
        };
        let n_classes = plan.n_classes();
        let all: Vec<usize> = (0..plan.passes.len()).collect();
        let combination = KeyHasher::new("combine").value(&plan.pipeline.combine).value(&plan.shares().of(&all));
        Self {
            scenes: plan.scenes.iter().map(scene).collect(),
            passes: plan.passes.iter().map(|p| pass(plan, *p)).collect(),
            combination: combination.value(&n_classes).finish(),
            planes: plan.planes.clone(),
            area: plan.area.as_ref().map(|area: &Area| {
                (area.key(), plan.scenes.iter().map(|s| s.within.is_some().then(|| s.clone())).collect())
            }),
        }
    }

    /// What one pass returns for one tile.
    pub fn logits(&self, geometry: &UnitGeometry, tile: usize, pass: usize) -> StageKey {
        self.tile("logits", geometry, tile).key(&self.passes[pass]).finish()
    }

    /// What every pass that runs on a tile returns for it.
    pub fn all_logits<'a>(&'a self, geometry: &'a UnitGeometry, tile: usize) -> impl Iterator<Item = StageKey> + 'a {
        geometry.passes.iter().map(move |pass| self.logits(geometry, tile, *pass))
    }

    /// Which of a tile's pixels are data.
    pub fn validity(&self, geometry: &UnitGeometry, tile: usize) -> StageKey {
        self.tile("validity", geometry, tile).finish()
    }

    /// All that can be stored of a unit.
    pub fn of_unit<'a>(&'a self, geometry: &'a UnitGeometry) -> impl Iterator<Item = StageKey> + 'a {
        let planes = (0..).zip(&geometry.parts).flat_map(|(part, _)| self.planes(geometry, part));
        let of_tile = |tile| self.all_logits(geometry, tile).chain([self.validity(geometry, tile)]);
        planes.chain((0..geometry.tiles.len()).flat_map(of_tile))
    }

    /// Every plane of one part of a unit, in the plan's order.
    pub fn planes<'a>(&'a self, geometry: &'a UnitGeometry, part: u32) -> impl Iterator<Item = StageKey> + 'a {
        self.planes.iter().map(move |plane| self.plane(geometry, part, *plane))
    }

    /// One plane of one part of a unit, by the passes that run on it.
    pub fn plane(&self, geometry: &UnitGeometry, part: u32, plane: Plane) -> StageKey {
        let key = KeyHasher::new(&plane.name()).key(&self.combination);
        let key = geometry.passes.iter().fold(key, |key, pass| key.key(&self.passes[*pass]));
        let key = geometry.tiles_of(part).fold(key, |key, tile| key.key(&self.planes_of_tile(geometry, tile)));
        if geometry.blend.is_none() { key.finish() } else { self.blended(key, geometry).finish() }
    }

    /// Blended planes depend on what other units lend as well.
    fn blended(&self, key: KeyHasher, geometry: &UnitGeometry) -> KeyHasher {
        let lent = |key: KeyHasher, lender: &Lender| {
            let key = lender.geometry.passes.iter().fold(key, |key, pass| key.key(&self.passes[*pass]));
            let tiles = 0..lender.geometry.tiles.len();
            tiles.fold(key, |key, tile| key.key(&self.tile("tile", &lender.geometry, tile).finish()))
        };
        geometry.lenders.iter().fold(key.value(&geometry.blend), lent)
    }

    /// What the planes of a tile depend on beside the passes: on the area only where its border cuts the tile.
    fn planes_of_tile(&self, geometry: &UnitGeometry, tile: usize) -> StageKey {
        let key = self.tile("tile", geometry, tile);
        let Tile { part, centre, .. } = geometry.tiles[tile];
        let scene = geometry.parts[part as usize].scene as usize;
        let is_cut = |scenes: &[Option<Scene>]| scenes[scene].as_ref().is_some_and(|scene| scene.is_cut(centre));
        match &self.area {
            Some((area, scenes)) if is_cut(scenes) => key.key(area).finish(),
            Some(_) | None => key.finish(),
        }
    }

    /// The outputs of every scene under these concessions, by scene and kind, in the order of the plan and its kinds.
    pub fn outputs(&self, plan: &Plan, concessions: &Concessions) -> Vec<Vec<StageKey>> {
        let begin = |scene| kinds_of(&plan.pipeline).map(move |kind| begin(plan, scene, kind));
        let mut keys: Vec<Vec<KeyHasher>> = (0..plan.scenes.len()).map(|scene| begin(scene).collect()).collect();
        for unit in 0..plan.units.len() {
            let geometry = concessions.geometry(plan, unit);
            for (idx, part) in (0..).zip(&geometry.parts) {
                let planes: Vec<StageKey> = self.planes(&geometry, idx).collect();
                for (key, kind) in keys[part.scene as usize].iter_mut().zip(kinds_of(&plan.pipeline)) {
                    let own = kind.planes(&plan.pipeline).into_iter().map(|plane| &planes[plan.position(plane)]);
                    *key = own.fold(std::mem::replace(key, KeyHasher::new("")), KeyHasher::key);
                }
            }
        }
        keys.into_iter().map(|kinds| kinds.into_iter().map(KeyHasher::finish).collect()).collect()
    }

    /// One output of one scene: the same as among all.
    pub fn output(&self, plan: &Plan, concessions: &Concessions, scene: usize, kind: &dyn OutputKind) -> StageKey {
        let mut key = begin(plan, scene, kind);
        for unit in plan.units_of(scene) {
            let geometry = concessions.geometry(plan, unit);
            for (idx, _) in (0..).zip(&geometry.parts).filter(|(_, part)| part.scene as usize == scene) {
                let own = kind.planes(&plan.pipeline).into_iter().map(|plane| self.plane(&geometry, idx, plane));
                key = own.fold(key, |key, plane| key.key(&plane));
            }
        }
        key.finish()
    }

    fn tile(&self, stage: &str, geometry: &UnitGeometry, idx: usize) -> KeyHasher {
        let Tile { part, crop_x, crop_y, centre, kept } = geometry.tiles[idx];
        let scene = geometry.parts[part as usize].scene as usize;
        let batch = geometry.batch_len(idx);
        let tile = TilePart { crop: geometry.crop, crop_x, crop_y, centre, kept, batch };
        KeyHasher::new(stage).key(&self.scenes[scene]).value(&tile)
    }
}

/// What an output of a scene depends on beside its planes.
fn begin(plan: &Plan, scene: usize, kind: &dyn OutputKind) -> KeyHasher {
    let key = KeyHasher::new("output").text(kind.folder()).text(&plan.scenes[scene].name).value(&plan.pipeline.post);
    let islands = &plan.scenes[scene].islands;
    let key = if islands.is_empty() { key } else { key.value(islands) };
    kind.key(key, &plan.scenes[scene].subject(&plan.pipeline))
}

/// A member as it is needs no word about its view.
fn pass(plan: &Plan, pass: Pass) -> StageKey {
    let member = member(plan, &plan.members[pass.member]);
    match pass.view {
        View::Identity => member,
        view @ (View::Hflip | View::Vflip | View::Rot90 | View::Rot180 | View::Rot270) => {
            KeyHasher::new("view").key(&member).text(view.name()).finish()
        }
    }
}

fn member(plan: &Plan, planned: &MemberPlan) -> StageKey {
    let member = &planned.member;
    let others: Vec<_> = plan.versions.iter().filter(|(name, _)| *name != "gdal").collect();
    KeyHasher::new("member")
        .value(&member.spec)
        .value(&member.input)
        .text(&planned.digest)
        .value(&planned.resolved_precision)
        .value(&planned.resolved_kernels)
        .value(&plan.backend)
        .text(&plan.device_class)
        .value(&plan.intra_op_threads)
        .value(&others)
        .finish()
}

impl Plan {
    fn n_classes(&self) -> usize {
        self.pipeline.n_classes()
    }

    /// The units that touch a scene.
    pub fn units_of(&self, scene: usize) -> std::ops::Range<usize> {
        let first = self.units.partition_point(|unit| unit.scenes().end <= scene);
        let behind = self.units[first..].partition_point(|unit| unit.scenes().start <= scene);
        first..first + behind
    }

    /// The units that touch scenes of which some are wanted.
    pub fn units_with<'a>(&'a self, wanted: impl Fn(usize) -> bool + 'a) -> impl Iterator<Item = (usize, &'a Unit)> {
        self.units.iter().enumerate().filter(move |(_, unit)| unit.scenes().any(&wanted))
    }
}
