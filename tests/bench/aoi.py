#!/usr/bin/env python3
"""Areas against rasterio and pyogrio: pixels outside hold nodata, pixels inside what they hold without an area.

    python tests/bench/aoi.py SWATH        Python with rasterio, pyogrio, geopandas, shapely and numpy; a build of swath without torch does

Draws scenes (north-up, south-up, turned, in UTM, Web Mercator and degrees) and polygons (concave, with holes, in several parts) in degrees, in
every format; brings the polygons to each scene's system with geopandas and burns them with rasterio.features.rasterize. Pixels whose centres
lie within a ten-thousandth of a pixel of a border may differ, and are counted.
"""
import pathlib
import subprocess
import sys
import tempfile
import warnings

import geopandas
import numpy
import rasterio
import shapely
from rasterio.features import rasterize
from rasterio.transform import Affine
from rasterio.warp import transform as warp

PIPELINE = (
    "[input]\nbands = [1]\ndivide = { u8 = 1 }\nmean = [0.0]\nstd = [1.0]\n[tiler]\nstrategy = \"fixed\"\ncentre = 128\ndilation = 16\n"
    "[[members]]\nnetwork = \"identity\"\n[nodata]\nvalue = 255\n"
    + "".join(f'[[classes]]\nid = {i}\nname = "{i}"\nvalue = {i}\ncolor = "#{i:06x}"\n' for i in range(16))
)
SCENES = {
    "utm": ("EPSG:32632", Affine(0.5, 0, 500000, 0, -0.5, 5400000)),
    "south_up": ("EPSG:32632", Affine(0.5, 0, 500020, 0, 0.5, 5399700)),
    "turned": ("EPSG:32632", Affine(0.4, 0.21, 500050, 0.19, -0.4, 5399990)),
    "mercator": ("EPSG:3857", Affine(0.7, 0, 0, 0, -0.7, 0)),
    "degrees": ("EPSG:4326", Affine(5e-6, 0, 0, 0, -5e-6, 0)),
}
for name in ("mercator", "degrees"):
    crs, transform = SCENES[name]
    (x,), (y,) = warp("EPSG:32632", crs, [500010], [5399990])
    SCENES[name] = crs, Affine.translation(x, y) * transform
FORMATS = {"gpkg": "GPKG", "geojson": "GeoJSON", "shp": "ESRI Shapefile", "fgb": "FlatGeobuf"}
warnings.filterwarnings("ignore", category=rasterio.errors.NotGeoreferencedWarning)
swath, random = sys.argv[1], numpy.random.default_rng(7)


def blob(x, y, radius, n):
    angles = numpy.sort(random.uniform(0, 2 * numpy.pi, n))
    radii = radius * random.uniform(0.4, 1.0, n)
    return shapely.Polygon(numpy.stack([x + radii * numpy.cos(angles), y + radii * numpy.sin(angles)], 1)).buffer(0)


def area():
    outer = blob(500150, 5399860, 110, 40).difference(blob(500150, 5399860, 30, 9))
    parts = shapely.union_all([outer, blob(500290, 5399750, 40, 12), blob(500020, 5399990, 60, 25)])
    return geopandas.GeoDataFrame(geometry=[parts], crs="EPSG:32632").to_crs("EPSG:4326").explode(ignore_index=True)


def run(folder, out, *more):
    command = [swath, "run", str(folder / "p.toml"), "-i", str(folder / "in"), "-o", str(folder / out), "--backend", "fake", "-q", *more]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.returncode}\n{done.stderr}")


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    (folder / "in").mkdir()
    (folder / "p.toml").write_text(PIPELINE)
    size = (700, 800)
    for name, (crs, transform) in SCENES.items():
        profile = dict(driver="GTiff", height=size[0], width=size[1], count=1, dtype="uint8", crs=crs, transform=transform, tiled=True)
        with rasterio.open(folder / "in" / f"{name}.tif", "w", **profile) as data:
            data.write(random.integers(0, 16, (1, *size), dtype="uint8"))
    run(folder, "whole")
    faults = n = close = 0
    for number, (extension, driver) in enumerate(FORMATS.items()):
        polygons = area()
        file = folder / f"area.{extension}"
        polygons.to_file(file, driver=driver, layer="area", **({"COORDINATE_PRECISION": 15} if driver == "GeoJSON" else {}))
        polygons = geopandas.read_file(file)
        run(folder, f"out{number}", "--aoi", str(file))
        for name, (crs, transform) in SCENES.items():
            there = polygons.to_crs(crs).geometry
            inside = rasterize(there, size, transform=transform, dtype="uint8") == 1
            whole = rasterio.open(folder / "whole" / "masks" / f"{name}.png").read(1)
            own = rasterio.open(folder / f"out{number}" / "masks" / f"{name}.png").read(1)
            wrong = own != numpy.where(inside, whole, 255)
            borders = shapely.boundary(shapely.union_all(there.values))
            for row, col in zip(*numpy.nonzero(wrong)):
                point = shapely.Point(transform @ (col + 0.5, row + 0.5) if hasattr(Affine, "__matmul__") else transform * (col + 0.5, row + 0.5))
                pixel = abs(transform.determinant) ** 0.5
                if borders.distance(point) < 1e-4 * pixel:
                    close += 1
                else:
                    faults += 1
            n += int(inside.sum())
            print(f"{extension:8} {name:9} {inside.mean():6.1%} inside, {int(wrong.sum())} pixels differ")
    print(f"{n} pixels inside, {close} on a border, {faults} wrong")
    sys.exit(faults > 0)
