//! The program proper: everything is in the library.

use std::process::ExitCode;

pub(crate) fn main() -> ExitCode {
    swath::flow::quiet_panics();
    ExitCode::from(swath::cli::main(std::env::args_os()))
}
