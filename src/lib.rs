//! swath turns a directory of remote-sensing rasters into land-cover masks with an ensemble of segmentation networks. This is its
//! architecture; `README.md` says how to use it, and names where the references lie.
//!
//! # Bird's eye
//!
//! ```text
//! scan -> plan -> read xR -> tile -> infer xD -> average -> stitch -> encode xE -> commit -> pack
//! ```
//!
//! [`plan`] decides *what* happens: every scene, tile, batch and forward pass, before anything runs, as data. [`app::wire()`] joins the
//! [`stages`] with bounded links and the [`flow`] kit runs them; they decide *when*. A scene's rows leave the moment they are whole,
//! so memory depends neither on the size of a scene nor on their number.
//!
//! The granule of all of it is the [`plan::Unit`]: a row of tiles of a large scene, or a group of small scenes of one shape. A unit is
//! read in one pass, its batches never mix with another's, and the bytes it holds are credited from a [`flow::Budget`] before it
//! is read and given back as it goes. Where tiles are blended ([`tiler::Blend`]), its logits wait for those of the row below, and its credit
//! with them.
//!
//! What runs the networks is behind two seams of [`infer`]. A *device* takes a batch with all that is known of it already and gives back
//! what the plan's tiles yield: named planes of bytes, the labels first. An *engine* below it runs one network and nothing else. Stored
//! logits, and those of members that other devices hold, go through the same sum as a device's own. There are two devices: on one the
//! host normalises and sums around an engine (a core's), on the other nothing leaves the device between raw pixels and planes (a GPU's).
//! Weights are read once for all devices, members side by side while the first one works already; workers on one device, or on cores,
//! share them, in the order that its kernels want them in.
//!
//! Several hosts do one plan without a scheduler of ours: a batch engine starts a run for each part of the plan ([`plan::ShardCut`]), all into one
//! directory, where each publishes what it has recorded ([`journal::ledger`]) and takes in what the others have. [`app::merge()`] is then an
//! ordinary run of the whole plan, with no network, over all of these records. `app/run/share.rs` is where the two differ from a run alone.
//!
//! A training is another long command on the same rooms: [`dataset`] draws crops by a key and reads them ahead, `train` takes steps, and
//! validation is a run over whole scenes. What it leaves is a weights file that holds its own pipeline ([`config::bundle`]).
//!
//! With libtorch, `swath` itself is only a launcher (`src/launcher.rs`): it finds libtorch and becomes `swath-torch`, the program proper.
//! Three kinds of processes, all this program. The one that a person starts only watches ([`lifecycle::supervise()`]): it starts the run
//! again when that dies. The run holds the models and the dataflow. Whatever parses a raster or a vector file sits in children of the run, one
//! per reader ([`raster::Isolated`]) and where an output shows scenes one per encoder, which answer over a socket and pass pixels through shared memory.
//! A mosaic names other files: such are read by children that the kernel confines to the input folder. `swath tune` starts the program once
//! more, to time how it starts.
//!
//! # Code map, in reading order
//!
//! | folder | what is there |
//! |---|---|
//! | [`geom`] | sizes, spans, rectangles, the map to the ground, two grids over the same of it |
//! | [`tiler`] | a scene's size in, its grid of tiles out: pure arithmetic |
//! | [`raster`] | scenes behind [`raster::RasterSource`]: GDAL, or in memory; the only place that parses what it does not trust |
//! | [`weights`] | weights files: formats, readers, writers, compression; which tensors a file must hold |
//! | [`tensor`] | tensors beside networks: the normaliser, conversion, CUDA's events and page-locked memory |
//! | [`zoo`] | the networks: facts as data, layers, backbones, models |
//! | [`config`] | pipeline files: as written, as checked, and inside weights files |
//! | [`journal`] | what a run directory remembers: the journal, stage results by key |
//! | [`plan`] | the selection of scenes, the plan, the schedule, the memory and the time it takes |
//! | [`dataset`] | images with masks: where they lie, what masks hold, counts, statistics, splits; crops to train on |
//! | [`flow`] | the generic kit: links, stages, graph, budget, stop signal, meters |
//! | [`infer`] | [`infer::Device`]: takes batches, gives planes; engines run the networks; the one weighted sum and argmax of a plan |
//! | [`post`] | what is done to a label map before it is written, row by row: classes joined, majorities, small holes and islands |
//! | `gis` | files that geographic information systems open: TIFFs and polygons through GDAL, and the texts beside rasters |
//! | [`outputs`] | what is written of each scene, one file per kind, row by row: masks, colour pictures, GeoTIFFs, polygons, probabilities, overlays |
//! | [`stages`] | one file per stage, the messages between them, and the board of what they share; the contract is in its documentation |
//! | [`package`] | submit.zip, checked against what is expected |
//! | [`report`] | everything that is printed, report.json and report.html, what is recorded of a training |
//! | `train` | a network in training, step by step: augmentation, losses, optimisers, averages, its state on disk |
//! | [`eval`] | scores of masks against true masks |
//! | [`synth`] | drawn sample scenes with true masks |
//! | [`lifecycle`] | a long command, whatever it works on: lock, signals, supervisor, deadline, the machine |
//! | [`app`] | the commands: request in, outcome out; wiring, run state |
//! | [`cli`] | arguments to requests, outcomes to exit codes |
//! | [`atomic`] | the one way to write a file; digests of files that have not changed since they were hashed |
//! | [`words`] | numbers, sizes, times, lists and paths as people say them, and words as shells read them |
//! | `parallel` | the same work on many items |
//! | `random` | numbers that look random and follow from a key |
//! | [`exit`] | exit codes |
//! | [`process`] | this program again as a child, and messages between the two |
//! | [`faults`] | faults on purpose, for tests through the command line |
//! | `python` | no Rust: the program as a Python wheel, whose module runs it as a child process |
//!
//! # Invariants
//!
//! `tests/it/arch.rs` checks those that can be seen in the text.
//!
//! - The arrows between folders are the table in that test; there is no cycle. `flow` names no domain type, `tiler` no tensor, and
//!   stages do not use each other.
//! - `tch` is known to `zoo`, `tensor`, `train` and `infer/torch` only, `ort` to `infer/onnx`, `gdal` to `raster/gdal` and `gis`, `tokio`
//!   to `lifecycle`, and so on. Without the features `torch`, `onnx` and `gdal` stubs with the same surface stand in, and everything else
//!   builds and is tested.
//! - Equal plans give equal bytes: for any number of workers and readers, any memory that suffices, any order of arrival, members together
//!   or spread over devices. So no run measures what to do: a plan goes by a profile that `swath tune` took before,
//!   and which its run directory keeps. And a plan has one sum, in its own order.
//! - A shard is a schedule and never a plan: keys of results and names of files are those of the whole plan, so any cut of it, on any number of
//!   hosts, leaves the same bytes. In a directory that runs share nothing is locked and no file changes; what is done is what the union of all
//!   valid records says, whoever wrote them and whenever.
//! - What a run gives up against its plan ([`plan::Concessions`]) is recorded before it takes effect, repeated by later runs of the plan,
//!   and part of the keys of what comes of it.
//! - A training that is put back where it was goes on bit for bit, on a CPU: places, augmentation and dropout are drawn by seed, step and
//!   sample, never by who came first. What it is put back to are whole generations whose values are all numbers.
//! - A scene has two grids over the same ground, its own and the networks' ([`plan::Scene::resampling()`]), equal unless a resolution is
//!   wanted that it has not. From `read` up to `stitch`, and in checkpoints, everything is on the second, before and behind on the first.
//!   A resampled pixel depends on those it is made of and its place in the whole grid, never on the window.
//! - A crop to train on follows from seed, step, its place in the batch and the labels of all scenes; neither who reads nor what is kept in
//!   memory changes it.
//! - Every link is bounded; work enters in order and only with credit. What has entered can always leave.
//! - A scene that fails costs itself: its parts travel on as blanks, so that every count stays exact. Only what makes all further work
//!   pointless ends a run.
//! - A file has its final name only when it is complete and synced. `commit` alone gives final names to scenes' files.
//! - A non-finite logit is never argmaxed, weights fit exactly or are refused, and a mask holds the class table's values only.
//! - Files are data. A TorchScript program alone runs, and only under the digest that the pipeline names for it; an ONNX model is made of
//!   operators that ONNX Runtime brings along, and no library with others is loaded. A file opens no other, but a mosaic that the pipeline
//!   allows: in a process that can open its sources and nothing else.
//! - Nothing outside `report` prints, but the launcher, which runs before this library can be loaded.
//! - `unsafe` code is in eight files: `tensor/cuda.rs` opens libtorch's CUDA library, sets its switch for TF32 and asks the driver about GPUs,
//!   `tensor/timeline.rs` calls the CUDA runtime for events, `tensor/staging.rs` writes into page-locked tensors, `zoo/layers/onednn.rs`
//!   calls a function of libtorch that tch lacks, `raster/gdal/color.rs` asks GDAL for a colour that its crate may not
//!   know, `raster/gdal/fence.rs` closes GDAL's virtual file systems, `gis/disk.rs` hands GDAL the files that it writes, and `process/leave.rs` ends a process whose threads do not come back.

pub mod app;
pub mod atomic;
pub mod cli;
pub mod config;
pub mod dataset;
pub mod eval;
pub mod exit;
pub mod faults;
pub mod flow;
pub mod geom;
mod gis;
pub mod infer;
pub mod journal;
pub mod lifecycle;
pub mod outputs;
pub mod package;
mod parallel;
pub mod plan;
pub mod post;
pub mod process;
mod random;
pub mod raster;
pub mod report;
pub mod stages;
pub mod synth;
pub mod tensor;
pub mod tiler;
#[cfg(feature = "torch")]
pub mod train;
pub mod weights;
pub mod words;
pub mod zoo;

/// Bytes as lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
