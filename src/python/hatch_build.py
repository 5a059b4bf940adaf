"""Puts the program into the wheel, and says in the wheel's tag which systems it runs on."""
import os
import pathlib
import re
import subprocess
import tempfile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# The libstdc++ that a manylinux policy may count on (PEP 600: what distributions with that glibc have), by the newest symbols.
LIBSTDCXX = {24: "2.27", 25: "2.28", 28: "2.31", 29: "2.34", 30: "2.35", 32: "2.38", 33: "2.39"}


class Programs(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """SWATH names the folder of the built program, as for tests/bench/gpu-bundle.sh."""
        if "SWATH" not in os.environ:
            raise SystemExit("SWATH does not name the folder of a built program: call `bash run.sh wheel`")
        source, self.folder = pathlib.Path(os.environ["SWATH"]), tempfile.TemporaryDirectory()
        staged = pathlib.Path(self.folder.name)
        # Without the feature torch `swath` is all there is.
        programs = [name for name in ("swath", "swath-torch") if (source / name).is_file()]
        for name in programs:
            tool("strip", "-o", staged / name, source / name)
        needed = re.findall(r"NEEDED +(libgdal\S*)", "".join(tool("objdump", "-p", staged / name) for name in programs))
        (staged / "needs").write_text("\n".join(needed))
        include = {str(staged / name): f"swath/bin/{name}" for name in (*programs, "needs")}
        terms = [*pathlib.Path(self.root, "../..").glob("LICENSE-*"), *source.glob("licenses/*")]
        include |= {str(file.resolve()): f"swath/licenses/{file.name}" for file in terms}
        build_data.update(force_include=include, pure_python=False, tag=f"py3-none-{platform([staged / name for name in programs], needed)}")

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        self.folder.cleanup()


def tool(*command: str | pathlib.Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def platform(programs: list[pathlib.Path], needed: list[str]) -> str:
    """With GDAL inside the oldest manylinux that has all symbols. With the system's, of one distribution, `linux`: an index refuses it, and
    rightly. libtorch counts neither way: torch is required."""
    machine = os.uname().machine
    if needed:
        return f"linux_{machine}"
    symbols = "".join(tool("objdump", "-T", program) for program in programs)
    glibc = [tuple(map(int, each.split("."))) for each in re.findall(r"GLIBC_(2\.\d+)", symbols)]
    newest = max(map(int, re.findall(r"GLIBCXX_3\.4\.(\d+)", symbols)), default=0)
    policies = [tuple(map(int, glibc.split("."))) for symbol, glibc in LIBSTDCXX.items() if symbol >= newest]
    if not policies:
        raise SystemExit(f"the program asks for libstdc++ 3.4.{newest}, newer than any that LIBSTDCXX knows: add it in {__file__}")
    return "manylinux_{}_{}_{}".format(*max(*glibc, policies[0]), machine)
