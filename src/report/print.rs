//! The only place that prints.
//!
//! What a person or a program reads goes to standard output, and a command whose answer did not arrive there has failed: a full disk is
//! told. A reader that has gone away (a closed pipe) wanted no more, which is no failure. What accompanies the work goes to standard
//! error; lost there, it stops nothing.

use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use super::Event;

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

/// Prints a line to standard error.
pub fn eprint_line(text: &str) {
    say(text, &Event::Note { text });
}

/// Prints a warning to standard error.
pub fn eprint_warning(text: &str) {
    say(&format!("warning: {text}"), &Event::Warning { text });
}

/// Prints an error with its causes, joined once and here.
pub fn eprint_error(error: &dyn Error) {
    let text = chain(error);
    say(&format!("error: {text}"), &Event::Error { text: &text });
}

/// An error with its causes. What an error has said of its cause is not said again.
fn chain(error: &dyn Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(source) = cause {
        let words = source.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = source.source();
    }
    text
}

/// Says something on standard error: in words, or as an event where programs listen.
pub fn say(text: &str, event: &Event<'_>) {
    let json = JSON_LINES.load(Ordering::Relaxed).then(|| serde_json::to_string(event).unwrap_or_default());
    drop(writeln!(io::stderr().lock(), "{}", json.as_deref().unwrap_or(text)));
}

/// Tells programs something that people see elsewhere.
pub fn tell(event: &Event<'_>) {
    if JSON_LINES.load(Ordering::Relaxed) {
        say("", event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Told {
        text: &'static str,
        source: std::io::Error,
    }

    #[test]
    fn a_cause_is_told_once() {
        let of = |text| chain(&Told { text, source: std::io::Error::from_raw_os_error(2) });
        let cause = "No such file or directory (os error 2)";
        assert_eq!(of("cannot open `a`"), format!("cannot open `a`: {cause}"));
        assert_eq!(of("cannot open `a`: No such file or directory (os error 2)"), format!("cannot open `a`: {cause}"));
    }
}
