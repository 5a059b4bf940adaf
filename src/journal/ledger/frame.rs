//! The form of a record file.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::head::{AttemptCounts, AttemptHead};
use crate::journal::Record;

/// Version of the form.
const FORMAT: u32 = 1;

/// First word of every record file, of every format.
const MAGIC: &str = "swath-records ";

/// First word of its last line, of every format.
const SUM: &str = "sha256 ";

/// Name of an attempt's first file.
pub(super) const HEAD_FILE: &str = "head";

/// Name of an attempt's last file.
pub(super) const CLOSED_FILE: &str = "closed";

/// Who wrote a record file, and which one it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileHead {
    /// Name of the file in its folder.
    pub(super) name: String,
    /// Seconds since 1970 by the writer's clock.
    pub(super) written: u64,
    /// That it is the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) closed: Option<Closing>,
    /// The attempt. It is in each file, so that none needs another.
    pub(super) head: AttemptHead,
}

/// How an attempt ended, and what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Closing {
    /// Number of its files with records: they are numbered from 0.
    pub(super) files: u32,
    #[serde(flatten)]
    pub(super) counts: AttemptCounts,
}

/// Why a file does not count.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It is not what was written.
    Damaged(String),
    /// It is what was written, by another version.
    Format(String),
}

/// Name of the file with records of this number.
pub(super) fn numbered(n: u32) -> String {
    format!("{n:06}")
}

/// Number of a file with records; `None` for others.
pub(super) fn number_of(name: &str) -> Option<u32> {
    let n = name.parse().ok()?;
    (numbered(n) == name).then_some(n)
}

/// A record as a line, without its end.
pub(super) fn line(record: &Record) -> String {
    // What fails to serialise are maps with odd keys; records have none.
    serde_json::to_string(record).unwrap_or_default()
}

/// The bytes of a file with these lines.
pub(super) fn encode(head: &FileHead, lines: &[String]) -> Vec<u8> {
    let head = serde_json::to_string(head).unwrap_or_default();
    let mut text = format!("{MAGIC}{FORMAT}\n{head}\n");
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    let sum = crate::hex(&Sha256::digest(&text));
    text.push_str(&format!("{SUM}{sum}\n"));
    text.into_bytes()
}

/// Half a digest: enough to tell contents apart that nobody made to collide.
pub(super) type Mark = [u8; 16];

/// Of these parts; the length of each goes in first, so that none run together.
pub(super) fn mark(parts: &[&str]) -> Mark {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut half = Mark::default();
    half.copy_from_slice(&hasher.finalize()[..16]);
    half
}

/// A record, and what tells it from others.
pub(super) type Marked = (Mark, Record);

/// What is in a file that lies under this name in that attempt's folder.
pub(super) fn decode(bytes: &[u8], folder: &str, name: &str) -> Result<(FileHead, Vec<Marked>), Unfit> {
    let body = checked(bytes)?;
    let unreadable = |what: &str, e: serde_json::Error| Unfit::Format(format!("{what} cannot be read: {e}"));
    let mut lines = body.lines();
    match lines.next().and_then(|first| first.strip_prefix(MAGIC)) {
        Some(version) if version == FORMAT.to_string() => {}
        Some(version) => {
            return Err(Unfit::Format(format!("it has format {version}, this version reads {FORMAT}")));
        }
        None => return Err(Unfit::Damaged("it holds no records".to_owned())),
    }
    let head = lines.next().unwrap_or_default();
    let head: FileHead = serde_json::from_str(head).map_err(|e| unreadable("its head", e))?;
    let (own_folder, own) = (head.head.folder(), &head.name);
    if own_folder != folder || own != name {
        return Err(Unfit::Damaged(format!("it is a copy of `{own_folder}/{own}`")));
    }
    let record = |line| Ok((mark(&[line]), serde_json::from_str(line).map_err(|e| unreadable("a record", e))?));
    Ok((head, lines.map(record).collect::<Result<_, _>>()?))
}

/// What the checksum is of, if it is right.
fn checked(bytes: &[u8]) -> Result<&str, Unfit> {
    let damaged = |what: &str| Unfit::Damaged(what.to_owned());
    let text = std::str::from_utf8(bytes).map_err(|_| damaged("it is no text"))?;
    let whole = text.strip_suffix('\n').ok_or_else(|| damaged("its end is missing"))?;
    let (body, last) = whole.rsplit_once('\n').ok_or_else(|| damaged("its end is missing"))?;
    let sum = last.strip_prefix(SUM).ok_or_else(|| damaged("its end is missing"))?;
    let body = &text[..=body.len()];
    if crate::hex(&Sha256::digest(body)) == sum { Ok(body) } else { Err(damaged("its checksum is wrong")) }
}
