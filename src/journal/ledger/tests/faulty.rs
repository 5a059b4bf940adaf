//! A store in memory with a clock of its own, which loses, delays and damages what it is given.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use crate::atomic::WriteError;
use crate::journal::ledger::{Store, StoreError};

/// Virtual milliseconds.
pub(super) type Ms = u64;

/// SplitMix64.
#[derive(Clone, Debug)]
pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }

    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low)
    }

    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// What becomes of a file that is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Good,
    /// The writer is told that it is there, and it never is.
    Lost,
    /// Other hosts see it a minute later.
    Late,
    Truncated,
    Flipped,
    /// Its content is there twice.
    Doubled,
    /// A copy of it lies beside it.
    Copied,
    /// No space is left.
    Full,
}

struct Stored {
    bytes: Vec<u8>,
    seen: Ms,
    by: u32,
}

#[derive(Default)]
struct Inner {
    now: Ms,
    files: BTreeMap<String, Stored>,
    /// Where given, every so-many-th file has a bad fate.
    faults: Option<(Rng, u64)>,
    /// What the next files meet.
    next: Vec<Fate>,
}

/// What all hosts share.
#[derive(Clone, Default)]
pub(super) struct World(Arc<Mutex<Inner>>);

/// What one host sees of it.
pub(super) struct View {
    world: World,
    host: u32,
    stale: Ms,
}

pub(super) const LATE: Ms = 60_000;

impl World {
    pub(super) fn faulty(seed: u64, one_in: u64) -> Self {
        let world = Self::default();
        world.0.lock().unwrap().faults = Some((Rng(seed), one_in));
        world
    }

    pub(super) fn view(&self, host: u32) -> View {
        self.stale_view(host, 0)
    }

    /// With listings that are so old.
    pub(super) fn stale_view(&self, host: u32, stale: Ms) -> View {
        View { world: self.clone(), host, stale }
    }

    pub(super) fn now(&self) -> Ms {
        self.0.lock().unwrap().now
    }

    pub(super) fn at(&self, now: Ms) {
        self.0.lock().unwrap().now = now;
    }

    /// The next files meet these fates, the last one first.
    pub(super) fn next(&self, fates: &[Fate]) {
        self.0.lock().unwrap().next = fates.to_vec();
    }

    /// Changes a file behind everybody's back.
    pub(super) fn alter(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        change(&mut self.0.lock().unwrap().files.get_mut(name).unwrap().bytes);
    }

    pub(super) fn remove(&self, name: &str) {
        self.0.lock().unwrap().files.remove(name).unwrap();
    }

    /// Puts a file there and says what became of it.
    pub(super) fn put(&self, host: u32, name: &str, bytes: &[u8]) -> Fate {
        let mut inner = self.0.lock().unwrap();
        let fate = inner.fate();
        let (now, mut bytes) = (inner.now, bytes.to_vec());
        let mut seen = now;
        match fate {
            Fate::Good => {}
            Fate::Lost | Fate::Full => return fate,
            Fate::Late => seen += LATE,
            Fate::Truncated => bytes.truncate(bytes.len() * 2 / 3),
            Fate::Flipped => {
                let at = bytes.len() / 2;
                bytes[at] ^= 4;
            }
            Fate::Doubled => bytes.extend_from_within(..),
            Fate::Copied => {
                let (folder, _) = name.rsplit_once('/').unwrap();
                inner.files.insert(format!("{folder}/900000"), Stored { bytes: bytes.clone(), seen, by: host });
            }
        }
        inner.files.insert(name.to_owned(), Stored { bytes, seen, by: host });
        fate
    }
}

impl Inner {
    fn fate(&mut self) -> Fate {
        const BAD: [Fate; 7] =
            [Fate::Lost, Fate::Late, Fate::Truncated, Fate::Flipped, Fate::Doubled, Fate::Copied, Fate::Full];
        let drawn =
            |(rng, one_in): &mut (Rng, u64)| rng.one_in(*one_in).then(|| BAD[usize::try_from(rng.below(7)).unwrap()]);
        self.next.pop().or_else(|| self.faults.as_mut().and_then(drawn)).unwrap_or(Fate::Good)
    }
}

impl Store for View {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        if self.world.put(self.host, name, bytes) == Fate::Full {
            let source = io::Error::from(io::ErrorKind::StorageFull);
            return Err(WriteError { operation: "write", path: PathBuf::from(name), source }.into());
        }
        Ok(())
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let inner = self.world.0.lock().unwrap();
        let file = inner.files.get(name).filter(|file| file.by == self.host || file.seen <= inner.now);
        Ok(file.map(|file| file.bytes.clone()))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let inner = self.world.0.lock().unwrap();
        let prefix = format!("{folder}/");
        let below = inner.files.range(prefix.clone()..).take_while(|(name, _)| name.starts_with(&prefix));
        let seen = below.filter(|(_, file)| file.by == self.host || file.seen + self.stale <= inner.now);
        let mut names: Vec<String> =
            seen.map(|(name, _)| name[prefix.len()..].split('/').next().unwrap().to_owned()).collect();
        names.dedup();
        Ok(names)
    }
}
