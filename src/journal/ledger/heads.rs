//! Who has published anything, and how it ended, without what was published.

use std::time::{Duration, Instant};

use super::RECORDS_FOLDER;
use super::error::LedgerError;
use super::frame::{self, CLOSED_FILE, FileHead, HEAD_FILE, Unfit};
use super::head::{AttemptCounts, AttemptHead};
use super::store::Store;

/// How often it is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// An attempt by its first and its last file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Its first file: who works at what.
    pub head: AttemptHead,
    /// How it ended; `None` while it lives, or if it died.
    pub closed: Option<AttemptCounts>,
    /// Seconds since 1970 by its host's clock when it published last. People alone go by it.
    pub last_seen: u64,
}

/// The attempts whose heads can be read, of whatever plan. As long as there is none, it is asked again until patience is over.
///
/// # Errors
/// When the store refuses, or one is of another format.
pub fn heard(store: &dyn Store, patience: Duration) -> Result<Vec<Heard>, LedgerError> {
    let begun = Instant::now();
    loop {
        let folders = store.list(RECORDS_FOLDER)?;
        let heard = folders.iter().map(|folder| of_folder(store, folder)).collect::<Result<Vec<_>, _>>()?;
        let heard: Vec<Heard> = heard.into_iter().flatten().collect();
        let left = patience.saturating_sub(begun.elapsed());
        if !heard.is_empty() || left.is_zero() {
            return Ok(heard);
        }
        std::thread::sleep(left.min(AGAIN));
    }
}

fn of_folder(store: &dyn Store, folder: &str) -> Result<Option<Heard>, LedgerError> {
    let Some(first) = file(store, folder, HEAD_FILE)? else { return Ok(None) };
    let (last, closed) = match file(store, folder, CLOSED_FILE)? {
        Some(last) => (last.written, last.closed.map(|closing| closing.counts)),
        None => {
            let names = store.list(&format!("{RECORDS_FOLDER}/{folder}"))?;
            let last = names.iter().filter(|name| frame::number_of(name).is_some()).max();
            let last = last.map(|name| file(store, folder, name)).transpose()?.flatten();
            (last.map_or(first.written, |last| last.written), None)
        }
    };
    Ok(Some(Heard { head: first.head, closed, last_seen: last }))
}

/// What a file says of itself, if it is there and sound.
fn file(store: &dyn Store, folder: &str, name: &str) -> Result<Option<FileHead>, LedgerError> {
    let path = format!("{RECORDS_FOLDER}/{folder}/{name}");
    let Some(bytes) = store.get(&path)? else { return Ok(None) };
    match frame::decode(&bytes, folder, name) {
        Ok((file, _)) => Ok(Some(file)),
        Err(Unfit::Damaged(_)) => Ok(None),
        Err(Unfit::Format(reason)) => Err(LedgerError::Format { file: store.locate(&path), reason }),
    }
}
