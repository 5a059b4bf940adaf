//! Looks at every header and computes the plan.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::area::{Selected, Unmet, bounds};
use super::bands::{choose, in_file, merged, seen};
use super::model::batch_bytes;
use super::mosaics::Mosaics;
use super::passes::{dispensable, passes};
use super::resolution::at_resolution;
use super::scan::{check_pairs, label, said_of_pairs};
use super::unit::{Unit, admission_needs, units_of};
use super::{
    Area, BackendKind, Maxima, MemberPlan, PLAN_FORMAT, Plan, Profile, Scanned, ScannedScene, Scene, Schedule,
};
use crate::config::{ByteSize, Pipeline};
use crate::geom::Size;
use crate::journal::FailureRecord;
use crate::outputs::planes_of;
use crate::raster::{
    HashProgress, Identity, OpenSource, Order, RasterError, RasterSource, SceneHeader, contents, pixel_area,
};

/// A scene that was left out in planning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Why it has no place in the plan.
    pub failure: FailureRecord,
    /// Its size, where the header could be read.
    pub size: Option<Size>,
}

impl Refusal {
    /// Of the scene whose outputs would have had this name; the cause says what to do where something can be done.
    pub(super) fn new(name: String, file: String, size: Option<Size>, cause: String) -> Self {
        let (stage, unit, attempt) = (Self::STAGE.to_owned(), None, 0);
        Self { failure: FailureRecord { name, file, stage, unit, attempt, cause }, size }
    }

    /// What stands for the stage in such a failure.
    pub const STAGE: &'static str = "plan";
}

/// Tiles of one scene: a header may claim more pixels than a plan has room for.
const MOST_TILES: u64 = 1 << 24;

/// Scenes that are named where the area meets none.
const LISTED: usize = 5;

/// Why there is no plan at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The memory does not suffice for the batches and the largest unit together.
    #[error("--memory {given} does not suffice for this plan; it needs --memory {}", whole_mebibytes(*needed))]
    Memory {
        /// What was given.
        given: ByteSize,
        /// What would do, in bytes.
        needed: u64,
    },
    /// An area without a value for what lies outside.
    #[error(
        "outside the area {area} masks hold the [nodata] value, and the pipeline has none; add a table [nodata] with value = 255, or \
         another that no class has"
    )]
    NoNodata {
        /// The area.
        area: String,
    },
    /// The area cannot be read.
    #[error("cannot use the area `{area}`: {error}")]
    Area {
        /// What it is called.
        area: String,
        /// What is wrong with it.
        error: RasterError,
    },
    /// It meets no scene.
    #[error("the area {area} meets no scene:\n  {}", .scenes.join("\n  "))]
    Outside {
        /// What it is called.
        area: String,
        /// Where some scenes lie, and where it lies in their coordinates.
        scenes: Vec<String>,
    },
    /// Scenes that would be written to one file.
    #[error("{}", said_of_pairs(.0))]
    Names(Vec<String>),
    /// No header can be looked at, whatever the scene.
    #[error(transparent)]
    NoDecoder(RasterError),
}

/// What a scene is known by: its identity, and where its bytes were hashed their digest.
type Marks = (Identity, Option<String>);

/// Why one scene has no place in the plan.
enum Unplanned {
    /// It is at fault: its size, where that much is known, and the cause.
    Scene(Option<Size>, String),
    /// It is not, and no other scene will fare better.
    Plan(PlanError),
    /// It lies outside the area: where.
    Outside(String),
}

impl From<RasterError> for Unplanned {
    fn from(error: RasterError) -> Self {
        let has_decoder = !matches!(error, RasterError::NoDecoder { .. });
        if has_decoder { Self::Scene(None, error.to_string()) } else { Self::Plan(PlanError::NoDecoder(error)) }
    }
}

/// A plan, and what did not get into it.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The plan; it may be without scenes.
    pub plan: Plan,
    /// Scenes that failed in planning.
    pub refused: Vec<Refusal>,
    /// Files that are no scenes.
    pub ignored: u64,
    /// Scenes that the area does not meet: they are left out.
    pub outside: u64,
    /// Files that are scenes by their names, and parts of mosaics among the scenes: they are left out as well.
    pub parts: u64,
}

impl Planned {
    /// Names of all outputs: those of the plan, and those that its failed scenes would have had.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let planned = self.plan.scenes.iter().map(|scene| scene.name.as_str());
        planned.chain(self.refused.iter().map(|refusal| refusal.failure.name.as_str()))
    }
}

/// The order of scenes: so the last units are small and no worker waits long at the end; equal shapes side by side, to batch.
fn largest_first(a: &Scene, b: &Scene) -> std::cmp::Ordering {
    let key = |s: &Scene| (std::cmp::Reverse(s.network_size().area()), s.network_size(), s.header.dtype);
    key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
}

/// Everything that a plan needs beside the scenes.
pub struct Planner<'a> {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// Its members with their digests.
    pub members: Vec<MemberPlan>,
    /// The implementation of the networks.
    pub backend: BackendKind,
    /// `cpu`, or the GPU's architecture.
    pub device_class: String,
    /// What was measured on devices of that class.
    pub profile: Option<Profile>,
    /// Versions of the libraries that can change bytes.
    pub versions: Vec<(String, String)>,
    /// Opens the scenes for a look at their headers.
    pub source: &'a dyn OpenSource,
    /// Is told how far the hashing of files is, where scenes are known by all their bytes.
    pub hashing: HashProgress<'a>,
}

impl Planner<'_> {
    /// Looks at every header and cuts the work; a scene that cannot be planned costs only itself.
    ///
    /// The schedule decides nothing but whether the memory suffices.
    ///
    /// # Errors
    /// When the memory does not suffice although each scene alone would fit, or no decoder can be started.
    pub fn plan(self, mut scanned: Scanned, schedule: &Schedule) -> Result<Planned, PlanError> {
        let mut reader = self.source.open();
        let (mosaics, n_parts) = self.mosaics(&mut scanned, reader.as_mut())?;
        let (mut scenes, mut refused, mut area) = (Vec::new(), scanned.refused, scanned.area);
        let (mut outside, mut n_outside) = (Vec::new(), 0);
        area.iter().try_for_each(|area| area.check(&self.pipeline.classes))?;
        let (of_mosaic, files) = mosaics.files(&scanned.scenes, &scanned.root);
        let marks = self.marks(&files, scanned.hash_inputs);
        for (((found, parts), files), marks) in scanned.scenes.into_iter().zip(of_mosaic).zip(&files).zip(marks) {
            match self.scene(&found, files, parts, marks, reader.as_mut(), area.as_mut()) {
                Ok(scene) => scenes.push(scene),
                Err(Unplanned::Outside(place)) => {
                    n_outside += 1;
                    if outside.len() < LISTED {
                        outside.push(format!("{}: {place}", label(&found.file, found.page)));
                    }
                }
                Err(Unplanned::Scene(size, cause)) => {
                    let path = scanned.root.join(&found.file);
                    refused.push(Refusal::new(found.name, label(&path, found.page), size, cause))
                }
                Err(Unplanned::Plan(error)) => return Err(error),
            }
        }
        if let Some(area) = area.as_ref().filter(|_| scenes.is_empty() && n_outside > 0) {
            return Err(PlanError::Outside { area: area.label(), scenes: outside });
        }
        scenes.sort_by(largest_first);
        let bands = self.pipeline.bands();
        let passes = passes(self.members.len(), &self.pipeline.views);
        let prepared: Vec<_> = self.members.iter().map(MemberPlan::prepared).collect();
        let mut plan = Plan {
            format: PLAN_FORMAT,
            versions: self.versions,
            backend: self.backend,
            device_class: self.device_class,
            intra_op_threads: 1,
            batches: self.profile.iter().flat_map(|profile| profile.batches(&prepared)).collect(),
            profile: self.profile,
            planes: planes_of(&self.pipeline),
            pipeline: self.pipeline,
            members: self.members,
            dispensable: dispensable(&passes),
            passes,
            bands,
            area,
            hash_inputs: scanned.hash_inputs,
            is_fresh: true,
            part: None,
            root: scanned.root,
            homes: scanned.homes,
            maxima: Maxima::default(),
            scenes,
            units: Vec::new(),
        };
        cut(&mut plan);
        refuse_too_large(&mut plan, schedule, &mut refused);
        check_memory(&plan, schedule)?;
        refused.sort_by(|a, b| a.failure.name.cmp(&b.failure.name));
        Ok(Planned { plan, refused, ignored: scanned.ignored, outside: n_outside, parts: n_parts })
    }

    /// The mosaics among the scenes, and how many of these are parts of them and set aside. What is left has outputs of its own names.
    fn mosaics(&self, scanned: &mut Scanned, reader: &mut dyn RasterSource) -> Result<(Mosaics, u64), PlanError> {
        let mosaics = Mosaics::find(scanned, self.pipeline.reading.drivers, reader).map_err(PlanError::NoDecoder)?;
        let n_parts = if scanned.is_walked { mosaics.set_aside(scanned) } else { 0 };
        check_pairs(scanned.scenes.iter()).map_err(PlanError::Names)?;
        Ok((mosaics, n_parts))
    }

    /// What each scene is known by. Its identity is taken before its files are hashed, so that what is written meanwhile is noticed later.
    fn marks<'a>(
        &'a self,
        files: &'a [Vec<PathBuf>],
        by_content: bool,
    ) -> Box<dyn Iterator<Item = Result<Marks, RasterError>> + 'a> {
        let identities = files.iter().map(|paths| self.source.identify_all(paths));
        if !by_content {
            return Box::new(identities.map(|identity| Ok((identity?, None))));
        }
        let identities: Vec<_> = identities.collect();
        Box::new(
            identities
                .into_iter()
                .zip(contents(files, self.hashing))
                .map(|(identity, content)| Ok((identity?, Some(content?)))),
        )
    }

    /// Looks at one scene.
    fn scene(
        &self,
        found: &ScannedScene,
        files: &[PathBuf],
        parts: Vec<PathBuf>,
        mut marks: Result<Marks, RasterError>,
        reader: &mut dyn RasterSource,
        area: Option<&mut Area>,
    ) -> Result<Scene, Unplanned> {
        let paths = &files[..files.len() - parts.len()];
        // Which part is missing, the decoder tells.
        if parts.is_empty() {
            marks = Ok(marks?);
        }
        let mut headers = Vec::new();
        for path in paths {
            let of_band = |error| if found.files.is_empty() { error } else { in_file(path, error) };
            headers.push(reader.inspect(path, found.page).map_err(of_band)?);
        }
        let (identity, content) = marks?;
        let wanted = self.pipeline.bands();
        let header = match found.files.is_empty() {
            true => headers.remove(0),
            false => merged(paths, headers).map_err(|cause| Unplanned::Scene(None, cause))?,
        };
        let header = seen(header, &self.pipeline.reading, &wanted);
        let size = header.size;
        let of_size = |cause: String| Unplanned::Scene(Some(size), cause);
        let chosen = choose(&header, &wanted).map_err(of_size)?;
        self.check_types(&header).map_err(of_size)?;
        let (header, network) = at_resolution(header, &self.pipeline.reading).map_err(of_size)?;
        let grid = self.pipeline.tiling.grid(network).map_err(|e| of_size(e.to_string()))?;
        if grid.n_tiles() > MOST_TILES {
            let n = grid.n_tiles();
            return Err(of_size(format!(
                "it would be cut into {n} tiles, and a plan holds {MOST_TILES}; choose a larger tiler.centre"
            )));
        }
        let post = &self.pipeline.post;
        let of_pixel = if post.is_on_ground() { pixel_area(&header) } else { None };
        let islands = post.islands(of_pixel).map_err(of_size)?;
        let within = match area.map(|area| area.select(&header, grid, reader)).transpose() {
            Ok(None | Some(Selected::Everything)) => None,
            Ok(Some(Selected::Some(within))) => Some(within),
            Ok(Some(Selected::Nothing { scene, area })) => {
                let area = area.map_or("nowhere".to_owned(), bounds);
                return Err(Unplanned::Outside(format!("{}; the area there: {area}", bounds(scene))));
            }
            Err(Unmet::Scene(cause)) => return Err(of_size(cause)),
            Err(Unmet::Plan(error)) => return Err(Unplanned::Plan(error)),
        };
        let ScannedScene { name, file, files, page } = found.clone();
        Ok(Scene {
            name,
            file,
            files,
            parts,
            chosen,
            page,
            header: SceneHeader { names: Vec::new(), ..header },
            identity,
            content,
            grid,
            islands,
            within,
        })
    }

    /// Whether the members know how to scale such pixels.
    fn check_types(&self, header: &SceneHeader) -> Result<(), String> {
        for input in self.pipeline.members.iter().map(|member| &member.input) {
            if !input.divide.contains_key(&header.dtype) {
                let known = input.divide.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                return Err(format!(
                    "the scene is {0} and the pipeline says how to scale {known} only; add {0} to input.divide",
                    header.dtype
                ));
            }
        }
        Ok(())
    }
}

fn cut(plan: &mut Plan) {
    plan.units = units_of(plan);
    plan.measure();
}

/// Leaves out the scenes that do not fit even alone, naming the memory that would do.
fn refuse_too_large(plan: &mut Plan, schedule: &Schedule, refused: &mut Vec<Refusal>) {
    let mut too_large = std::collections::BTreeMap::new();
    for (unit, need) in plan.units.iter().zip(admission_needs(plan)) {
        for idx in unit.scenes() {
            let scene = &plan.scenes[idx];
            let batch = plan.batch(scene.grid.crop());
            // What a group or a full batch needs beyond this is the plan's business, not the scene's.
            let (need, tiles) = match unit {
                Unit::Band { .. } => (need, scene.n_tiles().min(u64::from(batch))),
                Unit::Group { .. } => (unit.part_footprint(plan, idx).total(), 1),
            };
            let batch = u32::try_from(tiles).unwrap_or(batch);
            let batches = schedule.batches_in_flight() * batch_bytes(scene, batch, plan.bands.len());
            let needed = need.saturating_add(batches).max(unit.block_row_bytes(plan));
            if needed > schedule.memory {
                let worst = too_large.entry(idx).or_insert(0);
                *worst = needed.max(*worst);
            }
        }
    }
    if too_large.is_empty() {
        return;
    }
    for (idx, needed) in &too_large {
        let scene = &plan.scenes[*idx];
        let layout = match (scene.grid.n_tiles(), scene.header.order, scene.header.is_tiled()) {
            (_, Order::Whole, _) => {
                "it is progressive or interlaced and can only be decoded as a whole (gdal_translate can write a tiled \
                                     GeoTIFF): that would"
            }
            (1, ..) => "it is one tile and would",
            (_, _, true) => "its tiles",
            (_, _, false) => "it is not tiled: whole rows of it",
        };
        let cause =
            format!("{layout} need --memory {} ({} given)", whole_mebibytes(*needed), ByteSize(schedule.memory));
        refused.push(Refusal::new(scene.name.clone(), plan.label_of(*idx), Some(scene.header.size), cause));
    }
    let mut idx = 0;
    plan.scenes.retain(|_| {
        idx += 1;
        !too_large.contains_key(&(idx - 1))
    });
    cut(plan);
}

/// Whether a schedule has the memory that a plan needs.
///
/// # Errors
/// When it has not.
pub fn check_memory(plan: &Plan, schedule: &Schedule) -> Result<(), PlanError> {
    let largest = admission_needs(plan).into_iter().max().unwrap_or(0);
    if largest > schedule.unit_budget(plan) {
        let needed = largest + schedule.batches_in_flight() * plan.maxima.batch;
        return Err(PlanError::Memory { given: ByteSize(schedule.memory), needed });
    }
    Ok(())
}

/// The smallest `--memory` argument in MiB that covers the bytes.
fn whole_mebibytes(bytes: u64) -> String {
    format!("{}MiB", bytes.div_ceil(1 << 20))
}
