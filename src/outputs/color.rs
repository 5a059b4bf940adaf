//! Colour pictures, for people: palette PNG, one byte per pixel and the class table's colours, nodata's last.

use std::path::Path;

use super::png::PixelFormat;
use super::{LabelPng, OutputError, OutputKind, RowWriter, Subject};
use crate::config::Outputs;
use crate::config::classes::{ClassTable, NODATA_LABEL};
use crate::geom::Size;
use crate::journal::KeyHasher;

/// Pictures in the classes' colours.
#[derive(Debug)]
pub struct ColorPicture;

impl OutputKind for ColorPicture {
    fn folder(&self) -> &'static str {
        "color"
    }

    fn title(&self) -> &'static str {
        "pictures"
    }

    fn is_wanted(&self, outputs: &Outputs) -> bool {
        outputs.color
    }

    fn key(&self, key: KeyHasher, subject: &Subject<'_>) -> KeyHasher {
        let pipeline = subject.pipeline;
        key.value(&palette(&pipeline.classes)).value(&pipeline.classes.nodata().is_some())
    }

    fn max_bytes(&self, subject: &Subject<'_>) -> u64 {
        subject.header.size.area()
    }

    fn begin(&self, dir: &Path, subject: &Subject<'_>) -> Result<Box<dyn RowWriter>, OutputError> {
        let path = dir.join(&self.files(subject.name)[0]);
        Ok(Box::new(create(&path, subject.header.size, &subject.pipeline.classes)?))
    }
}

fn palette(classes: &ClassTable) -> Vec<[u8; 3]> {
    classes.classes().iter().map(|class| class.color.0).chain(classes.nodata().map(|nodata| nodata.color.0)).collect()
}

/// Starts a colour picture that will be called `path`.
///
/// # Errors
/// When the file cannot be created, or PNG has no such size.
pub fn create(path: &Path, size: Size, classes: &ClassTable) -> Result<LabelPng, OutputError> {
    let mut samples = [None; 256];
    for class in classes.classes() {
        samples[usize::from(class.id)] = Some(u16::from(class.id));
    }
    samples[usize::from(NODATA_LABEL)] = classes.nodata().and_then(|_| u16::try_from(classes.classes().len()).ok());
    LabelPng::create(path, size, &PixelFormat::Palette(palette(classes)), samples)
}
