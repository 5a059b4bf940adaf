//! What several hosts tell each other that work on one run directory: each publishes its records, anybody reads the union.
//!
//! ```text
//! DIR/records/<first>-<end>-<plan>-<attempt>/    one folder per attempt: a process that works on units first..end of the plan
//!     head                                       that it began
//!     000000 000001 ...                          what it recorded since the file before
//!     closed                                     that it ended, what came of it, and how many files there are
//! ```
//!
//! A file is text: a line with the format, a line of JSON that says who wrote it and under which name, a line of JSON per [`super::Record`],
//! and a line with the SHA-256 of all before it. So a file that was cut, changed, written twice over or copied to another name is told
//! from a good one, and a good one stands alone: what is wrong with a file costs that file. The outer frame (first line, last line)
//! holds for all formats to come, so that a newer one is told from a damaged file.
//!
//! # Why so
//!
//! - **No lock.** On a network file system a lock is a lease that may be lost unnoticed, and a process of another host cannot be asked
//!   whether it lives. So nothing is ever locked: two live attempts at the same units are normal, write equal bytes under equal names,
//!   and cost the time of the one.
//! - **Whole files that never change.** NFS is close-to-open (nfs(5), "Close-to-open cache consistency"): what one client writes
//!   another sees when it opens the file after the first closed it, and of a file that grows it sees anything. So a file is written
//!   under a temporary name, synced, renamed, and its folder synced. A database in write-ahead mode wants all its processes on one host
//!   (sqlite.org/wal.html): `run.db` is each host's own.
//! - **No listing proves that something is missing.** Clients cache attributes and names, those that are not there among them
//!   (nfs(5), "Directory entry caching": up to a minute with its defaults). So an attempt's closing file says how many
//!   files there are; one that is missing is asked for by name until patience is over, and then said to be missing, not taken as
//!   never written. Of an attempt that did not close nothing is known of the files behind the last one seen: what they named is done
//!   again.
//! - **A rename may have happened although it failed**: the answer was lost and the server was asked again (rename(2), "BUGS"). So upon
//!   a failure the target is compared with what was to be written.
//! - **No clock decides.** Hosts differ by hours. Times are in the files for people; what holds follows from content alone: records are
//!   put in an order of their own ([`Union::records`]), whoever wrote them and whenever.
//! - **One listing tells who matters.** The folder's name has the units and the first digits of the plan's digest. A shard of a
//!   thousand reads the attempts at its own units and no others.
//!
//! Of a store no more is asked than put-if-absent, get and list ([`Store`]), which object stores have as well.
//!
//! A record goes out [`PACE`] after it was made at the latest, and in any case after the bytes that it names: whoever appends it has
//! synced them. So a host that is lost loses what it worked on and some ten seconds of records.

mod batcher;
mod claims;
mod error;
mod folder;
mod frame;
mod head;
mod heads;
mod publisher;
mod store;
mod survey;
#[cfg(test)]
mod tests;
mod union;

pub use batcher::{Batcher, PACE, RecordFile};
pub use claims::{Claim, Claimed, Conflict};
pub use error::LedgerError;
pub use folder::FolderStore;
pub use head::{AttemptCounts, AttemptHead, ShardName, attempt_id, last_shard};
pub use heads::{Heard, heard};
pub use publisher::Publisher;
pub use store::{Store, StoreError};
pub use survey::{AttemptState, Survey};
pub use union::{Best, Rank, Union, covered, union};

/// Folder of the records in a run directory.
pub const RECORDS_FOLDER: &str = "records";
