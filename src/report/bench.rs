//! `swath bench`: figures with the machine that they are of, as a table and as a document.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::StageLine;
use super::models::table;
use crate::words::format_bytes;

/// What was measured, and where.
#[derive(Debug, Serialize, Deserialize)]
pub struct BenchReport<R> {
    /// The kind of measurement: the command's second word.
    pub bench: String,
    /// Where it was taken, and by which versions.
    pub machine: BenchMachine,
    /// What was measured.
    #[serde(flatten)]
    pub result: R,
}

/// What figures depend on beside the command.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BenchMachine {
    /// What the processor calls itself.
    pub cpu: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// GPUs that libtorch can use.
    pub gpus: Vec<String>,
    /// Bytes of memory that each of them has.
    #[serde(default)]
    pub gpu_memory: Vec<u64>,
    /// Version of swath.
    pub swath: String,
    /// The commit that it was built from, where the build knew it.
    pub commit: Option<String>,
    /// Version, where the build has it.
    pub libtorch: Option<String>,
    /// Version, where the build has it.
    pub gdal: Option<String>,
    /// When it was taken, in UTC (RFC 3339).
    pub taken: String,
}

/// Figures that can be shown as a table.
pub trait Figures {
    /// The table, with what it needs to be understood.
    fn text(&self) -> String;
}

impl<R: Figures> BenchReport<R> {
    /// The table, and a line about the machine.
    pub fn text(&self) -> String {
        format!("{}\n{}\n", self.result.text(), self.machine.line())
    }
}

impl BenchMachine {
    fn line(&self) -> String {
        let Self { cpu, cores, gpus, swath, commit, libtorch, gdal, taken, .. } = self;
        let commit = commit.as_ref().map(|commit| format!(" ({commit})")).unwrap_or_default();
        let version = |name: &str, version: &Option<String>| {
            // GDAL says its name itself.
            let named = |version: &String| {
                if version.starts_with(name) { version.clone() } else { format!("{name} {version}") }
            };
            version.as_ref().map_or_else(|| format!("no {name}"), named)
        };
        let cores = crate::words::count(*cores as u64, "core");
        let machine = [&[format!("{cpu} ({cores})")], gpus.as_slice()].concat().join(", ");
        let (libtorch, gdal) = (version("libtorch", libtorch), version("GDAL", gdal));
        format!("{machine}; swath {swath}{commit}, {libtorch}, {gdal}; {taken}")
    }
}

/// A figure, or a dash where there is none.
pub(super) fn figure(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

/// Shares in percent, a list.
pub(super) fn shares(shares: &[f64]) -> String {
    let percent = |share: &f64| format!("{:.1} %", share * 100.0);
    if shares.is_empty() { "-".to_owned() } else { shares.iter().map(percent).collect::<Vec<_>>().join(", ") }
}

/// Rows under their names.
pub(super) fn tabled<const N: usize>(names: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    table(&std::iter::once(names.map(str::to_owned)).chain(rows).collect::<Vec<_>>())
}

/// How fast forward passes are.
#[derive(Debug, Serialize, Deserialize)]
pub struct ForwardFigures {
    /// What runs the networks: "torch", or "fake" for the stand-in, whose figures say nothing about networks.
    pub backend: String,
    /// Side of the square crops, in pixels.
    pub side: u32,
    /// Passes that were not counted, before each row.
    pub warm_ups: usize,
    /// Passes of each row.
    pub repeats: usize,
    /// Per device and precision: FLOP per second of a product of two large matrices, in the same run.
    pub matmul: Vec<MatmulRate>,
    /// One row per device, member, precision and batch.
    pub rows: Vec<ForwardRow>,
}

/// How fast a device multiplies matrices.
#[derive(Debug, Serialize, Deserialize)]
pub struct MatmulRate {
    /// The device.
    pub device: String,
    /// Arithmetic.
    pub precision: String,
    /// 10^12 floating-point operations per second.
    pub tflops: f64,
}

/// A network's forward passes in one precision with one batch.
#[derive(Debug, Serialize, Deserialize)]
pub struct ForwardRow {
    /// The device.
    pub device: String,
    /// The pipeline's member, or the network.
    pub member: String,
    /// Its network.
    #[serde(default)]
    pub network: String,
    /// Arithmetic.
    pub precision: String,
    /// The kernels that the network is prepared for.
    pub kernels: String,
    /// Crops per pass.
    pub batch: u32,
    /// Milliseconds per crop as the device tells: the median of the passes. None where it failed.
    pub ms: Option<f64>,
    /// The fastest of them.
    pub ms_min: Option<f64>,
    /// Milliseconds of the clock per crop, with as many batches in flight as a run has.
    pub ms_wall: Option<f64>,
    /// 10^12 floating-point operations per second: two per multiply-accumulate of the network, in the median time.
    pub tflops: Option<f64>,
    /// That rate by the device's rate for matrix products in the same precision.
    pub r: Option<f64>,
    /// The most memory that was held up to here: of a GPU beyond what was taken before the first row, otherwise of this process.
    pub peak_bytes: u64,
    /// Share of pixels that have the label that f32 gives them on the same device.
    pub agreement: Option<f64>,
    /// Crops that ran again in f32, because their logits were not finite.
    pub reruns: u64,
    /// Why there are no figures.
    pub failure: Option<String>,
}

impl Figures for ForwardFigures {
    fn text(&self) -> String {
        let names = [
            "device",
            "member",
            "precision",
            "kernels",
            "batch",
            "ms/crop",
            "min",
            "wall",
            "TFLOP/s",
            "R",
            "peak memory",
            "as f32",
        ];
        let row = |row: &ForwardRow| {
            let agreement = row.agreement.map_or_else(|| "-".to_owned(), |share| format!("{:.3} %", share * 100.0));
            [
                row.device.clone(),
                row.member.clone(),
                row.precision.clone(),
                row.kernels.clone(),
                row.batch.to_string(),
                figure(row.ms, 3),
                figure(row.ms_min, 3),
                figure(row.ms_wall, 3),
                figure(row.tflops, 2),
                figure(row.r, 3),
                format_bytes(row.peak_bytes),
                agreement,
            ]
        };
        let mut text = tabled(names, self.rows.iter().map(row));
        let Self { side, warm_ups, repeats, .. } = self;
        text +=
            &format!("\ncrops of {side} x {side}, {repeats} passes after {warm_ups} for warming up; 2 FLOP per MAC\n");
        for MatmulRate { device, precision, tflops } in &self.matmul {
            text += &format!("matrix products on {device} in {precision}: {tflops:.2} TFLOP/s\n");
        }
        for row in self.rows.iter().filter(|row| row.reruns > 0) {
            text += &format!("{}, batch {}: {} crops ran again in f32\n", row.member, row.batch, row.reruns);
        }
        for (row, why) in self.rows.iter().filter_map(|row| Some((row, row.failure.as_ref()?))) {
            text += &format!("{}, {}, batch {}: {why}\n", row.member, row.precision, row.batch);
        }
        if self.backend == "fake" {
            text += "the networks are fake: the figures are those of a stand-in\n";
        }
        text
    }
}

/// How fast a whole run is, and where its time goes.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct RunFigures {
    /// What ran the networks: "torch", "fake" for a stand-in, "null" for nothing at all.
    pub backend: String,
    /// The devices, one worker each.
    pub devices: Vec<String>,
    /// Scenes that have a mask.
    pub scenes: u64,
    /// Scenes that failed.
    pub failed: u64,
    /// Pixels of the finished scenes.
    pub pixels: u64,
    /// Pixels that networks saw, or would have.
    pub network_pixels: u64,
    /// Wall clock of the dataflow.
    pub seconds: f64,
    /// Million pixels of finished scenes per second.
    pub mpx_per_second: f64,
    /// Million pixels per second through the networks, ring and padding included.
    pub network_mpx_per_second: f64,
    /// Seconds from the start of the run to each step of its beginning.
    pub start_up: StartUp,
    /// Share of the devices' time in forward passes.
    pub device_busy: f64,
    /// The rest, device by device; workers that wait for each other on one GPU count as at work.
    #[serde(default)]
    pub device_idle: Vec<f64>,
    /// Seconds of the dataflow until the first forward pass began.
    #[serde(default)]
    pub idle_before: f64,
    /// Seconds of it behind the last one.
    #[serde(default)]
    pub idle_behind: f64,
    /// What each forward pass took of the devices.
    #[serde(default)]
    pub passes: Vec<PassFigures>,
    /// SHA-256 over names and digests of all files that were written: runs that agree to the byte have the same.
    #[serde(default)]
    pub outputs: String,
    /// Bytes that were moved per pixel of a finished scene, by what they are.
    pub bytes_per_pixel: BTreeMap<String, f64>,
    /// The most that this process and its decoders had resident.
    pub peak_bytes: u64,
    /// Bytes that the plan promised to stay within.
    pub reserved_bytes: u64,
    /// Processor time of this process, in seconds.
    pub cpu_seconds: f64,
    /// Processor time of the processes that decode.
    pub decoder_cpu_seconds: f64,
    /// What each stage did with its time.
    pub stages: Vec<StageFigures>,
    /// The stage whose threads have least time left.
    pub bottleneck: Option<String>,
    /// Of the stages that have one thread whatever the schedule, the one that could do least, and how many million pixels per second: what
    /// limits where there are cores enough.
    pub thread_limit: Option<ThreadLimit>,
}

/// One of the plan's forward passes, over all tiles.
#[derive(Debug, Serialize, Deserialize)]
pub struct PassFigures {
    /// The member.
    pub member: String,
    /// Its network.
    pub network: String,
    /// The view.
    pub view: String,
    /// Arithmetic.
    pub precision: String,
    /// Pixels that it saw, ring and padding included.
    pub network_pixels: u64,
    /// Seconds that it took, all devices together.
    pub seconds: f64,
}

/// What a stage of one thread could do.
#[derive(Debug, Serialize, Deserialize)]
pub struct ThreadLimit {
    /// The stage.
    pub stage: String,
    /// Million pixels of scenes per second of processor time.
    pub mpx_per_second: f64,
}

/// Seconds since the run began.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct StartUp {
    /// From the start of the process to that of the command: libraries are loaded. It is not in the others.
    pub loaded: f64,
    /// The plan is made.
    pub planned: f64,
    /// Devices are open, with the weights of the first member; others may be on their way.
    pub opened: Option<f64>,
    /// The first tile has labels.
    pub first_labels: Option<f64>,
}

/// A stage of a run.
#[derive(Debug, Serialize, Deserialize)]
pub struct StageFigures {
    /// Its share of time at work and waiting.
    #[serde(flatten)]
    pub line: StageLine,
    /// Million pixels of scenes per second that one of its threads could do, if it had a core to itself and never waited; none where it
    /// took too little time to tell. A reader's child process, which decodes, is not in it.
    pub mpx_per_thread: Option<f64>,
}

impl Figures for RunFigures {
    fn text(&self) -> String {
        let scenes = crate::words::count(self.scenes, "scene");
        let failed = if self.failed > 0 { format!(" ({} failed)", self.failed) } else { String::new() };
        let (megapixels, seconds, speed) = (self.pixels as f64 / 1e6, self.seconds, self.mpx_per_second);
        let mut text = format!(
            "{scenes}{failed}, {megapixels:.1} Mpx in {seconds:.2} s: {speed:.2} Mpx/s, {:.2} Mpx/s through the networks\n",
            self.network_mpx_per_second
        );
        let StartUp { loaded, planned, opened, first_labels } = self.start_up;
        let at = |seconds: Option<f64>| figure(seconds, 2);
        text += &format!(
            "start-up    loaded in {loaded:.2} s; then planned at {planned:.2} s, devices open at {} s, first labels at {} s\n",
            at(opened),
            at(first_labels)
        );
        text += &format!(
            "devices     {} {}, busy {:.1} %, idle {} (until the first pass {:.2} s, behind the last {:.2} s)\n",
            self.backend,
            self.devices.join(","),
            self.device_busy * 100.0,
            shares(&self.device_idle),
            self.idle_before,
            self.idle_behind
        );
        let (peak, reserved) = (format_bytes(self.peak_bytes), format_bytes(self.reserved_bytes));
        let (cpu, decoders) = (self.cpu_seconds, self.decoder_cpu_seconds);
        text += &format!(
            "used        {peak} at most, {reserved} reserved; {cpu:.1} s of processor time and {decoders:.1} s in decoders\n"
        );
        if !self.bytes_per_pixel.is_empty() {
            let each = self.bytes_per_pixel.iter().map(|(what, bytes)| format!("{what} {bytes:.2}"));
            text += &format!("bytes/pixel {}\n", each.collect::<Vec<_>>().join(", "));
        }
        let names = ["stage", "threads", "items", "busy", "waits for input", "for output", "CPU s", "Mpx/s per thread"];
        let row = |StageFigures { line, mpx_per_thread }: &StageFigures| {
            let percent = |percent: f64| format!("{percent:.1} %");
            [
                line.name.clone(),
                line.workers.to_string(),
                line.items.to_string(),
                percent(line.busy_percent),
                percent(line.wait_in_percent),
                percent(line.wait_out_percent),
                format!("{:.2}", line.cpu_seconds),
                figure(*mpx_per_thread, 0),
            ]
        };
        text += &format!("\n{}", tabled(names, self.stages.iter().map(row)));
        if let Some(stage) = &self.bottleneck {
            text += &format!("the busiest stage is {stage}\n");
        }
        if let Some(ThreadLimit { stage, mpx_per_second }) = &self.thread_limit {
            text += &format!("with cores enough the thread of {stage} limits first, at {mpx_per_second:.0} Mpx/s\n");
        }
        text
    }
}

/// Whole runs, alike but for the number of devices.
#[derive(Debug, Serialize)]
pub struct ScalingFigures {
    /// What ran the networks.
    pub backend: String,
    /// Whether all runs wrote the same files, byte for byte.
    pub equal_outputs: bool,
    /// One row per number of devices, ascending.
    pub rows: Vec<ScalingRow>,
}

/// One of the runs.
#[derive(Debug, Serialize)]
pub struct ScalingRow {
    /// The devices, one worker each.
    pub devices: Vec<String>,
    /// Wall clock of the dataflow.
    pub seconds: f64,
    /// What the first run took by what this one took.
    pub ratio: f64,
    /// The most that could be: the same with a host that takes no time. What is missing to the number of devices are batches that
    /// do not come out even.
    pub ratio_at_best: f64,
    /// What the first run's figures predict for this one.
    pub predicted_seconds: f64,
    /// How far that is off, by what it took.
    pub error: f64,
    /// Share of its time that each device was idle.
    pub device_idle: Vec<f64>,
    /// The same as predicted.
    pub predicted_idle: Vec<f64>,
}

impl Figures for ScalingFigures {
    fn text(&self) -> String {
        let names = ["devices", "seconds", "ratio", "at best", "predicted", "error", "idle"];
        let row = |row: &ScalingRow| {
            [
                row.devices.join(","),
                format!("{:.2}", row.seconds),
                format!("{:.3}", row.ratio),
                format!("{:.3}", row.ratio_at_best),
                format!("{:.2}", row.predicted_seconds),
                format!("{:+.1} %", row.error * 100.0),
                shares(&row.device_idle),
            ]
        };
        let files = if self.equal_outputs { "all wrote the same files" } else { "their files DIFFER" };
        format!("{}\n{}; {files}\n", tabled(names, self.rows.iter().map(row)), self.backend)
    }
}

/// How fast files are decoded.
#[derive(Debug, Serialize)]
pub struct DecodeFigures {
    /// Times that each file was read; the fastest counts.
    pub repeats: usize,
    /// One row per file and place.
    pub rows: Vec<DecodeRow>,
}

/// A file read whole, on one thread.
#[derive(Debug, Serialize)]
pub struct DecodeRow {
    /// The file, or what kind of drawn scene it is.
    pub file: String,
    /// Where it is decoded: "in-process", or "isolated".
    pub decode: &'static str,
    /// Pixels of the file.
    pub pixels: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Bytes of its pixels, decoded.
    pub pixel_bytes: u64,
    /// Million pixels per second of the clock.
    pub mpx_per_second: f64,
    /// Million pixels per second of processor time, the decoder's own process included.
    pub mpx_per_core_second: f64,
}

impl Figures for DecodeFigures {
    fn text(&self) -> String {
        let names = ["file", "decoded", "MB file", "MB pixels", "Mpx/s", "Mpx/s per core"];
        let megabytes = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
        let row = |row: &DecodeRow| {
            [
                row.file.clone(),
                row.decode.to_owned(),
                megabytes(row.file_bytes),
                megabytes(row.pixel_bytes),
                format!("{:.1}", row.mpx_per_second),
                format!("{:.1}", row.mpx_per_core_second),
            ]
        };
        format!("{}\none reader, the fastest of {}\n", tabled(names, self.rows.iter().map(row)), self.repeats)
    }
}

/// Masks as PNG, in memory.
#[derive(Debug, Serialize)]
pub struct EncodeFigures {
    /// Side of the square masks, in pixels.
    pub side: u32,
    /// Times that each was encoded; the fastest counts.
    pub repeats: usize,
    /// One row per mask and setting.
    pub rows: Vec<EncodeRow>,
}

/// A mask with one setting.
#[derive(Debug, Serialize)]
pub struct EncodeRow {
    /// What the mask is like.
    pub mask: &'static str,
    /// Compression and filter.
    pub setting: &'static str,
    /// Whether runs use it.
    pub used: bool,
    /// Million pixels per second of one core.
    pub mpx_per_second: f64,
    /// Bytes of the PNG.
    pub bytes: u64,
}

impl Figures for EncodeFigures {
    fn text(&self) -> String {
        let names = ["mask", "setting", "Mpx/s", "bytes", "bits/pixel", ""];
        let row = |row: &EncodeRow| {
            let bits = row.bytes as f64 * 8.0 / (f64::from(self.side) * f64::from(self.side));
            [
                row.mask.to_owned(),
                row.setting.to_owned(),
                format!("{:.0}", row.mpx_per_second),
                row.bytes.to_string(),
                format!("{bits:.4}"),
                if row.used { "<- runs".to_owned() } else { String::new() },
            ]
        };
        let (side, repeats) = (self.side, self.repeats);
        format!(
            "{}\nmasks of {side} x {side}, one core, the fastest of {repeats}\n",
            tabled(names, self.rows.iter().map(row))
        )
    }
}

/// Crops to train on, without a network.
#[derive(Debug, Serialize)]
pub struct SamplesFigures {
    /// Pairs that crops were taken from.
    pub pairs: usize,
    /// Pairs that are no use, and why.
    pub refused: Vec<String>,
    /// What it took to look through the masks.
    pub index_seconds: f64,
    /// Side of the square crops, in pixels.
    pub side: u32,
    /// Crops of a step.
    pub batch: u32,
    /// Threads that read.
    pub readers: usize,
    /// Whether the first two rows had the same crops, value by value.
    pub same_crops: bool,
    /// One row for each way to keep scenes.
    pub rows: Vec<SampleRow>,
}

/// As many crops, one after the other.
#[derive(Debug, Serialize)]
pub struct SampleRow {
    /// What is kept of scenes.
    pub kept: &'static str,
    /// Crops that were taken.
    pub samples: u64,
    /// Seconds until the last of them was there.
    pub seconds: f64,
    /// Crops per second.
    pub samples_per_second: f64,
    /// How long whoever takes them waited.
    pub waited_seconds: f64,
}

impl Figures for SamplesFigures {
    fn text(&self) -> String {
        let row = |row: &SampleRow| {
            let SampleRow { kept, samples, seconds, samples_per_second, waited_seconds } = row;
            let [seconds, waited] = [seconds, waited_seconds].map(|seconds| format!("{seconds:.2}"));
            [(*kept).to_owned(), samples.to_string(), seconds, format!("{samples_per_second:.1}"), waited]
        };
        let Self { pairs, side, batch, readers, index_seconds, .. } = self;
        let mut text = tabled(["kept", "crops", "seconds", "crops/s", "waited, s"], self.rows.iter().map(row));
        for refused in &self.refused {
            text += &format!("\nrefused  {refused}");
        }
        let same = if self.same_crops { "the same crops" } else { "crops that DIFFER" };
        let (pairs, readers) =
            (crate::words::count(*pairs as u64, "pair"), crate::words::count(*readers as u64, "reader"));
        format!(
            "{text}\ncrops of {side} x {side} from {pairs}, {batch} a step, {readers}; the masks took {index_seconds:.2} s; what is kept \
             gave {same}\n"
        )
    }
}
