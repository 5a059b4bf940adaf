//! `swath synth`: sample scenes with true masks.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Error;
use super::replace::{Output, exist};
use crate::atomic;
use crate::config::MaskDepth;
use crate::config::classes::ClassTable;
use crate::geom::{PixelRect, Size};
use crate::outputs::{MaskReader, mask};
use crate::raster::{
    DecoderLimits, GeoTiff, Isolated, OpenSource, PixelBuf, PixelType, RasterSource, SceneHeader, TiffLayout,
    write_geotiff,
};
use crate::synth::{SCENES, SampleScene, class_table, draw};

/// How long the decoder may take over a scene that is there.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What `swath synth` is asked.
#[derive(Clone, Debug)]
pub struct SynthRequest {
    /// Equal seeds give equal pixels.
    pub seed: u64,
    /// Where `images` and `masks` go.
    pub out: Output,
}

/// A scene and the files that it belongs in.
struct Drawn {
    scene: SampleScene,
    image: PathBuf,
    mask: PathBuf,
    /// Whether the files hold it already.
    is_there: bool,
}

/// Draws the sample scenes to `images/NAME.tif` and their true masks to `masks/NAME.png`; returns one line for each. Scenes that are there
/// already stay as they are.
///
/// # Errors
/// When a file holds something else and may not be replaced, or cannot be written; in the first case nothing is written.
pub fn synth(request: &SynthRequest) -> Result<Vec<String>, Error> {
    let classes = ClassTable::new(class_table(), None).map_err(|e| Error::Internal(e.to_string()))?;
    let scenes: Vec<Drawn> = SCENES
        .into_iter()
        .map(|(name, size)| {
            let scene = draw(request.seed, name, size);
            let image = request.out.path.join("images").join(format!("{name}.tif"));
            let mask = request.out.path.join("masks").join(format!("{name}.png"));
            let is_there = holds_image(&image, &scene) && holds_mask(&mask, &scene, &classes);
            Drawn { scene, image, mask, is_there }
        })
        .collect();
    let other = scenes.iter().filter(|drawn| !drawn.is_there).flat_map(|drawn| [&drawn.image, &drawn.mask]);
    let other: Vec<&Path> = other.map(PathBuf::as_path).filter(|file| file.symlink_metadata().is_ok()).collect();
    if !(other.is_empty() || request.out.overwrite) {
        return Err(exist(&other));
    }
    scenes.iter().filter(|drawn| !drawn.is_there).try_for_each(|drawn| write(drawn, &classes))?;
    for folder in ["images", "masks"] {
        atomic::sync_dir(&request.out.path.join(folder))?;
    }
    let line = |drawn: &Drawn| {
        let there = if drawn.is_there { ", there already" } else { "" };
        format!("{} ({}{there})", drawn.image.display(), drawn.scene.size)
    };
    Ok(scenes.iter().map(line).collect())
}

/// A drawn scene as a raster of some size.
pub(super) fn geotiff(scene: &SampleScene, size: Size, layout: TiffLayout) -> GeoTiff<'_> {
    GeoTiff { size, texture: scene.size, planes: &scene.rgb, layout, transform: scene.transform, epsg: scene.epsg }
}

fn write(drawn: &Drawn, classes: &ClassTable) -> Result<(), Error> {
    let scene = &drawn.scene;
    write_geotiff(&drawn.image, &geotiff(scene, scene.size, TiffLayout::COMMON))?;
    let mut writer = mask::create(&drawn.mask, scene.size, MaskDepth::Eight, classes)?;
    writer.push(&scene.truth)?;
    writer.finish()?.file.persist()?;
    Ok(())
}

/// Whether a file holds this picture. Its bytes may differ: they depend on the version of GDAL that wrote it.
fn holds_image(path: &Path, scene: &SampleScene) -> bool {
    if !path.is_file() {
        return false;
    }
    let mut source = Isolated::new(DecoderLimits::planning(TIMEOUT)).open();
    let Ok(header) = source.inspect(path, None) else { return false };
    let is_like = header.size == scene.size && header.n_bands == 3 && header.dtype == PixelType::U8;
    is_like
        && header.transform == Some(scene.transform)
        && pixels(source.as_mut(), path, &header).as_ref() == Some(&scene.rgb)
}

/// The pixels of a picture, band by band.
fn pixels(source: &mut dyn RasterSource, path: &Path, header: &SceneHeader) -> Option<Vec<u8>> {
    let request = header.request(path.to_owned(), None, PixelRect::whole(header.size), vec![1, 2, 3]);
    let mut buffer = PixelBuf::of_bytes(header.dtype, request.buffer_bytes());
    source.read(&request, buffer.bytes_mut()).ok()?;
    Some(buffer.bytes().to_vec())
}

/// Whether a file holds this true mask.
fn holds_mask(path: &Path, scene: &SampleScene, classes: &ClassTable) -> bool {
    let values = classes.by_label().map(|entry| entry.map(|(value, _)| value));
    let mut wanted = scene.truth.chunks_exact(scene.size.width as usize);
    let Ok(mut mask) = MaskReader::open(path) else { return false };
    let mut row = Vec::new();
    if mask.size() != scene.size || mask.is_palette() {
        return false;
    }
    loop {
        match (mask.next_row(&mut row), wanted.next()) {
            (Ok(true), Some(labels))
                if labels.iter().map(|l| values[usize::from(*l)]).eq(row.iter().copied().map(Some)) => {}
            (Ok(false), None) => return true,
            _ => return false,
        }
    }
}
