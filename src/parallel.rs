//! The same work on many items, on a given number of threads.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

/// `work` of every item, in the order of the items, begun in the order of falling `size`. A panic passes on.
pub(crate) fn map<I: Sync, T: Send>(
    threads: NonZeroUsize,
    items: &[I],
    size: impl Fn(&I) -> usize,
    work: impl Fn(&I) -> T + Sync,
) -> Vec<T> {
    if threads.get() == 1 {
        return items.iter().map(work).collect();
    }
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_key(|&idx| std::cmp::Reverse(size(&items[idx])));
    let next = AtomicUsize::new(0);
    let run = || {
        let mut done = Vec::new();
        while let Some(&idx) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push((idx, work(&items[idx])));
        }
        done
    };
    let mut results: Vec<(usize, T)> = std::thread::scope(|scope| {
        let crew: Vec<_> = (0..threads.get().min(items.len())).map(|_| scope.spawn(run)).collect();
        crew.into_iter().flat_map(|t| t.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    results.sort_by_key(|(idx, _)| *idx);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order_for_any_number_of_threads() {
        let items: Vec<usize> = (0..100).collect();
        for threads in [1, 2, 7, 200] {
            let doubled = map(NonZeroUsize::new(threads).unwrap(), &items, |i| *i, |i| 2 * i);
            assert_eq!(doubled, items.iter().map(|i| 2 * i).collect::<Vec<_>>());
        }
        assert!(map(NonZeroUsize::MAX, &[], |_: &usize| 0, |i| *i).is_empty());
    }
}
