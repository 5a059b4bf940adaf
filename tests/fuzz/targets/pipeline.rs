//! Any bytes as a pipeline file.
#![no_main]

#[path = "read/folder.rs"]
mod folder;
#[path = "read/pipeline.rs"]
mod pipeline;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _is_sound = pipeline::pipeline(data);
});
