//! The only place that prints. What nobody can read any more is dropped: a closed pipe or a dead terminal never stops a run.

use std::error::Error;
use std::io::Write;

use serde::Serialize;

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

/// Prints a line to standard error.
pub fn eprint_line(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
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
    eprint_line(&format!("error: {text}"));
}
