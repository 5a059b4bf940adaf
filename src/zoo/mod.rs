//! The networks.

pub mod spec;
