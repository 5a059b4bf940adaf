//! `swath synth`: sample scenes with true masks.

use std::path::PathBuf;

use super::Error;
use crate::atomic;
use crate::config::MaskDepth;
use crate::config::classes::ClassTable;
use crate::masks::MaskWriter;
use crate::raster::{GeoTiff, write_geotiff};
use crate::synth::{SCENES, class_table, draw};

/// What `swath synth` is asked.
#[derive(Clone, Debug)]
pub struct SynthRequest {
    /// Decides every pixel.
    pub seed: u64,
    /// Where `images` and `masks` go.
    pub out: PathBuf,
}

/// Draws the sample scenes to `images/NAME.tif` and their true masks to `masks/NAME.png`; returns one line for each.
///
/// # Errors
/// When a file cannot be written.
pub fn synth(request: &SynthRequest) -> Result<Vec<String>, Error> {
    let classes = ClassTable::new(class_table(), None).map_err(|e| Error::Internal(e.to_string()))?;
    let mut lines = Vec::new();
    for (name, size) in SCENES {
        let scene = draw(request.seed, name, size);
        let image = request.out.join("images").join(format!("{name}.tif"));
        let raster = GeoTiff { size, planes: &scene.rgb, transform: scene.transform, epsg: scene.epsg };
        write_geotiff(&image, &raster)?;
        let mask = request.out.join("masks").join(format!("{name}.png"));
        let mut writer = MaskWriter::create(&mask, size, MaskDepth::Eight, &classes)?;
        writer.write_rows(&scene.truth)?;
        writer.finish()?.file.persist()?;
        lines.push(format!("{} ({size})", image.display()));
    }
    for folder in ["images", "masks"] {
        atomic::sync_dir(&request.out.join(folder))?;
    }
    Ok(lines)
}
