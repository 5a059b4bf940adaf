//! The stages of the dataflow, from a unit's turn to its files.
//!
//! ```text
//! Admitted -> read -> tile -> infer xD -> average -> stitch -> post xE -> encode xE -> commit -> Verdict
//!              |               |           `-> keep xE (labels) -------------------------^
//!              |               `-> (logits) ---------------------------------------------^
//!              `-> (stored labels) ----------------> stitch
//! ```
//!
//! The contract, for each of them:
//! - Every unit that is admitted passes through every stage up to `stitch`, whatever happens to its scenes. A scene that fails is
//!   noted in [`Scenes`] with its cause; from there on its parts travel as blanks and its rows are dropped. So counts are exact
//!   everywhere, each scene gets one [`Verdict`], and nobody waits for something that will not come.
//! - A unit that a device cannot do in this pass is put off: its scenes travel on like those that fail, without a verdict, and a further
//!   pass does them. So is a unit that the networks have not done when the run is to end ([`Stop::cut`](crate::flow::Stop::cut)): then
//!   another run does them.
//! - A stage knows the plan and its messages, no other stage. It neither spawns nor wires; `app` does.
//! - An `Err` ends the run: only what makes all further work pointless (the output disk is full) is one.
//! - Blended tiles wait in `average` for the logits of those before them. Only what entered before is waited for.
//! - Memory: raw pixels, labels and logits that wait are covered by the unit's credit, which travels with them; batches by the capacity of the links.

mod average;
mod blend;
mod board;
mod commit;
mod counts;
mod encode;
mod error;
mod infer;
mod keep;
mod message;
mod pace;
mod picture;
mod post;
mod prior;
mod progress;
mod read;
mod scenes;
mod stitch;
mod suspicion;
mod terms;
mod tile;
mod validity;

pub use average::Average;
pub use board::Board;
pub use commit::{Commit, CommitError};
pub use counts::LabelCounts;
pub use encode::Encode;
pub use error::{Graph, GraphError, StageError};
pub use infer::Infer;
pub use keep::Keep;
pub use message::{
    Classified, Encoded, EncodedOutput, Finished, Inferred, Opened, Ran, ReadUnit, SceneRows, StitchedScene, TileBatch,
    Turn, Verdict,
};
pub use pace::{DeviceTimes, Pace, PassTotals};
pub(crate) use picture::Picture;
pub use post::Post;
pub(crate) use prior::KeepLabels;
pub use prior::PriorResults;
pub use progress::{Counts, Progress};
pub use read::Read;
pub use scenes::{SceneState, Scenes};
pub use stitch::Stitch;
pub use terms::{Ahead, Terms};
pub use tile::TileStage;
