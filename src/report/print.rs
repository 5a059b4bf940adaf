//! The only place that prints. What nobody can read any more is dropped: a closed pipe or a dead terminal never stops a run.

use std::error::Error;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use super::Event;

/// Prints to standard output.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// Prints a document to standard output as JSON.
pub fn print_json(document: &impl Serialize) {
    match serde_json::to_string_pretty(document) {
        Ok(text) => print(&format!("{text}\n")),
        Err(e) => eprint_line(&format!("error: cannot write this as JSON: {e}")),
    }
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
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(source) = cause {
        // Some errors of libraries tell their cause themselves.
        let told = source.to_string();
        if !text.contains(&told) {
            text = format!("{text}: {told}");
        }
        cause = source.source();
    }
    say(&format!("error: {text}"), &Event::Error { text: &text });
}

/// Says something on standard error: in words, or as an event where programs listen.
pub fn say(text: &str, event: &Event<'_>) {
    let json = JSON_LINES.load(Ordering::Relaxed).then(|| serde_json::to_string(event).unwrap_or_default());
    drop(writeln!(std::io::stderr().lock(), "{}", json.as_deref().unwrap_or(text)));
}

/// Tells programs something that people see elsewhere.
pub fn tell(event: &Event<'_>) {
    if JSON_LINES.load(Ordering::Relaxed) {
        say("", event);
    }
}
