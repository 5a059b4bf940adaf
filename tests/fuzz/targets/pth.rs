//! Any bytes as PyTorch checkpoints, both containers.
#![no_main]

#[path = "read/folder.rs"]
mod folder;
#[path = "read/weights.rs"]
mod weights;

use libfuzzer_sys::fuzz_target;
use swath::weights::Format;

fuzz_target!(|data: &[u8]| {
    let _is_sound = weights::weights(data, &[Format::PthZip, Format::PthLegacy]);
});
