"""Kept centres against blended windows: mIoU scene by scene, seams, processor time.

    python tests/bench/overlap.py SWATH NETWORK --data SPLIT.. --work FOLDER [--crop 512] [--json FILE]

SWATH is the program, NETWORK a TorchScript program (any: [1, 3, crop, crop] in, as many logits out), a safetensors file of
segmentation_models_pytorch's DeepLabv3+ on ResNet-18, or with --preset a weights file of a network in parity.py (with what that needs). A
SPLIT has images/X.tif (RGB, u8) and masks/X.png, which hold ids, or with --values those in their order; all else is left out.

The network sees crops of one side S in every way, from the same file, on one thread:

    centre d   swath with `dilation = d`: of each crop the centre of T = S - 2d pixels is kept, and crops lie T apart
    blend d    swath with `dilation = d` and `blend = "gaussian"`: the same crops, averaged as below
    blend      MONAI's `sliding_window_inference(mode="gaussian", overlap=0.5)`: crops lie T = S/2 apart, and where they overlap logits are
               averaged with Gaussian weights of sigma S/8 around each crop's centre

Scenes are rewritten without loss first, for two JPEG libraries do not read one file alike; outside a scene pixels are reflected. Each way
segments each scene twice: A from its corner, B without its first T/2 rows and columns, so that B's borders lie between A's. A border is where
the crop changes that says most of a pixel: where kept centres meet, or half-way between the centres of blended crops. Of the pixels in A's
rows and columns from S on (no nearer than S/2 to where B is cut off):

    near, inside   the share whose labels in A and B differ, up to 16 pixels from a border of A or B, and farther from all of them
    seam           the share of pairs of neighbours with two labels in A, of those pairs that A's borders separate, less that in B, where no
                   border is

mIoU is a scene's own (the mean over classes that its truth has); a difference is paired by scene, its interval the 2.5th and 97.5th
percentile of 10 000 bootstrap means over scenes. Time is user and system time: of swath's processes from start to end, of the script from
the first scene on. Results in FOLDER are reused. Needs peers/requirements.txt.
"""
import argparse
import dataclasses
import hashlib
import json
import pathlib
import subprocess
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent / folder) for folder in ("peers", ".")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402

import compare  # noqa: E402
import networks  # noqa: E402
import peer  # noqa: E402
import rasters  # noqa: E402

IGNORED, NEAR, RESAMPLES = 255, 16, 10_000


@dataclasses.dataclass(frozen=True)
class Way:
    """How crops are joined; `dilation` is None where MONAI does it."""

    crop: int
    dilation: int | None
    blended: bool = True

    @property
    def name(self) -> str:
        return "blend" if self.dilation is None else f"{'blend' if self.blended else 'centre'} {self.dilation}"

    @property
    def step(self) -> int:
        return self.crop // 2 if self.dilation is None else self.crop - 2 * self.dilation

    def borders(self, length: int, start: int) -> np.ndarray:
        """Positions along an axis of a scene before which a border lies, the first crop beginning at `start`."""
        first = self.step if self.dilation is not None else (self.crop + self.step) // 2
        return np.arange(start + first, length, self.step)

    def crops(self, height: int, width: int) -> int:
        missing = self.crop - self.step if self.dilation is None else 0
        return int(np.prod([max(-(-(side - missing) // self.step), 1) for side in (height, width)]))


# Scenes, network, pipeline


def prepare(options: argparse.Namespace) -> None:
    """Writes whole and cut scenes without loss, and the network as a program."""
    options.work.mkdir(parents=True, exist_ok=True)
    for split in options.data:
        for path in sorted((split / "images").glob("*.tif")):
            image = np.asarray(Image.open(path).convert("RGB"))
            for start in sorted({0, *(way.step // 2 for way in options.ways)}):
                file = options.work / f"scenes{start}" / f"{scene(split, path)}.tif"
                file.parent.mkdir(exist_ok=True)
                if not file.exists():
                    rasters.write_tiff(file, image[start:, start:])
    program = options.work / "network.pt"
    if program.exists():
        return
    if options.preset or options.network.suffix == ".safetensors":
        network = preset(options) if options.preset else networks.build("smp/deeplabv3plus/resnet18", str(options.network), options.classes)
        torch.jit.trace(network, torch.zeros(1, 3, options.crop, options.crop)).save(program)
    else:
        program.write_bytes(options.network.read_bytes())


def scene(split: pathlib.Path, path: pathlib.Path) -> str:
    """Drawn scenes have the same names whatever their seed."""
    return f"{split.name}-{path.stem}"


class Logits(torch.nn.Module):
    """A network without what it says beside."""

    def __init__(self, network: torch.nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = self.network(x)
        return found["logits"] if isinstance(found, dict) else found


def preset(options: argparse.Namespace) -> torch.nn.Module:
    """The network as its reference has it, with what the weights file holds of it."""
    import parity
    from safetensors.torch import load_file

    file = options.work / "network.safetensors"
    subprocess.run([options.swath, "weights", "convert", options.network, "-o", file, "--overwrite"], check=True, stdout=subprocess.DEVNULL)
    network = parity.networks()[options.preset][1]()
    network.load_state_dict(load_file(file))
    return Logits(network).eval()


def pipeline(options: argparse.Namespace, way: Way) -> pathlib.Path:
    program = options.work / "network.pt"
    digest = hashlib.sha256(program.read_bytes()).hexdigest()
    lines = ["checkpoints = []", "[input]", "bands = [1, 2, 3]", "divide = { u8 = 255 }", f"mean = {list(options.mean)}", f"std = {list(options.std)}"]
    lines += ["[tiler]", 'strategy = "fixed"', "whole_max = 0", f"centre = {way.step}", f"dilation = {way.dilation}", f'blend = "{"gaussian" if way.blended else "none"}"']
    lines += ["[[members]]", 'name = "network"', 'network = "torchscript"', f'weights = "{program}"', "trust = true", f'sha256 = "{digest}"']
    lines += ["upsampling = 1", f"multiple = {options.multiple}", 'precision = "f32"']
    for index in range(options.classes):
        lines += ["[[classes]]", f"id = {index}", f'name = "class {index}"', f"value = {index}", f'color = "#{index * 40503 % 0x1000000:06x}"']
    file = options.work / f"{way.name.replace(' ', '')}.toml"
    file.write_text("\n".join(lines) + "\n")
    return file


# Running


def run(options: argparse.Namespace, way: Way, start: int) -> float:
    """Masks of all scenes from `start` on; the processor time that they took."""
    out, scenes = masks(options, way, start), options.work / f"scenes{start}"
    told = out / "seconds"
    if not told.exists():
        print(f"{way.name}, from {start} ..", file=sys.stderr, flush=True)
        seconds = blend(options, way, scenes, out) if way.dilation is None else own(options, way, scenes, out)
        told.write_text(str(seconds))
    return float(told.read_text())


def masks(options: argparse.Namespace, way: Way, start: int) -> pathlib.Path:
    return options.work / f"{way.name.replace(' ', '')}-{start}" / "masks"


def own(options: argparse.Namespace, way: Way, scenes: pathlib.Path, out: pathlib.Path) -> float:
    command = [options.swath, "run", pipeline(options, way), "-i", scenes, "-o", out.parent, "--fresh", "--devices", "cpu", "--readers", "1"]
    out.parent.mkdir(exist_ok=True)
    return compare.timed(command, out.parent.with_suffix(".log")).cpu_s


def blend(options: argparse.Namespace, way: Way, scenes: pathlib.Path, out: pathlib.Path) -> float:
    """Scenes are reflected at right and bottom until whole steps fit, as swath's are: MONAI would move its last windows instead."""
    from monai.inferers import sliding_window_inference

    torch.set_num_threads(1)
    network = torch.jit.load(options.work / "network.pt").eval()
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (options.mean, options.std))
    out.mkdir(parents=True, exist_ok=True)
    began = time.process_time()
    with torch.inference_mode():
        for path in sorted(scenes.glob("*.tif")):
            image = rasters.read_tiff(path)
            height, width = image.shape[:2]
            more = [-(side - way.crop) % way.step if side > way.crop else way.crop - side for side in (height, width)]
            padded = np.pad(image, ((0, more[0]), (0, more[1]), (0, 0)), mode="reflect")
            x = (torch.from_numpy(padded).permute(2, 0, 1).unsqueeze(0).float() / 255 - mean) / std
            logits = sliding_window_inference(x, (way.crop, way.crop), 1, network, overlap=0.5, mode="gaussian", sigma_scale=0.125)
            rasters.write_png(out / f"{path.stem}.png", logits[0].argmax(0)[:height, :width].to(torch.uint8).numpy())
    return time.process_time() - began


# Judging


def iou(mask: np.ndarray, truth: np.ndarray, classes: int) -> tuple[float, np.ndarray]:
    """The scene's mIoU, and its confusion matrix."""
    known = truth != IGNORED
    confusion = np.bincount(truth[known].astype(np.int64) * classes + mask[known], minlength=classes * classes).reshape(classes, classes)
    return mean_iou(confusion), confusion


def mean_iou(confusion: np.ndarray) -> float:
    hit, there = np.diag(confusion), confusion.sum(1) > 0
    return float((hit / np.maximum(confusion.sum(0) + confusion.sum(1) - hit, 1))[there].mean())


def seams(way: Way, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Counts of A (whole) against B (cut): pixels that differ and all near borders, the same inside, pairs of two labels in A, in B, all."""
    start, margin = way.step // 2, way.crop
    other = np.full_like(a, IGNORED)
    other[start:, start:] = b
    differs, near = a != other, np.zeros(a.shape, bool)
    counts = np.zeros(7, np.int64)
    for axis, length in enumerate(a.shape):
        along = np.zeros(length, bool)
        for border in (*way.borders(length, 0), *way.borders(length, start)):
            along[max(border - NEAR, 0) : border + NEAR] = True
        near |= along[:, None] if axis == 0 else along[None, :]
        own = way.borders(length, 0)
        own = own[own >= margin]
        pairs = [np.take(mask, own, axis) != np.take(mask, own - 1, axis) for mask in (a, other)]
        pairs = [np.take(each, np.arange(margin, each.shape[1 - axis]), 1 - axis) for each in pairs]
        counts[4:] += [pairs[0].sum(), pairs[1].sum(), pairs[0].size]
    differs, near = differs[margin:, margin:], near[margin:, margin:]
    counts[:4] = [(differs & near).sum(), near.sum(), (differs & ~near).sum(), (~near).sum()]
    return counts


def judge(options: argparse.Namespace, way: Way) -> dict:
    """Runs one way and tells all of it."""
    seconds = [run(options, way, start) for start in (0, way.step // 2)]
    scores, confusion, counts, crops = {}, np.zeros((options.classes, options.classes), np.int64), np.zeros(7, np.int64), 0
    for split in options.data:
        for path in sorted((split / "masks").glob("*.png")):
            name = scene(split, path)
            a, b = (rasters.read_png(masks(options, way, start) / f"{name}.png") for start in (0, way.step // 2))
            scores[name], of_scene = iou(a, options.ids[rasters.read_png(path)], options.classes)
            confusion, counts, crops = confusion + of_scene, counts + seams(way, a, b), crops + way.crops(*a.shape)
    near, inside = counts[0] / counts[1], counts[2] / counts[3]
    seam = (counts[4] - counts[5]) / counts[6]
    told = {"way": way.name, "crop": way.crop, "crops": crops, "cpu_s": round(seconds[0], 1), "mean_miou": float(np.mean([*scores.values()]))}
    told |= {"pooled_miou": mean_iou(confusion), "near": near, "inside": inside, "seam": seam, "counts": counts.tolist()}
    return told | {"miou": scores}


def difference(of: dict, against: dict) -> list[float]:
    """The mean over scenes of the paired difference in mIoU, and its 95 % bootstrap interval."""
    gains = np.array([of["miou"][scene] - against["miou"][scene] for scene in against["miou"]])
    means = gains[np.random.default_rng(0).integers(0, gains.size, (RESAMPLES, gains.size))].mean(1)
    return [float(gains.mean()), *(float(each) for each in np.percentile(means, (2.5, 97.5)))]


def table(rows: list[dict]) -> str:
    blended = next(row for row in rows if row["way"] == "blend")
    lines = ["| way | crops | processors, s | mIoU, mean of scenes | all pixels | blend is better by (95 %) | near | inside | seam |", "|" + "---|" * 9]
    for row in rows:
        gain, low, high = difference(blended, row)
        better = "" if row is blended else f"{gain:+.4f} ({low:+.4f} to {high:+.4f})"
        lines.append(
            f"| {row['way']} | {row['crops']} | {row['cpu_s']:.0f} | {row['mean_miou']:.4f} | {row['pooled_miou']:.4f} | {better} "
            f"| {100 * row['near']:.2f} % | {100 * row['inside']:.2f} % | {100 * row['seam']:+.2f} % |"
        )
    return "\n".join(lines)


def same_tiles(rows: list[dict]) -> list[str]:
    """What blending gives over kept centres with the same tiles."""
    by_way = {row["way"]: row for row in rows}
    lines = []
    for way, row in by_way.items():
        kept = by_way.get(way.replace("blend", "centre"))
        if kept and kept is not row:
            gain, low, high = difference(row, kept)
            lines.append(f"{way} is better than {kept['way']} by {gain:+.4f} ({low:+.4f} to {high:+.4f})")
    return lines


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("swath", type=pathlib.Path)
    parser.add_argument("network", type=pathlib.Path)
    parser.add_argument("--data", type=pathlib.Path, nargs="+", required=True, metavar="SPLIT")
    parser.add_argument("--work", type=pathlib.Path, required=True, help="folder for scenes and masks: one for each network, data and crop")
    parser.add_argument("--classes", type=int, default=5)
    parser.add_argument("--preset", metavar="NAME", help="NETWORK is this one, as parity.py calls it: small_deeplab_resnest14")
    parser.add_argument("--values", type=peer.numbers(int), help="what truth holds of class 0, 1, .. (default: these numbers)")
    parser.add_argument("--mean", type=peer.numbers(float), required=True, help="of the bands, after the division by 255")
    parser.add_argument("--std", type=peer.numbers(float), required=True)
    parser.add_argument("--crop", type=int, default=512, help="side of all crops (default: %(default)s)")
    parser.add_argument("--multiple", type=int, default=16, help="what the network's sides must be multiples of (default: %(default)s)")
    parser.add_argument("--dilations", type=peer.numbers(int), default=(0, 64, 128))
    parser.add_argument("--blends", type=peer.numbers(int), default=(64,), help="dilations of blended tiles (default: 64)")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    options.work, options.swath = options.work.resolve(), options.swath.resolve()
    options.ids = np.full(256, IGNORED, np.uint8)
    for index, value in enumerate(options.values or range(options.classes)):
        options.ids[value] = index
    kept = [Way(options.crop, dilation, blended=False) for dilation in options.dilations]
    options.ways = [*kept, *(Way(options.crop, dilation) for dilation in options.blends), Way(options.crop, None)]
    return options


def main() -> None:
    options = parse()
    prepare(options)
    rows = [judge(options, way) for way in options.ways]
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    print(table(rows), *same_tiles(rows), sep="\n")


if __name__ == "__main__":
    main()
