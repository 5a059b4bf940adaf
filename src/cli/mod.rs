//! The command line: `args` is what was typed, `resolve` turns it into requests of [`crate::app`], `exit` maps what became of
//! them to exit codes.

mod args;
mod exit;
mod resolve;

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};

use clap::Parser;

use crate::app;
use crate::flow::panic_message;
use crate::report;
use args::{Arguments, Command};

/// Runs the program with the arguments that it was called with, and returns its exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let parsed = match Arguments::try_parse_from(arguments) {
        Ok(parsed) => parsed,
        Err(error) => return usage(&error),
    };
    // A panic of this thread is a bug like one of a worker: told as an error, with its place.
    let outcome = catch_unwind(AssertUnwindSafe(|| command(parsed.command)));
    match outcome.unwrap_or_else(|payload| Err(app::Error::Internal(panic_message(payload.as_ref())))) {
        Ok(code) => code,
        Err(error) => {
            report::eprint_error(&error);
            exit::code(&error)
        }
    }
}

/// Prints help, a version or a complaint.
fn usage(error: &clap::Error) -> u8 {
    // A closed pipe changes nothing.
    drop(error.print());
    if error.use_stderr() { exit::USAGE } else { exit::DONE }
}

fn command(command: Command) -> Result<u8, app::Error> {
    match command {
        Command::Run(args) => {
            let ended = app::run(&resolve::job(&args.job)?, &resolve::run(&args.job))?;
            report::print(&report::summary(&ended.report, &ended.out.display().to_string()));
            Ok(if ended.report.failed.is_empty() { exit::DONE } else { exit::SCENES_FAILED })
        }
        Command::Plan(args) => {
            let document = app::plan(&resolve::job(&args.job)?, &args.job.out)?;
            if args.json {
                report::print_json(&document)
            } else {
                report::print(&document.text())
            }
            Ok(if document.refused.is_empty() { exit::DONE } else { exit::SCENES_FAILED })
        }
        Command::Doctor => {
            let diagnosis = app::doctor();
            report::print(&diagnosis.text());
            Ok(if diagnosis.problems().is_empty() { exit::DONE } else { exit::USAGE })
        }
        Command::Synth(args) => {
            for line in app::synth(&resolve::synth(args))? {
                report::print(&format!("{line}\n"));
            }
            Ok(exit::DONE)
        }
        Command::Eval(args) => {
            let json = args.json;
            let (evaluation, classes) = app::eval(&resolve::eval(args))?;
            if json {
                report::print_json(&evaluation)
            } else {
                report::print(&evaluation.text(classes.as_ref()))
            }
            let complete = evaluation.missing.is_empty() && evaluation.mismatched.is_empty();
            Ok(if complete { exit::DONE } else { exit::SCENES_FAILED })
        }
    }
}
