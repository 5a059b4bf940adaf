//! swath (architecture text follows).

pub mod atomic;
pub mod config;
pub mod flow;
pub mod geom;
pub mod infer;
pub mod plan;
pub mod raster;
pub mod report;
pub mod tiler;
pub mod zoo;

/// Bytes as lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
