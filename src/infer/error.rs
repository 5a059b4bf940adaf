//! Why a device cannot do its work.

use crate::plan::DeviceId;

/// Why a device cannot do its work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The members' weights do not fit their networks.
    #[error("cannot load the weights of member `{member}`: {detail}")]
    Weights {
        /// The member.
        member: String,
        /// The differences.
        detail: String,
    },
    /// There is no such device, or the build has no such backend.
    #[error("cannot use the device {device}: {detail}")]
    Missing {
        /// The device.
        device: DeviceId,
        /// Why.
        detail: String,
    },
    /// A forward pass itself: this batch fails, and the device lives.
    #[error("{detail}")]
    Forward {
        /// What the library said.
        detail: String,
    },
    /// The device has not the memory for the batches in flight. What it held for them is free again.
    #[error("out of memory: {detail}")]
    OutOfMemory {
        /// What the library said.
        detail: String,
    },
    /// The device is of no use to this process any more: every later pass would fail, or worse, would not.
    #[error("the device {device} is lost: {detail}")]
    Lost {
        /// The device.
        device: DeviceId,
        /// What the library said.
        detail: String,
    },
    /// The run is about to end, and a pass has not begun.
    #[error("the forward pass was not begun: the run is ending")]
    Halted,
}
