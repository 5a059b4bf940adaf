"""`swath train` beside PyTorch: the same network, split, crops, steps and batch; as good, and as fast?

For each seed, one after the other: a plain PyTorch script (segmentation_models_pytorch) trains, then `swath train`; both segment whole test
scenes, and `swath eval` scores both. Prints for each training the mean IoU over all test pixels, samples per second of the steps alone,
and the most memory that one of its processes had (swath's with the validation at the end).

    python train_torch.py --swath SWATH --data landcover/dubai --pipeline PIPELINE.toml --out FOLDER [--seeds 0 1 2] [--steps 900]

PIPELINE has one member, an smp network by `variant = "smp"`, and a table [train] with AdamW, a poly schedule and plain cross-entropy, whose
epochs, steps, batch, crop and rate both take; flips and quarter turns are what crops go through. DATA has train/, val/ and test/ with
images/ and masks/ (ids, 255 ignored). Needs Python with torch, segmentation_models_pytorch, rasterio and numpy.
"""
import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib

import numpy as np


def scenes(folder: pathlib.Path) -> list[tuple[np.ndarray, np.ndarray, str]]:
    import rasterio

    found = []
    for image in sorted((folder / "images").iterdir()):
        mask = folder / "masks" / (image.stem + ".png")
        with rasterio.open(image) as pixels, rasterio.open(mask) as labels:
            found.append((pixels.read(), labels.read(1), image.stem))
    return found


def network(member: dict, n_classes: int):
    import segmentation_models_pytorch as smp

    kinds = {"deeplabv3plus": smp.DeepLabV3Plus, "unet": smp.Unet, "unetpp": smp.UnetPlusPlus, "pspnet": smp.PSPNet}
    return kinds[member["network"]](encoder_name=member["backbone"], encoder_weights=None, classes=n_classes)


def crop(data, areas, side: int, rng: np.random.Generator):
    pixels, labels, _ = data[rng.choice(len(data), p=areas)]
    _, height, width = pixels.shape
    y, x = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
    window = np.s_[y : y + side, x : x + side]
    image, mask = pixels[(slice(None), *window)], labels[window]
    if rng.random() < 0.5:
        image, mask = image[:, :, ::-1], mask[:, ::-1]
    if rng.random() < 0.5:
        image, mask = image[:, ::-1], mask[::-1]
    turns = rng.integers(0, 4)
    return np.rot90(image, turns, (1, 2)).copy(), np.rot90(mask, turns).copy()


def train(arguments: argparse.Namespace) -> None:
    """The PyTorch side, in a process of its own."""
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    rng = np.random.default_rng(arguments.seed)
    pipeline = tomllib.loads(arguments.pipeline.read_text())
    recipe, optimiser = pipeline["train"], pipeline["train"]["optimiser"]
    mean, std = (torch.tensor(pipeline["input"][key]).view(1, -1, 1, 1) for key in ("mean", "std"))
    net = network(pipeline["members"][0], len(pipeline["classes"]))
    decays = [p for p in net.parameters() if p.dim() > 1]
    others = [p for p in net.parameters() if p.dim() <= 1]
    groups = [{"params": decays, "weight_decay": optimiser["weight_decay"]}, {"params": others, "weight_decay": 0.0}]
    adam = torch.optim.AdamW(groups, lr=optimiser["rate"])
    data = scenes(arguments.data / "train")
    areas = np.array([(labels != 255).sum() for _, labels, _ in data], dtype=float)
    areas /= areas.sum()
    batch, side = recipe["batch"], recipe["crop"]
    busy = 0.0
    net.train()
    for step in range(arguments.steps):
        began = time.monotonic()
        for group in adam.param_groups:
            group["lr"] = optimiser["rate"] * (1 - step / arguments.steps) ** recipe["schedule"]["power"]
        crops = [crop(data, areas, side, rng) for _ in range(batch)]
        image = torch.from_numpy(np.stack([image for image, _ in crops])).float() / 255
        labels = torch.from_numpy(np.stack([mask for _, mask in crops])).long()
        loss = F.cross_entropy(net((image - mean) / std), labels, ignore_index=255)
        adam.zero_grad()
        loss.backward()
        adam.step()
        busy += time.monotonic() - began
        if step % 50 == 0:
            print(f"step {step}: loss {loss.item():.4f}, {(step + 1) * batch / busy:.2f} samples/s", file=sys.stderr)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    masks = arguments.out / "masks"
    masks.mkdir(parents=True, exist_ok=True)
    net.eval()
    if not arguments.speed:
        import rasterio

        for pixels, _, stem in scenes(arguments.data / "test"):
            _, height, width = pixels.shape
            pad = ((0, 0), (0, -height % 16), (0, -width % 16))
            image = torch.from_numpy(np.pad(pixels, pad, "reflect")).float()[None] / 255
            with torch.no_grad():
                labels = net((image - mean) / std).argmax(1)[0, :height, :width].to(torch.uint8).numpy()
            profile = {"driver": "PNG", "height": height, "width": width, "count": 1, "dtype": "uint8"}
            with rasterio.open(masks / f"{stem}.png", "w", **profile) as file:
                file.write(labels, 1)
    print(json.dumps({"samples_per_second": arguments.steps * batch / busy, "peak_mib": peak}))


def run(command: list) -> tuple[str, float]:
    """What a command prints, and the most memory in MiB that it or a process which it waited for had."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen([str(part) for part in command], stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        out.seek(0), err.seek(0)
        printed = out.read()
        if os.waitstatus_to_exitcode(status) not in (0, 3):
            sys.exit(f"{' '.join(map(str, command))}\n{printed}\n{err.read()}")
    return printed, usage.ru_maxrss / 1024


def score(swath, masks: pathlib.Path, data: pathlib.Path, pipeline: pathlib.Path) -> float:
    command = [swath, "eval", masks, "--truth", data / "test/masks", "--pipeline", pipeline, "--ignore", "255", "--no-boundary", "--json"]
    return json.loads(run(command)[0])["scores"]["miou"]


def ours(arguments: argparse.Namespace, seed: int, steps: int) -> dict:
    out = arguments.out / f"swath-{seed}"
    recipe = tomllib.loads(arguments.pipeline.read_text())["train"]
    per_epoch = recipe["steps_per_epoch"]
    settings = [f"train.seed={seed}", f"train.epochs={max(1, steps // per_epoch)}", f"train.steps_per_epoch={min(steps, per_epoch)}"]
    if arguments.speed:
        settings.append(f"train.validate_every={steps}")
    options = [part for setting in settings for part in ("--set", setting)]
    command = [arguments.swath, "train", arguments.pipeline, "-i", arguments.data, "-o", out, "--fresh", "--json", "--threads", arguments.threads]
    printed, peak = run([*command, *options])
    result = {"samples_per_second": json.loads(printed)["samples_per_second"], "peak_mib": peak}
    if not arguments.speed:
        run([arguments.swath, "run", out / "last.safetensors", "-i", arguments.data / "test/images", "-o", out / "test", "--fresh", "--quiet"])
        result["miou"] = score(arguments.swath, out / "test/masks", arguments.data, arguments.pipeline)
    return result


def theirs(arguments: argparse.Namespace, seed: int, steps: int) -> dict:
    out = arguments.out / f"torch-{seed}"
    command = [sys.executable, __file__, "--child", "--data", arguments.data, "--pipeline", arguments.pipeline, "--out", out]
    command += ["--seed", seed, "--steps", steps, "--threads", arguments.threads] + (["--speed"] if arguments.speed else [])
    result = json.loads(run(command)[0].splitlines()[-1])
    if not arguments.speed:
        result["miou"] = score(arguments.swath, out / "masks", arguments.data, arguments.pipeline)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--swath", type=pathlib.Path)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--pipeline", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--speed", action="store_true", help="times alone: nothing is validated or scored")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        train(arguments)
        return
    rows: dict[str, list[dict]] = {"torch": [], "swath": []}
    for seed in arguments.seeds:
        for name, side in (("torch", theirs), ("swath", ours)):
            rows[name].append(side(arguments, seed, arguments.steps))
            print(f"{name:6} seed {seed}  " + "  ".join(f"{key} {value:.4g}" for key, value in rows[name][-1].items()), flush=True)
    for key in rows["torch"][0]:
        means = [statistics.mean(row[key] for row in rows[name]) for name in rows]
        print(f"{key}: torch {means[0]:.4g}, swath {means[1]:.4g}, ratio {means[1] / means[0]:.3f}")


if __name__ == "__main__":
    main()
