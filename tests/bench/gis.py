"""Reads the outputs of a run as a geographic information system does: place, values, overviews, names, polygons, probabilities; COGs by rio-cogeo's validator.

    python3 -m venv v && v/bin/pip install rasterio rio-cogeo pyogrio geopandas
    v/bin/python tests/bench/gis.py INPUTS RUN
"""

import pathlib
import sys
import warnings
import xml.etree.ElementTree as xml

import numpy
import pyogrio
import rasterio
from rasterio.features import rasterize
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
    shares = {}
    for kind in ("scores", "probabilities", "disagreement"):
        path = run / kind / f"{name}.tif"
        if not path.exists():
            continue
        n += 1
        faults += differences(scene, path)
        with rasterio.open(path) as data:
            read = numpy.ma.masked_array(data.read(masked=True))
            shares[kind] = read * numpy.reshape(data.scales, (-1, 1, 1)) + numpy.reshape(data.offsets, (-1, 1, 1))
            if shares[kind].count() and (shares[kind].min() < -1e-9 or shares[kind].max() > 1 + 1e-9):
                faults.append(f"{path}: shares of {shares[kind].min()} to {shares[kind].max()}")
            if kind == "probabilities" and not all(data.descriptions):
                faults.append(f"{path}: bands without the names of their classes")
    if "probabilities" in shares and shares["probabilities"].count():
        probabilities = shares["probabilities"]
        if abs(probabilities.sum(axis=0) - 1).max() > 0.5 / 254 * len(probabilities):
            faults.append(f"{name}: probabilities that do not add up to 1")
        chosen = probabilities.max(axis=0)
        # Where post-processing has chosen there is no score.
        if "scores" in shares and abs(shares["scores"][0] - chosen).max() > 1.5 / 254:
            faults.append(f"{name}: scores that are not the greatest probability")
    path = run / "overlay" / f"{name}.png"
    if path.exists():
        n += 1
        with rasterio.open(path) as data:
            if (data.count, data.shape) != (3, values.shape):
                faults.append(f"{path}: {data.count} bands of {data.shape}")
    path = run / "vectors" / f"{name}.gpkg"
    if path.exists() and (run / "geotiff" / f"{name}.tif").exists():
        n += 1
        polygons = pyogrio.read_dataframe(path, layer=name.name)
        with rasterio.open(run / "geotiff" / f"{name}.tif") as data:
            values, void = data.read(1), int(data.nodata or 0)
            shapes = zip(polygons.geometry, polygons.value)
            painted = rasterize(shapes, out_shape=data.shape, transform=data.transform, fill=void, dtype=values.dtype)
            unit = data.crs.linear_units_factor[1] if data.crs and data.crs.is_projected else None
        if not numpy.array_equal(painted, values):
            faults.append(f"{path}: polygons that cover other pixels")
        if not polygons.geometry.is_valid.all():
            faults.append(f"{path}: polygons that are not valid")
        if unit and not numpy.allclose(polygons.area_m2, polygons.geometry.area * unit * unit, rtol=1e-6):
            faults.append(f"{path}: other areas than the polygons have")
print("\n".join(faults), f"{n} rasters, {len(faults)} faults", sep="\n")
sys.exit(bool(faults))
