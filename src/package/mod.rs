//! submit.zip: the masks of a run, all of them, and nothing else but what a kind of output has packed as it is.
//!
//! [`pack`] is given the expected set and either makes an archive of exactly this set or none. Each mask is decoded in
//! the same pass that copies it, so what was checked is what is packed: depth, extent, and every value against the
//! class table. The archive is written under a temporary name, read back whole (names, local headers, CRCs), and only
//! then gets its name.
//!
//! Equal masks give equal bytes: entries are sorted by name, stored (PNG is compressed already), and carry a fixed time
//! and mode. Memory is a few hundred bytes per entry and one row of a mask.

mod copy;
mod entry;
mod error;
mod manifest;
mod sink;
mod verify;
mod write;

pub use entry::{Content, Entry, Rules};
pub use error::PackageError;
pub use write::{Packed, pack};
