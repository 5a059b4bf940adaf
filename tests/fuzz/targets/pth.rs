//! Any bytes as PyTorch checkpoints, both containers.
#![no_main]

#[allow(dead_code, reason = "each target uses a part")]
mod readers;

use libfuzzer_sys::fuzz_target;
use swath::zoo::weights::Format;

fuzz_target!(|data: &[u8]| {
    let _is_sound = readers::weights(data, &[Format::PthZip, Format::PthLegacy]);
});
