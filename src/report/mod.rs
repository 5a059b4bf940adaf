//! What a person sees of a run, and the same as JSON: the only folder that prints.
//!
//! It takes plain values and knows nothing of stages or plans. A dead terminal or a closed pipe never stops a run: what cannot be
//! printed is dropped.

mod document;
mod summary;
mod watch;

pub use document::{
    BudgetReport, FailedScene, OutputFile, PackageReport, REPORT_FORMAT, RunReport, RunState, StageLine, Totals,
};
pub use summary::summary;
pub use watch::{Snapshot, Watch, eprint_line, print};
