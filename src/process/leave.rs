//! The end of this process, now.

/// Ends this process with an exit code, whatever its threads are doing. Nothing is tidied up, neither here nor in a library: what is to
/// last must be on disk.
#[expect(
    unsafe_code,
    reason = "std's exit runs the destructors of C++ libraries, which panic or hang while other threads are inside of them"
)]
pub fn exit_now(code: u8) -> ! {
    // SAFETY: it takes any number, does not return and touches no memory of this process.
    unsafe { libc::_exit(i32::from(code)) }
}
