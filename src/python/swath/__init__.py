"""Land-cover masks from remote-sensing rasters: the program swath as a module. The program runs as a child process of its own."""
from ._errors import (
    DegradedError,
    Error,
    HangUpError,
    InternalError,
    InterruptError,
    LockedError,
    MissingLibraryError,
    NoDeviceError,
    OutOfTimeError,
    OutputError,
    ScenesFailedError,
    TerminateError,
    UnreadableError,
    UsageError,
    WeightsError,
    WrongClassError,
)
from ._run import Report, evaluate, plan, segment

__all__ = [
    "DegradedError", "Error", "HangUpError", "InternalError", "InterruptError", "LockedError", "MissingLibraryError", "NoDeviceError",
    "OutOfTimeError", "OutputError", "Report", "ScenesFailedError", "TerminateError", "UnreadableError", "UsageError", "WeightsError",
    "WrongClassError", "evaluate", "plan", "segment",
]  # fmt: skip
