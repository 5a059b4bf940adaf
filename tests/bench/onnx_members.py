"""ONNX members beside ONNX Runtime itself: the same models, the same crops, the same masks?

Makes three models with random weights, exports them with sides that may change, segments drawn scenes with swath and with a plain script,
and prints for each model how many pixels differ, how far apart the two best logits of the widest such pixel are (more than what rounding
can do would be a fault), and what both took.

    cnn        three convolutions, logits of full resolution
    deeplab    atrous pyramid at stride 16, logits of stride 4, which swath up-samples
    segformer  overlapping patches, two stages of attention over reduced keys, logits of stride 4; tensors in a file beside the model

    python onnx_members.py --swath SWATH --out FOLDER [--threads 2]

Needs Python with torch, onnxscript, numpy and onnxruntime; swath finds its own library (`swath doctor`), or SWATH_ONNXRUNTIME names one.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parent / "peers"))
import rasters  # noqa: E402
import tiles  # noqa: E402

N_CLASSES, MEAN, STD, MULTIPLE = 7, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 32


def block(inside: int, outside: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inside, outside, 3, stride, dilation, dilation, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outside), nn.ReLU())


class Cnn(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(block(3, 16), block(16, 16), nn.Conv2d(16, N_CLASSES, 1))


class DeepLab(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.low = nn.Sequential(block(3, 16, 2), block(16, 32, 2))
        self.high = nn.Sequential(block(32, 64, 2), block(64, 64, 2))
        self.pyramid = nn.ModuleList([block(64, 32, dilation=rate) for rate in (1, 2, 4)])
        self.pool = nn.Conv2d(64, 32, 1)
        self.join = nn.Conv2d(4 * 32, 64, 1)
        self.out = nn.Sequential(block(96, 48), nn.Conv2d(48, N_CLASSES, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        low = self.low(x)
        high = self.high(low)
        pooled = self.pool(high.mean((2, 3), keepdim=True)).expand(-1, -1, *high.shape[2:])
        high = self.join(torch.cat([*(branch(high) for branch in self.pyramid), pooled], 1))
        return self.out(torch.cat([low, F.interpolate(high, size=low.shape[2:], mode="bilinear")], 1))


class Attention(nn.Module):
    """Over keys and values of a map that is `reduction` times smaller."""

    def __init__(self, width: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.pairs, self.out = nn.Linear(width, width), nn.Linear(width, 2 * width), nn.Linear(width, width)
        self.reduce, self.norm = nn.Conv2d(width, width, reduction, reduction), nn.LayerNorm(width)

    def forward(self, x: torch.Tensor, height: int, width: int) -> torch.Tensor:
        n, _, c = x.shape
        small = self.norm(self.reduce(x.transpose(1, 2).reshape(n, c, height, width)).flatten(2).transpose(1, 2))
        split = lambda t: t.reshape(n, -1, self.heads, c // self.heads).transpose(1, 2)  # noqa: E731
        key, value = self.pairs(small).chunk(2, -1)
        found = F.scaled_dot_product_attention(split(self.query(x)), split(key), split(value))
        return self.out(found.transpose(1, 2).reshape(n, -1, c))


class Mix(nn.Module):
    """The feed-forward part, which knows places by a convolution alone."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.wide, self.out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.near = nn.Conv2d(4 * width, 4 * width, 3, padding=1, groups=4 * width)

    def forward(self, x: torch.Tensor, height: int, width: int) -> torch.Tensor:
        wide = self.wide(x)
        near = self.near(wide.transpose(1, 2).reshape(x.shape[0], -1, height, width)).flatten(2).transpose(1, 2)
        return self.out(F.gelu(near))


class Stage(nn.Module):
    def __init__(self, inside: int, width: int, patch: int, stride: int, heads: int, reduction: int, depth: int = 2) -> None:
        super().__init__()
        self.patches, self.norm = nn.Conv2d(inside, width, patch, stride, patch // 2), nn.LayerNorm(width)
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(2 * depth)])
        self.attention = nn.ModuleList([Attention(width, heads, reduction) for _ in range(depth)])
        self.mix = nn.ModuleList([Mix(width) for _ in range(depth)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x)
        height, width = x.shape[2:]
        x = self.norm(x.flatten(2).transpose(1, 2))
        for i, (attention, mix) in enumerate(zip(self.attention, self.mix)):
            x = x + attention(self.norms[2 * i](x), height, width)
            x = x + mix(self.norms[2 * i + 1](x), height, width)
        return x.transpose(1, 2).reshape(x.shape[0], -1, height, width)


class SegFormer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = Stage(3, 32, 7, 4, 1, 8), Stage(32, 64, 3, 2, 2, 4)
        self.linear = nn.ModuleList([nn.Conv2d(32, 64, 1), nn.Conv2d(64, 64, 1)])
        self.out = nn.Sequential(nn.Conv2d(128, 64, 1), nn.BatchNorm2d(64), nn.ReLU(), nn.Conv2d(64, N_CLASSES, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = self.one(x)
        two = self.two(one)
        two = F.interpolate(self.linear[1](two), size=one.shape[2:], mode="bilinear")
        return self.out(torch.cat([self.linear[0](one), two], 1))


MODELS = {"cnn": (Cnn, 1), "deeplab": (DeepLab, 4), "segformer": (SegFormer, 4)}


def export(name: str, file: pathlib.Path) -> None:
    torch.manual_seed(len(name))
    model = MODELS[name][0]()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            # As after training: no two channels alike.
            nn.init.uniform_(layer.running_mean, -0.2, 0.2), nn.init.uniform_(layer.running_var, 0.5, 1.5)
    sides = {0: torch.export.Dim("tiles", max=64), 2: 32 * torch.export.Dim("rows", min=2, max=256), 3: 32 * torch.export.Dim("columns", min=2, max=256)}
    torch.onnx.export(model.eval(), (torch.zeros(2, 3, 256, 320),), file, input_names=["image"], output_names=["logits"], opset_version=18,
                      dynamo=True, dynamic_shapes=(sides,) if name != "cnn" and name != "deeplab" else ({0: "n", 2: "h", 3: "w"},),
                      external_data=name == "segformer", verbose=False)


def pipeline(model: pathlib.Path, stride: int) -> str:
    text = f"""[input]
bands = [1, 2, 3]
divide = {{ u8 = 255 }}
mean = {list(MEAN)}
std = {list(STD)}
[[members]]
network = "onnx"
weights = "{model.name}"
multiple = {MULTIPLE}
upsampling = {stride}
"""
    for id in range(N_CLASSES):
        text += f'[[classes]]\nid = {id}\nname = "c{id}"\nvalue = {id}\ncolor = "#{id:02x}4080"\n'
    return text


def by_hand(model: pathlib.Path, scenes: pathlib.Path, threads: int) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], float]:
    """Of each scene the classes, and how far the best logit is from the second; and the seconds without the margins."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    torch.set_num_threads(threads)
    mean, std = (np.float32(each).reshape(3, 1, 1) for each in (MEAN, STD))
    tiler, found, seconds = tiles.Tiler(multiple=MULTIPLE), {}, 0.0
    for scene in sorted(scenes.glob("*.tif")):
        began, apart = time.perf_counter(), 0.0
        image = rasters.read_tiff(scene)
        labels, margins = np.empty(image.shape[:2], np.uint8), np.empty(image.shape[:2], np.float32)
        for crop, (rows, columns), place in tiler.grid(image).tiles():
            x = (crop.transpose(2, 0, 1).astype(np.float32) / 255 - mean) / std
            (logits,) = session.run(None, {"image": np.ascontiguousarray(x)[None]})
            logits = torch.from_numpy(logits)
            if logits.shape[2:] != crop.shape[:2]:
                logits = F.interpolate(logits, size=crop.shape[:2], mode="bilinear")
            labels[place] = logits[0, :, rows, columns].argmax(0)
            aside = time.perf_counter()
            best = logits[0, :, rows, columns].topk(2, 0).values
            margins[place] = best[0] - best[1]
            apart += time.perf_counter() - aside
        rasters.write_png(scene.with_suffix(".png"), labels)
        seconds += time.perf_counter() - began - apart
        found[scene.stem] = labels, margins
    return found, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--swath", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    scenes = options.out / "scenes/images"
    if not scenes.exists():
        subprocess.run([options.swath, "synth", "--seed", "22", "-o", options.out / "scenes"], check=True, stdout=subprocess.DEVNULL)
    for name, (_, stride) in MODELS.items():
        model, toml = options.out / f"{name}.onnx", options.out / f"{name}.toml"
        if not model.exists():
            export(name, model)
        toml.write_text(pipeline(model, stride))
        run = options.out / f"run-{name}"
        command = [options.swath, "run", toml, "-i", scenes, "-o", run, "--devices", ",".join(["cpu"] * options.threads)]
        began = time.perf_counter()
        subprocess.run([*command, "--fresh"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ours = time.perf_counter() - began
        theirs, seconds = by_hand(model, scenes, options.threads)
        report = json.loads((run / "report.json").read_text())
        n_differ, widest, n = 0, 0.0, 0
        for scene, (labels, margins) in theirs.items():
            differ = read_png(run / "masks" / f"{scene}.png") != labels
            n, n_differ = n + labels.size, n_differ + int(differ.sum())
            widest = max(widest, float(margins[differ].max(initial=0)))
        median = float(np.median(np.concatenate([margins.ravel() for _, margins in theirs.values()])))
        print(json.dumps({"model": name, "mpx": round(n / 1e6, 1), "differing": n_differ, "widest_margin": round(widest, 8),
                          "median_margin": round(median, 4), "swath_s": round(ours, 2), "onnxruntime_s": round(seconds, 2),
                          "peak_mb": report["memory"]["peak_rss"] // 1_000_000, "reserved_mb": report["memory"]["reserved"] // 1_000_000}), flush=True)


def read_png(path: pathlib.Path) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(path))


if __name__ == "__main__":
    main()
