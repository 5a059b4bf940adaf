//! Any bytes as the streams of a Huffman directory.
#![no_main]

#[allow(dead_code, reason = "each target uses a part")]
mod readers;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _is_sound = readers::huffman(data);
});
