#!/usr/bin/env python3
"""What swath sees of real files against what rasterio reads of them: values of the first band, and which pixels are data.

    python tests/bench/inputs.py SWATH FILE..        Python with rasterio and numpy; a build of swath without torch does

The stand-in networks hand the first band through (`--backend fake`, the network `identity`), so a mask holds its values from 0 to 253, 0 for
all others, and 255 where there is no data. Each file is run with a pipeline of its own bands. Lossy files decode differently in every build
of GDAL: of these the share of equal pixels is told.
"""
import pathlib
import subprocess
import sys
import tempfile

import numpy
import rasterio
from rasterio.enums import ColorInterp, MaskFlags

N_CLASSES = 254
MOST_PIXELS = 50_000_000
TYPES = ["u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64"]


def pipeline(n_bands):
    classes = "".join(f'[[classes]]\nid = {i}\nname = "{i}"\nvalue = {i}\ncolor = "#{i:06x}"\n' for i in range(N_CLASSES))
    divide = ", ".join(f"{name} = 1" for name in TYPES)
    return (
        f"[input]\nbands = {list(range(1, n_bands + 1))}\ndivide = {{ {divide} }}\nmean = {[0.0] * n_bands}\nstd = {[1.0] * n_bands}\n"
        f'[tiler]\nstrategy = "fixed"\ncentre = 512\ndilation = 32\n[[members]]\nnetwork = "identity"\n{classes}[nodata]\nvalue = 255\n'
    )


def expected(dataset, n_bands):
    """The mask that is to come of a file."""
    bands = dataset.read(list(range(1, n_bands + 1)))
    void = numpy.ones(dataset.shape, bool)
    for band, nodata in zip(bands, dataset.nodatavals):
        void &= False if nodata is None else band == numpy.array(nodata).astype(band.dtype)
    flags = dataset.mask_flag_enums[0]
    if (MaskFlags.per_dataset in flags or MaskFlags.alpha in flags) and MaskFlags.nodata not in flags:
        void |= dataset.read_masks(1) == 0
    if numpy.issubdtype(bands.dtype, numpy.floating):
        void |= ~numpy.isfinite(bands.astype("f4")).all(axis=0)
    first = bands[0]
    if first.dtype == "uint8" and dataset.tags(1, ns="IMAGE_STRUCTURE").get("PIXELTYPE") == "SIGNEDBYTE":
        first = first.view("int8")
    with numpy.errstate(invalid="ignore"):
        is_class = (first >= 0) & (first < N_CLASSES) & (first == numpy.floor(first))
    values = numpy.where(is_class, numpy.where(is_class, first, 0), 0).astype("u1")
    return numpy.where(void, 255, values)


def main():
    swath, *files = map(pathlib.Path, sys.argv[1:])
    wrong = 0
    for path in files:
        with rasterio.open(path) as dataset, tempfile.TemporaryDirectory() as work:
            work = pathlib.Path(work)
            if dataset.width * dataset.height > MOST_PIXELS:
                print(f"skipped   {path.name}: {dataset.width} x {dataset.height}")
                continue
            n_bands = dataset.count - sum(color == ColorInterp.alpha for color in dataset.colorinterp)
            (work / "p.toml").write_text(pipeline(n_bands))
            command = [swath.resolve(), "run", "p.toml", "-i", path.resolve(), "-o", "out", "--backend", "fake", "--devices", "cpu", "-q"]
            ran = subprocess.run(command, cwd=work, capture_output=True, text=True)
            if ran.returncode != 0:
                cause = subprocess.run([*command[:-1], "-v"], cwd=work, capture_output=True, text=True).stderr
                said = [line for line in cause.splitlines() if "refused" in line]
                print(f"refused   {path.name}: {said[0].split('refused: ')[-1] if said else cause[-300:]}")
                continue
            with rasterio.open(work / "out/masks" / f"{path.stem}.png") as mask:
                equal = (mask.read(1) == expected(dataset, n_bands)).mean()
            lossy = str(dataset.compression).split(".")[-1].lower() in ("jpeg", "webp") or dataset.driver == "JPEG"
            verdict = "equal" if equal == 1 else "lossy" if lossy else "DIFFERENT"
            wrong += verdict == "DIFFERENT"
            print(f"{verdict:9} {path.name}: {dataset.count} x {dataset.dtypes[0]}, {100 * equal:.4f} % equal")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
