//! Writes the files of scenes as their rows come.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::counts::LabelCounts;
use super::message::{Encoded, EncodedOutput, SceneRows, StitchedScene};
use super::picture::Picture;
use super::scenes::Scenes;
use crate::flow::{Outbox, Stage};
use crate::outputs::{OutputError, OutputKind, OutputLayout, RowWriter, kinds_of};
use crate::plan::Plane;
use crate::raster::RasterSource;

/// A kind of output on its way, and where its planes are among the plan's.
struct Writing {
    kind: &'static dyn OutputKind,
    planes: Vec<usize>,
    writer: Box<dyn RowWriter>,
}

/// One of several. All rows of a scene come to the same one, in order.
pub struct Encode {
    scenes: Arc<Scenes>,
    layout: OutputLayout,
    open: BTreeMap<u32, OpenScene>,
    /// The row at hand, by plane.
    planes: Vec<Vec<u8>>,
    /// Reads scenes again, where an output shows them.
    source: Box<dyn RasterSource>,
}

/// A scene's files, begun.
struct OpenScene {
    writers: Vec<Writing>,
    pixels: LabelCounts,
    /// Rows so far.
    rows: u32,
    picture: Option<Picture>,
}

impl Encode {
    /// A worker with a source of its own: pictures show the scene's pixels.
    pub fn new(scenes: Arc<Scenes>, layout: OutputLayout, source: Box<dyn RasterSource>) -> Self {
        Self { scenes, layout, open: BTreeMap::new(), planes: Vec::new(), source }
    }

    /// Appends rows; after the last ones, gives the finished files.
    fn write(&mut self, rows: &SceneRows) -> Result<(Vec<EncodedOutput>, LabelCounts), OutputError> {
        let mut open = match self.open.remove(&rows.scene) {
            Some(open) => open,
            None => self.begin(rows.scene)?,
        };
        let plan = self.scenes.plan();
        self.planes.resize_with(plan.planes.len(), Vec::new);
        for y in 0..rows.rows.len() {
            self.planes.iter_mut().enumerate().for_each(|(plane, into)| rows.rows.row(plane, y, into));
            open.pixels.add(&self.planes[plan.position(Plane::Labels)]);
            for Writing { kind, planes, writer } in &mut open.writers {
                let mut row: Vec<&[u8]> = planes.iter().map(|plane| self.planes[*plane].as_slice()).collect();
                if let Some(picture) = open.picture.as_mut().filter(|_| kind.shows_scene()) {
                    let picture = picture.row(open.rows, self.source.as_mut());
                    let name = &plan.scenes[rows.scene as usize].name;
                    let path = || self.layout.dir.join(kind.files(name).concat());
                    row.push(picture.map_err(|source| OutputError::Scene { path: path(), source })?);
                }
                writer.push(&row)?;
            }
            open.rows += 1;
        }
        if !rows.last {
            self.open.insert(rows.scene, open);
            return Ok(Default::default());
        }
        let finish = |Writing { kind, writer, .. }| Ok(EncodedOutput { kind, files: writer.finish()? });
        Ok((open.writers.into_iter().map(finish).collect::<Result<_, OutputError>>()?, open.pixels))
    }

    /// Begins those outputs of a scene that do not hold any more.
    fn begin(&self, scene: u32) -> Result<OpenScene, OutputError> {
        let plan = self.scenes.plan();
        let kept = self.scenes.kept(scene).map_or(&[][..], |kept| &kept.outputs);
        let planned = &plan.scenes[scene as usize];
        let begin = |kind: &'static dyn OutputKind| {
            let writer = kind.begin(&self.layout.dir, &planned.subject(&plan.pipeline))?;
            let planes = kind.planes(&plan.pipeline).into_iter().map(|plane| plan.position(plane)).collect();
            Ok(Writing { kind, planes, writer })
        };
        let wanted = kinds_of(&plan.pipeline).filter(|kind| kept.iter().all(|kept| kept.kind != kind.folder()));
        let writers = wanted.map(begin).collect::<Result<Vec<_>, OutputError>>()?;
        let is_shown = writers.iter().any(|writing| writing.kind.shows_scene());
        let picture = is_shown.then(|| Picture::of_plan(plan, scene as usize)).flatten();
        Ok(OpenScene { writers, pixels: LabelCounts::default(), rows: 0, picture })
    }
}

impl Stage for Encode {
    type In = StitchedScene;
    type Out = Encoded;
    type Error = OutputError;

    fn process(&mut self, stitched: StitchedScene, out: &Outbox<'_, Encoded>) -> Result<(), OutputError> {
        let (scene, last) = match &stitched {
            StitchedScene::Rows(rows) => (rows.scene, rows.last),
            StitchedScene::Abandoned { scene } => (*scene, true),
        };
        let (mut outputs, mut pixels) = Default::default();
        match stitched {
            StitchedScene::Rows(rows) if !self.scenes.is_dropped(scene) => match self.write(&rows) {
                Ok(written) => (outputs, pixels) = written,
                // What the disk refuses, it refuses to the next scene too.
                Err(e @ OutputError::Write(_)) => return Err(e),
                Err(e) => self.scenes.fail(scene, "encode", None, e.to_string()),
            },
            StitchedScene::Rows(_) | StitchedScene::Abandoned { .. } => {}
        }
        if self.scenes.is_dropped(scene) {
            // Dropping the writers removes their temporary files.
            self.open.remove(&scene);
        }
        if last {
            out.put(Encoded { scene, outputs, pixels });
        }
        Ok(())
    }
}
