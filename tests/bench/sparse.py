#!/usr/bin/env python3
"""What a huge scene costs of which 1 % is stored: SPARSE_OK, blocks of 512 pixels, a square of data in its middle.

    python tests/bench/sparse.py SWATH [SIDE [NS]]   Python with rasterio and numpy; a build of swath without torch does

Runs the stand-in networks, with and without a [nodata] class, at 2000 ns (or NS) per pixel that they see (SWATH_FAKE_NS_PER_PIXEL: ten times as
fast as a CPU is with a small network), and says what of that remained, and what the rest took: a run over a scene of the same size that stores
nothing. Processor time is told beside time, for machines that have more to do.
"""
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy
import rasterio
from rasterio.windows import Window

swath, side = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 200_000
NS_PER_PIXEL, CENTRE, RING = int(sys.argv[3]) if len(sys.argv) > 3 else 2000, 512, 64
PIPELINE = (
    "checkpoints = []\n[input]\nbands = [1, 2, 3]\ndivide = { u8 = 1 }\nmean = [0.0, 0.0, 0.0]\nstd = [1.0, 1.0, 1.0]\n"
    f"[tiler]\nstrategy = \"fixed\"\ncentre = {CENTRE}\ndilation = {RING}\n[[members]]\nnetwork = \"identity\"\n"
    + "".join(f'[[classes]]\nid = {i}\nname = "{i}"\nvalue = {i}\ncolor = "#{i:06x}"\n' for i in range(16))
)


def scene(path, data):
    profile = dict(driver="GTiff", height=side, width=side, count=3, dtype="uint8", tiled=True, blockxsize=512, blockysize=512,
                   interleave="pixel", compress="deflate", sparse_ok=True, bigtiff="yes")
    with rasterio.open(path, "w", **profile) as out:
        begin, length = (side - data) // 2 // 512 * 512, data
        values = numpy.random.default_rng(1).integers(0, 16, (3, 512, length), dtype="uint8")
        for row in range(begin, begin + length, 512):
            rows = min(512, begin + length - row)
            out.write(values[:, :rows], window=Window(begin, row, length, rows))


def run(folder, name, nodata, rate):
    out = folder / f"{name}-{nodata}"
    (folder / "p.toml").write_text(PIPELINE + ("[nodata]\nvalue = 255\n" if nodata else ""))
    begun, used = time.monotonic(), processor()
    command = [swath, "run", folder / "p.toml", "-i", folder / name, "-o", out, "--backend", "fake", "--devices", "cpu", "-q"]
    subprocess.run(command, check=True, env=dict(os.environ, SWATH_FAKE_NS_PER_PIXEL=str(rate)))
    return time.monotonic() - begun, processor() - used, json.loads((out / "report.json").read_text())["totals"]


def processor():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    for name, data in [("one_percent", side // 10), ("nothing", 512)]:
        (folder / name).mkdir()
        begun = time.monotonic()
        scene(folder / name / "a.tif", data)
        print(f"{name}: {side} x {side} written in {time.monotonic() - begun:.1f} s")
    for nodata in (True, False):
        seconds, used, totals = run(folder, "one_percent", nodata, NS_PER_PIXEL)
        rest, rest_used, _ = run(folder, "nothing", nodata, 0)
        crop = (CENTRE + 2 * RING) ** 2
        all_tiles = totals["tiles"] * crop * NS_PER_PIXEL / 1e9
        seen = totals["forwards"] * crop * NS_PER_PIXEL / 1e9
        print(f"{'with' if nodata else 'without'} [nodata]: {totals['forwards']} of {totals['tiles']} tiles run, {seen:.0f} of {all_tiles:.0f} s of "
              f"networks ({seen / all_tiles:.2%}); the run took {seconds:.0f} s ({used:.0f} s of processors), one that stores a block {rest:.0f} s ({rest_used:.0f} s) "
              f"({side * side / rest / 1e6:.0f} Mpx/s of reading nothing and writing rows); {totals['decoded']} parts decoded")
