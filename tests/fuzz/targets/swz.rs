//! Any bytes as compressed weights.
#![no_main]

#[allow(dead_code, reason = "each target uses a part")]
mod readers;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _is_sound = readers::swz(data);
});
