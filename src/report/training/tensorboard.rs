//! TensorBoard's event files, as far as they are needed here: numbers and words by step.
//!
//! A file is a sequence of TFRecords (length, its masked CRC-32C, bytes, their masked CRC-32C), each an `Event` in Protocol Buffers'
//! encoding (`tensorflow/core/util/event.proto`, `tensorflow/core/framework/summary.proto`). That is so little, and has been the same for so
//! long, that it is written here: of the crates that do it one wants a compiler of `.proto` files for the build and one an `image` from 2020.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::atomic::WriteError;

/// What the names of event files begin with. TensorBoard reads those of a folder in the order of their names.
pub(super) const PREFIX: &str = "events.out.tfevents.";

/// An event file that grows.
#[derive(Debug)]
pub(super) struct EventFile {
    pub(super) path: PathBuf,
    file: File,
}

impl EventFile {
    /// Begins a file behind those that the folder has, from whose points TensorBoard forgets those of `from_step` and later.
    pub(super) fn begin(folder: &Path, from_step: u64) -> Result<Self, WriteError> {
        let fail = |operation, path: &Path| {
            let path = path.to_owned();
            move |source| WriteError { operation, path, source }
        };
        std::fs::create_dir_all(folder).map_err(fail("create the folder", folder))?;
        let names = std::fs::read_dir(folder).map_err(fail("list the folder", folder))?;
        let second = |name: &str| name.strip_prefix(PREFIX)?.split('.').next()?.parse::<u64>().ok();
        let last = names.flatten().filter_map(|entry| second(entry.file_name().to_str()?)).max();
        // Clocks go back, and two files may begin within a second.
        let second = now().as_secs().max(last.map_or(0, |last| last + 1));
        let path = folder.join(format!("{PREFIX}{second:010}.swath"));
        let file = OpenOptions::new().create_new(true).append(true).open(&path).map_err(fail("create", &path))?;
        let mut events = Self { path, file };
        let version = Message::default().bytes(3, b"brain.Event:2");
        let start = Message::default().varint(2, from_step).bytes(7, &Message::default().varint(1, 1).0);
        events.write(version).and_then(|()| events.write(start)).map_err(fail("write", &events.path))?;
        Ok(events)
    }

    /// Numbers of a step by name.
    pub(super) fn scalars(&mut self, step: u64, scalars: &BTreeMap<String, f64>) -> io::Result<()> {
        #[expect(clippy::cast_possible_truncation, reason = "the file's own type; metrics.jsonl has all digits")]
        let value =
            |(name, value): (&String, &f64)| Message::default().bytes(1, name.as_bytes()).float(2, *value as f32);
        self.summary(step, scalars.iter().map(value))
    }

    /// Words about a step.
    pub(super) fn words(&mut self, step: u64, text: &str) -> io::Result<()> {
        // A tensor of one string, which the plugin `text` shows.
        let plugin = Message::default().bytes(1, &Message::default().bytes(1, b"text").0).varint(4, 2);
        let shape = Message::default().bytes(2, &Message::default().varint(1, 1).0);
        let tensor = Message::default().varint(1, 7).bytes(2, &shape.0).bytes(8, text.as_bytes());
        self.summary(step, [Message::default().bytes(1, b"notes").bytes(9, &plugin.0).bytes(8, &tensor.0)].into_iter())
    }

    /// Puts on disk what was written.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn summary(&mut self, step: u64, values: impl Iterator<Item = Message>) -> io::Result<()> {
        let summary = values.fold(Message::default(), |summary, value| summary.bytes(1, &value.0));
        self.write(Message::default().varint(2, step).bytes(5, &summary.0))
    }

    fn write(&mut self, event: Message) -> io::Result<()> {
        self.file.write_all(&framed(&event.double(1, now().as_secs_f64()).0))
    }
}

/// Time since 1970.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_le_bytes();
    [&length[..], &masked(&length).to_le_bytes(), bytes, &masked(bytes).to_le_bytes()].concat()
}

/// A checksum of bytes that may themselves hold checksums.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// A message of Protocol Buffers: fields one after another, each with its number and how it is stored.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    fn raw(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    fn varint(mut self, field: u64, value: u64) -> Self {
        self.raw(field << 3);
        self.raw(value);
        self
    }

    fn double(mut self, field: u64, value: f64) -> Self {
        self.raw(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.raw(field << 3 | 2);
        self.raw(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    fn float(mut self, field: u64, value: f32) -> Self {
        self.raw(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }
}
