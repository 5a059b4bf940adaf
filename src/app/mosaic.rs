//! `swath mosaic`: one raster over the scenes of a run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use globset::{Glob, GlobSetBuilder};

use super::standing::look;
use super::{Error, Output};
use crate::journal::SceneRecord;
use crate::outputs::{Mosaic, OutputLayout, is_vrt, resolution};
use crate::plan::{Planned, Scene};
use crate::raster::{Gdal, SceneHeader};
use crate::words::count;

/// What `swath mosaic` is asked.
#[derive(Clone, Debug)]
pub struct MosaicRequest {
    /// The run directory.
    pub dir: PathBuf,
    /// The raster: a COG, or a VRT if its name ends so.
    pub out: Output,
    /// Globs over names of scenes; none for all.
    pub include: Vec<String>,
}

/// Bytes of GDAL's block cache.
const CACHE: u64 = 256 << 20;

/// Kinds of outputs that a mosaic is made of, the better one first.
const KINDS: [&str; 2] = ["geotiff", "cog"];

/// Groups of scenes that an error lists.
const LISTED: usize = 6;

/// Makes it, and says what it is.
///
/// # Errors
/// When the folder is no run directory, its scenes have no GeoTIFFs or do not fit together, or a file cannot be read or written.
pub fn mosaic(request: &MosaicRequest) -> Result<String, Error> {
    let target = &request.out.path;
    let ends =
        |endings: &[&str]| target.extension().is_some_and(|own| endings.iter().any(|e| own.eq_ignore_ascii_case(e)));
    if !ends(&["tif", "tiff", "vrt"]) {
        let text =
            format!("`{}`: a mosaic is a COG or a VRT; give -o a name that ends in .tif or .vrt", target.display());
        return Err(Error::Usage(text));
    }
    let (_, state) = look(&request.dir)?;
    let planned = Planned::load(&OutputLayout { dir: request.dir.clone() }.plan())?;
    let mut scenes = chosen(&planned, &request.include)?;
    scenes.sort_unstable_by_key(|scene| &scene.name);
    fit_together(&scenes)?;
    let tiff = |scene: &Scene| tiff_of(&request.dir, state.scenes.get(&scene.name)?);
    let lacking = scenes.iter().filter(|scene| tiff(scene).is_none()).count();
    if let Some(first) = scenes.iter().find(|scene| tiff(scene).is_none()) {
        return Err(Error::Usage(format!(
            "{} no GeoTIFF (`{}`): run the same command again with --set outputs.geotiff=true, which redoes nothing else",
            if lacking == 1 { "1 scene has".to_owned() } else { format!("{lacking} scenes have") },
            first.name
        )));
    }
    let parts: Vec<(PathBuf, &SceneHeader)> =
        scenes.iter().filter_map(|scene| Some((tiff(scene)?, &scene.header))).collect();
    let inputs: Vec<&Path> = parts.iter().map(|(path, _)| path.as_path()).collect();
    let mut aux = target.clone().into_os_string();
    aux.push(".aux.xml");
    let beside = [target.clone(), target.with_extension("qml"), aux.into()];
    request.out.check(if is_vrt(target) { &beside[..2] } else { &beside }, &inputs)?;
    Gdal::set_up()?.limit_cache(CACHE)?;
    let n_scenes = parts.len() as u64;
    let mosaic = Mosaic::new(&planned.plan.pipeline, parts);
    let mosaic = mosaic
        .ok_or_else(|| Error::Usage("the scenes lie too far apart for one raster; choose with --include".into()))?;
    mosaic.write(target)?;
    Ok(format!("{}: {}, {} pixels\n", target.display(), count(n_scenes, "scene"), mosaic.size()))
}

/// The scenes of a plan whose names match one of the globs.
fn chosen<'a>(planned: &'a Planned, include: &[String]) -> Result<Vec<&'a Scene>, Error> {
    let mut globs = GlobSetBuilder::new();
    let wrong = |e: globset::Error| Error::Usage(format!("--include: {e}"));
    for glob in include {
        globs.add(Glob::new(glob).map_err(wrong)?);
    }
    let globs = globs.build().map_err(wrong)?;
    let is_meant = |scene: &&Scene| include.is_empty() || globs.is_match(&scene.name);
    let scenes: Vec<&Scene> = planned.plan.scenes.iter().filter(is_meant).collect();
    if scenes.is_empty() {
        return Err(Error::Usage(
            "no scene of the run is meant: --include takes globs over names of masks without .png".into(),
        ));
    }
    Ok(scenes)
}

/// Refuses scenes of several grids.
fn fit_together(scenes: &[&Scene]) -> Result<(), Error> {
    let mut groups: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for scene in scenes {
        // What is written before the first comma names the system.
        let system =
            scene.header.crs.as_deref().map_or("no reference system", |crs| crs.split('"').nth(1).unwrap_or(crs));
        let grid = match resolution(&scene.header) {
            Some([dx, dy]) => format!("{system}, pixels of {} x {}", short(dx), short(dy)),
            None => "lying nowhere, or not north up".to_owned(),
        };
        groups.entry(grid).or_default().push(&scene.name);
    }
    let odd = scenes.iter().any(|scene| resolution(&scene.header).is_none());
    if groups.len() == 1 && !odd {
        return Ok(());
    }
    let line = |(grid, names): (&String, &Vec<&str>)| {
        format!("{} {grid} (`{}`)", count(names.len() as u64, "scene"), names.first().copied().unwrap_or_default())
    };
    let lines: Vec<String> = groups.iter().take(LISTED).map(line).collect();
    let more = if groups.len() > LISTED { format!(" and {} more", groups.len() - LISTED) } else { String::new() };
    Err(Error::Usage(format!(
        "a mosaic has one reference system and one resolution, north up, and the scenes are {}{more}: choose one group with --include GLOB, \
         or bring the GeoTIFFs to one grid with gdalwarp",
        lines.join("; ")
    )))
}

/// A length to nine digits: two that differ in rounding alone are one.
fn short(length: f64) -> f64 {
    format!("{length:.8e}").parse().unwrap_or(length)
}

/// The GeoTIFF of a scene.
fn tiff_of(dir: &Path, record: &SceneRecord) -> Option<PathBuf> {
    let of_kind = |kind: &&str| record.outputs.iter().find(|output| output.kind == **kind);
    let file = KINDS.iter().find_map(of_kind)?.files.first()?;
    Some(dir.join(&file.path))
}
