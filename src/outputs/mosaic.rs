//! One raster over the scenes of a run.

use std::path::{Path, PathBuf};

use super::OutputError;
use super::tiff::{TiffRows, failed, write_text};
use crate::atomic::{AtomicFile, sync_dir};
use crate::config::classes::{ClassTable, Color, NODATA_LABEL, Nodata};
use crate::config::{MaskDepth, Pipeline};
use crate::geom::{GeoTransform, Size};
use crate::gis::{ClassRaster, Part, attributes, copy_as_cog, extent, read_rows, style, vrt};
use crate::raster::SceneHeader;

/// Scenes of one reference system and one resolution, north up, and what was written of them.
#[derive(Debug)]
pub struct Mosaic<'a> {
    pipeline: &'a Pipeline,
    header: SceneHeader,
    parts: Vec<Part>,
}

impl<'a> Mosaic<'a> {
    /// That of these GeoTIFFs, later ones above earlier ones; `None` where there is none, one lies nowhere, or all together are too large.
    pub fn new(pipeline: &'a Pipeline, tiffs: Vec<(PathBuf, &SceneHeader)>) -> Option<Self> {
        let mut header = tiffs.first()?.1.clone();
        let part = |(path, header): (PathBuf, &SceneHeader)| {
            Some(Part { path, size: header.size, transform: header.transform? })
        };
        let parts: Vec<Part> = tiffs.into_iter().map(part).collect::<Option<_>>()?;
        let (size, transform) = extent(&parts)?;
        (header.size, header.transform, header.ties) = (size, Some(transform), None);
        Some(Self { pipeline, header, parts })
    }

    /// Its extent.
    pub fn size(&self) -> Size {
        self.header.size
    }

    /// Writes it as a COG, or as a VRT, if the path ends so, and what lies beside it.
    ///
    /// # Errors
    /// When a part cannot be read, or a file not be written.
    pub fn write(&self, target: &Path) -> Result<(), OutputError> {
        let Pipeline { outputs, .. } = self.pipeline;
        let classes = self.classes(target)?;
        let raster = ClassRaster { header: &self.header, classes: &classes, depth: outputs.mask_depth };
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let list = write_text(target, &vrt(&raster, &self.parts, folder))?;
        let mut files = vec![write_text(&target.with_extension("qml"), &style(&raster))?];
        if is_vrt(target) {
            files.push(list);
        } else {
            let mut aux = target.as_os_str().to_owned();
            aux.push(".aux.xml");
            files.push(write_text(Path::new(&aux), &attributes(&raster, false))?);
            let mut rows = TiffRows::begin(target, &raster)?;
            let mut labels = vec![NODATA_LABEL; 1 << 16];
            for (label, entry) in (0..=u8::MAX).zip(classes.by_label()) {
                entry.iter().for_each(|(value, _)| labels[usize::from(*value)] = label);
            }
            let mut row = Vec::new();
            read_rows(list.file.temp_path(), |values| {
                row.clear();
                row.extend(values.iter().map(|value| labels[usize::from(*value)]));
                rows.push(&row)
            })
            .map_err(|e| failed(target, e))??;
            let tiff = rows.close()?;
            let file = AtomicFile::create(target)?;
            copy_as_cog(tiff.temp_path(), &file).map_err(|e| failed(target, e))?;
            tiff.discard()?;
            files.push(file.adopt()?);
        }
        files.into_iter().try_for_each(|written| written.file.persist().map(drop))?;
        Ok(sync_dir(folder)?)
    }

    /// The classes, with a value for where no scene is.
    fn classes(&self, target: &Path) -> Result<ClassTable, OutputError> {
        let Pipeline { classes, outputs, .. } = self.pipeline;
        let most = if outputs.mask_depth == MaskDepth::Eight { u16::from(u8::MAX) } else { u16::MAX };
        let free = (0..=most).find(|value| !classes.holds(*value)).map(|value| Nodata { value, color: Color([0; 3]) });
        let refused = |detail: String| OutputError::Gdal { path: target.to_owned(), detail };
        ClassTable::new(classes.classes().to_vec(), classes.nodata().or(free)).map_err(|e| refused(e.to_string()))
    }
}

/// Whether a path asks for a VRT.
pub fn is_vrt(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("vrt"))
}

/// How finely a scene is resolved, if a mosaic can hold it: it lies somewhere, north up.
pub fn resolution(header: &SceneHeader) -> Option<[f64; 2]> {
    let GeoTransform([_, dx, turn, _, other_turn, dy]) = header.transform?;
    (turn == 0.0 && other_turn == 0.0 && dx > 0.0 && dy < 0.0).then_some([dx, -dy])
}
