//! The plan itself.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::scan::label;
use super::unit::{Part, Unit};
use super::{Footprint, Pass, Plane, Schedule};
use crate::config::{Checkpoint, Member, Pipeline, Precision};
use crate::geom::Size;
use crate::post::FillHoles;
use crate::raster::{DecoderLimits, Identity, Mask, SceneHeader};
use crate::tiler::Grid;
use crate::zoo::spec::KernelSet;

/// Version of the plan's serialised form.
pub const PLAN_FORMAT: u32 = 2;

/// Which implementation of the networks runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendKind {
    /// libtorch.
    Torch,
    /// A deterministic stand-in without libtorch, for tests and for measuring everything but the networks.
    Fake,
    /// Nothing at all: planes of patches, to measure what feeds a device. No command but `bench` takes it.
    Null,
}

impl BackendKind {
    /// Those that a person can name.
    pub const NAMED: [(&'static str, Self); 2] = [("torch", Self::Torch), ("fake", Self::Fake)];

    /// Its name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Torch => "torch",
            Self::Fake => "fake",
            Self::Null => "null",
        }
    }
}

/// A scene that will be segmented.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scene {
    /// Name of its outputs without extension, with `/` between folders.
    pub name: String,
    /// The file, relative to the plan's root.
    pub file: PathBuf,
    /// The page of it, counted from 1, where one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<u32>,
    /// What its header says.
    pub header: SceneHeader,
    /// Which file that was.
    pub identity: Identity,
    /// Its tiles.
    pub grid: Grid,
}

/// A member with what planning found out about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberPlan {
    /// As the pipeline has it.
    #[serde(flatten)]
    pub member: Member,
    /// SHA-256 of the weights file, or the seed.
    pub digest: String,
    /// The arithmetic that `auto` came to.
    pub resolved_precision: Precision,
    /// The kernels that `auto` came to.
    pub resolved_kernels: KernelSet,
    /// Bytes of the file where that is a program.
    pub program_bytes: u64,
}

impl MemberPlan {
    /// The same in this arithmetic, with the kernels that go with it.
    pub fn in_precision(self, precision: Precision, on_gpu: bool) -> Self {
        let is_f32 = matches!(precision, Precision::Auto | Precision::F32 | Precision::Tf32);
        let kernels = self.member.kernels.of(&self.member.spec, on_gpu, is_f32);
        Self { resolved_precision: precision, resolved_kernels: kernels, ..self }
    }

    /// Bytes that its weights take in the machine's own memory, at most: for a GPU on their way there. A program's are there four times
    /// while it is loaded: as a file for its digest, as two copies on their way through tch, and as tensors.
    pub fn weights_bytes(&self, on_gpu: bool) -> u64 {
        let read = self.member.spec.parameters() * 4;
        let weights = match self.resolved_kernels {
            _ if on_gpu => read,
            // Beside what was read there is what it was converted to.
            _ if self.resolved_precision.is_half() => read * 3 / 2,
            KernelSet::ChannelsLast => read * 2,
            // Of 3 x 3 weights that Winograd's algorithm transforms 9 become 16, layer by layer.
            KernelSet::Fused | KernelSet::FusedSdpa => read * 16 / 9,
            KernelSet::Auto | KernelSet::Plain | KernelSet::FusedContiguous => read,
        };
        weights + 4 * self.program_bytes
    }

    /// Bytes that its weights take in a GPU's memory.
    pub fn gpu_weights_bytes(&self) -> u64 {
        let bytes = if self.resolved_precision.is_half() { 2 } else { 4 };
        self.member.spec.parameters() * bytes + self.program_bytes
    }
}

/// Bytes that the largest of a plan's parts take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maxima {
    /// A batch of raw crops, with a validity plane.
    pub batch: u64,
    /// A row of blocks of a unit.
    pub block_row: u64,
    /// A row of pixels of a unit.
    pub row: u64,
}

/// Everything that can change a byte of output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`PLAN_FORMAT`].
    pub format: u32,
    /// Versions of swath, GDAL and libtorch.
    pub versions: Vec<(String, String)>,
    /// The implementation of the networks.
    pub backend: BackendKind,
    /// `cpu`, or the GPU's architecture.
    pub device_class: String,
    /// Threads inside one forward pass.
    pub intra_op_threads: u32,
    /// The pipeline.
    pub pipeline: Pipeline,
    /// The members.
    pub members: Vec<MemberPlan>,
    /// The forward passes, in the order of summation.
    pub passes: Vec<Pass>,
    /// The passes again, in the order in which a deadline gives them up.
    pub dispensable: Vec<usize>,
    /// What comes of a tile.
    pub planes: Vec<Plane>,
    /// Bands that are read from every scene, counted from 1, ascending.
    pub bands: Vec<u32>,
    /// The folder that scene files are relative to; empty when they are as given. No part of the digest.
    pub root: PathBuf,
    /// What the largest of its parts takes.
    pub maxima: Maxima,
    /// The scenes, largest first.
    pub scenes: Vec<Scene>,
    /// The work, in order.
    pub units: Vec<Unit>,
}

/// Sums over a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanTotals {
    /// Tiles.
    pub tiles: u64,
    /// Pixels of all scenes.
    pub pixels: u64,
    /// Pixels that the networks see, ring and padding included.
    pub network_pixels: u64,
}

impl PlanTotals {
    /// Share of the network's pixels that end in no mask, in percent.
    pub fn waste_percent(&self) -> f64 {
        if self.network_pixels == 0 {
            return 0.0;
        }
        100.0 * (1.0 - self.pixels as f64 / self.network_pixels as f64)
    }
}

impl Plan {
    /// Where a scene's file is.
    pub fn path_of(&self, scene: usize) -> PathBuf {
        self.root.join(&self.scenes[scene].file)
    }

    /// What a scene is called where a person reads it: its file, and the page where one is named.
    pub fn label_of(&self, scene: usize) -> String {
        label(&self.path_of(scene), self.scenes[scene].page)
    }

    /// Sums over all scenes.
    pub fn totals(&self) -> PlanTotals {
        let mut totals = PlanTotals::default();
        for scene in &self.scenes {
            totals.tiles += scene.grid.n_tiles();
            totals.pixels += scene.header.size.area();
            totals.network_pixels += scene.grid.network_pixels();
        }
        totals
    }

    /// The plan without scenes and units.
    pub(super) fn head(&self) -> Self {
        Self {
            format: self.format,
            versions: self.versions.clone(),
            backend: self.backend,
            device_class: self.device_class.clone(),
            intra_op_threads: self.intra_op_threads,
            pipeline: self.pipeline.clone(),
            members: self.members.clone(),
            passes: self.passes.clone(),
            dispensable: self.dispensable.clone(),
            planes: self.planes.clone(),
            bands: self.bands.clone(),
            root: self.root.clone(),
            maxima: self.maxima,
            scenes: Vec::new(),
            units: Vec::new(),
        }
    }

    /// SHA-256 of what can change a byte of output: where the files lie and what is kept beside the outputs cannot.
    ///
    /// # Errors
    /// Never in practice: the plan holds nothing that JSON cannot express.
    pub fn digest(&self) -> Result<String, serde_json::Error> {
        let mut head = Self { root: PathBuf::new(), ..self.head() };
        head.pipeline.checkpoints.clear();
        let mut sha256 = Sha256::new();
        sha256.update(serde_json::to_vec(&head)?);
        self.scenes.iter().try_for_each(|scene| serde_json::to_vec(scene).map(|text| sha256.update(text)))?;
        self.units.iter().try_for_each(|unit| serde_json::to_vec(unit).map(|text| sha256.update(text)))?;
        Ok(crate::hex(&sha256.finalize()))
    }
}

/// GDAL's cache is never smaller than this.
const MIN_DECODER_CACHE: u64 = 16 << 20;

impl Plan {
    /// Finds out what the largest of its parts take.
    pub(super) fn measure(&mut self) {
        let per_scene = |s: &Scene| batch_bytes(s, self.pipeline.batch, self.bands.len());
        let row_bytes = |part: &Part| {
            let header = &self.scenes[part.scene as usize].header;
            let per_pixel = self.bands.len() * header.dtype.bytes() + usize::from(header.mask == Mask::Dataset);
            u64::from(part.window.size.width) * per_pixel as u64
        };
        let rows = self.units.iter().flat_map(|unit| unit.geometry(self).parts).map(|part| row_bytes(&part));
        self.maxima = Maxima {
            batch: self.scenes.iter().map(per_scene).max().unwrap_or(0),
            block_row: self.units.iter().map(|unit| unit.block_row_bytes(self)).max().unwrap_or(0),
            row: rows.max().unwrap_or(0),
        };
    }

    /// GDAL's block cache: one row of blocks of the worst scene for every reader, and a quarter more for its book-keeping.
    pub fn decoder_cache(&self, readers: usize) -> u64 {
        (self.maxima.block_row * readers as u64 * 5 / 4).max(MIN_DECODER_CACHE)
    }

    /// What each of the decoders may take when they are processes of their own.
    pub fn decoder_limits(&self, readers: usize, timeout: Duration) -> DecoderLimits {
        let cache = self.decoder_cache(readers).div_ceil(readers.max(1) as u64);
        DecoderLimits::reading(cache, self.maxima.row, self.maxima.block_row, timeout)
    }

    /// Bytes that the post stage holds, all workers.
    pub fn post_bytes(&self, schedule: &Schedule) -> u64 {
        if self.pipeline.post.is_nothing() {
            return 0;
        }
        // A scene stays open while a unit of it is overtaken by units of later ones, which happens in readers and devices only: in all but
        // one of each. Beside these each worker has the scene at hand, and the last rows of one before it on their way to the encoder.
        let open = schedule.readers + schedule.devices.len() + 2 * schedule.encoders - 2;
        let (n_classes, holes) = (self.pipeline.n_classes(), self.pipeline.post.fill_holes);
        let held = |s: &Scene| FillHoles::max_bytes(s.header.size, n_classes, holes);
        // While a row of tiles is filled it is there twice: as tiles and as rows.
        let copy = |s: &Scene| u64::from(s.header.size.width) * u64::from(s.grid.y.centre.min(s.header.size.height));
        let mut held: Vec<u64> = self.scenes.iter().map(held).collect();
        held.sort_unstable_by_key(|bytes| std::cmp::Reverse(*bytes));
        let copies = self.scenes.iter().map(copy).max().unwrap_or(0) * schedule.encoders as u64;
        held.iter().take(open.max(1)).sum::<u64>() + copies
    }

    /// Results of stages that a run of the plan keeps.
    pub fn n_checkpoints(&self) -> u64 {
        let keeps = |kind| u64::from(self.pipeline.checkpoints.contains(&kind));
        let parts = self.units.iter().map(|unit| unit.scenes().len() as u64).sum::<u64>();
        let labels = parts * self.planes.len() as u64;
        let logits = self.totals().tiles * (1 + self.passes.len() as u64);
        keeps(Checkpoint::Labels) * labels + keeps(Checkpoint::MemberLogits) * logits
    }

    /// Bytes of the maps of one tile that a device up-samples before it takes the argmax: what there is so far, what is added, and one in the
    /// making.
    pub fn up_sampled_bytes(&self) -> u64 {
        let padded = |scene: &Scene, m: &MemberPlan| m.member.spec.size_rule().padded(scene.grid.crop()).area();
        let sizes = self.scenes.iter().flat_map(|scene| self.members.iter().map(move |m| padded(scene, m)));
        3 * 4 * self.pipeline.n_classes() as u64 * sizes.max().unwrap_or(0)
    }

    /// Bytes of what comes back from a device for one batch: planes, and logits where they are kept.
    pub fn returned_bytes(&self) -> u64 {
        let logits = |scene: &Scene, pass: &Pass| {
            let spec = &self.members[pass.member].member.spec;
            spec.logit_size(spec.size_rule().padded(scene.grid.crop())).area() * u64::from(spec.classes) * 4
        };
        let keeps = self.pipeline.checkpoints.contains(&Checkpoint::MemberLogits);
        let of_scene = |scene: &Scene| {
            let logits = if keeps { self.passes.iter().map(|pass| logits(scene, pass)).sum() } else { 0 };
            scene.grid.crop().area() * self.planes.len() as u64 + logits
        };
        self.scenes.iter().map(of_scene).max().unwrap_or(0) * u64::from(self.pipeline.batch)
    }

    /// Bytes of activations and logits on one device: members run one after the other, their logits stay until they are combined.
    pub fn activation_bytes(&self) -> u64 {
        let mut crops: Vec<Size> = self.scenes.iter().map(|s| s.grid.crop()).collect();
        crops.sort_unstable();
        crops.dedup();
        let torch = self.backend == BackendKind::Torch;
        let of_crop = |crop: &Size| {
            let padded = |m: &MemberPlan| m.member.spec.size_rule().padded(*crop);
            let forward = |m: &MemberPlan| {
                let size = padded(m);
                let input = u64::from(m.member.spec.bands) * size.area() * 4 * u64::from(self.pipeline.batch);
                input + if torch { m.member.spec.activation_bytes(self.pipeline.batch, size) } else { 0 }
            };
            let logits = |m: &MemberPlan| {
                let stride = u64::from(m.member.spec.logit_stride());
                2 * padded(m).area() / (stride * stride)
                    * u64::from(m.member.spec.classes)
                    * 4
                    * u64::from(self.pipeline.batch)
            };
            self.members.iter().map(forward).max().unwrap_or(0)
                + self.passes.iter().map(|pass| logits(&self.members[pass.member])).sum::<u64>()
        };
        crops.iter().map(of_crop).max().unwrap_or(0)
    }
}

/// Bytes of a batch of raw crops of one scene.
pub(super) fn batch_bytes(scene: &Scene, batch: u32, n_bands: usize) -> u64 {
    Footprint::pixels(&scene.header, scene.grid.crop(), n_bands).total() * u64::from(batch)
}
