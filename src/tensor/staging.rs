//! Memory that a GPU reads by itself, so that an upload needs no thread of the host.

use tch::{Device, Kind, TchError, Tensor};

/// Page-locked buffers, reused. On a CPU there are none: what is uploaded is copied.
#[derive(Debug)]
pub struct Staging {
    device: Device,
    /// Buffers that nothing reads any more.
    free: Vec<Tensor>,
}

/// Bytes on a device, and the buffer that they are read from until the device has them.
#[derive(Debug)]
pub struct Uploaded {
    /// `[bytes]`, u8.
    pub bytes: Tensor,
    buffer: Option<Tensor>,
}

impl Staging {
    /// For uploads to this device.
    pub fn new(device: Device) -> Self {
        Self { device, free: Vec::new() }
    }

    /// Starts an upload. On a GPU it is in the order of the device's work, and returns at once.
    ///
    /// # Errors
    /// When libtorch refuses, for want of memory for instance.
    pub fn upload(&mut self, bytes: &[u8]) -> Result<Uploaded, TchError> {
        let len = bytes.len() as i64;
        if !self.device.is_cuda() {
            let bytes = Tensor::f_from_data_size(bytes, &[len], Kind::Uint8)?;
            return Ok(Uploaded { bytes, buffer: None });
        }
        // The shortest that is long enough; without one a new one takes the place of the longest, so that there are no more than are in use.
        let fits = self.free.iter().position(|buffer| buffer.numel() >= bytes.len());
        let mut buffer = match fits {
            Some(idx) => self.free.remove(idx),
            None => {
                drop(self.free.pop());
                Tensor::f_empty([len], (Kind::Uint8, Device::Cpu))?.f_pin_memory(self.device)?
            }
        };
        fill(&mut buffer, bytes);
        let bytes = buffer.f_narrow(0, 0, len)?.f_to_device_(self.device, Kind::Uint8, true, false)?;
        Ok(Uploaded { bytes, buffer: Some(buffer) })
    }

    /// Takes back the buffer of an upload that is over.
    pub fn give_back(&mut self, uploaded: Uploaded) {
        if let Some(buffer) = uploaded.buffer {
            self.free.push(buffer);
            self.free.sort_by_key(Tensor::numel);
        }
    }
}

/// Starts the upload of values; on a GPU through page-locked memory of libtorch's own, so that nobody waits.
///
/// # Errors
/// When libtorch refuses, for want of memory for instance.
pub fn upload(values: &Tensor, device: Device) -> Result<Tensor, TchError> {
    match device.is_cuda() {
        true => values.f_pin_memory(device)?.f_to_device_(device, values.kind(), true, false),
        false => Ok(values.shallow_clone()),
    }
}

#[expect(unsafe_code, reason = "tch copies out of tensors, but not into them")]
fn fill(buffer: &mut Tensor, bytes: &[u8]) {
    assert!(buffer.is_contiguous() && buffer.kind() == Kind::Uint8 && buffer.device() == Device::Cpu);
    assert!(buffer.numel() >= bytes.len());
    // SAFETY: the tensor is contiguous bytes in the machine's own memory, at least as many, and nobody else has it: its last upload is
    // over, or it is new.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.data_ptr().cast::<u8>(), bytes.len()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_arrive() {
        let mut staging = Staging::new(Device::Cpu);
        let uploaded = staging.upload(&[1, 2, 255]).unwrap();
        assert_eq!(Vec::<u8>::try_from(&uploaded.bytes).unwrap(), [1, 2, 255]);
        staging.give_back(uploaded);
        let mut tensor = Tensor::zeros([4], (Kind::Uint8, Device::Cpu));
        fill(&mut tensor, &[7, 8, 9]);
        assert_eq!(Vec::<u8>::try_from(&tensor).unwrap(), [7, 8, 9, 0]);
    }
}
