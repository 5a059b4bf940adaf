//! `manifest.json`: what the archive holds, for those who check it.

use serde::Serialize;

/// Its name below the prefix. It stands behind the masks, whose digests it holds.
pub(super) const MANIFEST: &str = "manifest.json";

#[derive(Debug, Default, Serialize)]
pub(super) struct Manifest {
    /// The masks in the archive's order.
    pub(super) masks: Vec<ManifestMask>,
}

#[derive(Debug, Serialize)]
pub(super) struct ManifestMask {
    /// Name in the archive, prefix included.
    pub(super) name: String,
    pub(super) width: u32,
    pub(super) height: u32,
    /// Length of the file.
    pub(super) bytes: u64,
    pub(super) sha256: String,
}
