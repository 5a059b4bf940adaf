//! `swath`: the program proper, or, where that needs libtorch, what finds libtorch first.

#[cfg(feature = "torch")]
#[path = "launcher.rs"]
mod start;

#[cfg(not(feature = "torch"))]
#[path = "program.rs"]
mod start;

fn main() -> std::process::ExitCode {
    start::main()
}
