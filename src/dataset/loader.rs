//! Crops ahead of whoever trains on them, read by several threads and handed over in order.
//!
//! ```text
//! tickets, as many as may be under way -> readers, each with decoders of its own -> crops -> in order, by step
//!          ^----------------------------- one for each crop that is taken -----------------------'
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cache::Cache;
use super::crop::{Crop, Cropper};
use super::draw::Drawer;
use super::index::Scene;
use super::reader::Layer;
use crate::flow::{Closed, Emit, Graph, GraphError, Inlet, Outbox, Outlet, Stage, Stop};
use crate::raster::Warned;
use crate::words::explain;

/// Times that a place is drawn anew whose labels turn out to lie where the image has no data.
const ATTEMPTS: u64 = 64;

/// How often somebody who waits asks whether to stop.
const PATIENCE: Duration = Duration::from_millis(50);

/// What is to be loaded, and with what.
#[derive(Clone, Debug)]
pub struct Feed {
    /// The step that its first crops are for.
    pub from_step: u64,
    /// Crops of a step, at least 1.
    pub batch: u32,
    /// Threads, at least 1. Each has two decoders, in processes of their own.
    pub readers: usize,
    /// Bytes for crops under way, for what is read of scenes, and for scenes that are kept. Decoders come on top.
    pub memory: u64,
}

impl Feed {
    /// Threads where nobody says how many, on so many cores.
    pub fn usual_readers(cores: usize) -> usize {
        cores.clamp(1, 4)
    }
}

/// Why there are no more crops.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A scene cannot be read any more.
    #[error("cannot read the pair `{pair}`: {cause}; mend it, or leave it out (--exclude)")]
    Pair {
        /// Its name.
        pair: String,
        /// Why.
        cause: String,
    },
    /// There are no labels where images have data.
    #[error(
        "{ATTEMPTS} places that were drawn for one crop, the last one in the pair `{pair}`, have labels only where the image has no data; \
         look at the nodata values of the images (swath data stats), or leave such pairs out (--exclude)"
    )]
    NoLabels {
        /// Name of the last one.
        pair: String,
    },
    /// No pair has labels.
    #[error("no pair has a labelled pixel to take a crop from")]
    Empty,
    /// Somebody stopped it.
    #[error("stopped")]
    Stopped,
    /// Threads cannot be started, or one failed internally.
    #[error("cannot load crops: {0}")]
    Threads(String),
}

impl From<GraphError<LoadError>> for LoadError {
    fn from(error: GraphError<LoadError>) -> Self {
        match error {
            GraphError::Stage { source, .. } => *source,
            other @ (GraphError::Planted { .. } | GraphError::Panic { .. } | GraphError::Spawn { .. }) => {
                Self::Threads(explain(&other))
            }
        }
    }
}

/// Gives the crops of one step after the other.
#[derive(Debug)]
pub struct Loader {
    graph: Option<Graph<LoadError>>,
    tickets: Outlet<u64>,
    crops: Inlet<Loaded>,
    /// Crops that came before their turn.
    early: BTreeMap<u64, Crop>,
    /// Number of the next crop, counted from the first one of step 0, and of the next ticket.
    next: u64,
    asked: u64,
    batch: u64,
    stop: Stop,
    waited: Duration,
    warned: Warned,
}

/// A crop by its number, and what decoders warned of meanwhile.
type Loaded = (u64, Crop, Warned);

impl Loader {
    /// Starts to read.
    ///
    /// # Errors
    /// When there is nothing to draw, or the system gives no threads.
    pub fn start(drawer: &Drawer, feed: &Feed, stop: Stop) -> Result<Self, LoadError> {
        if drawer.index.is_empty() {
            return Err(LoadError::Empty);
        }
        let (readers, batch) = (feed.readers.max(1), u64::from(feed.batch.max(1)));
        let crop = Crop::bytes(drawer.side, drawer.index.n_bands());
        // Half of the memory at most, unless one batch has more.
        let depth = (feed.memory / 2 / crop.max(1)).clamp(batch, 2 * batch + readers as u64);
        let depth_items = usize::try_from(depth).unwrap_or(usize::MAX);
        let scenes = &drawer.index.scenes;
        // A reader has a window in its hands, and a crop that is made of it, or a block of labels.
        let block = scenes.iter().map(Scene::block_bytes).max().unwrap_or(0);
        let taken = crop.saturating_mul(depth + 2 * readers as u64).saturating_add(block * readers as u64);
        let budget = feed.memory.saturating_sub(taken);
        let bytes = |scene: &Scene| scene.bytes(Layer::Image).saturating_add(scene.bytes(Layer::Labels));
        let keeps_all = scenes.iter().map(bytes).fold(0, u64::saturating_add) <= budget;
        let cache = Arc::new(Cache::new(budget));
        // A stop of its own: the end of this graph is not that of whoever asks for crops.
        let mut graph = Graph::new(Stop::new());
        let (tickets, queue) = graph.link(depth_items);
        let (done, crops) = graph.link(depth_items);
        let reader = |_| Load { batch, cropper: Cropper::new(drawer.clone(), Arc::clone(&cache), keeps_all) };
        graph.spawn("load", (0..readers).map(reader).collect(), queue, done)?;
        let first = feed.from_step.saturating_mul(batch);
        let (early, waited, warned) = (BTreeMap::new(), Duration::ZERO, Warned::new());
        let mut loader =
            Self { graph: Some(graph), tickets, crops, early, next: first, asked: first, batch, stop, waited, warned };
        (0..depth).for_each(|_| loader.ask());
        Ok(loader)
    }

    /// Orders one crop more. There is always room: as many are under way as the links hold.
    fn ask(&mut self) {
        // A graph that has ended tells why when somebody waits for it.
        self.asked += u64::from(self.tickets.emit(self.asked).is_ok());
    }

    /// The crops of the next step.
    ///
    /// # Errors
    /// When one of them, or one of the following, cannot be read, or somebody stops it.
    #[expect(clippy::should_implement_trait, reason = "an iterator that ends with an error is none")]
    pub fn next(&mut self) -> Result<Vec<Crop>, LoadError> {
        let mut crops = Vec::new();
        while (crops.len() as u64) < self.batch {
            if self.stop.is_cut() {
                return Err(LoadError::Stopped);
            }
            if let Some(crop) = self.early.remove(&self.next) {
                crops.push(crop);
                self.next += 1;
                self.ask();
                continue;
            }
            let began = Instant::now();
            let came = self.crops.recv_timeout(PATIENCE);
            self.waited += began.elapsed();
            match came {
                Ok(Some((number, crop, warned))) => {
                    self.early.insert(number, crop);
                    self.warned.extend(warned);
                }
                Ok(None) => {}
                Err(Closed) => return Err(self.cause()),
            }
        }
        Ok(crops)
    }

    /// Why the readers have left.
    fn cause(&mut self) -> LoadError {
        match self.graph.take().map(Graph::join) {
            Some(Err(error)) => error.into(),
            Some(Ok(_)) | None => LoadError::Stopped,
        }
    }

    /// What decoders warned of since somebody last asked, in no order of steps.
    pub fn take_warned(&mut self) -> Warned {
        std::mem::take(&mut self.warned)
    }

    /// How long was waited for crops, all in all.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

struct Load {
    batch: u64,
    cropper: Cropper,
}

impl Stage for Load {
    type In = u64;
    type Out = Loaded;
    type Error = LoadError;

    fn process(&mut self, number: u64, out: &Outbox<'_, Loaded>) -> Result<(), LoadError> {
        let crop = self.cropper.draw(number / self.batch, number % self.batch)?;
        out.put((number, crop, self.cropper.take_warned()));
        Ok(())
    }
}

impl Cropper {
    /// The crop of a sample of a step.
    fn draw(&mut self, step: u64, sample: u64) -> Result<Crop, LoadError> {
        let mut last = 0;
        for attempt in 0..ATTEMPTS {
            let aim = self.drawer.aim(step, sample, attempt).ok_or(LoadError::Empty)?;
            let crop = self.crop(&aim).map_err(|cause| LoadError::Pair { pair: self.name(aim.scene), cause })?;
            if crop.labels.iter().any(|label| *label != super::IGNORED) {
                return Ok(crop);
            }
            last = aim.scene;
        }
        Err(LoadError::NoLabels { pair: self.name(last) })
    }

    fn name(&self, scene: usize) -> String {
        self.drawer.index.scenes[scene].name.clone()
    }
}
