"""The command `swath`: becomes the program, so that signals, exit codes and standard streams are its own."""
import ctypes
import os
import sys

from ._program import BIN, REMEDY, SWATH, environment


def main() -> None:
    for library in (BIN / "needs").read_text().split():
        try:
            ctypes.CDLL(library)
        except OSError as problem:
            sys.exit(f"error: {problem}; {REMEDY}")
    os.execve(SWATH, ["swath", *sys.argv[1:]], environment())


if __name__ == "__main__":
    main()
