//! The only place that prints.
//!
//! What a person or a program reads goes to standard output, and a command whose answer did not arrive there has failed: a full disk is
//! told. A reader that has gone away (a closed pipe) wanted no more, which is no failure. What accompanies the work goes to standard
//! error; lost there, it stops nothing.

use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use super::events::{Event, chain};

/// Standard output does not take what is written to it.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
pub struct PrintError {
    /// What the system said.
    #[from]
    source: io::Error,
}

/// Prints to standard output.
///
/// # Errors
/// When the system refuses, unless nobody reads any more.
pub fn print(text: &str) -> Result<(), PrintError> {
    let mut out = io::stdout().lock();
    unless_closed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// What became of something that was written to standard output elsewhere.
///
/// # Errors
/// As [`print()`].
pub fn unless_closed(written: io::Result<()>) -> Result<(), PrintError> {
    match written {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(e.into()),
        _ => Ok(()),
    }
}

/// Prints a document to standard output as JSON.
///
/// # Errors
/// As [`print()`], and when the document cannot be written as JSON.
pub fn print_json(document: &impl Serialize) -> Result<(), PrintError> {
    let text = serde_json::to_string_pretty(document).map_err(io::Error::from)?;
    print(&format!("{text}\n"))
}

/// Whether standard error is for programs: one JSON object per line, whoever says something.
static JSON_LINES: AtomicBool = AtomicBool::new(false);

/// From here on all that is said on standard error is JSON, a line each. Errors and signals come from anywhere, hence for the whole
/// process.
pub fn speak_json() {
    JSON_LINES.store(true, Ordering::Relaxed);
}

/// Tells something on standard error: in words, or as JSON where programs listen.
pub fn tell(event: &Event<'_>) {
    let is_json = JSON_LINES.load(Ordering::Relaxed);
    if let Some(line) = if is_json { serde_json::to_string(event).ok() } else { event.text() } {
        drop(writeln!(io::stderr().lock(), "{line}"));
    }
}

/// Tells an error with its causes, joined once and here.
pub fn tell_error(error: &dyn Error) {
    tell(&Event::Error { text: &chain(error) });
}
