//! A pipeline file: it is understood or refused.

use swath::config::Pipeline;

use super::folder::folder;

/// The bytes as a pipeline file. Returns whether it was sound.
pub(crate) fn pipeline(data: &[u8]) -> bool {
    let dir = folder();
    let path = dir.path().join("p.toml");
    std::fs::write(&path, data).unwrap();
    Pipeline::load(&path, &[]).is_ok()
}
