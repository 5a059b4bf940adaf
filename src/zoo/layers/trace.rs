//! Watching a forward pass: what each operation returned, and what it cost.

use std::cell::RefCell;

use tch::Tensor;

/// Called with the operation's name (the prefix of its variables), its output, and its multiply-accumulate operations.
type Observer = Box<dyn FnMut(&str, &Tensor, u64)>;

thread_local! {
    static OBSERVER: RefCell<Option<Observer>> = const { RefCell::new(None) };
}

/// Runs `work`, during which `observer` sees every operation of this thread that has weights, or multiplies two maps.
///
/// The output may be overwritten once the observer has returned.
pub fn observed<T>(observer: impl FnMut(&str, &Tensor, u64) + 'static, work: impl FnOnce() -> T) -> T {
    /// Takes the observer away, whatever happens.
    struct Guard;
    impl Drop for Guard {
        fn drop(&mut self) {
            OBSERVER.with_borrow_mut(Option::take);
        }
    }
    OBSERVER.with_borrow_mut(|slot| *slot = Some(Box::new(observer)));
    let _guard = Guard;
    work()
}

/// Shows the output of `name` to the observer, if there is one. `macs_per_value`: multiply-accumulate operations per value of it.
pub fn see(name: &str, output: &Tensor, macs_per_value: i64) {
    // An observer that runs operations itself is not told of them.
    let observer = OBSERVER.with_borrow_mut(Option::take);
    if let Some(mut observer) = observer {
        let macs = output.numel() as u64 * macs_per_value.unsigned_abs();
        observer(name, output, macs);
        OBSERVER.with_borrow_mut(|slot| *slot = Some(observer));
    }
}
