//! Writes the files of scenes as their rows come.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Board;
use super::counts::LabelCounts;
use super::layout::OutputLayout;
use super::message::{Encoded, SceneRows, StitchedScene};
use crate::atomic::FinishedFile;
use crate::config::classes::ClassId;
use crate::flow::{Outbox, Stage};
use crate::masks::{ColorWriter, MaskError, MaskWriter};
use crate::plan::Plane;

/// One encoder. All rows of a scene come to the same one, in order.
pub struct Encode {
    board: Arc<Board>,
    layout: OutputLayout,
    open: BTreeMap<u32, Writers>,
    row: Vec<ClassId>,
}

/// A scene's files, begun.
struct Writers {
    mask: MaskWriter,
    color: Option<ColorWriter>,
    pixels: LabelCounts,
}

/// A scene's files, finished.
#[derive(Default)]
struct Written {
    files: Vec<(FinishedFile, String)>,
    pixels: LabelCounts,
}

impl Encode {
    /// An encoder.
    pub fn new(board: Arc<Board>, layout: OutputLayout) -> Self {
        Self { board, layout, open: BTreeMap::new(), row: Vec::new() }
    }

    /// Appends rows; after the last ones, gives the finished files.
    fn write(&mut self, rows: &SceneRows) -> Result<Option<Written>, MaskError> {
        let mut writers = match self.open.remove(&rows.scene) {
            Some(writers) => writers,
            None => self.begin(rows.scene)?,
        };
        let labels = self.board.plan().position(Plane::Labels);
        for y in 0..rows.rows.len() {
            rows.rows.row(labels, y, &mut self.row);
            writers.pixels.add(&self.row);
            writers.mask.write_rows(&self.row)?;
            if let Some(color) = &mut writers.color {
                color.write_rows(&self.row)?;
            }
        }
        if !rows.last {
            self.open.insert(rows.scene, writers);
            return Ok(None);
        }
        let mask = writers.mask.finish()?;
        let color = writers.color.map(ColorWriter::finish).transpose()?;
        let files: Vec<_> = std::iter::once(mask).chain(color).map(|f| (f.file, f.sha256)).collect();
        files.iter().try_for_each(|(file, sha256)| file.verify(sha256))?;
        Ok(Some(Written { files, pixels: writers.pixels }))
    }

    fn begin(&self, scene: u32) -> Result<Writers, MaskError> {
        let plan = self.board.plan();
        let (pipeline, scene) = (&plan.pipeline, &plan.scenes[scene as usize]);
        let size = scene.header.size;
        let path = self.layout.mask(&scene.name);
        let mask = MaskWriter::create(&path, size, pipeline.outputs.mask_depth, &pipeline.classes)?;
        let color = pipeline
            .outputs
            .color
            .then(|| ColorWriter::create(&self.layout.color(&scene.name), size, &pipeline.classes));
        Ok(Writers { mask, color: color.transpose()?, pixels: LabelCounts::default() })
    }
}

impl Stage for Encode {
    type In = StitchedScene;
    type Out = Encoded;
    type Error = MaskError;

    fn process(&mut self, stitched: StitchedScene, out: &Outbox<'_, Encoded>) -> Result<(), MaskError> {
        let (scene, last) = match &stitched {
            StitchedScene::Rows(rows) => (rows.scene, rows.last),
            StitchedScene::Abandoned { scene } => (*scene, true),
        };
        let mut written = Written::default();
        match stitched {
            StitchedScene::Rows(rows) if !self.board.is_dropped(scene) => match self.write(&rows) {
                Ok(finished) => written = finished.unwrap_or_default(),
                // What the disk refuses, it refuses to the next scene too.
                Err(e) if e.is_output_fault() => return Err(e),
                Err(e) => self.board.fail(scene, "encode", e.to_string()),
            },
            StitchedScene::Rows(_) | StitchedScene::Abandoned { .. } => {}
        }
        if self.board.is_dropped(scene) {
            // Dropping the writers removes their temporary files.
            self.open.remove(&scene);
        }
        if last {
            let Written { files, pixels } = written;
            out.put(Encoded { scene, files, pixels });
        }
        Ok(())
    }
}
