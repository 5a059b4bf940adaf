//! Memory as byte credits.
//!
//! Credit is acquired in the order of the work and given back when the work is done. Since work that entered holds all the credit
//! it will ever need and the next waits, whatever entered can always leave: no deadlock, whatever the order in between.

use std::any::Any;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Closed, Source, Stop};

#[derive(Debug)]
struct State {
    free: u64,
    lowest: u64,
}

/// A number of bytes to share out.
#[derive(Clone, Debug)]
pub struct Budget {
    state: Arc<(Mutex<State>, Condvar)>,
    total: u64,
}

/// Bytes that are in use until this is dropped.
#[derive(Debug)]
pub struct Credit {
    budget: Budget,
    bytes: u64,
    guard: Option<Arc<dyn Any + Send + Sync>>,
}

impl Budget {
    /// A budget of `total` bytes.
    pub fn new(total: u64) -> Self {
        Self { state: Arc::new((Mutex::new(State { free: total, lowest: total }), Condvar::new())), total }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The most bytes that were ever in use.
    pub fn peak(&self) -> u64 {
        self.total - self.lock().lowest
    }

    /// Waits until `bytes` are free and takes them; more than the whole budget is cut to the whole. `None` once `give_up`.
    /// With `alone` it waits until all of it is free.
    fn acquire(&self, bytes: u64, alone: bool, give_up: impl Fn() -> bool) -> Option<Credit> {
        let bytes = bytes.min(self.total);
        let free = if alone { self.total } else { bytes };
        let mut state = self.lock();
        loop {
            if give_up() {
                return None;
            }
            if state.free >= free {
                break;
            }
            // The timeout only serves to ask whether to give up; a release wakes at once.
            let wait = self.state.1.wait_timeout(state, Duration::from_millis(50));
            state = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.free -= bytes;
        state.lowest = state.lowest.min(state.free);
        Some(Credit { budget: self.clone(), bytes, guard: None })
    }
}

impl Credit {
    /// Splits `bytes` off, to be given back on their own.
    pub fn split(&mut self, bytes: u64) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { budget: self.budget.clone(), bytes, guard: self.guard.clone() }
    }

    /// Keeps something alive until this credit, and whatever is split off it, is given back.
    pub fn guard(&mut self, guard: Arc<dyn Any + Send + Sync>) {
        self.guard = Some(guard);
    }
}

impl Drop for Credit {
    fn drop(&mut self) {
        self.budget.lock().free += self.bytes;
        self.budget.state.1.notify_all();
    }
}

/// A piece of work that waits for its turn.
#[derive(Clone, Debug)]
pub struct Waiting<T> {
    /// What is to be done.
    pub work: T,
    /// The bytes it takes.
    pub cost: u64,
    /// Whether it enters only when everything before it has left.
    pub alone: bool,
}

/// A piece of work that may start.
#[derive(Debug)]
pub struct Admitted<T> {
    /// What is to be done.
    pub work: T,
    /// The bytes that it may use.
    pub credit: Credit,
}

/// Lets pieces of work enter in order, each when there is credit for it. Shared by the readers.
#[derive(Clone, Debug)]
pub struct Admission<T> {
    queue: Arc<Vec<Waiting<T>>>,
    next: Arc<Mutex<usize>>,
    budget: Budget,
    stop: Stop,
}

impl<T> Admission<T> {
    /// Admits these pieces in that order.
    pub fn new(queue: Vec<Waiting<T>>, budget: Budget, stop: Stop) -> Self {
        Self { queue: Arc::new(queue), next: Arc::default(), budget, stop }
    }
}

impl<T: Clone + Send + Sync> Source<Admitted<T>> for Admission<T> {
    fn next(&self) -> Option<Admitted<T>> {
        // Held while waiting: the readers behind must not overtake.
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let Waiting { work, cost, alone } = self.queue.get(*next)?.clone();
        let credit = self.budget.acquire(cost, alone, || self.stop.is_draining())?;
        *next += 1;
        Some(Admitted { work, credit })
    }

    fn next_within(&self, _patience: Duration) -> Result<Option<Admitted<T>>, Closed> {
        self.next().map(Some).ok_or(Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(costs: &[(usize, u64)]) -> Vec<Waiting<usize>> {
        costs.iter().map(|&(work, cost)| Waiting { work, cost, alone: false }).collect()
    }

    #[test]
    fn work_enters_in_order_and_only_with_credit() {
        let (budget, stop) = (Budget::new(10), Stop::new());
        let admission = Admission::new(queue(&[(0, 6), (1, 4), (7, 9)]), budget.clone(), stop.clone());
        let (first, second) = (admission.next().unwrap(), admission.next().unwrap());
        assert_eq!((first.work, second.work, budget.peak()), (0, 1, 10));
        drop(first);
        stop.trip();
        assert!(admission.next().is_none(), "9 bytes are not free, and the stop ends the wait");
        drop(second);
        assert_eq!(budget.lock().free, 10);
    }

    #[test]
    fn a_draining_graph_admits_nothing_more() {
        let stop = Stop::new();
        let admission = Admission::new(queue(&[(0, 1), (1, 1)]), Budget::new(10), stop.clone());
        assert_eq!(admission.next().unwrap().work, 0);
        stop.drain();
        assert!(admission.next().is_none());
    }

    #[test]
    fn what_must_be_alone_waits_until_all_credit_is_back_and_a_guard_lives_as_long_as_its_credit() {
        let stop = Stop::new();
        let mut work = queue(&[(0, 4), (1, 4)]);
        work[1].alone = true;
        let admission = Admission::new(work, Budget::new(10), stop);
        let mut first = admission.next().unwrap();
        let guard = Arc::new(());
        first.credit.guard(guard.clone());
        std::thread::scope(|scope| {
            let second = scope.spawn(|| admission.next().unwrap().work);
            let pixels = first.credit.split(1);
            drop(first);
            assert!(!second.is_finished() && Arc::strong_count(&guard) == 2);
            drop(pixels);
            assert_eq!(second.join().unwrap(), 1);
        });
        assert_eq!(Arc::strong_count(&guard), 1);
    }

    #[test]
    fn a_split_credit_is_given_back_in_two_steps() {
        let budget = Budget::new(10);
        let mut credit = budget.acquire(8, false, || false).unwrap();
        let pixels = credit.split(5);
        drop(pixels);
        assert_eq!(budget.lock().free, 7);
        drop(credit);
        assert_eq!(budget.lock().free, 10);
    }
}
