//! What is written of each scene: one file of this folder per kind of output.
//!
//! A kind ([`OutputKind`]) says where its files lie below the run directory, which planes ([`Plane`]) it is made of and what else its
//! bytes depend on, how large it can become, how it goes into submit.zip if it does, and makes a [`RowWriter`], which takes a scene's rows from
//! top to bottom: memory is one row, or one row of blocks, whatever the height of the scene. The files that one writer leaves have one verdict: they are renamed
//! and recorded together, and if one of them is damaged or gone all of them are made anew. Kinds do not know each other: of a scene whose
//! mask still holds only the picture is made.
//!
//! A new kind is a file here, a line in [`KINDS`], a key of `[outputs]` in the pipeline file (`config`), and a test. `shares` has three of a form.
//! The `legend` is no scene's: a run has one.
//!
//! Files go through `atomic`: what a writer leaves is complete, synced and hashed, under a temporary name. `png` is what masks and pictures
//! have in common: labels as PNG, and the way back ([`MaskReader`]); `tiff` what GDAL writes through `gis`.

mod cog;
pub mod color;
mod error;
pub(crate) mod errors;
mod geotiff;
mod layout;
pub(crate) mod legend;
pub mod mask;
mod mosaic;
pub(crate) mod overlay;
mod plane;
mod png;
mod shares;
mod sidecars;
mod subject;
mod tiff;
mod vectors;

use std::fmt::Debug;
use std::path::Path;

pub use error::OutputError;
pub use layout::OutputLayout;
pub use mosaic::{Mosaic, is_vrt, resolution};
pub use plane::{Plane, planes_of};
pub use png::{LabelPng, MaskReader, constant};
pub use subject::Subject;

use shares::Shares;

use crate::atomic::WrittenFile;
use crate::config::{Outputs, Pipeline};
use crate::gis;
use crate::journal::KeyHasher;

pub(crate) use png::{PngSetting, constant_into, encode_labels};

/// Every kind. The mask comes first.
pub static KINDS: [&dyn OutputKind; 10] = [
    &mask::Mask,
    &color::ColorPicture,
    &geotiff::GeoTiff,
    &cog::Cog,
    &sidecars::Sidecars,
    &vectors::Vectors,
    &Shares::Scores,
    &Shares::Probabilities,
    &Shares::Disagreement,
    &overlay::Overlay,
];

/// The kinds that a pipeline asks for.
pub fn kinds_of(pipeline: &Pipeline) -> impl Iterator<Item = &'static dyn OutputKind> + use<> {
    let outputs = pipeline.outputs;
    KINDS.into_iter().filter(move |kind| kind.is_wanted(&outputs))
}

/// How a file goes into submit.zip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// As a mask, under the name that it has below its folder: it is checked on the way, and a blank one may stand for a scene without.
    Mask,
    /// As it is, under its path in the run directory. Of a scene without there is none.
    Copy,
}

/// A kind of output.
pub trait OutputKind: Debug + Sync {
    /// Its folder in the run directory, which is also what the journal calls it.
    fn folder(&self) -> &'static str;

    /// What the summary of a run calls it.
    fn title(&self) -> &'static str;

    /// Whether a pipeline asks for it.
    fn is_wanted(&self, outputs: &Outputs) -> bool;

    /// The files that it may leave of a scene, relative to the run directory, with `/`.
    fn files(&self, scene: &str) -> Vec<String> {
        vec![format!("{}/{scene}.png", self.folder())]
    }

    /// How the first of its files goes into submit.zip, if it does.
    fn packing(&self) -> Option<Packing> {
        None
    }

    /// The planes that it is made of.
    fn planes(&self, _: &Pipeline) -> Vec<Plane> {
        vec![Plane::Labels]
    }

    /// Whether rows come with the scene's own pixels behind the planes: red, green and blue of each, as `overlay::shown` says.
    fn shows_scene(&self) -> bool {
        false
    }

    /// Adds what its bytes depend on beside its planes.
    fn key(&self, key: KeyHasher, subject: &Subject<'_>) -> KeyHasher;

    /// Most bytes that its files take, and what they are made of on the way.
    fn max_bytes(&self, subject: &Subject<'_>) -> u64;

    /// Bytes that its writer holds, where these are more than some rows.
    fn held_bytes(&self, _: &Subject<'_>) -> u64 {
        0
    }

    /// GDAL's driver for its files, if GDAL writes them.
    fn gdal_driver(&self) -> Option<&'static str> {
        None
    }

    /// Why its files cannot be written here, if they cannot.
    fn problem(&self) -> Option<String> {
        let driver = self.gdal_driver().filter(|driver| !gis::has_driver(driver))?;
        let key = format!("outputs.{}", self.folder());
        Some(format!("{key}: GDAL has no driver {driver} here; set {key} = false, or use a GDAL that has it"))
    }

    /// Bytes that it needs of GDAL's block cache, if GDAL writes it.
    fn gdal_cache(&self, _: &Subject<'_>) -> Option<u64> {
        None
    }

    /// Begins the files of a scene in a run directory.
    ///
    /// # Errors
    /// When a file cannot be created, or its form has no place for such a scene.
    fn begin(&self, dir: &Path, subject: &Subject<'_>) -> Result<Box<dyn RowWriter>, OutputError>;
}

/// The files of one kind and one scene being written. Dropped, it leaves nothing behind.
pub trait RowWriter: Send {
    /// Appends one row: its pixels in each plane of the kind, in that order.
    ///
    /// # Errors
    /// When it is no whole row or one too many, a label has no entry in the class table, or the write fails.
    fn push(&mut self, planes: &[&[u8]]) -> Result<(), OutputError>;

    /// Ends the files.
    ///
    /// # Errors
    /// When rows are missing, or the write or the sync fails.
    fn finish(self: Box<Self>) -> Result<Vec<WrittenFile>, OutputError>;
}
