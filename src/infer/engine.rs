//! What runs a network, and nothing else.

use super::DeviceError;
use super::batch::RawBatch;
use super::logits::Logits;
use crate::config::Precision;
use crate::geom::Size;
use crate::plan::Pass;

/// What a network sees of a batch.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    /// The batch that it was made from.
    pub(super) batch: &'a RawBatch,
    /// `[tile][band][row][column]`: normalised and padded.
    pub(super) values: &'a [f32],
    /// Rows and columns.
    pub(super) size: Size,
}

/// Runs networks whose logits end in the machine's own memory.
pub(super) trait Engine: Send {
    /// Waits until all is there that a pass needs: that is none of its time.
    ///
    /// # Errors
    /// When it will never be.
    fn ready(&mut self, pass: Pass) -> Result<(), DeviceError>;

    /// Runs one pass over a batch.
    ///
    /// # Errors
    /// When the device or the library fails; unless the device is lost, the pass can be tried again.
    fn forward(&mut self, pass: Pass, input: Input<'_>, precision: Precision) -> Result<Logits, DeviceError>;

    /// Whether a pass that returned what is no number may do better in f32: not where it was f32, or where nothing can be widened.
    fn can_widen(&self, pass: Pass, precision: Precision) -> bool;
}
