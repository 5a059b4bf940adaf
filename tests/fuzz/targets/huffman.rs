//! Any bytes as the streams of a Huffman directory.
#![no_main]

#[path = "read/folder.rs"]
mod folder;
#[path = "read/huffman.rs"]
mod huffman;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _is_sound = huffman::huffman(data);
});
