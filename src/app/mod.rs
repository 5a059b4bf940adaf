//! The commands: each takes a resolved request and does it, from the first look at a file to the exit status.
//!
//! [`prepare()`] turns a request into a [`Job`] (plan, schedule, promise), which `swath plan` prints and [`execute`] carries out:
//! [`wire`] joins the stages, the dispatcher follows them, and what they leave is packed and reported. A job may come from
//! elsewhere too: tests make theirs from scenes in memory.
//!
//! The only folder that knows every other one, and the only one with tokio (signals).

mod clock;
#[cfg(feature = "torch")]
mod damage;
mod deadline;
mod decoder;
mod devices;
mod disk;
mod doctor;
mod error;
mod eval;
mod execute;
mod guard;
mod lock;
mod machine;
mod models;
mod outlook;
mod outputs;
mod plan;
mod preconditions;
mod prepare;
mod record;
mod replace;
mod resume;
mod run;
mod signals;
mod standing;
mod supervisor;
mod synth;
mod throughput;
mod weights;
mod wire;

pub use clock::{Clock, OUT_OF_TIME};
pub use decoder::decoder;
pub use doctor::doctor;
pub use error::Error;
pub use eval::{EvalRequest, eval};
pub use execute::{Ended, Partial, RunOptions, execute};
pub use guard::{Guard, Orders};
pub use models::{check_models, list_models, show_model};
pub use plan::{PlanOptions, plan};
pub use prepare::{Job, JobRequest, prepare, schedule};
pub use replace::Output;
pub use resume::StageName;
pub use run::run;
pub use standing::{Standing, Verified, collect_garbage, collect_old_outputs, recorded_command, status, verify};
pub use supervisor::{SUPERVISED, restart_code, supervise};
pub use synth::{SynthRequest, synth};
pub use weights::{
    Amount, DamageRequest, ExportForm, Selection, Target, compress_weights, convert_weights, diff_weights,
    export_model, inspect_weights, start_model,
};
pub use wire::{Extent, Parts, Running, wire, wire_tiles};
