//! Replicas of a network that are passed through together, each with a part of a batch and in a thread of its own: batch normalisation
//! takes its statistics over all parts.
//!
//! What replicas exchange are tensors of the graph, so that one backward pass goes through all of them. They take turns: one works until it
//! has something to exchange, then the next one does. So whatever draws from a common sequence of random numbers draws in one order; on
//! GPUs, which work on while their thread waits, little is lost.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tch::{Kind, Tensor};

/// The replicas that take part in a pass.
#[derive(Debug, Default)]
struct Joint {
    state: Mutex<State>,
    turned: Condvar,
    n: usize,
}

#[derive(Debug, Default)]
struct State {
    turn: usize,
    /// Whether one of them is gone that others wait for.
    is_broken: bool,
    /// What each has given, by the number of the exchange.
    given: BTreeMap<u64, Vec<(Tensor, i64)>>,
}

/// This thread's place among them.
#[derive(Debug)]
struct Place {
    joint: Arc<Joint>,
    rank: usize,
    /// Exchanges so far.
    exchanged: u64,
    is_done: bool,
}

thread_local! {
    static PLACE: RefCell<Option<Place>> = const { RefCell::new(None) };
}

impl Joint {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for this replica's turn. Panics where another one is gone: its own panic is the one to tell.
    fn wait(&self, rank: usize) -> MutexGuard<'_, State> {
        let mut state = self.state();
        while state.turn != rank && !state.is_broken {
            state = self.turned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        assert!(!state.is_broken, "another replica has failed");
        state
    }
}

impl Place {
    /// Gives a sum over this replica's part and how many it is over; the sums of all replicas together come back, on this one's device.
    fn exchange(&mut self, sum: Tensor, n: i64) -> (Tensor, i64) {
        let (device, number) = (sum.device(), self.exchanged);
        self.exchanged += 1;
        let mut state = self.joint.state();
        state.given.entry(number).or_default().push((sum, n));
        state.turn = (self.rank + 1) % self.joint.n;
        self.joint.turned.notify_all();
        drop(state);
        // By then every other one has given its own.
        let mut state = self.joint.wait(self.rank);
        let is_last = self.rank + 1 == self.joint.n;
        let all = if is_last {
            state.given.remove(&number).unwrap_or_default()
        } else {
            state.given.get(&number).into_iter().flatten().map(|(sum, n)| (sum.shallow_clone(), *n)).collect()
        };
        let count = all.iter().map(|(_, n)| n).sum();
        let total = all.into_iter().map(|(sum, _)| sum.to_device(device)).reduce(|a, b| a + b);
        (total.unwrap_or_else(|| Tensor::zeros([0], (Kind::Float, device))), count)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.joint.state();
        state.is_broken |= !self.is_done;
        state.turn = (self.rank + 1) % self.joint.n;
        self.joint.turned.notify_all();
    }
}

/// What one replica does.
pub type Work<'w, T> = Box<dyn FnOnce() -> T + Send + 'w>;

/// Does all of this work, each in a thread of its own that counts as a replica. The results are in order. Panics as the first of them that
/// does.
pub fn together<'w, T: Send>(work: Vec<Work<'w, T>>) -> Vec<T> {
    let joint = Arc::new(Joint { n: work.len(), ..Joint::default() });
    std::thread::scope(|scope| {
        let start = |(rank, work): (usize, Work<'w, T>)| {
            let joint = Arc::clone(&joint);
            scope.spawn(move || {
                let place = Place { joint: Arc::clone(&joint), rank, exchanged: 0, is_done: false };
                PLACE.set(Some(place));
                drop(joint.wait(rank));
                let done = work();
                PLACE.with_borrow_mut(|place| place.iter_mut().for_each(|place| place.is_done = true));
                PLACE.set(None);
                done
            })
        };
        let threads: Vec<_> = work.into_iter().enumerate().map(start).collect();
        let ended: Vec<_> = threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        // Those that only waited for one that failed say less than that one.
        let panics = ended.iter().filter_map(|end| end.as_ref().err());
        let is_cause = |panic: &Box<dyn std::any::Any + Send>| {
            let text =
                panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            text.is_none_or(|text| !text.starts_with("another replica"))
        };
        let cause = ended.iter().position(|end| end.as_ref().err().is_some_and(is_cause));
        let first = cause.or_else(|| panics.map(|_| 0).next());
        let mut results = Vec::new();
        for (at, end) in ended.into_iter().enumerate() {
            match end {
                Ok(result) => results.push(result),
                Err(panic) if first.is_none_or(|first| first == at) => std::panic::resume_unwind(panic),
                Err(_) => {}
            }
        }
        results
    })
}

/// Batch statistics over all replicas.
#[derive(Debug)]
pub(super) struct Statistics {
    /// `[1, C, 1, 1]`.
    pub(super) mean: Tensor,
    /// `[1, C, 1, 1]`, the mean of squares.
    pub(super) variance: Tensor,
    /// Values of a channel.
    pub(super) n: i64,
    /// Whether this replica is the one that keeps running statistics.
    pub(super) is_first: bool,
}

/// The statistics of the channels of a batch, `[N, C, H, W]`, of which this thread's replica has a part; `None` where it has all of it.
pub(super) fn statistics(xs: &Tensor) -> Option<Statistics> {
    PLACE.with_borrow_mut(|place| {
        let place = place.as_mut().filter(|place| place.joint.n > 1)?;
        // In half precision sums would overflow.
        let kind = if xs.kind() == Kind::Double { Kind::Double } else { Kind::Float };
        let sum = |of: &Tensor| of.sum_dim_intlist(&[0_i64, 2, 3][..], true, kind);
        let size = xs.size();
        let own = size[0] * size[2] * size[3];
        let (total, n) = place.exchange(sum(xs), own);
        let mean = total / n as f64;
        let (squares, _) = place.exchange(sum(&(xs.to_kind(kind) - &mean).square()), own);
        Some(Statistics { mean, variance: squares / n as f64, n, is_first: place.rank == 0 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_that_fails_is_told_by_its_own_words_and_nobody_waits_for_ever() {
        let xs = Tensor::ones([1, 2, 2, 2], (Kind::Double, tch::Device::Cpu));
        let (one, two) = (xs.shallow_clone(), xs);
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            together::<Option<i64>>(vec![
                Box::new(move || statistics(&one).map(|statistics| statistics.n)),
                Box::new(move || panic!("out of memory {}", two.dim())),
            ])
        }));
        let text = failed.unwrap_err().downcast_ref::<String>().cloned();
        assert_eq!(text.as_deref(), Some("out of memory 4"));
    }

    #[test]
    fn statistics_are_those_of_the_whole_batch() {
        let xs = Tensor::randn([5, 3, 4, 2], (Kind::Double, tch::Device::Cpu));
        let parts = [xs.narrow(0, 0, 2), xs.narrow(0, 2, 2), xs.narrow(0, 4, 1)];
        let work = parts.map(|part| Box::new(move || statistics(&part).unwrap()) as Work<'_, Statistics>);
        let all = together(work.into());
        let mean = xs.mean_dim(&[0_i64, 2, 3][..], true, Kind::Double);
        let variance = xs.var_dim(&[0_i64, 2, 3][..], false, true);
        for statistics in &all {
            assert_eq!(statistics.n, 40);
            assert!((&statistics.mean - &mean).abs().max().double_value(&[]) < 1e-12);
            assert!((&statistics.variance - &variance).abs().max().double_value(&[]) < 1e-12);
        }
        assert_eq!(all.iter().map(|statistics| statistics.is_first).collect::<Vec<_>>(), [true, false, false]);
        assert!(statistics(&xs).is_none(), "alone there is nobody to ask");
    }
}
