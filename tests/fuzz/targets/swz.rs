//! Any bytes as compressed weights.
#![no_main]

#[path = "read/folder.rs"]
mod folder;
#[path = "read/sealed.rs"]
mod sealed;
#[path = "read/weights.rs"]
mod weights;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _is_sound = sealed::swz(data);
});
