//! Bounded links. A full link makes its sender wait; nothing is ever dropped or grown.

use crossbeam_channel::{Receiver, Sender, bounded, select_biased};

use super::Stop;

/// The other side is gone or the graph was stopped: leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

/// Where a stage's output goes.
pub trait Emit<T>: Send {
    /// Hands the item over, waiting while the link is full.
    ///
    /// # Errors
    /// [`Closed`] when the graph was stopped or nobody receives any more.
    fn emit(&self, item: T) -> Result<(), Closed>;
}

/// The sending end of a link.
#[derive(Debug)]
pub struct Outlet<T> {
    sender: Sender<T>,
    stop: Stop,
}

/// The receiving end of a link. Clones share the items: each goes to one of them.
#[derive(Debug)]
pub struct Inlet<T> {
    receiver: Receiver<T>,
    stop: Stop,
}

impl<T> Clone for Outlet<T> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), stop: self.stop.clone() }
    }
}

impl<T> Clone for Inlet<T> {
    fn clone(&self) -> Self {
        Self { receiver: self.receiver.clone(), stop: self.stop.clone() }
    }
}

/// A link that holds up to `capacity` items.
pub(super) fn link<T>(capacity: usize, stop: &Stop) -> (Outlet<T>, Inlet<T>) {
    let (sender, receiver) = bounded(capacity);
    (Outlet { sender, stop: stop.clone() }, Inlet { receiver, stop: stop.clone() })
}

impl<T: Send> Emit<T> for Outlet<T> {
    fn emit(&self, item: T) -> Result<(), Closed> {
        if self.stop.is_tripped() {
            return Err(Closed);
        }
        select_biased! {
            send(self.sender, item) -> sent => sent.map_err(|_| Closed),
            recv(self.stop.signal()) -> _ => Err(Closed),
        }
    }
}

impl<T> Inlet<T> {
    /// The next item; `None` when all senders are gone and the link is empty, or the graph was stopped.
    pub fn recv(&self) -> Option<T> {
        if self.stop.is_tripped() {
            return None;
        }
        select_biased! {
            recv(self.receiver) -> item => item.ok(),
            recv(self.stop.signal()) -> _ => None,
        }
    }

    /// As [`Self::recv`], but gives up after `timeout`: `Ok(None)` means that nothing came.
    ///
    /// # Errors
    /// [`Closed`] when nothing will come any more.
    pub fn recv_timeout(&self, timeout: std::time::Duration) -> Result<Option<T>, Closed> {
        select_biased! {
            recv(self.receiver) -> item => item.map(Some).map_err(|_| Closed),
            recv(self.stop.signal()) -> _ => Err(Closed),
            default(timeout) => Ok(None),
        }
    }
}

/// Gives every item to all of several links.
#[derive(Clone, Debug)]
pub struct Fan<T>(pub Vec<Outlet<T>>);

impl<T: Clone + Send> Emit<T> for Fan<T> {
    fn emit(&self, item: T) -> Result<(), Closed> {
        self.0.iter().try_for_each(|outlet| outlet.emit(item.clone()))
    }
}

/// Gives every item to one of several links, by a number that the item has: items of one number keep their order.
#[derive(Debug)]
pub struct Router<T> {
    outlets: Vec<Outlet<T>>,
    key: fn(&T) -> usize,
}

impl<T> Router<T> {
    /// Routes by `key` modulo the number of links, of which there must be at least one.
    pub fn new(outlets: Vec<Outlet<T>>, key: fn(&T) -> usize) -> Self {
        Self { outlets, key }
    }
}

impl<T> Clone for Router<T> {
    fn clone(&self) -> Self {
        Self { outlets: self.outlets.clone(), key: self.key }
    }
}

impl<T: Send> Emit<T> for Router<T> {
    fn emit(&self, item: T) -> Result<(), Closed> {
        let idx = (self.key)(&item) % self.outlets.len().max(1);
        self.outlets.get(idx).ok_or(Closed)?.emit(item)
    }
}

/// Gives every item to two places of different kinds; the second may be left out.
#[derive(Clone, Debug)]
pub struct Both<A, B>(pub A, pub Option<B>);

impl<T: Clone, A: Emit<T>, B: Emit<T>> Emit<T> for Both<A, B> {
    fn emit(&self, item: T) -> Result<(), Closed> {
        if let Some(second) = &self.1 {
            second.emit(item.clone())?;
        }
        self.0.emit(item)
    }
}

/// Wraps every item on its way to a link that takes more than one kind.
#[derive(Debug)]
pub struct Wrapped<T, U> {
    outlet: Outlet<U>,
    wrap: fn(T) -> U,
}

impl<T, U> Wrapped<T, U> {
    /// Items go through `wrap` into the link.
    pub fn new(outlet: Outlet<U>, wrap: fn(T) -> U) -> Self {
        Self { outlet, wrap }
    }
}

impl<T, U> Clone for Wrapped<T, U> {
    fn clone(&self) -> Self {
        Self { outlet: self.outlet.clone(), wrap: self.wrap }
    }
}

impl<T: Send, U: Send> Emit<T> for Wrapped<T, U> {
    fn emit(&self, item: T) -> Result<(), Closed> {
        self.outlet.emit((self.wrap)(item))
    }
}
