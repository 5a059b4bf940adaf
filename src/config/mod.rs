//! Pipeline files.

pub mod classes;
