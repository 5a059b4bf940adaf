//! The integration tests, one binary.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "test code: a failed unwrap is a failed test, and broken files are written on purpose"
)]

mod arch;
mod checkpoints;
mod cli;
mod dataflow;
mod deadline;
mod devices;
mod disturbed;
mod faults;
mod flow;
mod fuzzed;
mod isolated;
mod kill;
mod launcher;
mod member;
mod named;
mod parity;
mod pipelines;
mod reader;
mod readme;
mod resume;
mod script;
mod set_up;
mod supervisor;
mod support;
mod weights;
mod zoo_contract;
