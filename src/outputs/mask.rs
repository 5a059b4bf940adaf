//! Class masks: grey PNG whose samples, of 8 or 16 bits, are the values of the class table.

use std::path::Path;

use super::png::PixelFormat;
use super::{LabelPng, OutputError, OutputKind, Packing, RowWriter, Subject};
use crate::config::classes::ClassTable;
use crate::config::{MaskDepth, Outputs};
use crate::geom::Size;
use crate::journal::KeyHasher;

/// Masks of the class table's values.
#[derive(Debug)]
pub struct Mask;

impl OutputKind for Mask {
    fn folder(&self) -> &'static str {
        "masks"
    }

    fn title(&self) -> &'static str {
        "masks"
    }

    fn is_wanted(&self, _: &Outputs) -> bool {
        true
    }

    fn packing(&self) -> Option<Packing> {
        Some(Packing::Mask)
    }

    fn key(&self, key: KeyHasher, subject: &Subject<'_>) -> KeyHasher {
        let pipeline = subject.pipeline;
        let values: Vec<u16> = pipeline.classes.classes().iter().map(|class| class.value).collect();
        let nodata = pipeline.classes.nodata().map(|nodata| nodata.value);
        key.value(&pipeline.outputs.mask_depth).value(&values).value(&nodata)
    }

    fn max_bytes(&self, Subject { header, pipeline, .. }: &Subject<'_>) -> u64 {
        header.size.area().saturating_mul(u64::from(u8::from(pipeline.outputs.mask_depth)) / 8)
    }

    fn begin(&self, dir: &Path, subject: &Subject<'_>) -> Result<Box<dyn RowWriter>, OutputError> {
        let (path, pipeline) = (dir.join(&self.files(subject.name)[0]), subject.pipeline);
        Ok(Box::new(create(&path, subject.header.size, pipeline.outputs.mask_depth, &pipeline.classes)?))
    }
}

/// Starts a mask that will be called `path`.
///
/// # Errors
/// When the file cannot be created, a class's value does not fit the depth, or PNG has no such size.
pub fn create(path: &Path, size: Size, depth: MaskDepth, classes: &ClassTable) -> Result<LabelPng, OutputError> {
    if depth == MaskDepth::Eight && classes.max_value() > u16::from(u8::MAX) {
        return Err(OutputError::Depth { path: path.to_owned(), value: classes.max_value() });
    }
    let samples = classes.by_label().map(|entry| entry.map(|(value, _)| value));
    LabelPng::create(path, size, &PixelFormat::Grey(depth), samples)
}
