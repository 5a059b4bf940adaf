//! Decoded scenes that are kept as long as there is room.
//!
//! What is kept never changes what is read, only when. A scene that somebody reads is there for the others when it is whole, and until then
//! they wait. One that somebody uses stays, so that the bytes are what they are said to be: where there is no room but for those, whoever
//! asks is told to read a window instead.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::reader::{Layer, Planes};

/// A layer of a scene.
type Key = (usize, Layer);

/// Layers of scenes, read whole.
#[derive(Debug)]
pub(super) struct Cache {
    budget: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    held: u64,
    /// Grows by one whenever something is used.
    clock: u64,
    slots: BTreeMap<Key, Slot>,
}

#[derive(Debug)]
struct Slot {
    bytes: u64,
    used: u64,
    /// `None` while somebody reads it.
    planes: Option<Arc<Planes>>,
}

impl Cache {
    pub(super) fn new(budget: u64) -> Self {
        Self { budget, state: Mutex::default(), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The planes of a layer that takes so many bytes, read now unless they are there; `None` if there is no room for them.
    pub(super) fn get<E>(
        &self,
        key: Key,
        bytes: u64,
        read: impl FnOnce() -> Result<Planes, E>,
    ) -> Result<Option<Arc<Planes>>, E> {
        let mut state = self.lock();
        loop {
            state.clock += 1;
            let clock = state.clock;
            match state.slots.get_mut(&key) {
                Some(Slot { used, planes: Some(planes), .. }) => {
                    *used = clock;
                    return Ok(Some(Arc::clone(planes)));
                }
                Some(Slot { planes: None, .. }) => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
                None => {}
            }
            if !state.make_room(self.budget, bytes) {
                return Ok(None);
            }
            state.held += bytes;
            state.slots.insert(key, Slot { bytes, used: clock, planes: None });
            break;
        }
        drop(state);
        let reading = Reading { cache: self, key };
        let planes = Arc::new(read()?);
        if let Some(slot) = self.lock().slots.get_mut(&reading.key) {
            slot.planes = Some(Arc::clone(&planes));
        }
        Ok(Some(planes))
    }
}

impl State {
    /// Lets go of what was used longest ago until there is room for more; does nothing if that does not suffice.
    fn make_room(&mut self, budget: u64, bytes: u64) -> bool {
        let is_free = |slot: &Slot| slot.planes.as_ref().is_some_and(|planes| Arc::strong_count(planes) == 1);
        let free: u64 = self.slots.values().filter(|slot| is_free(slot)).map(|slot| slot.bytes).sum();
        if (self.held - free).saturating_add(bytes) > budget {
            return false;
        }
        while self.held.saturating_add(bytes) > budget {
            let oldest = self.slots.iter().filter(|(_, slot)| is_free(slot)).min_by_key(|(_, slot)| slot.used);
            let Some(key) = oldest.map(|(key, _)| *key) else { return false };
            self.held -= self.slots.remove(&key).map_or(0, |slot| slot.bytes);
        }
        true
    }
}

/// Somebody reads a scene. Whether that succeeds, fails or panics, those who wait for it learn of it.
struct Reading<'a> {
    cache: &'a Cache,
    key: Key,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut state = self.cache.lock();
        let has_failed = state.slots.get(&self.key).is_some_and(|slot| slot.planes.is_none());
        if has_failed {
            let bytes = state.slots.remove(&self.key).map_or(0, |slot| slot.bytes);
            state.held -= bytes;
        }
        drop(state);
        self.cache.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raster::{PixelBuf, PixelType};

    fn get(cache: &Cache, scene: usize, bytes: u64, reads: &mut Vec<usize>) -> Option<Arc<Planes>> {
        let read = || {
            reads.push(scene);
            Ok::<_, ()>(Planes { pixels: PixelBuf::zeros(PixelType::U8, 1), valid: None })
        };
        cache.get((scene, Layer::Image), bytes, read).unwrap()
    }

    #[test]
    fn what_was_used_longest_ago_goes_and_what_is_in_use_stays() {
        let (cache, mut reads) = (Cache::new(10), Vec::new());
        for scene in [0, 1, 0, 2, 0, 1] {
            assert!(get(&cache, scene, 4, &mut reads).is_some());
        }
        assert_eq!(reads, [0, 1, 2, 1], "2 took the place of 1, and then 1 that of 2");
        assert_eq!(cache.lock().held, 8);
        let (zero, one) = (get(&cache, 0, 4, &mut reads), get(&cache, 1, 4, &mut reads));
        assert!(get(&cache, 3, 4, &mut reads).is_none() && zero.is_some(), "both are in use");
        drop(one);
        assert!(get(&cache, 3, 4, &mut reads).is_some());
        assert!(get(&cache, 4, 11, &mut reads).is_none(), "more than all");
        assert_eq!((reads, cache.lock().held), (vec![0, 1, 2, 1, 3], 8));
    }

    #[test]
    fn one_reads_and_the_others_wait_and_who_fails_leaves_nothing_behind() {
        let cache = Cache::new(10);
        let failed = cache.get((0, Layer::Labels), 10, || Err("damaged"));
        assert_eq!((failed.unwrap_err(), cache.lock().held), ("damaged", 0));
        let reads = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let read = || {
                        reads.lock().unwrap().push(());
                        std::thread::yield_now();
                        Ok::<_, ()>(Planes { pixels: PixelBuf::zeros(PixelType::U8, 1), valid: None })
                    };
                    assert!(cache.get((7, Layer::Labels), 10, read).unwrap().is_some());
                });
            }
        });
        assert_eq!(reads.into_inner().unwrap().len(), 1);
    }
}
