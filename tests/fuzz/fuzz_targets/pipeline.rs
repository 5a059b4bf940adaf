//! Any text as a pipeline file. It is understood or refused.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use swath::config::Pipeline;

fuzz_target!(|data: &[u8]| {
    let dir = tempfile::tempdir_in(if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "." }).unwrap();
    let path = dir.path().join("p.toml");
    std::fs::write(&path, data).unwrap();
    drop(Pipeline::load(&path, &[]));
});
