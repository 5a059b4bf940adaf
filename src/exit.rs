//! Exit codes: what a process says of its end. README has the same table.

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// All that was asked is done.
    Done = 0,
    /// A bug, a machine that refuses what every command needs, or deaths and stalls without end. Also: something differs
    /// (`models check`, `weights diff`).
    Internal = 1,
    /// Arguments, pipeline or plan; nothing was touched.
    Usage = 2,
    /// Done, but some scenes have no mask.
    ScenesFailed = 3,
    /// Done, but time was too short for every member to see every scene, or too short altogether.
    Degraded = 4,
    /// Time was up before all scenes were done: they are left to another run.
    OutOfTime = 5,
    /// Another run is at work in the run directory.
    Locked = 11,
    /// Weights do not fit or cannot be read.
    Weights = 12,
    /// An output could not be written.
    Output = 13,
    /// A device that was asked for is not there, or was lost.
    NoDevice = 14,
    /// The devices are of another class than those that the saved plan is made for: it will be so the next time.
    WrongClass = 15,
    /// The run directory cannot be read, by this version or at all.
    Unreadable = 20,
    /// A worker asks to be started again. No person sees this one and the next.
    Restart = 75,
    /// A worker asks to be started again because of a device: no item is to blame.
    RestartForDevice = 76,
    /// SIGHUP ended it: 128 and the signal's number, as shells have it. So the next two.
    HangUp = 129,
    /// SIGINT ended it.
    Interrupt = 130,
    /// SIGTERM ended it.
    Terminate = 143,
}

impl From<ExitCode> for u8 {
    fn from(code: ExitCode) -> Self {
        code as Self
    }
}
