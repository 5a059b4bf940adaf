//! Scenes to measure with.

use std::path::{Path, PathBuf};

use crate::app::Error;
use crate::app::synth::geotiff;
use crate::flow::Stop;
use crate::geom::Size;
use crate::raster::{TiffLayout, write_geotiff};
use crate::synth::{SampleScene, draw};

/// Side of the drawn picture that larger scenes repeat: as much land as differs within a tile.
const TEXTURE: u32 = 1024;

/// A folder that is gone when this is.
pub(in crate::app) fn temporary_folder() -> Result<tempfile::TempDir, Error> {
    let made = tempfile::Builder::new().prefix("swath-bench-").tempdir();
    made.map_err(|e| Error::Usage(format!("cannot make a temporary folder: {e}; TMPDIR says where")))
}

/// The picture that scenes of a size are made of.
pub(super) fn texture(size: Size) -> SampleScene {
    draw(7, "texture", Size::new(size.width.min(TEXTURE), size.height.min(TEXTURE)))
}

/// Writes `n` scenes of a size into a folder. Those that are there already stay.
pub(super) fn write_scenes(folder: &Path, n: u32, size: Size, stop: &Stop) -> Result<Vec<PathBuf>, Error> {
    let texture = texture(size);
    let mut files = Vec::new();
    for idx in (0..n).take_while(|_| !stop.is_cut()) {
        let file = folder.join(format!("s{idx:05}.tif"));
        if !file.exists() {
            write_geotiff(&file, &geotiff(&texture, size, TiffLayout::COMMON))?;
        }
        files.push(file);
    }
    Ok(files)
}
