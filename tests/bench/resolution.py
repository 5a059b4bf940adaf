"""Two folders of 0.3 m and 1 m through one model at 0.5 m, against a resample by hand and against GDAL's own.

    python3 -m venv v && v/bin/pip install rasterio
    v/bin/python tests/bench/resolution.py SWATH [FILE..]

The network hands the first band through, so a mask holds what a network would see. GDAL resamples what is read of a raster as a whole; it
leaves out nodata too, by rules of its own. FILEs are resampled to 1.7 and to 0.6 of their pixels.
"""

import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy
import rasterio
from rasterio.enums import Resampling
from rasterio.transform import from_origin

warnings.filterwarnings("ignore", category=rasterio.errors.NotGeoreferencedWarning)
swath, files = sys.argv[1], [pathlib.Path(file).resolve() for file in sys.argv[2:]]
CLASSES, VOID = 64, 255
PIPELINE = f"""
[input]
bands = [1]
divide = {{ u8 = 1, u16 = 1, i16 = 1, f32 = 1 }}
mean = [3.0]
std = [2.0]
[tiler]
strategy = "fixed"
centre = 192
dilation = 16
whole_max = 64
[[members]]
network = "identity"
[nodata]
value = {VOID}
""" + "".join(f'[[classes]]\nid = {i}\nname = "c{i}"\nvalue = {i}\ncolor = "#{i:02x}2030"\n' for i in range(CLASSES))


def weights(own, other):
    """One row for each pixel of the other grid: the share that each of the scene's has in it."""
    ratio = own / other
    at, position = numpy.arange(other)[:, None], numpy.arange(own)[None, :]
    if other <= own:
        share = numpy.minimum(position + 1, (at + 1) * ratio) - numpy.maximum(position, at * ratio)
        share = numpy.where(share > 1e-9, share, 0)
    else:
        x = numpy.abs(position - ((at + 0.5) * ratio - 0.5))
        share = numpy.where(x <= 1, 1.5 * x**3 - 2.5 * x**2 + 1, numpy.where(x < 2, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2, 0))
    return share / share.sum(1, keepdims=True)


def by_hand(values, valid, other):
    rows, columns = (weights(own, n) for own, n in zip(values.shape, other))
    values = numpy.where(valid, values, 0).astype(numpy.float64)
    there = rows @ valid.astype(numpy.float64) @ columns.T
    with numpy.errstate(all="ignore"):
        return rows @ values @ columns.T / there, there >= 0.5 - 1e-9


def as_classes(seen, there, is_float):
    """What the network and the mask make of values."""
    seen = numpy.where(there, seen, 0)
    whole = seen.astype(numpy.float32) if is_float else numpy.floor(seen + 0.5 + 1e-9)
    known = (whole >= 0) & (whole < CLASSES) & (whole == numpy.floor(whole))
    return numpy.where(there, numpy.where(known, whole, 0).astype(numpy.int64), VOID)


def back(seen, own):
    at = [((numpy.arange(n) + 0.5) * m / n + 1e-9).astype(int) for n, m in zip(own, seen.shape)]
    return seen[numpy.ix_(*at)]


def compare(work, folder, resolution):
    out = work / f"out-{folder.name}-{resolution:g}"
    command = [swath, "run", work / "p.toml", "-i", folder, "-o", out, "--backend", "fake", "--devices", "cpu"]
    command += ["--set", f"input.resolution={resolution!r}"]
    subprocess.run(command, check=True, capture_output=True)
    for mask in sorted(out.glob("masks/*.png")):
        path = next(path for path in folder.iterdir() if path.stem == mask.stem)
        with rasterio.open(mask) as data:
            mask = data.read(1).astype(int)
        with rasterio.open(path) as data:
            values, valid = data.read(1), data.read_masks(1) != 0
            is_float = values.dtype.kind == "f"
            valid &= numpy.isfinite(values)
            metres = data.transform.a * data.crs.linear_units_factor[1]
            other = [round(n * metres / resolution) for n in values.shape]
            kind = Resampling.average if other[0] <= data.height else Resampling.cubic
            gdals = data.read(1, out_shape=tuple(other), resampling=kind, masked=True)
        if mask.shape != values.shape:
            sys.exit(f"{path}: the mask is {mask.shape}")
        ours = as_classes(*by_hand(values, valid, other), is_float)
        theirs = as_classes(gdals.data, ~numpy.ma.getmaskarray(gdals), is_float)
        n, m = (int((mask != back(seen, mask.shape)).sum()) for seen in (ours, theirs))
        print(f"{path.name:<24} {values.shape} to {tuple(other)}: of {mask.size} pixels {n} differ from those by hand, {m} from GDAL's {kind.name}")
        yield n


def scene(path, values, metres, nodata=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "height": values.shape[0], "width": values.shape[1], "count": 1, "dtype": values.dtype,
               "crs": "EPSG:32632", "transform": from_origin(500000, 5400000, metres, metres), "nodata": nodata, "tiled": True}
    with rasterio.open(path, "w", **profile) as data:
        data.write(values, 1)


with tempfile.TemporaryDirectory() as folder:
    work, random = pathlib.Path(folder), numpy.random.default_rng(1)
    (work / "p.toml").write_text(PIPELINE)
    found = []
    for name, metres, shape in (("fine", 0.3, (501, 377)), ("coarse", 1.0, (221, 170))):
        y, x = numpy.mgrid[: shape[0], : shape[1]]
        smooth = 32 + 20 * numpy.sin(x / 7) * numpy.cos(y / 11) + random.normal(0, 2, shape)
        scene(work / name / "noise.tif", random.integers(0, CLASSES, shape, dtype=numpy.uint8), metres)
        scene(work / name / "smooth.tif", smooth.astype(numpy.uint8), metres)
        scene(work / name / "wide.tif", smooth.astype(numpy.int16), metres)
        holes = numpy.where((x // 9 + y // 5) % 6 == 0, 60, smooth).astype(numpy.uint8)
        scene(work / name / "holes.tif", holes, metres, nodata=60)
        patches = random.integers(0, CLASSES, shape)[y // 9 * 9, x // 9 * 9]
        gaps = numpy.where((x // 3 + y) % 17 == 0, numpy.nan, patches).astype(numpy.float32)
        scene(work / name / "gaps.tif", gaps, metres)
        found += compare(work, work / name, 0.5)
    for idx, file in enumerate(files):
        (work / f"file{idx}").mkdir()
        (work / f"file{idx}" / file.name).symlink_to(file)
        with rasterio.open(file) as data:
            if not (data.crs and data.crs.is_projected and data.transform.a == -data.transform.e):
                sys.exit(f"{file}: not on a projected grid of squares")
            metres = data.transform.a * data.crs.linear_units_factor[1]
        for factor in (1.7, 0.6):
            found += compare(work, work / f"file{idx}", metres * factor)
print(f"{len(found)} scenes, {sum(found)} pixels differ from those by hand")
sys.exit(any(found))
