//! The integration tests, one binary.

mod parity;
mod zoo_memory;
