//! The plan itself.

use std::borrow::Cow;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::mosaics::base;
use super::profile::{Prepared, batch_of};
use super::scan::{label, paths_of};
use super::unit::{Part, Unit};
use super::{
    Area, BackendKind, CropBatch, Footprint, LINK_CAPACITY, Pass, Plane, Profile, REMEMBERED, Schedule, Within,
};
use crate::config::{Band, Checkpoint, Member, Pipeline, Precision};
use crate::geom::{PixelRect, Size};
use crate::outputs::{Subject, kinds_of};
use crate::post::Steps;
use crate::raster;
use crate::raster::{Allowed, DecoderLimits, Identity, Mask, Palette, ReadRequest, Resampling, SceneHeader};
use crate::tiler::Grid;
use crate::zoo::spec::KernelSet;

/// Version of the plan's serialised form.
pub const PLAN_FORMAT: u32 = 5;

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
    /// Where each of its bands has a file of its own: all of them, in the order of the plan's bands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<PathBuf>,
    /// The files that it is made of beside these, where it is a mosaic: relative to the plan's root, or else to its own folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PathBuf>,
    /// Which of its bands the plan's bands are, counted from 1, where they are not numbers anyway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chosen: Vec<u32>,
    /// What its header says, as the pipeline sees it.
    pub header: SceneHeader,
    /// Which file that was.
    pub identity: Identity,
    /// Where scenes are known by all bytes of their files: SHA-256 of these. Then the identity is no part of the plan's digest, nor of keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// How it is cut into tiles, on the networks' grid.
    pub grid: Grid,
    /// Islands by class: components of fewer pixels. Empty where it has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub islands: Vec<u32>,
    /// Which of them are planned, where the plan's area does not hold all of the scene.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Within>,
}

impl Scene {
    /// What its outputs are told of it.
    pub fn subject<'a>(&'a self, pipeline: &'a Pipeline) -> Subject<'a> {
        Subject { name: &self.name, header: &self.header, pipeline }
    }

    /// Size of the grid that the networks see and tiles are cut on: its own, unless another resolution is wanted.
    pub const fn network_size(&self) -> Size {
        Size::new(self.grid.x.length, self.grid.y.length)
    }

    /// How its own grid becomes that one, where they differ.
    pub fn resampling(&self) -> Option<Resampling> {
        Resampling::between(self.header.size, self.network_size(), self.header.palette == Palette::Indices)
    }

    /// The part of its own grid that a window of the networks' is made of.
    pub fn source(&self, window: PixelRect) -> PixelRect {
        self.resampling().map_or(window, |resampling| resampling.source(window))
    }

    /// The same without what changes no byte: when its file was written.
    fn essence(&self) -> Cow<'_, Self> {
        match self.content {
            None => Cow::Borrowed(self),
            Some(_) => Cow::Owned(Self { identity: Identity::default(), ..self.clone() }),
        }
    }

    /// Bytes of a window between its read and its crops.
    pub(super) fn footprint(&self, window: PixelRect, n_bands: usize) -> Footprint {
        let bytes_per_pixel = Footprint::pixels(&self.header, Size::new(1, 1), n_bands).pixels;
        let source = self.resampling().map_or(0, |resampling| resampling.bytes(window, bytes_per_pixel));
        Footprint { source, ..Footprint::pixels(&self.header, window.size, n_bands) }
    }
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

    /// Its network as it runs.
    pub(crate) fn prepared(&self) -> Prepared<'_> {
        (&self.member.spec, self.resolved_precision, self.resolved_kernels)
    }

    /// The same with the kernels that were measured to be fastest, where the pipeline leaves them open.
    pub fn with(self, profile: Option<&Profile>) -> Self {
        let usual = self.resolved_kernels;
        let open = profile.filter(|_| self.member.kernels == KernelSet::Auto);
        let tuned = open.and_then(|profile| profile.kernels(&self.member.spec, self.resolved_precision, usual));
        Self { resolved_kernels: tuned.unwrap_or(usual), ..self }
    }

    /// Bytes that its weights take in the machine's own memory, at most: for a GPU on their way there. A program's are there four times
    /// while it is loaded: as a file for its digest, as two copies on their way through tch, and as tensors; or as a file, in ONNX Runtime's
    /// own form, as tensors, and in the order that its kernels want them in.
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

/// Which part of a whole plan a plan is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanPart {
    /// The digest of the whole plan.
    pub whole: String,
    /// How many units that has.
    pub n_units: usize,
    /// Which of them are here.
    pub units: Range<usize>,
    /// Which of its scenes is the first one here.
    pub first_scene: usize,
    /// Scenes, as they are counted here, of which not all units are here: at most the first and the last.
    pub cut: Vec<usize>,
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
    /// The measurements that it goes by. Only what follows from them is part of the digest: kernels and batches.
    pub profile: Option<Profile>,
    /// Tiles per pass where the pipeline leaves that open, ascending by area.
    pub batches: Vec<CropBatch>,
    /// The pipeline, with the run's own settings.
    pub pipeline: Pipeline,
    /// The members, in the pipeline's order.
    pub members: Vec<MemberPlan>,
    /// The forward passes, in the order of summation.
    pub passes: Vec<Pass>,
    /// The passes again, in the order in which a deadline gives them up.
    pub dispensable: Vec<usize>,
    /// What comes of a tile.
    pub planes: Vec<Plane>,
    /// Bands that are read from every scene, in order.
    pub bands: Vec<Band>,
    /// Where on the ground work is done, where that is not everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area: Option<Area>,
    /// Whether scenes are known by all bytes of their files.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hash_inputs: bool,
    /// Whether this process has made it, and so has seen all bytes itself.
    #[serde(skip)]
    pub is_fresh: bool,
    /// Where it is not all of what was planned: what it is a part of.
    #[serde(skip)]
    pub part: Option<PlanPart>,
    /// The folder that scene files are relative to; empty when they are as given. No part of the digest.
    pub root: PathBuf,
    /// Folders where parts of mosaics may lie as well. No part of the digest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub homes: Vec<PathBuf>,
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
    /// Tiles that are planned.
    pub tiles: u64,
    /// Pixels of all scenes, in their tiles that are planned.
    pub pixels: u64,
    /// Pixels of the grids that their tiles are cut on.
    pub owned: u64,
    /// Pixels that the networks see, ring and padding included.
    pub network_pixels: u64,
}

impl PlanTotals {
    /// Share of the network's pixels that end in no mask, in percent.
    pub fn waste_percent(&self) -> f64 {
        if self.network_pixels == 0 {
            return 0.0;
        }
        100.0 * (1.0 - self.owned as f64 / self.network_pixels as f64)
    }
}

impl Plan {
    /// Where a scene's file is.
    pub fn path_of(&self, scene: usize) -> PathBuf {
        self.root.join(&self.scenes[scene].file)
    }

    /// Where all of a scene's files are.
    pub fn paths_of(&self, scene: usize) -> Vec<PathBuf> {
        paths_of(&self.root, &self.scenes[scene].file, &self.scenes[scene].files)
    }

    /// Whether a scene that is known by all bytes of its files has them still, wherever these come from. They are read to the end.
    pub(crate) fn has_content(&self, scene: usize) -> bool {
        let planned = self.scenes[scene].content.as_ref();
        planned.is_some_and(|planned| raster::content(self.sources_of(scene)).as_ref() == Ok(planned))
    }

    /// All files whose pixels a scene shows.
    pub fn sources_of(&self, scene: usize) -> Vec<PathBuf> {
        let Scene { file, parts, .. } = &self.scenes[scene];
        let base = base(&self.root, file);
        self.paths_of(scene).into_iter().chain(parts.iter().map(|part| base.join(part))).collect()
    }

    /// What may be opened to read the scenes.
    pub fn allowed(&self) -> Allowed {
        let files = self.scenes.iter().flat_map(|scene| scene.files.iter().chain([&scene.file]));
        Allowed::below(self.pipeline.reading.drivers, &self.root, files.map(PathBuf::as_path)).and_below(&self.homes)
    }

    /// Processes that a reader may need: one is for mosaics alone.
    pub fn decoders_each(&self) -> u64 {
        let is_mosaic = |scene: &Scene| scene.header.mosaic.is_some();
        let n_mosaics = self.scenes.iter().filter(|scene| is_mosaic(scene)).count();
        let has_both = n_mosaics > 0 && (n_mosaics < self.scenes.len() || self.area.is_some());
        if has_both { 2 } else { 1 }
    }

    /// Bytes that a decoder holds of the sources of a mosaic beside their blocks.
    pub fn mosaic_bytes(&self) -> u64 {
        self.scenes.iter().filter_map(|scene| scene.header.mosaic).map(|mosaic| mosaic.beside).max().unwrap_or(0)
    }

    /// The bands that are read from a scene, counted from 1, in the order of the plan's bands.
    pub fn bands_of(&self, scene: &Scene) -> Vec<u32> {
        let number = |band: &Band| match band {
            Band::Number(number) => Some(*number),
            Band::Name(_) | Band::File(_) => None,
        };
        if scene.chosen.is_empty() { self.bands.iter().filter_map(number).collect() } else { scene.chosen.clone() }
    }

    /// Asks for a window of a scene.
    pub fn request(&self, scene: usize, window: PixelRect) -> ReadRequest {
        let Scene { page, header, files, .. } = &self.scenes[scene];
        let request = header.request(self.path_of(scene), *page, window, self.bands_of(&self.scenes[scene]));
        let files = if files.is_empty() { Vec::new() } else { self.paths_of(scene) };
        ReadRequest { files, ..request }
    }

    /// What a scene is called where a person reads it: its file, and the page where one is named.
    pub fn label_of(&self, scene: usize) -> String {
        label(&self.path_of(scene), self.scenes[scene].page)
    }

    /// Tiles per forward pass, for crops of this size.
    pub fn batch(&self, crop: Size) -> u32 {
        batch_of(self.pipeline.batch, &self.batches, crop)
    }

    /// Sums over all scenes; of those that are cut, as far as they are here.
    pub fn totals(&self) -> PlanTotals {
        let mut totals = PlanTotals::default();
        for (idx, scene) in self.scenes.iter().enumerate() {
            let tiles = self.tiles_of(idx);
            let here = |whole: u64| {
                let share = u128::from(whole) * u128::from(tiles) / u128::from(scene.n_tiles().max(1));
                u64::try_from(share).unwrap_or(whole)
            };
            totals.tiles += tiles;
            totals.pixels += here(scene.own_pixels());
            totals.owned += here(scene.planned_pixels());
            totals.network_pixels += here(scene.network_pixels());
        }
        totals
    }

    /// Tiles of a scene that are planned here.
    pub fn tiles_of(&self, scene: usize) -> u64 {
        let is_cut = self.part.as_ref().is_some_and(|part| part.cut.contains(&scene));
        let of_unit = |unit: usize| self.units[unit].geometry(self).tiles.len() as u64;
        if is_cut { self.units_of(scene).map(of_unit).sum() } else { self.scenes[scene].n_tiles() }
    }

    /// The plan without scenes and units.
    pub(super) fn head(&self) -> Self {
        Self {
            format: self.format,
            versions: self.versions.clone(),
            backend: self.backend,
            device_class: self.device_class.clone(),
            intra_op_threads: self.intra_op_threads,
            profile: self.profile.clone(),
            batches: self.batches.clone(),
            pipeline: self.pipeline.clone(),
            members: self.members.clone(),
            passes: self.passes.clone(),
            dispensable: self.dispensable.clone(),
            planes: self.planes.clone(),
            bands: self.bands.clone(),
            area: self.area.clone(),
            hash_inputs: self.hash_inputs,
            is_fresh: self.is_fresh,
            part: self.part.clone(),
            root: self.root.clone(),
            homes: self.homes.clone(),
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
        let mut head = Self { root: PathBuf::new(), homes: Vec::new(), profile: None, ..self.head() };
        head.pipeline.checkpoints.clear();
        head.pipeline.data = Default::default();
        head.area = head.area.as_ref().map(Area::essence);
        let mut sha256 = Sha256::new();
        sha256.update(serde_json::to_vec(&head)?);
        self.scenes
            .iter()
            .try_for_each(|scene| serde_json::to_vec(&scene.essence()).map(|text| sha256.update(text)))?;
        self.units.iter().try_for_each(|unit| serde_json::to_vec(unit).map(|text| sha256.update(text)))?;
        Ok(crate::hex(&sha256.finalize()))
    }
}

/// GDAL's cache is never smaller than this.
const MIN_DECODER_CACHE: u64 = 16 << 20;

/// And never smaller where it writes: what GDAL reads to begin a file goes through it.
const MIN_OUTPUT_CACHE: u64 = 1 << 20;

impl Plan {
    /// Finds out what the largest of its parts take.
    pub(super) fn measure(&mut self) {
        let per_scene = |s: &Scene| batch_bytes(s, self.batch(s.grid.crop()), self.bands.len());
        let row_bytes = |part: &Part| {
            let scene = &self.scenes[part.scene as usize];
            let header = &scene.header;
            let per_pixel = self.bands.len() * header.dtype.bytes()
                + usize::from(header.mask == Mask::Dataset)
                + header.scratch_bytes();
            u64::from(scene.source(part.window).size.width) * per_pixel as u64
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
        let limits = DecoderLimits::reading(cache, self.maxima.row, self.maxima.block_row, timeout);
        limits.and_vectors(self.area.is_some()).and_mosaics(self.mosaic_bytes())
    }

    /// Bytes that a reader holds of the plan's area.
    pub(super) fn area_bytes(&self) -> u64 {
        self.area.as_ref().map_or(0, |area| area.bytes)
    }

    /// What is done to the label map of a scene.
    pub fn steps_of(&self, scene: &Scene) -> Steps {
        let Pipeline { post, .. } = &self.pipeline;
        Steps::new(post, self.pipeline.n_classes(), scene.header.size, &scene.islands)
    }

    /// Bytes that the post stage holds, all workers.
    pub fn post_bytes(&self, schedule: &Schedule) -> u64 {
        if self.pipeline.post.is_nothing() {
            return 0;
        }
        let n_planes = self.planes.len() as u64;
        // The other planes of a row wait for its labels, and with them the labels as they came. What lists rows grows by doubling.
        let beside = |s: &Scene| {
            let pixels = if n_planes > 1 { n_planes * u64::from(s.header.size.width) } else { 0 };
            (n_planes + 2) * size_of::<Vec<u8>>() as u64 + pixels
        };
        let held = |s: &Scene| {
            let steps = self.steps_of(s);
            steps.max_bytes() + steps.max_rows() * beside(s)
        };
        // While a row of tiles is changed it is there twice: as tiles and as rows.
        let copy = |s: &Scene| match s.resampling() {
            None => n_planes * u64::from(s.header.size.width) * u64::from(s.grid.y.longest()),
            // On the scene's own grid there may be more pixels than were credited: a piece in the worker's hands, those in the link behind
            // it, and one in the encoder's.
            Some(resampling) => n_planes * resampling.pixels_back() * (2 + LINK_CAPACITY as u64),
        };
        let copies = self.scenes.iter().map(copy).max().unwrap_or(0) * schedule.encoders as u64;
        self.of_open_scenes(schedule, held) + copies
    }

    /// What the scenes that can be open at a time hold, if each holds so much.
    fn of_open_scenes(&self, schedule: &Schedule, held: impl Fn(&Scene) -> u64) -> u64 {
        // A scene stays open while a unit of it is overtaken by units of later ones, which happens in readers and devices only: in all but
        // one of each. Beside these each worker has the scene at hand, and the last rows of one before it on their way to the encoder.
        let open = schedule.readers + schedule.devices.len() + 2 * schedule.encoders - 2;
        let mut held: Vec<u64> = self.scenes.iter().map(held).collect();
        held.sort_unstable_by_key(|bytes| std::cmp::Reverse(*bytes));
        held.iter().take(open.max(1)).sum()
    }

    /// Bytes that writers of files hold, all of them, without GDAL's cache.
    pub fn output_bytes(&self, schedule: &Schedule) -> u64 {
        let held = |s: &Scene| {
            let subject = s.subject(&self.pipeline);
            kinds_of(&self.pipeline).map(|kind| kind.held_bytes(&subject)).sum()
        };
        self.of_open_scenes(schedule, held)
    }

    /// GDAL's block cache of this process, which the writers share; `None` where GDAL writes nothing.
    pub fn output_cache(&self, schedule: &Schedule) -> Option<u64> {
        let of_scene = |s: &Scene| {
            let subject = s.subject(&self.pipeline);
            kinds_of(&self.pipeline).filter_map(|kind| kind.gdal_cache(&subject)).max()
        };
        let most = self.scenes.iter().filter_map(of_scene).max()?;
        Some((most * schedule.encoders as u64).max(MIN_OUTPUT_CACHE))
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
    /// making; where more than labels is wanted, probabilities and one in the making of these.
    pub fn up_sampled_bytes(&self) -> u64 {
        let padded = |scene: &Scene, m: &MemberPlan| m.member.spec.size_rule().padded(scene.grid.crop()).area();
        let sizes = self.scenes.iter().flat_map(|scene| self.members.iter().map(move |m| padded(scene, m)));
        let maps = if self.planes.len() > 1 { 5 } else { 3 };
        maps * 4 * self.pipeline.n_classes() as u64 * sizes.max().unwrap_or(0)
    }

    /// Bytes of every pass's logits of one tile of a scene.
    fn logits_bytes(&self, scene: &Scene) -> u64 {
        let of_pass = |pass: &Pass| {
            let spec = &self.members[pass.member].member.spec;
            spec.logit_size(spec.size_rule().padded(scene.grid.crop())).area() * u64::from(spec.classes) * 4
        };
        self.passes.iter().map(of_pass).sum()
    }

    /// Bytes that wait of one tile of a scene until those that it is blended with are there: logits, and which of its pixels are data.
    pub(super) fn blended_bytes(&self, scene: &Scene) -> u64 {
        let owned = u64::from(scene.grid.x.longest()) * u64::from(scene.grid.y.longest());
        let lacks = scene.header.can_lack_data() && self.pipeline.classes.nodata().is_some();
        self.logits_bytes(scene) + if lacks { owned } else { 0 }
    }

    /// Bytes of what comes back from a device for one batch: planes, and logits where they are kept or blended.
    pub fn returned_bytes(&self) -> u64 {
        let keeps = self.pipeline.checkpoints.contains(&Checkpoint::MemberLogits);
        let of_scene = |scene: &Scene| {
            let logits = if keeps || scene.grid.is_blended() { self.logits_bytes(scene) } else { 0 };
            let crop = scene.grid.crop();
            (crop.area() * self.planes.len() as u64 + logits) * u64::from(self.batch(crop))
        };
        self.scenes.iter().map(of_scene).max().unwrap_or(0)
    }

    /// Bytes that a worker keeps of batches that hold nothing which their file stores.
    pub(super) fn remembered_bytes(&self) -> u64 {
        let of_scene = |scene: &Scene| {
            let crop = scene.grid.crop();
            crop.area() * self.planes.len() as u64 * u64::from(self.batch(crop)) * REMEMBERED as u64
        };
        let may_be = |scene: &&Scene| scene.header.sparse && self.pipeline.classes.nodata().is_none();
        self.scenes.iter().filter(may_be).map(of_scene).max().unwrap_or(0)
    }

    /// Bytes of activations and logits on one device: members run one after the other, their logits stay until they are combined.
    pub fn activation_bytes(&self) -> u64 {
        let mut crops: Vec<Size> = self.scenes.iter().map(|s| s.grid.crop()).collect();
        crops.sort_unstable();
        crops.dedup();
        let torch = self.backend == BackendKind::Torch;
        let of_crop = |crop: &Size| {
            let batch = self.batch(*crop);
            let padded = |m: &MemberPlan| m.member.spec.size_rule().padded(*crop);
            let forward = |m: &MemberPlan| {
                let size = padded(m);
                let input = u64::from(m.member.spec.bands) * size.area() * 4 * u64::from(batch);
                input + if torch { m.member.spec.activation_bytes(batch, size) } else { 0 }
            };
            let logits = |m: &MemberPlan| {
                let stride = u64::from(m.member.spec.logit_stride());
                2 * padded(m).area() / (stride * stride) * u64::from(m.member.spec.classes) * 4 * u64::from(batch)
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
