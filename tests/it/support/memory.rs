//! Jobs over scenes in memory: the whole dataflow without GDAL and libtorch.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use swath::app::{Ended, Error, Job, PartialArchive, RunOptions, execute};
use swath::config::{Pipeline, Precision, Weights};
use swath::geom::Size;
use swath::plan::{
    Assignment, BackendKind, Decode, DeviceId, MemberPlan, Planned, Planner, Promise, Scanned, ScannedScene, Schedule,
};
use swath::raster::{MemoryRaster, MemorySource};

/// A job in the making.
pub(crate) struct Flow {
    pub(crate) pipeline: String,
    pub(crate) scenes: Vec<(String, MemoryRaster)>,
    pub(crate) devices: usize,
    /// Devices by name, instead of a number of CPUs.
    pub(crate) gpus: Vec<DeviceId>,
    /// Which device holds which members, if not each holds all.
    pub(crate) matrix: Option<Vec<Vec<bool>>>,
    pub(crate) readers: usize,
    pub(crate) memory: u64,
    pub(crate) partial: PartialArchive,
}

impl Flow {
    pub(crate) fn new(pipeline: &str, scenes: Vec<(String, MemoryRaster)>) -> Self {
        let pipeline = pipeline.to_owned();
        let (gpus, matrix) = (Vec::new(), None);
        Self {
            pipeline,
            scenes,
            devices: 1,
            gpus,
            matrix,
            readers: 1,
            memory: 64 << 20,
            partial: PartialArchive::Withhold,
        }
    }

    fn schedule(&self, n_members: usize) -> Schedule {
        let devices = match self.gpus.as_slice() {
            [] => vec![DeviceId::Cpu; self.devices],
            gpus => gpus.to_vec(),
        };
        let matrix = self.matrix.clone().map(|matrix| Assignment::from_matrix(matrix).unwrap());
        Schedule {
            assignment: matrix.unwrap_or_else(|| Assignment::replicate(devices.len(), n_members)),
            devices,
            readers: self.readers,
            encoders: 2,
            memory: self.memory,
            decode: Decode::InProcess,
        }
    }

    /// The plan and what reads its scenes.
    pub(crate) fn plan(&self) -> Result<(Planned, MemorySource), Error> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pipeline.toml");
        std::fs::write(&file, &self.pipeline).unwrap();
        let pipeline = Pipeline::load(&file, &[])?;
        let path = |name: &str| PathBuf::from(format!("{name}.tif"));
        let source = MemorySource::new(self.scenes.iter().map(|(name, raster)| (path(name), raster.clone())));
        let members = pipeline.members.iter().map(|member| {
            let Weights::Seed(seed) = &member.weights else { panic!("tests have seeded members") };
            MemberPlan {
                member: member.clone(),
                digest: format!("seed {seed}"),
                resolved_precision: Precision::F32,
                resolved_kernels: member.kernels,
                program_bytes: 0,
            }
        });
        let planner = Planner {
            members: members.collect(),
            backend: BackendKind::Fake,
            device_class: "cpu".into(),
            profile: None,
            versions: Vec::new(),
            source: &source,
            hashing: &|_, _| {},
            pipeline: pipeline.clone(),
        };
        let scenes = self.scenes.iter().map(|(name, _)| ScannedScene {
            name: name.clone(),
            file: path(name),
            files: Vec::new(),
            page: None,
        });
        let scanned = Scanned { scenes: scenes.collect(), ..Scanned::default() };
        let planned = planner.plan(scanned, &self.schedule(pipeline.members.len()))?;
        Ok((planned, source))
    }

    /// Plans and runs into `out`.
    pub(crate) fn run(&self, out: &Path) -> Result<Ended, Error> {
        self.run_with(RunOptions { partial: self.partial, ..RunOptions::into(out) })
    }

    /// Plans and runs.
    pub(crate) fn run_with(&self, options: RunOptions) -> Result<Ended, Error> {
        let (planned, source) = self.plan()?;
        let schedule = self.schedule(planned.plan.members.len());
        execute(job(planned, schedule, source), &RunOptions { pack_fake: true, ..options })
    }
}

/// A plan to be carried out under a schedule.
pub(crate) fn job(planned: Planned, schedule: Schedule, source: MemorySource) -> Job {
    let promise = Promise::new(&planned.plan, &schedule);
    Job { planned, schedule, promise, source: Arc::new(source), warnings: Vec::new(), is_elsewhere: false }
}

/// A pipeline with this tiler and these members over `n_classes` classes whose values are their ids.
pub(crate) fn pipeline(tiler: &str, members: &str, n_classes: u8, nodata: Option<u8>) -> String {
    let mut text = format!(
        "[input]\nbands = [1]\ndivide = {{ u8 = 1, u16 = 1, i16 = 1, f32 = 1 }}\nmean = [3.0]\nstd = [2.0]\n\
         [tiler]\n{tiler}\n{members}\n[outputs]\ncolor = true\n"
    );
    if let Some(value) = nodata {
        text += &format!("[nodata]\nvalue = {value}\n");
    }
    for id in 0..n_classes {
        text += &format!("[[classes]]\nid = {id}\nname = \"c{id}\"\nvalue = {id}\ncolor = \"#{id:02x}2030\"\n");
    }
    text
}

pub(crate) const IDENTITY: &str = "[[members]]\nnetwork = \"identity\"\n";

/// Two fake DeepLabs of unequal weight.
pub(crate) const TWO: &str = "[[members]]\nnetwork = \"deeplabv3plus\"\nbackbone = \"resnet18\"\nseed = 1\n\
                              [[members]]\nnetwork = \"deeplabv3plus\"\nbackbone = \"resnet34\"\nseed = 2\nweight = 0.5\n";

/// Values below `n_values` that look random and depend on the place.
pub(crate) fn values(size: Size, n_values: u8, seed: u32) -> Vec<u8> {
    let n = u32::try_from(size.len()).unwrap();
    let hash = |i: u32| (i ^ seed.wrapping_mul(0x9e37)).wrapping_mul(2_654_435_761) >> 16;
    (0..n).map(|i| u8::try_from(hash(i) % u32::from(n_values)).unwrap()).collect()
}

/// A one-band scene of such values.
pub(crate) fn scene(size: Size, n_values: u8, seed: u32) -> MemoryRaster {
    MemoryRaster::u8(size, 1, &values(size, n_values, seed))
}
