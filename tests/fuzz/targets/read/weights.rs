//! A file of weights: it is read or refused.

use swath::weights::{Format, Selection, WeightsFile};

use super::folder::folder;

/// Values that are read of one file at most. Files may hold more, and would then be as large.
const MOST_VALUES: usize = 1 << 20;

/// The bytes as a file of weights in one of these formats. Returns whether it was sound.
pub(crate) fn weights(data: &[u8], formats: &[Format]) -> bool {
    let dir = folder();
    let path = dir.path().join("w");
    std::fs::write(&path, data).unwrap();
    if !Format::of(&path).is_ok_and(|format| formats.contains(&format)) {
        return false;
    }
    let mut is_sound = false;
    for selection in [Selection::Network, Selection::Average, Selection::Everything] {
        let Ok(mut file) = WeightsFile::open_selected(&path, selection) else { continue };
        is_sound = true;
        let mut left = MOST_VALUES;
        for tensor in file.tensors().to_vec() {
            let n_values = tensor.shape.iter().product::<usize>();
            left = left.saturating_sub(n_values);
            if left == 0 {
                break;
            }
            match file.read(&tensor) {
                Ok(values) => assert!(!tensor.is_readable() || values.len() == n_values),
                Err(_) => is_sound = false,
            }
        }
    }
    is_sound
}
