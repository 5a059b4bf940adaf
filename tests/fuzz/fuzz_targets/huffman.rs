//! Any bytes as the streams of a Huffman directory: each record of the input (length as u16, bytes) becomes one of its files.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use swath::zoo::weights::WeightsFile;

/// The files that one weight and one bias have.
const FILES: [&str; 7] = [
    "a.weight_csr_data.bin",
    "a.weight_csr_data_codebook.bin",
    "a.weight_csr_indices.bin",
    "a.weight_csr_indices_codebook.bin",
    "a.weight_csr_indptr.bin",
    "a.weight_csr_indptr_codebook.bin",
    "a.bias",
];

fuzz_target!(|data: &[u8]| {
    let dir = tempfile::tempdir_in(if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "." }).unwrap();
    let mut rest = data;
    for name in FILES {
        let Some((length, after)) = rest.split_first_chunk::<2>() else { break };
        let (content, after) = after.split_at(after.len().min(usize::from(u16::from_le_bytes(*length))));
        std::fs::write(dir.path().join(name), content).unwrap();
        rest = after;
    }
    let Ok(mut file) = WeightsFile::open(dir.path()) else { return };
    let shapes = [("a.weight".to_owned(), vec![8, 6]), ("a.bias".to_owned(), vec![8])];
    if file.adopt_shapes(&shapes).is_ok() {
        for tensor in file.tensors().to_vec() {
            drop(file.read(&tensor));
        }
    }
});
