"""`swath data clean`: how many spoilt labels does it find, and what are they worth?

One tenth of the training masks is spoilt on purpose, in turns: shifted by 48 pixels both ways, its two most frequent classes swapped, or all
one class. `swath train --folds` trains on what there is, `swath data clean` lists the worst tenth, and two more trainings go with and
without the listed scenes: the test scenes tell what that is worth. Prints which spoilt masks are listed, by kind, and both mean IoUs.

    python clean.py --swath SWATH --data landcover/dubai --pipeline PIPELINE.toml --out FOLDER [--folds 5] [--seed 0] [--set KEY=VALUE ..]

DATA has train/, val/ and test/ with images/ and masks/ (PNG, 255 ignored). PIPELINE has one member and a table [train]; --set goes to all
trainings alike, e.g. --set train.epochs=3. Needs Python with numpy and pillow.
"""
import argparse
import json
import pathlib
import random
import subprocess

import numpy as np
from PIL import Image

IGNORED = 255


def spoilt(mask: np.ndarray, kind: str) -> np.ndarray:
    values, counts = np.unique(mask[mask != IGNORED], return_counts=True)
    first, second = values[np.argsort(-counts)][[0, min(1, len(values) - 1)]]
    if kind == "shifted":
        return np.roll(mask, (48, 48), (0, 1))
    if kind == "swapped":
        return np.where(mask == first, second, np.where(mask == second, first, mask))
    return np.where(mask == IGNORED, mask, first)


def pairs(folder: pathlib.Path) -> list[tuple[pathlib.Path, pathlib.Path]]:
    return [(image, folder / "masks" / f"{image.stem}.png") for image in sorted((folder / "images").iterdir())]


def written(path: pathlib.Path, rows: list[tuple]) -> pathlib.Path:
    path.write_text("image\tmask\tpart\n" + "".join("\t".join(str(cell) for cell in row) + "\n" for row in rows))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--swath", required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--pipeline", required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    arguments = parser.parse_args()
    out, data = arguments.out.resolve(), arguments.data.resolve()
    (out / "masks").mkdir(parents=True, exist_ok=True)
    settings = [part for setting in arguments.settings for part in ("--set", setting)]

    def swath(*command: object) -> str:
        text = [arguments.swath, *map(str, command)]
        ran = subprocess.run(text, stdout=subprocess.PIPE, text=True)
        if ran.returncode not in (0, 3):
            raise SystemExit(f"{' '.join(text)} ended with {ran.returncode}")
        return ran.stdout

    def train(name: str, listed: pathlib.Path, *more: object) -> pathlib.Path:
        swath("train", arguments.pipeline, "-i", listed, "-o", out / name, "--quiet", *settings, *more)
        return out / name

    train_pairs = pairs(data / "train")
    chosen = random.Random(arguments.seed).sample(range(len(train_pairs)), max(3, len(train_pairs) // 10))
    kinds = dict(zip(chosen, ["shifted", "swapped", "blank"] * len(chosen)))
    rows = []
    for at, (image, mask) in enumerate(train_pairs):
        if at in kinds:
            changed = spoilt(np.array(Image.open(mask)), kinds[at])
            mask = out / "masks" / mask.name
            Image.fromarray(changed).save(mask)
        rows.append((image, mask, "train"))
    folds = train("folds", written(out / "train.tsv", rows), "--folds", arguments.folds)
    suspects = out / "suspects.txt"
    clean = ["data", "clean", folds, "-i", out / "train.tsv", "-o", suspects, "--overwrite", "--json"]
    listed = {pathlib.Path(own["name"]).name for own in json.loads(swath(*clean, "--worst", len(kinds) / len(rows)))["suspects"]}
    for kind in ("shifted", "swapped", "blank"):
        own = [train_pairs[at][0].stem for at in kinds if kinds[at] == kind]
        print(f"{kind:8} {sum(stem in listed for stem in own)} of {len(own)} listed among the worst {len(listed)} of {len(rows)}")
    others = [(*pair, part) for part in ("val", "test") for pair in pairs(data / part)]
    whole = written(out / "all.tsv", rows + others)
    for name, more in (("with", []), ("without", ["--exclude", suspects])):
        bundle = train(name, whole, *more) / "best.safetensors"
        swath("run", bundle, "-i", data / "test/images", "-o", out / name / "test", "--fresh", "--quiet")
        scored = json.loads(swath("eval", out / name / "test", "--truth", data, "--part", "test", "--json"))
        print(f"test mIoU {name:7} the listed scenes: {scored['scores']['miou']:.4f}")


if __name__ == "__main__":
    main()
