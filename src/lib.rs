//! swath (architecture text follows).

pub mod atomic;
pub mod config;
pub mod geom;
pub mod zoo;
