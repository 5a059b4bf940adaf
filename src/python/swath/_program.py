"""The program beside this module, as a child process."""
from __future__ import annotations

import collections
import importlib.util
import json
import os
import pathlib
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from ._errors import BY_CODE, InternalError, MissingLibraryError

BIN = pathlib.Path(__file__).resolve().parent / "bin"
SWATH = BIN / "swath"
REMEDY = (
    "this wheel takes GDAL from the system, the version it was built with: install that (Debian 12: apt-get install libgdal32), "
    "or build the wheel with GDAL inside (bash run.sh wheel --static)"
)
PATIENCE_S = 1.0
"""A Ctrl-C that reached the program as well it has told by then."""


def environment() -> dict[str, str]:
    """This process's, with LIBTORCH naming the torch of this Python, unless it names one already. torch itself is not loaded."""
    found = importlib.util.find_spec("torch")
    named = {} if not found or not found.origin else {"LIBTORCH": os.path.dirname(found.origin)}
    return {**named, **{name: value for name, value in os.environ.items() if name != "LIBTORCH" or value}}


def arguments(options: Mapping[str, Any]) -> list[str]:
    """Keywords as options of the command line: `grace=5` is `--grace=5`, `fresh=True` is `--fresh`, `from_="post"` is `--from=post`; a sequence
    repeats its option; `set` is a mapping from keys of the pipeline to values."""
    made = []
    for name, value in options.items():
        flag = "--" + name.strip("_").replace("_", "-")
        if isinstance(value, Mapping):
            made += [f"{flag}={key}={json.dumps(each)}" for key, each in value.items()]
        elif isinstance(value, (list, tuple)):
            made += [f"{flag}={each}" for each in value]
        elif value is True:
            made.append(flag)
        elif value is not None and value is not False:
            made.append(f"{flag}={value}")
    return made


class Child:
    """The program at work. What it tells on standard error is read by a thread, so that Ctrl-C finds the caller's thread in Python."""

    def __init__(self, command: str, words: list[str]):
        self.process = subprocess.Popen(
            [str(SWATH), command, *words], env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.problem, self.stopping, self.has_report = "", False, False
        self.last_lines: collections.deque[str] = collections.deque(maxlen=20)
        self.answer = b""
        self.lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.readers = [threading.Thread(target=read, daemon=True) for read in (self._read_lines, self._read_answer)]
        for reader in self.readers:
            reader.start()

    def _read_lines(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.lines.put(line)
        self.lines.put(None)

    def _read_answer(self) -> None:
        assert self.process.stdout
        self.answer = self.process.stdout.read()

    def events(self, patience_s: float | None = None) -> Iterator[dict[str, Any]]:
        """What it tells until its end, or until it has told nothing for so long. Lines that are no events are kept for the message."""
        while True:
            try:
                line = self.lines.get(timeout=patience_s)
            except queue.Empty:
                return
            if line is None:
                return self.lines.put(None)
            try:
                event = json.loads(line)
                name = event["event"]
            except (ValueError, TypeError, KeyError):
                self.last_lines.append(line.decode(errors="replace").rstrip())
                continue
            self.stopping |= name == "stopping"
            self.has_report |= "report" in event
            if name == "error":
                self.problem = event["text"]
            yield event

    def end(self) -> int:
        """Waits for its end; the exit code."""
        for _ in self.events():
            pass
        for reader in self.readers:
            reader.join()
        return self.process.wait()

    def stop(self) -> None:
        """Has it finish what is under way, and waits for that; another Ctrl-C has it end at once. A Ctrl-C in a terminal, and in most
        notebooks, reaches the program too, and told twice it would not finish anything: so it is asked only if it has not been."""
        asked, until = False, time.monotonic() + PATIENCE_S
        while True:
            try:
                while not asked and not self.stopping and self.process.poll() is None and time.monotonic() < until:
                    next(self.events(0.05), None)
                if not asked and not self.stopping and self.process.poll() is None:
                    self.process.send_signal(signal.SIGINT)
                asked = True
                self.end()
                return
            except KeyboardInterrupt:
                asked = True
                self.process.send_signal(signal.SIGINT)

    def complain(self, code: int, report: Any = None) -> NoReturn:
        """Raises what the exit code stands for."""
        message = self.problem or "\n".join(self.last_lines) or f"the program ended with exit code {code}"
        kind = BY_CODE.get(code, InternalError)
        if code < 0:
            message = f"the program was killed by {signal.Signals(-code).name}" + (f": {message}" if self.last_lines else "")
        elif kind is MissingLibraryError:
            message += f"; {REMEDY}"
        raise kind(message.removeprefix("error: "), code, report)
