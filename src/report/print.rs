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
    eprint_line(&format!("error: {}", chain(error)));
}

/// An error with its causes. What an error has said of its cause is not said again.
fn chain(error: &dyn Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(source) = cause {
        let words = source.to_string();
        if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        cause = source.source();
    }
    text
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
