//! Any bytes as a weights file: safetensors, both PyTorch containers, swz. It is read or refused.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use swath::zoo::weights::{Selection, WeightsFile};

/// Values that are read of one file at most: what is listed beyond is the reader's own affair.
const MOST_VALUES: usize = 1 << 24;

fuzz_target!(|data: &[u8]| {
    let dir = tempfile::tempdir_in(if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "." }).unwrap();
    let path = dir.path().join("w");
    std::fs::write(&path, data).unwrap();
    for selection in [Selection::Network, Selection::Average, Selection::Everything] {
        let Ok(mut file) = WeightsFile::open_selected(&path, selection) else { continue };
        let mut left = MOST_VALUES;
        for tensor in file.tensors().to_vec() {
            let n_values = tensor.shape.iter().product::<usize>();
            left = left.saturating_sub(n_values);
            if left == 0 {
                break;
            }
            if let Ok(values) = file.read(&tensor) {
                assert!(tensor.is_shapeless() || !tensor.is_readable() || values.len() == n_values);
            }
        }
    }
});
