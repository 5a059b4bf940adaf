//! The program: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    swath::flow::quiet_panics();
    ExitCode::from(swath::cli::main(std::env::args_os()))
}
