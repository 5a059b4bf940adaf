"""Reads the outputs of a run as a geographic information system does: place, values, overviews, names; COGs by rio-cogeo's validator.

    python3 -m venv v && v/bin/pip install rasterio rio-cogeo
    v/bin/python tests/bench/gis.py INPUTS RUN
"""

import pathlib
import sys
import warnings
import xml.etree.ElementTree as xml

import numpy
import rasterio
from rio_cogeo import cog_validate

warnings.filterwarnings("ignore", category=rasterio.errors.NotGeoreferencedWarning)
inputs, run = map(pathlib.Path, sys.argv[1:])


def place(path):
    with rasterio.open(path) as data:
        points, points_crs = data.gcps
        rpcs = data.rpcs.to_gdal() if data.rpcs else None
        points = [(p.row, p.col, p.x, p.y, p.z) for p in points]
        point = data.tags().get("AREA_OR_POINT") == "Point"
        return {"size": data.shape, "transform": tuple(data.transform), "crs": data.crs, "gcps": points,
                "gcps crs": points_crs, "rpcs": rpcs, "point": point}


def differences(path, other, but=()):
    a, b = place(path), place(other)
    return [f"{other}: {key}: {a[key]} became {b[key]}" for key in a if key not in but and a[key] != b[key]]


faults, n = [], 0
for mask in sorted((run / "masks").rglob("*.png")):
    name = mask.relative_to(run / "masks").with_suffix("")
    scene = next(path for path in (inputs / f"{name}.tif", inputs / f"{name}.tiff") if path.exists())
    values = rasterio.open(mask).read(1)
    if pathlib.Path(f"{mask}.aux.xml").exists():
        faults += differences(scene, mask)
        entries = {int(e.get("value")) for e in xml.parse(mask.with_suffix(".qml")).iter("paletteEntry")}
        faults += [f"{mask}: the style lacks a value"] if set(numpy.unique(values)) - entries else []
    for kind in ("geotiff", "cog"):
        path = run / kind / f"{name}.tif"
        if not path.exists():
            continue
        n += 1
        faults += differences(scene, path)
        with rasterio.open(path) as data:
            if not numpy.array_equal(data.read(1), values):
                faults.append(f"{path}: other values than the mask")
            wanted = [i for i in range(32) if -(-max(data.shape) // 2 ** i) > 256]
            if len(data.overviews(1)) != len(wanted):
                faults.append(f"{path}: overviews {data.overviews(1)}, not {len(wanted)}")
        for level in range(len(wanted)):
            with rasterio.open(path, overview_level=level) as data:
                if set(numpy.unique(data.read(1))) - set(numpy.unique(values)):
                    faults.append(f"{path}: overview {level} has values of its own")
        if kind == "cog":
            valid, errors, told = cog_validate(path, strict=True)
            faults += [f"{path}: {what}" for what in errors + told]
print("\n".join(faults), f"{n} rasters, {len(faults)} faults", sep="\n")
sys.exit(bool(faults))
