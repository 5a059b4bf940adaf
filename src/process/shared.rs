//! Memory that two processes share, as a file without a name.

use std::fs::File;
use std::io;

use rustix::fs::{MemfdFlags, memfd_create};

/// A file in memory: nothing of it is left when the last process that holds it lets go. `name` is seen by debuggers only.
///
/// # Errors
/// When the system has none.
pub fn shared_memory(name: &str) -> io::Result<File> {
    Ok(memfd_create(name, MemfdFlags::CLOEXEC)?.into())
}
