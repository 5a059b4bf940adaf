//! Messages over a socket: a length, then JSON.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv,
    recvmsg, send, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// No message is longer: a length beyond this is no message of ours.
const MAX_FRAME: usize = 64 << 20;

/// Why no message came or went.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The other side is gone.
    #[error("the other process is gone")]
    Closed,
    /// Nothing came in time.
    #[error("no answer in time")]
    Late,
    /// The system refuses.
    #[error("cannot exchange messages with the other process: {0}")]
    System(#[from] io::Error),
    /// What came is no message.
    #[error("the other process sends nonsense: {0}")]
    Nonsense(String),
}

/// One end of a socket.
#[derive(Debug)]
pub struct Frames {
    socket: UnixStream,
}

impl Frames {
    /// Both ends of a new socket.
    ///
    /// # Errors
    /// When the system has none.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (own, other) = UnixStream::pair()?;
        Ok((Self { socket: own }, other.into()))
    }

    /// The end that the parent left as standard input.
    ///
    /// # Errors
    /// When standard input is no socket.
    pub fn of_parent() -> io::Result<Self> {
        super::die_with_parent()?;
        let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        socket.peer_addr()?;
        Ok(Self { socket })
    }

    /// Another handle of the same end.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { socket: self.socket.try_clone()? })
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When the other side is gone.
    pub fn send(&self, message: &impl Serialize) -> Result<(), FrameError> {
        self.send_with(message, None)
    }

    /// Sends a message and a file with it.
    ///
    /// # Errors
    /// When the other side is gone.
    pub fn send_file(&self, message: &impl Serialize, file: BorrowedFd<'_>) -> Result<(), FrameError> {
        self.send_with(message, Some(file))
    }

    fn send_with(&self, message: &impl Serialize, file: Option<BorrowedFd<'_>>) -> Result<(), FrameError> {
        let body = serde_json::to_vec(message).map_err(|e| FrameError::Nonsense(e.to_string()))?;
        let length = u32::try_from(body.len()).ok().filter(|n| *n as usize <= MAX_FRAME);
        let length = length.ok_or_else(|| FrameError::Nonsense(format!("{} bytes in one message", body.len())))?;
        let mut frame = length.to_le_bytes().to_vec();
        frame.extend(body);
        let mut rest = frame.as_slice();
        if let Some(file) = file {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let files = [file];
            control.push(SendAncillaryMessage::ScmRights(&files));
            let sent = again(|| sendmsg(&self.socket, &[IoSlice::new(rest)], &mut control, SendFlags::NOSIGNAL))?;
            rest = &rest[sent..];
        }
        while !rest.is_empty() {
            let sent = again(|| send(&self.socket, rest, SendFlags::NOSIGNAL))?;
            rest = &rest[sent..];
        }
        Ok(())
    }

    /// The next message, waiting for it at most `patience`; without one, as long as it takes.
    ///
    /// # Errors
    /// When nothing comes in time, the other side is gone, or what comes is no such message.
    pub fn recv<T: DeserializeOwned>(&self, patience: Option<Duration>) -> Result<T, FrameError> {
        let until = patience.map(|p| Instant::now() + p);
        let mut length = [0; 4];
        self.fill(&mut length, until)?;
        self.body(length, until)
    }

    /// As [`Self::recv`], with the file that came along.
    ///
    /// # Errors
    /// As [`Self::recv`].
    pub fn recv_file<T: DeserializeOwned>(&self) -> Result<(T, Option<OwnedFd>), FrameError> {
        let mut length = [0; 4];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let got = again(|| {
            let mut into = [IoSliceMut::new(&mut length)];
            recvmsg(&self.socket, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC)
        })?;
        let got = got.bytes;
        if got == 0 {
            return Err(FrameError::Closed);
        }
        let file = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut files) => files.next(),
            RecvAncillaryMessage::ScmCredentials(_) | _ => None,
        });
        self.fill(&mut length[got..], None)?;
        Ok((self.body(length, None)?, file))
    }

    fn body<T: DeserializeOwned>(&self, length: [u8; 4], until: Option<Instant>) -> Result<T, FrameError> {
        let length = u32::from_le_bytes(length) as usize;
        if length > MAX_FRAME {
            return Err(FrameError::Nonsense(format!("a message of {length} bytes")));
        }
        let mut body = vec![0; length];
        self.fill(&mut body, until)?;
        serde_json::from_slice(&body).map_err(|e| FrameError::Nonsense(e.to_string()))
    }

    fn fill(&self, mut into: &mut [u8], until: Option<Instant>) -> Result<(), FrameError> {
        while !into.is_empty() {
            if let Some(until) = until {
                self.wait(until)?;
            }
            match again(|| recv(&self.socket, &mut *into, RecvFlags::empty()))?.1 {
                0 => return Err(FrameError::Closed),
                got => into = &mut into[got..],
            }
        }
        Ok(())
    }

    /// Waits until something can be read.
    fn wait(&self, until: Instant) -> Result<(), FrameError> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).map_err(|_| FrameError::Late)?;
            let mut sources = [PollFd::new(&self.socket, PollFlags::IN)];
            match poll(&mut sources, Some(&left)) {
                Ok(0) => return Err(FrameError::Late),
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(FrameError::System(e.into())),
            }
        }
    }
}

/// Calls until no signal interrupts.
fn again<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> Result<T, FrameError> {
    loop {
        match call() {
            Ok(done) => return Ok(done),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => return Err(FrameError::Closed),
            Err(e) => return Err(FrameError::System(e.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};

    use super::*;

    fn pair() -> (Frames, Frames) {
        let (one, other) = Frames::pair().unwrap();
        (one, Frames { socket: other.into() })
    }

    #[test]
    fn messages_and_files_arrive_in_order() {
        let (one, other) = pair();
        let long = "x".repeat(100_000);
        let file = tempfile::tempfile().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                one.send_file(&1u32, file.as_fd()).unwrap();
                one.send(&long).unwrap();
            });
            let (number, came) = other.recv_file::<u32>().unwrap();
            assert_eq!(number, 1);
            assert_eq!(other.recv::<String>(None).unwrap(), long);
            let (mut came, mut text) = (std::fs::File::from(came.unwrap()), String::new());
            drop(writeln!(&file, "shared"));
            came.rewind().unwrap();
            came.read_to_string(&mut text).unwrap();
            assert_eq!(text, "shared\n");
        });
    }

    #[test]
    fn silence_a_closed_end_and_nonsense_are_told_apart() {
        let (one, other) = pair();
        let late = other.recv::<u32>(Some(Duration::from_millis(5)));
        assert!(matches!(late, Err(FrameError::Late)), "{late:?}");
        one.send(&"text").unwrap();
        assert!(matches!(other.recv::<u32>(None), Err(FrameError::Nonsense(_))));
        send(&one.socket, &[255; 4], SendFlags::NOSIGNAL).unwrap();
        assert!(matches!(other.recv::<u32>(None), Err(FrameError::Nonsense(_))));
        drop(one);
        assert!(matches!(other.recv::<u32>(None), Err(FrameError::Closed)));
        assert!(matches!(other.send(&1), Err(FrameError::Closed)));
    }

    use std::io::Write;
}
