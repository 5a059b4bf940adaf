//! Mosaics among the scenes: which files they are made of, and which of the scenes are thereby parts of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{Scanned, ScannedScene};
use crate::raster::{Driver, Drivers, RasterError, RasterSource, is_mosaic};

/// What mosaics are made of.
#[derive(Debug, Default)]
pub(super) struct Mosaics {
    /// Their parts, links resolved, by the file as the scan found it.
    parts: BTreeMap<PathBuf, Vec<PathBuf>>,
}

impl Mosaics {
    /// Looks through those among the scenes. What is wrong with one is told when its header is looked at.
    ///
    /// # Errors
    /// When no decoder can be started.
    pub(super) fn find(
        scanned: &Scanned,
        drivers: Drivers,
        reader: &mut dyn RasterSource,
    ) -> Result<Self, RasterError> {
        let mut parts = BTreeMap::new();
        let files = scanned.scenes.iter().flat_map(ScannedScene::all_files);
        for file in files.filter(|file| drivers.allow(Driver::Vrt) && is_mosaic(file)) {
            let path = scanned.root.join(file);
            match reader.parts(&path) {
                Ok(found) => parts.insert(file.clone(), found),
                Err(error @ RasterError::NoDecoder { .. }) => return Err(error),
                Err(_) => None,
            };
        }
        Ok(Self { parts })
    }

    /// Sets the scenes aside that a mosaic among them holds; returns how many they were.
    pub(super) fn set_aside(&self, scanned: &mut Scanned) -> u64 {
        let real = |file: &Path| scanned.root.join(file).canonicalize().ok();
        let lists: BTreeMap<PathBuf, &Vec<PathBuf>> =
            self.parts.iter().filter_map(|(file, parts)| Some((real(file)?, parts))).collect();
        // Mosaics that hold each other are both told to be wrong.
        let holds = |mosaic: &PathBuf, part: &PathBuf| lists.get(mosaic).is_some_and(|parts| parts.contains(part));
        let held: BTreeSet<&PathBuf> = lists
            .iter()
            .flat_map(|(mosaic, parts)| parts.iter().filter(move |part| *part != mosaic && !holds(part, mosaic)))
            .collect();
        if held.is_empty() {
            return 0;
        }
        let n_before = scanned.scenes.len();
        let is_held = |file: &PathBuf| real(file).is_some_and(|real| held.contains(&real));
        let kept = scanned.scenes.iter().filter(|scene| !scene.all_files().all(is_held)).cloned().collect();
        scanned.scenes = kept;
        (n_before - scanned.scenes.len()) as u64
    }

    /// Of each scene the files of its mosaic, from its folder, and where all of its files are.
    pub(super) fn files(&self, scenes: &[ScannedScene], root: &Path) -> (Vec<Vec<PathBuf>>, Vec<Vec<PathBuf>>) {
        let of_scene = |scene: &ScannedScene| {
            let (parts, base) = (self.of(scene, root), base(root, &scene.file));
            let all = scene.paths(root).into_iter().chain(parts.iter().map(|part| base.join(part))).collect();
            (parts, all)
        };
        scenes.iter().map(of_scene).unzip()
    }

    /// The parts of a scene, relative to [`base`] where they lie below it.
    fn of(&self, scene: &ScannedScene, root: &Path) -> Vec<PathBuf> {
        let base = base(root, &scene.file).canonicalize().unwrap_or_default();
        let relative = |part: &PathBuf| match part.strip_prefix(&base) {
            Ok(inside) if !base.as_os_str().is_empty() => inside.to_owned(),
            Ok(_) | Err(_) => part.clone(),
        };
        let parts: BTreeSet<PathBuf> =
            scene.all_files().filter_map(|file| self.parts.get(file)).flatten().map(relative).collect();
        parts.into_iter().collect()
    }
}

/// What the parts of a mosaic are relative to: the folder of the inputs, or else its own.
pub(super) fn base(root: &Path, file: &Path) -> PathBuf {
    if root.as_os_str().is_empty() { Path::new(".").join(file.parent().unwrap_or(file)) } else { root.to_owned() }
}
