//! Faults on purpose, so that what must follow from them can be tried through the command line.
//!
//! The environment variable `SWATH_FAULTS` holds a list such as `encode:panic@3,device:oom~s2!`; without it nothing here does
//! anything. Each fault is `place:kind` and when it strikes:
//!
//! | when | strikes |
//! |---|---|
//! | (nothing) | every time |
//! | `@N` | the Nth time that this process passes the place |
//! | `@N+` | that time and ever after |
//! | `%N` | every Nth time |
//! | `~TEXT` | whenever what is at hand is called so (a scene, a file) |
//!
//! Places are the stages by name (`pack` is one), and `device`, where a forward pass is called `cuda:0 member1 n2 s1 y24 x0`: device,
//! member, tiles in its batch, and the batch's first tile or its scenes. At `clock` a run with a deadline looks at the time; what is at
//! hand is called `3 passes`, after the forward passes that have begun. At `confine` a decoder of mosaics gives up what it does not need. At
//! `records` a run that shares its directory publishes what it has recorded; what is at hand is called as the file there.
//!
//! A `!` at the end makes it strike once over all processes that share the file `SWATH_FAULTS_LOG`. Each strike adds a line to that
//! file, so that a test can tell a fault that was survived from one that never came.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// What goes wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The place returns its error.
    Error,
    /// A panic.
    Panic,
    /// The process ends as by a failed assertion in a C++ library.
    Abort,
    /// The place does not return.
    Stall,
    /// A device is out of memory.
    OutOfMemory,
    /// A device is of no use any more.
    Lost,
    /// The result is not a number.
    NonFinite,
    /// Memory is taken without end.
    Balloon,
    /// Nothing more is let in.
    Drain,
    /// What is queued is dropped as well, as after a signal.
    Cut,
    /// Every worker is to leave at once, as when the grace after a signal is over.
    Trip,
    /// The time of the deadline is over.
    Late,
    /// The disk is full.
    Full,
    /// The place waits until somebody takes the file `SWATH_FAULTS_LOG` away: so that something else can be done meanwhile.
    Hold,
}

const KINDS: [(&str, Fault); 14] = [
    ("error", Fault::Error),
    ("panic", Fault::Panic),
    ("abort", Fault::Abort),
    ("stall", Fault::Stall),
    ("oom", Fault::OutOfMemory),
    ("lost", Fault::Lost),
    ("nan", Fault::NonFinite),
    ("balloon", Fault::Balloon),
    ("drain", Fault::Drain),
    ("cut", Fault::Cut),
    ("trip", Fault::Trip),
    ("late", Fault::Late),
    ("full", Fault::Full),
    ("hold", Fault::Hold),
];

#[derive(Clone, Debug, PartialEq, Eq)]
enum When {
    Always,
    Nth(u64),
    From(u64),
    Every(u64),
    Named(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Planned {
    place: String,
    fault: Fault,
    when: When,
    once: bool,
    text: String,
}

/// The faults of a run: those of the environment, or of a text in its place.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan {
    planned: Option<Arc<Vec<Planned>>>,
    struck: Arc<AtomicU64>,
}

impl FaultPlan {
    /// The faults that a text like the environment variable's plans.
    pub fn of(text: &str) -> Self {
        Self { planned: Some(Arc::new(parse(text))), struck: Arc::default() }
    }

    /// Those of one place.
    pub fn at(&self, place: &str) -> Faults {
        let all = self.planned.as_deref().unwrap_or_else(|| of_environment());
        let planned = all.iter().filter(|p| p.place == place).cloned().collect();
        Faults { planned: Arc::new(planned), passed: Arc::default(), struck: Arc::clone(&self.struck) }
    }

    /// How many have struck in this process.
    pub fn strikes(&self) -> u64 {
        self.struck.load(Ordering::Relaxed)
    }
}

fn of_environment() -> &'static Vec<Planned> {
    static ALL: OnceLock<Vec<Planned>> = OnceLock::new();
    ALL.get_or_init(|| parse(&std::env::var("SWATH_FAULTS").unwrap_or_default()))
}

/// Held while a fault is chosen and written down, so that one that strikes once does so once for all threads.
static STRIKING: Mutex<()> = Mutex::new(());

/// The faults planned for one place; all workers at that place share its count.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    planned: Arc<Vec<Planned>>,
    passed: Arc<AtomicU64>,
    struck: Arc<AtomicU64>,
}

impl Faults {
    /// The faults that the environment plans for a place.
    pub fn at(place: &str) -> Self {
        FaultPlan::default().at(place)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.planned.is_empty()
    }

    /// The fault that strikes now, if one does. `name` is what is at hand.
    pub fn strike(&self, name: &str) -> Option<Fault> {
        self.struck(name).map(|(fault, _)| fault)
    }

    /// The fault that strikes now; as long as the guard is held, nothing else in this process does.
    fn struck(&self, name: &str) -> Option<(Fault, MutexGuard<'static, ()>)> {
        if self.planned.is_empty() {
            return None;
        }
        let count = self.passed.fetch_add(1, Ordering::Relaxed) + 1;
        let mut met = self.planned.iter().filter(|p| p.when.is_met(count, name)).peekable();
        met.peek()?;
        let one_at_a_time = STRIKING.lock().unwrap_or_else(PoisonError::into_inner);
        let planned = met.find(|p| p.may_strike())?;
        self.struck.fetch_add(1, Ordering::Relaxed);
        planned.log();
        Some((planned.fault, one_at_a_time))
    }

    /// As [`Self::strike`], and carries out at once what needs no help of the place: panic, abort, stall and hold.
    ///
    /// # Panics
    /// When that is the fault.
    pub fn pass(&self, name: &str) -> Option<Fault> {
        let (fault, one_at_a_time) = self.struck(name)?;
        if fault == Fault::Abort {
            // With the guard held: what else would strike before the process is gone would be counted as well.
            std::process::abort();
        }
        drop(one_at_a_time);
        match fault {
            Fault::Panic => panic!("planted fault"),
            Fault::Stall => loop {
                std::thread::sleep(Duration::from_secs(3600));
            },
            Fault::Hold => {
                hold();
                None
            }
            Fault::Error
            | Fault::Abort
            | Fault::OutOfMemory
            | Fault::Lost
            | Fault::NonFinite
            | Fault::Balloon
            | Fault::Drain
            | Fault::Cut
            | Fault::Late
            | Fault::Full
            | Fault::Trip => Some(fault),
        }
    }
}

impl When {
    fn is_met(&self, count: u64, name: &str) -> bool {
        match self {
            Self::Always => true,
            Self::Nth(n) => count == *n,
            Self::From(n) => count >= *n,
            Self::Every(n) => count.is_multiple_of(*n),
            Self::Named(text) => name.contains(text.as_str()),
        }
    }
}

impl Planned {
    fn may_strike(&self) -> bool {
        let log = log_file().and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        !self.once || !log.lines().any(|line| line == self.text)
    }

    fn log(&self) {
        let file = log_file().and_then(|path| OpenOptions::new().create(true).append(true).open(path).ok());
        if let Some(mut file) = file {
            // A log that cannot be written shows in the test that reads it.
            drop(writeln!(file, "{}", self.text));
        }
    }
}

fn hold() {
    while log_file().is_some_and(|path| path.exists()) {
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn log_file() -> Option<PathBuf> {
    std::env::var_os("SWATH_FAULTS_LOG").map(PathBuf::from)
}

/// What does not parse plans nothing: the log stays empty.
fn parse(text: &str) -> Vec<Planned> {
    text.split(',').filter_map(parse_one).collect()
}

fn parse_one(text: &str) -> Option<Planned> {
    let (place, rest) = text.trim().split_once(':')?;
    let (rest, once) = rest.strip_suffix('!').map_or((rest, false), |rest| (rest, true));
    let every = rest.split_once('%').map(|(kind, n)| Some((kind, When::Every(n.parse().ok().filter(|n| *n > 0)?))));
    let (kind, when) = match every {
        Some(every) => every?,
        None => kind_and_when(rest)?,
    };
    let (_, fault) = KINDS.iter().find(|(name, _)| *name == kind)?;
    Some(Planned { place: place.to_owned(), fault: *fault, when, once, text: text.trim().to_owned() })
}

fn kind_and_when(rest: &str) -> Option<(&str, When)> {
    Some(match (rest.split_once('@'), rest.split_once('~')) {
        (Some((kind, count)), _) => match count.strip_suffix('+') {
            Some(count) => (kind, When::From(count.parse().ok()?)),
            None => (kind, When::Nth(count.parse().ok()?)),
        },
        (None, Some((kind, name))) => (kind, When::Named(name.to_owned())),
        (None, None) => (rest, When::Always),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_strike_when_they_say() {
        let strikes = |text: &str| -> Vec<bool> {
            let faults = FaultPlan::of(text).at("x");
            ["a", "b", "ab"].iter().map(|name| faults.strike(name).is_some()).collect()
        };
        assert_eq!(strikes("x:error"), [true, true, true]);
        assert_eq!(strikes("x:error@2"), [false, true, false]);
        assert_eq!(strikes("x:error@2+"), [false, true, true]);
        assert_eq!(strikes("x:error%2"), [false, true, false]);
        assert_eq!(strikes("x:error~b"), [false, true, true]);
        assert_eq!(strikes("x:nonsense"), [false, false, false]);
    }

    #[test]
    fn a_list_names_places_and_kinds() {
        let planned = parse("encode:panic@3, device:oom~s2!");
        assert_eq!(planned[0].place, "encode");
        assert_eq!((planned[1].fault, planned[1].once), (Fault::OutOfMemory, true));
        assert_eq!(planned[1].when, When::Named("s2".into()));
    }
}
