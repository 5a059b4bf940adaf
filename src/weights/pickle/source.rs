//! The bytes of a pickle, one after the other, and never more than there are.

use std::io::{self, Read};

use super::super::flaw::Flaw;

/// Longest line of text that an instruction may take, in bytes.
const MAX_LINE: usize = 256;

/// A reader that knows how many bytes it has given and how many it may give.
#[derive(Debug)]
pub(in super::super) struct Source<R> {
    reader: R,
    position: u64,
    limit: u64,
}

impl<R: Read> Source<R> {
    /// At most `limit` bytes of `reader`.
    pub(in super::super) fn new(reader: R, limit: u64) -> Self {
        Self { reader, position: 0, limit }
    }

    /// Bytes given so far.
    pub(in super::super) fn position(&self) -> u64 {
        self.position
    }

    /// The next bytes.
    ///
    /// # Errors
    /// When there are not so many.
    pub(in super::super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Flaw> {
        let mut bytes = [0; N];
        self.take(N as u64)?;
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// The next `n` bytes. What is allocated grows with what is really there.
    ///
    /// # Errors
    /// When there are not so many.
    pub(super) fn bytes(&mut self, n: u64) -> Result<Vec<u8>, Flaw> {
        self.take(n)?;
        let mut bytes = Vec::new();
        (&mut self.reader).take(n).read_to_end(&mut bytes)?;
        if bytes.len() as u64 == n { Ok(bytes) } else { Err(Flaw::broken("it ends too early")) }
    }

    /// The next bytes as text, without the newline that ends them.
    ///
    /// # Errors
    /// When they are no text, or too many.
    pub(super) fn line(&mut self) -> Result<String, Flaw> {
        let mut line = Vec::new();
        loop {
            match self.array::<1>()? {
                [b'\n'] => return String::from_utf8(line).map_err(|_| Flaw::broken("a name that is no text")),
                _ if line.len() == MAX_LINE => return Err(Flaw::broken("a name of more than 256 bytes")),
                [byte] => line.push(byte),
            }
        }
    }

    /// Reads to the end: how many bytes were left.
    ///
    /// # Errors
    /// When the reader finds that its content is damaged.
    pub(in super::super) fn rest(&mut self) -> Result<u64, Flaw> {
        Ok(io::copy(&mut self.reader, &mut io::sink())?)
    }

    fn take(&mut self, n: u64) -> Result<(), Flaw> {
        let position = self.position.checked_add(n).filter(|position| *position <= self.limit);
        self.position = position.ok_or_else(|| Flaw::broken("it ends too early"))?;
        Ok(())
    }
}
