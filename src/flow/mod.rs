//! The generic kit of a bounded staged dataflow: it names no raster and no tensor.
//!
//! A [`Graph`] spawns the workers of each [`Stage`] and joins them. Stages are joined by links of a fixed capacity; a full link
//! makes its sender wait, so the slowest stage sets the pace and memory does not grow. Beyond counts, [`Budget`] bounds bytes:
//! work enters in order and only when there is credit for it.
//!
//! How it ends: a stage finishes when its input is closed and empty; its output closes when its last worker is gone. One worker's
//! error or panic trips the [`Stop`], upon which every send and receive returns, all workers leave and [`Graph::join`] reports
//! the first cause.

mod budget;
mod graph;
mod link;
mod meter;
mod panics;
mod pulse;
mod stage;
mod stop;
mod watchdog;

pub use budget::{Admission, Admitted, Budget, Credit, Waiting};
pub use graph::{Graph, GraphError};
pub use link::{Both, Closed, Emit, Fan, Inlet, Outlet, Router, Wrapped};
pub use meter::{StageMeter, StageReport};
pub use panics::{panic_message, quiet_panics};
pub use stage::{Outbox, Source, Stage};
pub use stop::Stop;
pub use watchdog::{Stall, Watchdog, watch_over};
