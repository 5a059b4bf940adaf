"""What the demo's trained members are worth on scenes that nothing was chosen by.

Draws the scenes of each test seed (pipelines/demo-train.toml), segments them with each member of the pipeline alone and with all of them, and
prints the mean IoU of each seed and the mean of all seeds; beside them a classifier of single pixels' colours: the class that a colour, cut to
six bits a band, has most often in the training scenes.

    python demo.py --swath SWATH --out FOLDER [--pipeline pipelines/demo.toml] [--seeds 2020 2021 ..] [--train 101 102 103 104] [--set KEY=VALUE ..]

FOLDER keeps scenes and runs; the same command goes on. The forward passes are those of one run a seed, whose logits are stored: about 0.5 GB a
member. Exit code 1 unless the ensemble beats the best member by 0.005 on the mean and every member beats the colours by 0.1. Needs Python with
numpy, pillow and tifffile.
"""
import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tomllib

import numpy as np
import tifffile
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
TEST, TRAIN = [2020, 2021, 2022, 2023, 2024], [101, 102, 103, 104]
BITS = 6
GAIN, ABOVE_COLOURS = 0.005, 0.1
ENSEMBLE, COLOURS = "ensemble", "colours alone"


class Colours:
    """The most frequent class of each colour."""

    def __init__(self, scenes: list[pathlib.Path], values: list[int]) -> None:
        self.values, self.index = np.array(values), np.full(256, -1)
        self.index[values] = np.arange(len(values))
        counts = np.zeros((1 << 3 * BITS, len(values)), np.int64)
        for scene in scenes:
            for code, truth in self.read(scene):
                np.add.at(counts, (code[truth >= 0], truth[truth >= 0]), 1)
        self.best = counts.argmax(1)
        self.best[counts.sum(1) == 0] = counts.sum(0).argmax()

    def read(self, scenes: pathlib.Path):
        for path in sorted((scenes / "images").glob("*.tif")):
            bands = [band.astype(np.int64) >> 8 - BITS for band in np.moveaxis(tifffile.imread(path)[..., :3], -1, 0)]
            truth = self.index[np.array(Image.open(scenes / "masks" / f"{path.stem}.png"))]
            yield ((bands[0] << BITS | bands[1]) << BITS | bands[2]).ravel(), truth.ravel()

    def miou(self, scenes: pathlib.Path) -> float:
        n = len(self.values)
        confusion = sum(np.bincount(truth * n + self.best[code], minlength=n * n) for code, truth in self.read(scenes))
        confusion = confusion.reshape(n, n)
        hits, union = np.diag(confusion), confusion.sum(0) + confusion.sum(1) - np.diag(confusion)
        return float((hits[union > 0] / union[union > 0]).mean())


def one_member(text: str, keep: int, folder: pathlib.Path) -> str:
    """The pipeline file with one of its members, if any is named, and its weights named from anywhere."""
    head, *blocks = text.split("[[members]]\n")
    blocks[-1], tail = blocks[-1].split("\n[", 1)
    blocks = [block.replace('weights = "', f'weights = "{folder}/') for block in blocks]
    kept = blocks if keep < 0 else [blocks[keep]]
    return head + "".join("[[members]]\n" + block for block in kept) + "\n[" + tail


def scores(arguments: argparse.Namespace, seed: int, scenes: pathlib.Path) -> dict[str, float]:
    """Of each member alone and of all, from one run's logits."""
    run, found = arguments.out / f"run{seed}", {}
    kept = arguments.out / f"scores{seed}.json"
    if kept.exists():
        return json.loads(kept.read_text())
    text = arguments.pipeline.read_text()
    names = [ENSEMBLE] + [member["name"] for member in tomllib.loads(text)["members"]]
    for at, name in enumerate(names):
        file = arguments.out / "pipeline.toml"
        file.write_text(one_member(text, at - 1, arguments.pipeline.resolve().parent))
        settings = ['checkpoints=["labels", "member-logits"]', "outputs.color=false", *arguments.settings]
        settings = [part for setting in settings for part in ("--set", setting)]
        swath(arguments, "run", file, "-i", scenes / "images", "-o", run, "--no-page", "-q", *settings)
        found[name] = json.loads(swath(arguments, "eval", run, "--truth", scenes / "masks", "--no-boundary", "--json"))["scores"]["miou"]
    shutil.rmtree(run)
    kept.write_text(json.dumps(found))
    return found


def swath(arguments: argparse.Namespace, *command: object) -> str:
    return subprocess.run([arguments.swath, *map(str, command)], stdout=subprocess.PIPE, text=True, check=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--swath", required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--pipeline", type=pathlib.Path, default=HERE / "../../pipelines/demo.toml")
    parser.add_argument("--seeds", type=int, nargs="+", default=TEST)
    parser.add_argument("--train", type=int, nargs="+", default=TRAIN)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    arguments = parser.parse_args()
    scenes = {seed: arguments.out / f"scenes{seed}" for seed in arguments.train + arguments.seeds}
    for seed, folder in scenes.items():
        swath(arguments, "synth", "--seed", seed, "-o", folder)
    values = [entry["value"] for entry in tomllib.loads(arguments.pipeline.read_text())["classes"]]
    colours = Colours([scenes[seed] for seed in arguments.train], values)
    rows: dict[str, list[float]] = {}
    for seed in arguments.seeds:
        found = {**scores(arguments, seed, scenes[seed]), COLOURS: colours.miou(scenes[seed])}
        print(seed, *(f"{name} {miou:.4f}" for name, miou in found.items()), sep="  ", flush=True)
        for name, miou in found.items():
            rows.setdefault(name, []).append(miou)
    means = {name: float(np.mean(mious)) for name, mious in rows.items()}
    print("\n| |", " | ".join(map(str, arguments.seeds)), "| mean |")
    print("|---" * (len(arguments.seeds) + 2) + "|")
    for name, mious in rows.items():
        print(f"| {name} |", " | ".join(f"{miou:.4f}" for miou in mious), f"| {means[name]:.4f} |")
    members = [mean for name, mean in means.items() if name not in (ENSEMBLE, COLOURS)]
    gain, above = means[ENSEMBLE] - max(members), min(members) - means[COLOURS]
    print(f"\nthe ensemble is {gain:+.4f} from the best member (at least {GAIN}), the worst member {above:+.4f} from colours alone")
    sys.exit(0 if gain >= GAIN and above >= ABOVE_COLOURS else 1)


if __name__ == "__main__":
    main()
