//! What lies beside masks of scenes that lie somewhere, so that other programs see where and what the values mean: world file and reference
//! system, GDAL's `.aux.xml`, which has both to the last bit, and a style for QGIS. Scenes without a place have none of them.

use std::path::{Path, PathBuf};

use super::tiff::{max_text_bytes, write_text};
use super::{OutputError, OutputKind, Plane, RowWriter, Subject};
use crate::atomic::WrittenFile;
use crate::config::{Outputs, Pipeline};
use crate::gis::{attributes, esri_wkt, style, world_file};
use crate::journal::KeyHasher;

#[derive(Debug)]
pub(super) struct Sidecars;

impl OutputKind for Sidecars {
    fn folder(&self) -> &'static str {
        "sidecars"
    }

    fn title(&self) -> &'static str {
        "sidecars"
    }

    fn is_wanted(&self, outputs: &Outputs) -> bool {
        outputs.sidecars
    }

    fn files(&self, scene: &str) -> Vec<String> {
        [".png.aux.xml", ".qml", ".pgw", ".prj"].map(|ending| format!("masks/{scene}{ending}")).to_vec()
    }

    fn planes(&self, _: &Pipeline) -> Vec<Plane> {
        Vec::new()
    }

    fn key(&self, key: KeyHasher, subject: &Subject<'_>) -> KeyHasher {
        subject.raster_key(key)
    }

    fn max_bytes(&self, subject: &Subject<'_>) -> u64 {
        let header = subject.header;
        let points = header.ties.as_ref().map_or(0, |ties| ties.points.len() as u64);
        let crs = header.crs.as_ref().map_or(0, |crs| crs.len() as u64);
        max_text_bytes(subject.pipeline) + 8 * crs + 256 * points
    }

    fn gdal_cache(&self, _: &Subject<'_>) -> Option<u64> {
        Some(0)
    }

    fn begin(&self, dir: &Path, subject: &Subject<'_>) -> Result<Box<dyn RowWriter>, OutputError> {
        let mut texts = Vec::new();
        if subject.is_placed() {
            let (raster, header) = (subject.raster(), subject.header);
            let system = header.crs.as_deref().and_then(esri_wkt);
            let all = [Some(attributes(&raster, true)), Some(style(&raster)), header.transform.map(world_file), system];
            let names = self.files(subject.name).into_iter().map(|name| dir.join(name));
            texts = names.zip(all).filter_map(|(path, text)| Some((path, text?))).collect();
        }
        Ok(Box::new(Writer { texts }))
    }
}

struct Writer {
    texts: Vec<(PathBuf, String)>,
}

impl RowWriter for Writer {
    fn push(&mut self, _: &[&[u8]]) -> Result<(), OutputError> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<WrittenFile>, OutputError> {
        self.texts.iter().map(|(path, text)| write_text(path, text)).collect()
    }
}
