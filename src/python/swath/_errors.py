"""Exceptions, named after the exit codes of the program (README, "Exit codes")."""
from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._run import Report


class Error(RuntimeError):
    """The program ended with an exit code other than 0. What it did all the same is in `report`, if it came that far."""

    code: int
    """The exit code; of a program that a signal killed, minus the signal's number."""
    report: Report | None

    def __init__(self, message: str, code: int, report: Report | None = None):
        super().__init__(message, code, report)
        self.code, self.report = code, report

    def __str__(self) -> str:
        return str(self.args[0])


class InternalError(Error):
    """1, or no code of the program's: a bug, or a machine that refuses what every command needs."""


class UsageError(Error):
    """2: arguments, pipeline or plan, or no libtorch; nothing was touched."""


class ScenesFailedError(Error):
    """3: done, but some scenes have no mask; `report.failed` says why. Of `evaluate`: masks are missing or cannot be compared."""


class DegradedError(Error):
    """4: done, but time was too short for every member to see every scene."""


class OutOfTimeError(Error):
    """5: time was up before all scenes were done; the same call goes on."""


class LockedError(Error):
    """11: another run is at work in the run directory."""


class WeightsError(Error):
    """12: weights do not fit or cannot be read."""


class OutputError(Error):
    """13: an output could not be written."""


class NoDeviceError(Error):
    """14: a device that was asked for is not there, or was lost."""


class WrongClassError(Error):
    """15: the devices are of another class than those that the saved plan is made for."""


class UnreadableError(Error):
    """20: the run directory is damaged, or of a format that this version cannot read."""


class HangUpError(Error):
    """129: SIGHUP ended it."""


class InterruptError(Error):
    """130: SIGINT ended it, and came from elsewhere: Ctrl-C here is a KeyboardInterrupt."""


class TerminateError(Error):
    """143: SIGTERM ended it."""


class MissingLibraryError(Error):
    """127: the program does not start, for a library that it needs is not there."""


BY_CODE: dict[int, type[Error]] = {
    1: InternalError, 2: UsageError, 3: ScenesFailedError, 4: DegradedError, 5: OutOfTimeError, 11: LockedError, 12: WeightsError,
    13: OutputError, 14: NoDeviceError, 15: WrongClassError, 20: UnreadableError, 127: MissingLibraryError, 129: HangUpError, 130: InterruptError,
    143: TerminateError,
}  # fmt: skip
PARTIAL = (3, 4, 5)
"""Codes of runs that have results, though not all."""
