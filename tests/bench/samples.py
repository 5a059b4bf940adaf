#!/usr/bin/env python3
"""How many crops per second training can be fed with, by how images are stored and whether scenes are kept in memory.

    python tests/bench/samples.py SWATH DATA [SIDE]        Python with rasterio and numpy; a build of swath without torch does

DATA holds `images` and `masks` (8-bit PNG) of three bands of 8 bits: `../shared/data/landcover/dubai/train`. They are written anew as PNG, and as
TIFFs (DEFLATE with predictor) in strips and in tiles, both, as they are and as four scenes of SIDE x SIDE that they are laid side by side in.
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy
import rasterio

warnings.filterwarnings("ignore", category=rasterio.errors.NotGeoreferencedWarning)
swath, data, side = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 6144
PIPELINE = (
    "[input]\nbands = [1, 2, 3]\ndivide = { u8 = 255 }\nmean = [0.0, 0.0, 0.0]\nstd = [1.0, 1.0, 1.0]\n[tiler]\nstrategy = \"whole\"\n"
    "whole_max = 64\n[[members]]\nnetwork = \"identity\"\n[data]\nlabels = \"id\"\nremap = { \"255\" = \"ignore\" }\n"
    + "".join(f'[[classes]]\nid = {i}\nname = "{i}"\nvalue = {i}\ncolor = "#{i:06x}"\n' for i in range(8))
)
TIFF = dict(driver="GTiff", compress="deflate", predictor=2, interleave="pixel")
LAYOUTS = {"png": dict(driver="PNG"), "strips": TIFF, "tiles": dict(TIFF, tiled=True, blockxsize=256, blockysize=256)}


def write(path, bands, profile):
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = bands.shape
    with rasterio.open(path, "w", height=height, width=width, count=count, dtype="uint8", **profile) as out:
        out.write(bands)


def read(path):
    with rasterio.open(path) as scene:
        return scene.read()


def laid(pairs):
    """Four pairs with sides of `side`."""
    for at in range(4):
        whole = [numpy.zeros((3, side, side), "uint8"), numpy.full((1, side, side), 255, "uint8")]
        y, n = 0, at
        while y < side:
            x, height = 0, min(pairs[(n + i) % len(pairs)][1].shape[1] for i in range(12))
            while x < side:
                for into, part in zip(whole, pairs[n % len(pairs)][1:]):
                    part = part[:, :height, :side - x][:, :side - y]
                    into[:, y:y + part.shape[1], x:x + part.shape[2]] = part
                x, n = x + pairs[n % len(pairs)][1].shape[2], n + 1
            y += height
        yield (f"laid{at}", *whole)


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    (folder / "p.toml").write_text(PIPELINE)
    names = sorted(path for path in (data / "images").iterdir())
    pairs = [(path.stem, read(path), read(data / "masks" / f"{path.stem}.png")) for path in names]
    print(f"{len(pairs)} pairs, {sum(image[0].size for _, image, _ in pairs) / 1e6:.1f} Mpx", flush=True)
    for kind, steps, scenes in (("as they are", "30", pairs), (f"4 of {side} x {side}", "10", list(laid(pairs)))):
        for layout, profile in LAYOUTS.items():
            copy = folder / layout
            for name, image, mask in scenes:
                file = f"{name}.{'png' if layout == 'png' else 'tif'}"
                write(copy / "images" / file, image, profile)
                write(copy / "masks" / file, mask, profile)
            subprocess.run([swath, "bench", "samples", folder / "p.toml", "-i", copy, "--steps", steps, "--memory", "1GiB", "--json", folder / "f.json",
                            "--overwrite"], check=True, stdout=subprocess.DEVNULL)
            figures = json.loads((folder / "f.json").read_text())
            assert figures["same_crops"] and not figures["refused"], figures
            rates = ", ".join(f"{row['samples_per_second']:.1f}" for row in figures["rows"])
            print(f"{kind}, {layout}: {rates} crops/s (masks looked through in {figures['index_seconds']:.1f} s)", flush=True)
            subprocess.run(["rm", "-r", copy], check=True)
