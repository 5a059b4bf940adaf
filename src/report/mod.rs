//! What a person sees of a run, and the same as JSON: the only folder that prints.
//!
//! It takes plain values and knows nothing of stages or plans. A dead terminal or a closed pipe never stops a run: what cannot be
//! printed while it works is dropped. A command's answer that cannot be printed is an error.

mod ablation;
mod bench;
mod causes;
mod data;
mod diagnosis;
mod display;
mod document;
mod events;
mod hashing;
mod html;
mod models;
mod plan;
mod print;
mod resolution;
mod selection;
mod shards;
mod shared;
mod show;
mod standing;
mod summary;
mod training;
mod training_bars;
mod tune;
mod viz;
mod watch;
mod weights;

pub use ablation::{Ablation, AblationRow, AblationRun};
pub use bench::{
    BenchMachine, BenchReport, DecodeFigures, DecodeRow, EncodeFigures, EncodeRow, Figures, ForwardFigures, ForwardRow,
    MatmulRate, PassFigures, RunFigures, SampleRow, SamplesFigures, ScalingFigures, ScalingRow, StageFigures, StartUp,
    ThreadLimit,
};
pub use data::{
    BandRow, ClassRow, CleanReport, DataReport, FileNote, PartRow, PseudoClass, PseudoReport, RefusedPair, SplitReport,
    Suspect,
};
pub use diagnosis::Diagnosis;
pub use document::{
    BudgetReport, DeadlineReport, DeadlineStep, FailedScene, PackageReport, REPORT_FORMAT, ReducedScene, RunInfo,
    RunReport, RunState, SceneReport, StageLine, Totals,
};
pub use events::{Event, Restart, TimeStep};
pub use hashing::HashWatch;
pub(crate) use html::{
    HEAT, NO_DATA, PICTURE_BYTES, PageFacts, PageScene, Pictures, PlaneSystem, page, scores_page, suspects_page,
};
pub use html::{MAX_BYTES as MAX_PAGE_BYTES, TrainingExample, TrainingPage, ValueClass, write_training_page};
pub use models::{CheckRow, LayerRow, ModelList, ModelRow, ModelSheet, PresetRow, StartedModel};
pub use plan::{
    EarlierWork, GpuFit, PlanDocument, PlanForecast, PlannedArea, PlannedBatch, PlannedMember, PlannedMosaics,
    PlannedRule, PlannedScene,
};
pub use print::{PrintError, print, print_json, speak_json, tell, tell_error, unless_closed};
pub use resolution::SceneResolution;
pub use selection::{Selection, SelectionMember, SelectionStep};
pub use shards::{ShardDocument, ShardFigure, ShardRow};
pub use shared::{AttemptEnd, AttemptStanding, SharedStanding, in_ranges};
pub use show::{Detail, Page, ProgressForm, Show};
pub use standing::{Standing, Verified};
pub use summary::{FAKE, shard_summary, stage_table, summary};
pub use training::{
    BestMetric, FoldsSummary, MetricsLog, MetricsRecord, NoteRecord, PostChoice, Reached, StepRecord, StepTime,
    TrainingStanding, TrainingSummary, ValidationRecord, ValidationTime, folds_summary, training_summary,
};
pub use training_bars::TrainingBars;
pub use tune::{ProfileFigures, ProfileList, ProfileRow, TuneFigures, TuneRow};
pub use viz::{Undrawn, VizReport};
pub use watch::{Snapshot, Watch};
pub use weights::{CompressedFile, CompressedFiles, TensorRow, WeightsDiff, WeightsSheet};
