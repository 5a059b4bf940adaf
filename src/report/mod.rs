//! What a person sees of a run, and the same as JSON: the only folder that prints.
//!
//! It takes plain values and knows nothing of stages or plans. A dead terminal or a closed pipe never stops a run: what cannot be
//! printed while it works is dropped. A command's answer that cannot be printed is an error.

mod diagnosis;
mod document;
mod models;
mod plan;
mod print;
mod standing;
mod summary;
mod watch;
mod weights;

pub use diagnosis::Diagnosis;
pub use document::{
    BudgetReport, ConcededScene, DeadlineReport, DeadlineStep, FailedScene, OutputFile, PackageReport, REPORT_FORMAT,
    RunReport, RunState, StageLine, Totals,
};
pub use models::{CheckRow, LayerRow, ModelList, ModelRow, ModelSheet, PresetRow};
pub use plan::{PlanDocument, PlannedMember, PlannedScene, RefusedScene};
pub use print::{PrintError, eprint_error, eprint_line, print, print_json, unless_closed};
pub use standing::{Standing, Verified};
pub use summary::{stage_table, summary};
pub use watch::{Snapshot, Watch};
pub use weights::{CompressedFile, CompressedFiles, TensorRow, WeightsDiff, WeightsSheet};
