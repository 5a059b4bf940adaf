//! report.html: what is gathered for it.

mod beside;
mod pictures;
mod places;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::Error;
use crate::atomic;
use crate::outputs::OutputLayout;
use crate::plan::{Plan, Scene};
use crate::raster::{OpenSource, RasterSource};
use crate::report::{self, HEAT, NO_DATA, PICTURE_BYTES, PageFacts, PageScene, Pictures, RunReport};
use crate::words::{absolute, explain};

pub(super) use beside::{Judged, beside_truth, best_and_worst};
pub(super) use pictures::Limit;

/// So few have large pictures.
const FEW: usize = 12;

/// Scenes that have pictures at most, and pixels of the longer side of these: the fewer, the larger.
const SIDES: [(usize, u32); 4] = [(FEW, 960), (40, 640), (120, 448), (360, 288)];

/// The kind of output whose planes tell where members disagree.
const DISAGREEMENT: &str = "disagreement";

/// Shades of such a picture, and what has no data in it.
const SHADES: usize = 64;
const NEUTRAL: [u8; 3] = [128; 3];

/// Writes the page of a run beside its report, and returns where it is.
///
/// # Errors
/// When it cannot be made or written.
pub(super) fn write_page(
    dir: &Path,
    plan: &Plan,
    report: &RunReport,
    source: &dyn OpenSource,
    readers: usize,
    limit: &Limit<'_>,
) -> Result<PathBuf, Error> {
    let classes = &plan.pipeline.classes;
    let mut legend: Vec<(String, [u8; 3])> =
        classes.classes().iter().map(|class| (class.name.clone(), class.color.0)).collect();
    legend.extend(classes.nodata().map(|nodata| (NO_DATA.to_owned(), nodata.color.0)));
    let named = |scene: &Scene| PageScene { name: scene.name.clone(), ..PageScene::default() };
    let mut scenes: Vec<PageScene> = plan.scenes.iter().map(named).collect();
    let systems = places::place(plan, &mut scenes);
    for (scene, pictures) in take_pictures(dir, plan, report, source, readers, limit) {
        scenes[scene].pictures = pictures;
    }
    let members = plan.members.iter().map(|own| format!("{} ({})", own.member.name, own.member.spec)).collect();
    let pipeline = toml::to_string_pretty(&plan.pipeline).map_err(|e| Error::Internal(e.to_string()))?;
    let facts = PageFacts { dir: &absolute(dir), legend, systems, scenes, pipeline, members };
    let text = report::page(report, facts).map_err(|e| Error::Internal(e.to_string()))?;
    let path = OutputLayout { dir: dir.to_owned() }.page();
    atomic::write(&path, text.as_bytes())?;
    Ok(path)
}

/// What a person is told where there is no page.
pub fn no_page(error: &Error, dir: &Path) -> String {
    format!("no report.html: {}; `swath report {}` tries again", explain(error), dir.display())
}

/// Pictures of the first scenes that are done, as far as time and bytes go; by scene.
fn take_pictures(
    dir: &Path,
    plan: &Plan,
    report: &RunReport,
    source: &dyn OpenSource,
    readers: usize,
    limit: &Limit<'_>,
) -> BTreeMap<usize, Pictures> {
    let is_done = |idx: &usize| report.scenes.contains_key(&plan.scenes[*idx].name);
    let done: Vec<usize> = (0..plan.scenes.len()).filter(is_done).collect();
    let most = SIDES.last().copied().unwrap_or_default();
    let (n, longest) = SIDES.into_iter().find(|(n, _)| done.len() <= *n).unwrap_or(most);
    let chosen = &done[..done.len().min(n)];
    let (next, bytes, taken) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let camera = Camera::new(dir, plan, source, longest, limit);
    let work = || {
        let mut source = source.open();
        while let Some(scene) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
            if (limit.is_stopped)() || bytes.load(Ordering::Relaxed) > PICTURE_BYTES {
                return;
            }
            let pictures = camera.take(*scene, source.as_mut());
            bytes.fetch_add(pictures.bytes(), Ordering::Relaxed);
            taken.lock().unwrap_or_else(PoisonError::into_inner).insert(*scene, pictures);
        }
    };
    // Large pictures one at a time, for memory.
    let hands = if n <= FEW { 1 } else { readers.clamp(1, 2) };
    std::thread::scope(|scope| (0..hands).for_each(|_| drop(scope.spawn(work))));
    let mut taken = taken.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut left = PICTURE_BYTES;
    taken.retain(|_, pictures| {
        let fits = pictures.bytes() <= left;
        left = left.saturating_sub(pictures.bytes());
        fits
    });
    taken
}

/// Takes pictures of scenes.
struct Camera<'a> {
    dir: &'a Path,
    plan: &'a Plan,
    files: &'a dyn OpenSource,
    colors: Vec<[u8; 3]>,
    /// The place in the legend of each value of a mask.
    entries: BTreeMap<u16, u8>,
    shades: Vec<[u8; 3]>,
    longest: u32,
    limit: &'a Limit<'a>,
}

impl<'a> Camera<'a> {
    fn new(dir: &'a Path, plan: &'a Plan, files: &'a dyn OpenSource, longest: u32, limit: &'a Limit<'a>) -> Self {
        let table = plan.pipeline.classes.by_label();
        // In the order of the legend: classes, then what has no data.
        let values = table.into_iter().flatten();
        let (entries, colors) = (0..=u8::MAX)
            .zip(values)
            .map(|(entry, (value, color))| ((value, entry), color.0))
            .unzip::<_, _, BTreeMap<_, _>, _>();
        Self { dir, plan, files, colors, entries, shades: shades(&HEAT), longest, limit }
    }

    /// What cannot be read has no picture: the page is no second judgement of scenes.
    fn take(&self, scene: usize, source: &mut dyn RasterSource) -> Pictures {
        let Self { plan, longest, limit, .. } = *self;
        let planned = &plan.scenes[scene];
        let size = planned.header.size;
        let entry_of = |value: u16| self.entries.get(&value).copied().unwrap_or_default();
        let of_mask = |path: PathBuf| pictures::mask(&path, size, longest, &entry_of, &self.colors, limit);
        let mask = OutputLayout::files(&planned.name, &plan.pipeline).next();
        let mask = mask.and_then(|file| of_mask(self.dir.join(file)).ok().flatten());
        let planes = ["tif", "png"].map(|end| self.dir.join(DISAGREEMENT).join(format!("{}.{end}", planned.name)));
        let plane = planes.into_iter().find(|path| path.is_file());
        let heat =
            plane.and_then(|path| pictures::heat(&path, size, source, longest, &self.shades, limit).ok().flatten());
        // A file that has changed since is another scene.
        let is_same = self
            .files
            .identify_all(&plan.sources_of(scene))
            .is_ok_and(|now| now.is_like(&planned.identity) || plan.has_content(scene));
        let image = is_same && !limit.is_over();
        let image = image.then(|| pictures::image(plan, scene, source, longest, limit).ok().flatten()).flatten();
        Pictures { image, mask, heat }
    }
}

/// Shades from the first colour of a ramp to the last, and that of no data.
fn shades(ramp: &[[u8; 3]]) -> Vec<[u8; 3]> {
    let between = |shade: usize| {
        let (at, steps) = (shade * (ramp.len() - 1), SHADES - 1);
        let (from, to) = (ramp[at / steps], ramp[(at / steps + 1).min(ramp.len() - 1)]);
        let mix =
            |from: u8, to: u8| (usize::from(from) * (steps - at % steps) + usize::from(to) * (at % steps)) / steps;
        [0, 1, 2].map(|i| u8::try_from(mix(from[i], to[i])).unwrap_or(u8::MAX))
    };
    (0..SHADES).map(between).chain([NEUTRAL]).collect()
}
