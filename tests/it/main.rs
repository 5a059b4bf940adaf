//! The integration tests, one binary.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "test code: a failed unwrap is a failed test, and broken files are written on purpose"
)]

mod ablate;
mod aoi;
mod arch;
mod assign;
mod bench;
mod bundle;
mod bundle_files;
mod checkpoints;
mod cli;
mod content;
mod data;
mod dataflow;
mod deadline;
mod demo;
mod derived;
mod devices;
mod disturbed;
mod doubts;
mod eval;
mod faults;
mod flow;
mod fuzzed;
mod gis;
mod golden;
mod inputs;
mod isolated;
mod kill;
mod kinds;
mod launcher;
mod layouts;
mod loading;
mod member;
mod mosaics;
mod named;
mod onnx;
mod outputs;
mod pages;
mod parity;
mod pipelines;
mod planes;
mod post;
mod preconditions;
mod printed;
mod rates;
mod reader;
mod readme;
mod replace;
mod report_html;
mod reproduce;
mod resolution;
mod resume;
mod saved;
mod scores;
mod script;
mod set_up;
mod sparse;
mod standing;
mod supervisor;
mod support;
mod tensors;
mod told;
mod tools;
mod training;
mod training_page;
mod tune;
mod views;
mod viz;
mod weights;
mod wheel;
mod zoo_contract;
