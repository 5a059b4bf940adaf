"""What all peers share: their options, and the loop from a folder of scenes to a folder of masks."""
import argparse
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable

import numpy as np

import rasters
import tiles

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
VALUES = (1, 2, 3, 4, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17)

Segment = Callable[[np.ndarray], np.ndarray]


def parser(about: str | None, optional: bool = False) -> argparse.ArgumentParser:
    """`optional`: members and folders need not be named."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--member", action="append", required=not optional, metavar="NAME=SOURCE", help="a network of networks.py and its weights: "
                        "a safetensors file that `swath models export` wrote, or seed:N (repeat for an ensemble)")
    parser.add_argument("--scenes", type=pathlib.Path, required=not optional, help="folder of RGB TIFFs (u8)")
    parser.add_argument("--out", type=pathlib.Path, required=not optional, help="folder for the masks")
    parser.add_argument("--device", default="cpu", help="cpu or cuda:0 (default: %(default)s)")
    parser.add_argument("--precision", choices=("f32", "tf32", "f16", "bf16"), default="f32", help="of weights and maps; "
                        "tf32 is f32 whose products a GPU rounds (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads within an operation on a CPU (default: %(default)s)")
    parser.add_argument("--border", choices=("reflect", "zero"), default="reflect", help="what lies outside a scene")
    parser.add_argument("--classes", type=int, default=15)
    parser.add_argument("--values", type=numbers(int), default=VALUES, help="what masks hold, class by class")
    parser.add_argument("--mean", type=numbers(float), default=MEAN, help="of the bands, after the division by 255")
    parser.add_argument("--std", type=numbers(float), default=STD)
    return parser


def numbers(kind: type) -> Callable[[str], tuple]:
    return lambda text: tuple(kind(part) for part in text.split(","))


def sources(options: argparse.Namespace) -> list[tuple[str, str]]:
    """The members as (name, weights)."""
    pairs = [member.partition("=") for member in options.member]
    if any(not source for _, _, source in pairs):
        raise SystemExit("--member takes NAME=FILE or NAME=seed:N")
    return [(name, source) for name, _, source in pairs]


def tiler(options: argparse.Namespace) -> tiles.Tiler:
    """Networks of segmentation_models_pytorch take multiples of 16 only, the others any size."""
    multiple = 16 if any(name.startswith("smp/") for name, _ in sources(options)) else 1
    return tiles.Tiler(border=options.border, multiple=multiple)


def scenes(options: argparse.Namespace) -> list[pathlib.Path]:
    found = sorted(path for path in options.scenes.iterdir() if path.suffix.lower() in (".tif", ".tiff"))
    if not found:
        raise SystemExit(f"{options.scenes} holds no .tif or .tiff")
    return found


def run(options: argparse.Namespace, segment: Segment) -> None:
    """Writes the mask of every scene and prints what it took as one line of JSON."""
    print(json.dumps(measure(options, segment)), flush=True)


def measure(options: argparse.Namespace, segment: Segment) -> dict[str, float]:
    """Writes the mask of every scene."""
    options.out.mkdir(parents=True, exist_ok=True)
    paths, values, pixels = scenes(options), np.array(options.values, np.uint8), 0
    start_up, began = process_age(), time.perf_counter()
    for scene in paths:
        labels = segment(rasters.read_tiff(scene))
        rasters.write_png(options.out / f"{scene.stem}.png", values[labels])
        pixels += labels.size
    seconds = time.perf_counter() - began
    told = {"scenes": len(paths), "pixels": pixels, "start_up_s": round(start_up, 2), "seconds": round(seconds, 2)}
    told |= {"mpx_per_s": round(pixels / seconds / 1e6, 3), "peak_rss_mb": peak_rss_mb()}
    return told | gpu_memory()


def peak_rss_mb() -> int:
    """Not `ru_maxrss`, which begins with what the parent held."""
    status = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 // 1_000_000 for line in status if line.startswith("VmHWM:"))


def process_age() -> float:
    """Seconds since the interpreter started, imports included."""
    ticks = int(pathlib.Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def gpu_memory() -> dict[str, int]:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return {}
    return {"peak_gpu_mb": torch.cuda.max_memory_allocated() // 1_000_000}
