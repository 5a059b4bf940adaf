//! The file under the archive's library.

use std::io::{self, Seek, SeekFrom, Write};

/// A file that keeps its first failure and, after it, only pretends to write.
///
/// The library writes its directory in a destructor, whatever went wrong before, and prints when that fails. Behind a
/// failure nothing it writes matters, because [`Self::finish`] gives the failure and not the file.
pub(super) struct Sink<'a, W> {
    file: W,
    /// Called with every write.
    alive: &'a dyn Fn(),
    /// Known without asking the file: asking would flush its buffer for each header.
    position: u64,
    /// The furthest position that was reached.
    end: u64,
    fault: Option<io::Error>,
}

impl<'a, W: Write + Seek> Sink<'a, W> {
    /// Around a file that is at its start.
    pub(super) fn new(file: W, alive: &'a dyn Fn()) -> Self {
        Self { file, alive, position: 0, end: 0, fault: None }
    }

    /// The file, or what went wrong with it.
    pub(super) fn finish(self) -> Result<W, io::Error> {
        match self.fault {
            Some(fault) => Err(fault),
            None => Ok(self.file),
        }
    }

    /// Keeps what the system said, which has no copy, and gives its kind to the library.
    fn keep(&mut self, error: io::Error) -> io::Error {
        let kind = error.kind();
        self.fault.get_or_insert(error);
        // The library takes the position to be behind the entry it began, also when the failure came amid its header.
        self.position = self.end;
        kind.into()
    }
}

impl<W: Write + Seek> Write for Sink<'_, W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (self.alive)();
        let n = match self.fault {
            Some(_) => buf.len(),
            None => match self.file.write(buf) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => return Err(e),
                written => written.map_err(|e| self.keep(e))?,
            },
        };
        self.position += n as u64;
        self.end = self.end.max(self.position);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.fault {
            Some(_) => Ok(()),
            None => self.file.flush().map_err(|e| self.keep(e)),
        }
    }
}

impl<W: Write + Seek> Seek for Sink<'_, W> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = match (&self.fault, to) {
            (None, to) => self.file.seek(to).map_err(|e| self.keep(e))?,
            (Some(_), SeekFrom::Start(n)) => n,
            (Some(_), SeekFrom::Current(by) | SeekFrom::End(by)) => self.position.saturating_add_signed(by),
        };
        Ok(self.position)
    }

    fn stream_position(&mut self) -> io::Result<u64> {
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails every write that would pass `room`.
    struct Full {
        room: usize,
        held: io::Cursor<Vec<u8>>,
    }

    impl Write for Full {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            if self.held.get_ref().len() + buf.len() > self.room {
                return Err(io::Error::other("no room"));
            }
            self.held.write(buf)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Seek for Full {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.held.seek(to)
        }
    }

    fn archive(room: usize) -> (zip::result::ZipResult<()>, Result<Full, io::Error>) {
        let mut sink = Sink::new(Full { room, held: io::Cursor::default() }, &|| ());
        let write = |sink: &mut Sink<Full>| {
            let mut zip = zip::ZipWriter::new(sink);
            for name in ["a", "b"] {
                zip.start_file(name, zip::write::SimpleFileOptions::default())?;
                zip.write_all(&[7; 50])?;
            }
            zip.finish().map(drop)
        };
        (write(&mut sink), sink.finish())
    }

    #[test]
    fn a_failure_at_any_byte_is_kept_and_nothing_panics() {
        let (written, file) = archive(usize::MAX);
        written.unwrap();
        let whole = file.unwrap().held.into_inner();
        for room in 0..whole.len() {
            let (written, file) = archive(room);
            assert!(written.is_err());
            assert_eq!(file.err().unwrap().to_string(), "no room");
        }
    }

    #[test]
    fn the_position_is_the_file_s_own() {
        let mut sink = Sink::new(io::Cursor::new(Vec::new()), &|| ());
        sink.write_all(b"abcdef").unwrap();
        assert_eq!(sink.seek(SeekFrom::Start(2)).unwrap(), 2);
        sink.write_all(b"X").unwrap();
        assert_eq!((sink.stream_position().unwrap(), sink.file.position()), (3, 3));
        assert_eq!(sink.seek(SeekFrom::End(0)).unwrap(), 6);
        assert_eq!(sink.finish().unwrap().into_inner(), b"abXdef");
    }
}
