//! What a run directory remembers: which scenes are done, which stage results are kept and where, and why the rest is not.
//!
//! ```text
//! DIR/run.db            SQLite: the only source of truth for "done"
//! DIR/checkpoints/      artefact files: stage results, many entries in one file, each a zstd frame with a checksum
//! DIR/records/          where several hosts share DIR: what each has recorded ([`ledger`])
//! ```
//!
//! The commit point. A file is written under a temporary name, synced, read back and compared with its digest, renamed, its folder
//! synced, and only then recorded here. Records arrive in groups; a group is one transaction (write-ahead log, fully synced), so
//! after a crash each is there whole or not at all, and what is not there is done again. A file that exists means nothing.
//!
//! Results are found by [`StageKey`]: the digest of everything that can change them. Nothing is ever looked up by time or by
//! name alone, so a changed pipeline finds exactly what still holds and the rest is made anew.
//!
//! A [`Record`] is a self-contained value. SQLite is one place to put it; a journal can [`Journal::append`] records that come from
//! elsewhere.

mod artefact;
mod key;
pub mod ledger;
mod publishing;
mod record;
mod store;

pub use artefact::{Artefact, ArtefactError, ArtefactWriter, Checkpoints};
pub use key::{KeyHasher, StageKey};
pub use publishing::Publishing;
pub use record::{
    ArchiveRecord, ArtefactRecord, Conceded, ConcessionRecord, DeviceFaultRecord, EntryRecord, FailureRecord,
    FileRecord, Location, OutputRecord, Record, RunRecord, SceneFacts, SceneRecord,
};
pub use store::{Import, JOURNAL_FILE, Journal, JournalError, State, TRAINING_FILE, is_disk_full};
