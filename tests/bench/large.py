#!/usr/bin/env python3
"""What a run over one huge scene holds in memory, with files for a GIS of every size: masks, GeoTIFF, COG, scores, polygons.

    python tests/bench/large.py SWATH [SIDE]        Python with rasterio and numpy; a build of swath without torch does

The scene has fields of 250 pixels of eight classes, tiles of 512, LZW; the networks are the stand-in's. Prints time, and memory used against what
was promised. SIDE is 60000 unless it is given, and takes some 150 MB of disk.
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window

swath, side, field = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 60_000, 250
PIPELINE = (
    "checkpoints = []\n[input]\nbands = [1]\ndivide = { u8 = 1 }\nmean = [0.0]\nstd = [1.0]\n"
    '[tiler]\nstrategy = "fixed"\ncentre = 1024\ndilation = 128\n[[members]]\nnetwork = "identity"\n'
    "[outputs]\ngeotiff = true\ncog = true\nscores = true\nvectors = true\nvectors_score = true\n"
    + "".join(f'[[classes]]\nid = {i}\nname = "c{i}"\nvalue = {i}\ncolor = "#{i:02x}2030"\n' for i in range(8))
)


def scene(path):
    fields = numpy.random.default_rng(1).integers(0, 8, (side // field + 1,) * 2, dtype="uint8")
    profile = dict(driver="GTiff", height=side, width=side, count=1, dtype="uint8", tiled=True, blockxsize=512, blockysize=512,
                   compress="lzw", bigtiff="yes", crs="EPSG:32632", transform=from_origin(5e5, 5.4e6, 0.5, 0.5))
    with rasterio.open(path, "w", **profile) as out:
        for y in range(0, side, 512):
            rows = numpy.arange(y, min(y + 512, side)) // field
            values = numpy.repeat(fields[rows], field, axis=1)[:, :side]
            out.write(values[None], window=Window(0, y, side, len(rows)))


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    (folder / "in").mkdir()
    (folder / "p.toml").write_text(PIPELINE)
    scene(folder / "in" / "large.tif")
    began = time.time()
    subprocess.run([swath, "run", "p.toml", "-i", "in", "-o", "out", "--backend", "fake", "-q"], cwd=folder, check=True)
    memory = json.loads((folder / "out" / "report.json").read_text())["memory"]
    used, promised = memory["peak_rss"] + memory["peak_decoders"], memory["reserved"]
    print(f"{side} x {side}: {time.time() - began:.0f} s, {used / 2**30:.1f} GiB used of {promised / 2**30:.1f} reserved")
