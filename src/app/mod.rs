//! The commands: each takes a resolved request and does it, from the first look at a file to the exit status.
//!
//! One file per command; what they share stands beside. `run/` holds the machinery of a run: [`prepare()`] turns a request into a
//! [`Job`] (plan, schedule, promise), which `swath plan` prints and [`execute`] carries out:
//! [`wire`] joins the stages, the dispatcher follows them, and what they leave is packed and reported. A job may come from
//! elsewhere too: tests make theirs from scenes in memory.
//!
//! The only folder that knows every other one.

mod ablate;
pub mod bench;
mod clean;
mod data;
mod decoder;
mod doctor;
mod error;
mod eval;
mod forecast;
mod interrupt;
mod launch;
mod masks;
mod merge;
mod models;
mod mosaic;
#[cfg(feature = "torch")]
mod networks;
#[cfg(feature = "torch")]
mod output_drift;
mod page;
mod plan;
mod profiles;
mod pseudo;
mod replace;
mod report;
mod run;
mod select;
mod shard;
mod standing;
mod synth;
mod train;
mod tune;
mod viz;
mod weights;

pub use crate::journal::ledger::RECORDS_FOLDER;
pub use ablate::{AblateRequest, ablate};
pub use clean::{CleanRequest, Suspicion, clean_data};
pub use data::{DataRequest, split_data, survey_data, write_statistics};
pub use decoder::decoder;
pub use doctor::doctor;
pub use error::Error;
pub use eval::{EvalRequest, eval};
pub use forecast::Hardware;
pub use launch::{AwsBatch, EachJob, Engine, Kubernetes, LaunchRequest, Pace, Shards, Slurm, Submit, Volume, launch};
pub use masks::Truth;
pub use merge::{MergeRequest, merge};
pub use models::list_models;
pub use mosaic::{MosaicRequest, mosaic};
#[cfg(feature = "torch")]
pub use networks::{check_models, export_model, show_model, start_model};
#[cfg(feature = "torch")]
pub use output_drift::compress_measured;
pub use page::no_page;
pub use plan::{PlanOptions, plan};
pub use pseudo::{PseudoRequest, Sure, pseudo_label};
pub use replace::Output;
pub use report::{Reported, report};
pub use run::{
    Assign, Ended, Goal, Job, JobRequest, Merge, Origin, OtherMachine, PATIENCE, Part, PartialArchive, Parts, Reuse,
    RunOptions, Running, Saved, Sharing, StageName, TimeLimits, What, execute, prepare, run, schedule, wire,
    wire_tiles,
};
pub use select::{SelectRequest, select};
pub use shard::{ShardAmount, ShardRequest, shard};
pub use standing::{
    Standing, Verified, collect_garbage, collect_old_outputs, recorded_command, shared_status, status, training_status,
    verify,
};
pub use synth::{SynthRequest, synth};
pub use train::{FoldsTrained, Parts as TrainParts, TrainRequest, Trained};
#[cfg(feature = "torch")]
pub use train::{train, train_folds};
pub use tune::{TuneRequest, add_profile, list_profiles, save_profile, tune};
pub use viz::{Shown, VizRequest, viz};
pub use weights::{
    Amount, DriftRequest, ExportForm, Selection, Target, bundled_pipeline, compress_weights, convert_weights,
    diff_weights, inspect_weights, said_by,
};
