//! The commands: each takes a resolved request and does it, from the first look at a file to the exit status.
//!
//! One file per command; what they share stands beside. `run/` holds the machinery of a run: [`prepare()`] turns a request into a
//! [`Job`] (plan, schedule, promise), which `swath plan` prints and [`execute`] carries out:
//! [`wire`] joins the stages, the dispatcher follows them, and what they leave is packed and reported. A job may come from
//! elsewhere too: tests make theirs from scenes in memory.
//!
//! The only folder that knows every other one, and the only one with tokio (signals).

mod clock;
#[cfg(feature = "torch")]
mod damage;
mod decoder;
mod doctor;
mod error;
mod eval;
mod guard;
mod lock;
mod machine;
mod models;
mod plan;
mod replace;
mod run;
mod signals;
mod standing;
mod supervisor;
mod synth;
mod weights;

pub use clock::{Clock, OUT_OF_TIME};
pub use decoder::decoder;
pub use doctor::doctor;
pub use error::Error;
pub use eval::{EvalRequest, eval};
pub use guard::{Guard, Orders};
pub use models::{check_models, list_models, show_model};
pub use plan::{PlanOptions, plan};
pub use replace::Output;
pub use run::{
    Ended, Goal, Job, JobRequest, PartialArchive, Parts, RunOptions, Running, StageName, execute, prepare, run,
    schedule, wire, wire_tiles,
};
pub use standing::{Standing, Verified, collect_garbage, collect_old_outputs, recorded_command, status, verify};
pub use supervisor::{SUPERVISED, restart_code, supervise};
pub use synth::{SynthRequest, synth};
pub use weights::{
    Amount, DamageRequest, ExportForm, Selection, Target, compress_weights, convert_weights, diff_weights,
    export_model, inspect_weights, start_model,
};
