"""Commands as functions."""
from __future__ import annotations

import importlib
import json
import logging
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ._errors import PARTIAL
from ._program import Child, arguments

if TYPE_CHECKING:
    import numpy

Path = str | os.PathLike[str]
Event = dict[str, Any]

LOG = logging.getLogger("swath")
LOG.addHandler(logging.NullHandler())
LOUD = {"error": logging.ERROR, "progress": logging.DEBUG} | dict.fromkeys(
    ("warning", "failed", "out-of-memory", "deadline", "deadline-missed", "out-of-time", "abandoned", "stalled", "restarted"), logging.WARNING
)


class Report(Mapping[str, Any]):
    """What a run did: `report.json` of its directory, as a mapping (pipelines/README.md has the fields), and what people want of it."""

    def __init__(self, folder: pathlib.Path, code: int):
        self.folder = folder
        """The run directory."""
        self.code = code
        """The exit code: 0, or 3, 4 or 5 where not all is done (README, "Exit codes")."""
        self._fields = json.loads((folder / "report.json").read_bytes())

    def __getitem__(self, field: str) -> Any:
        return self._fields[field]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        done, failed, seconds = (self["totals"][field] for field in ("done", "failed", "seconds"))
        return f"<swath.Report of {self.folder}: {done} scenes done, {failed} failed, {seconds:.1f} s>"

    @property
    def masks(self) -> dict[str, pathlib.Path]:
        """The masks by scene: the file's name without extension, in sub-folders with these."""
        return {scene: self.folder / "masks" / f"{scene}.png" for scene in self["scenes"]}

    @property
    def failed(self) -> dict[str, str]:
        """Why scenes have no mask, by file."""
        return {scene["scene"]: scene["cause"] for scene in self["failed"]}

    @property
    def archive(self) -> pathlib.Path | None:
        """`submit.zip`, if there is one."""
        return self.folder / "submit.zip" if self["package"] else None

    def array(self, scene: str) -> numpy.ndarray[Any, Any]:
        """The mask of a scene, height x width, u8 or u16. Needs `swath[arrays]`."""
        import numpy
        from PIL import Image

        # A mask may be larger than what Pillow takes for an attack.
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            with Image.open(self.masks[scene]) as image:
                return numpy.asarray(image, dtype=numpy.uint8 if image.mode == "L" else numpy.uint16)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def segment(
    pipeline: Path,
    inputs: Path | Sequence[Path],
    out: Path,
    *,
    progress: bool | Callable[[Event], object] | Any = None,
    check: bool = True,
    **options: Any,
) -> Report:
    """Segments scenes: `swath run PIPELINE -i INPUTS -o OUT`. The same call again goes on where one was interrupted.

    pipeline   the pipeline file (TOML)
    inputs     a folder, a list file (.txt), or files: one, or a sequence
    out        the run directory: masks and report.json go here
    progress   True for a bar of tqdm's (`swath[progress]`); a class or an instance of such a bar; or a function, which is called with each event
               (pipelines/README.md, "What a run tells": a dict with "event", of "progress" once a second also "tiles", "of_tiles",
               "eta_seconds" ..)
    check      whether a run that left something undone (exit codes 3, 4, 5) raises, its report with the exception; otherwise the report is
               returned, whose `code` and `failed` tell. Without any result an exception is raised in any case
    options    those of `swath run --help`: `devices="cpu"`, `set={"tiler.dilation": 64}`, `fresh=True`, `deadline="90m"`, `from_="post"`

    Raises a subclass of swath.Error, named after the exit code. Ctrl-C (or an exception of `progress`) has the program finish the forward
    passes under way, waits for that and raises on; Ctrl-C again ends it at once. What is told goes to the logger "swath":
    `logging.basicConfig(level="INFO")` shows it on standard error.
    """
    inputs = [inputs] if isinstance(inputs, (str, os.PathLike)) else inputs
    words = [f"--input={os.fspath(each)}" for each in inputs] + [f"--out={os.fspath(out)}", "--progress=json", *arguments(options)]
    child = Child("run", [*words, "--", os.fspath(pipeline)])
    try:
        tell = listener(progress)
        for event in child.events():
            LOG.log(LOUD.get(event["event"], logging.INFO), "%s", worded(event))
            tell(event)
    except BaseException:
        child.stop()
        raise
    finally:
        child.end()
    code = child.process.returncode
    report = Report(pathlib.Path(out), code) if child.has_report else None
    if report is None or code not in (0, *PARTIAL) or (check and code != 0):
        child.problem = child.problem or (summary(report) if report else "")
        child.complain(code, report)
    return report


def plan(pipeline: Path, inputs: Path | Sequence[Path], **options: Any) -> dict[str, Any]:
    """What `segment` would do: the document of `swath plan --json`. Touches nothing."""
    inputs = [inputs] if isinstance(inputs, (str, os.PathLike)) else inputs
    words = [f"--input={os.fspath(each)}" for each in inputs]
    return document("plan", [*words, *arguments(options), "--", os.fspath(pipeline)])


def evaluate(masks: Path, truth: Path, *, check: bool = True, **options: Any) -> dict[str, Any]:
    """Scores of masks against true masks: the document of `swath eval --json`. `ignore=255` leaves out unlabelled pixels, `pipeline=FILE`
    gives classes their names. With `check`, missing and mismatched masks raise."""
    return document("eval", [f"--truth={os.fspath(truth)}", *arguments(options), "--", os.fspath(masks)], () if check else PARTIAL)


def document(command: str, words: list[str], bear: tuple[int, ...] = ()) -> dict[str, Any]:
    """What a command prints as JSON."""
    child = Child(command, ["--json", *words])
    try:
        code = child.end()
    except BaseException:
        child.stop()
        raise
    answer: dict[str, Any] = json.loads(child.answer or "{}")
    if code not in (0, *bear):
        lacking = (f"{what}: {answer[what]}" for what in ("missing", "mismatched") if answer.get(what))
        child.problem = child.problem or "; ".join(lacking)
        child.complain(code)
    return answer


def worded(event: Event) -> str:
    """An event as a line: its text, or its fields."""
    fields = (f"{field} {value}" for field, value in event.items() if field != "event" and not isinstance(value, (dict, list)))
    return event.get("text") or f"{event['event']}: {', '.join(fields)}"


def summary(report: Report) -> str:
    totals = report["totals"]
    text = f"{totals['done']} scenes are done, {totals['failed']} failed, {len(report['missing'])} are left over"
    return text + "".join(f"\n{scene}: {cause}" for scene, cause in [*report.failed.items()][:10])


def listener(progress: Any) -> Callable[[Event], object]:
    """What is called with each event."""
    if progress is True:
        try:
            progress = importlib.import_module("tqdm.auto").tqdm
        except ImportError as problem:
            raise ImportError("progress=True needs tqdm: pip install 'swath[progress]', or pass a function") from problem
    if not progress:
        return lambda event: None
    bar = progress(total=0, unit="tile") if isinstance(progress, type) else progress
    if not hasattr(bar, "update"):
        return bar  # type: ignore[no-any-return]
    seen = 0

    def show(event: Event) -> None:
        nonlocal seen
        if event["event"] == "started":
            bar.total = event["tiles"]
            bar.refresh()
        elif event["event"] in ("progress", "finished"):
            tiles = event["tiles"] if event["event"] == "progress" else event["totals"]["tiles"]
            bar.update(max(tiles - seen, 0))
            seen = max(tiles, seen)
        if event["event"] == "finished" and bar is not progress:
            bar.close()

    return show
