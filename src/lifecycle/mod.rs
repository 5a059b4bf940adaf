//! The life of a long command, whatever it works on: who watches over it, who stops it, and when its time is up.
//!
//! ```text
//! swath run ..  supervise() --AttemptInfo, signals--> SupervisorLink   swath worker run ..
//!               RestartPolicy <-------WorkerEvent---- InFlight
//! ```
//!
//! The process that a person starts only watches ([`supervise()`]) over a worker: this program again, with the same command behind `worker`.
//! A worker that dies is started again, and what was under way then runs one item at a time. What an item is (a scene) only the worker
//! knows: here items are names.
//!
//! The watchdog of a dataflow stays in [`flow`](crate::flow): it knows nothing but the graph it looks at. What follows from a stall is
//! `SupervisorLink::give_up`.
//!
//! The only folder with tokio (signals).

mod clock;
mod error;
mod link;
mod lock;
pub(crate) mod machine;
mod policy;
mod signal;
mod signals;
mod supervisor;

pub use clock::Clock;
pub use error::Error;
pub use link::{AttemptInfo, InFlight, SupervisorLink};
pub(crate) use lock::Lock;
pub use signal::Signal;
pub(crate) use signals::{Ending, SignalWatcher};
pub use supervisor::supervise;
