//! Little-endian fields of a byte sequence that nobody trusts.

use crate::weights::WeightsError;

/// What is wrong with bytes, without saying whose they are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken(pub(super) String);

impl Broken {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// A closure that names the tensor that something is wrong with.
pub(super) fn of_tensor(name: &str) -> impl FnOnce(Broken) -> WeightsError {
    let name = name.to_owned();
    move |Broken(reason)| WeightsError::Unsuitable { name, reason }
}

/// The bytes that have not been read yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    /// The next `n` bytes.
    pub(super) fn take(&mut self, n: usize) -> Result<&'a [u8], Broken> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or_else(|| Broken::new("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let (taken, rest) = self.0.split_first_chunk().ok_or_else(|| Broken::new("it ends too early"))?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Broken> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(super) fn u16(&mut self) -> Result<u16, Broken> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Broken> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn f32(&mut self) -> Result<f32, Broken> {
        Ok(f32::from_le_bytes(self.array()?))
    }

    /// A length, as u32.
    pub(super) fn length(&mut self) -> Result<usize, Broken> {
        usize::try_from(self.u32()?).map_err(|_| Broken::new("it is too large for this machine"))
    }

    /// Refuses to leave anything unread.
    pub(super) fn end(self) -> Result<(), Broken> {
        if self.0.is_empty() { Ok(()) } else { Err(Broken::new(format!("{} bytes too many", self.0.len()))) }
    }
}

/// A length as u32.
pub(super) fn length(n: usize) -> Result<[u8; 4], Broken> {
    u32::try_from(n).map(u32::to_le_bytes).map_err(|_| Broken::new("it is too large: a length exceeds 32 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_end_where_the_bytes_end() {
        let mut fields = Fields(&[1, 2, 0, 9, 9]);
        assert_eq!((fields.u8().unwrap(), fields.u16().unwrap()), (1, 2));
        assert!(fields.u32().is_err() && fields.take(3).is_err());
        assert!(fields.end().is_err());
        assert_eq!(fields.take(2).unwrap(), [9, 9]);
        assert!(fields.end().is_ok());
    }
}
