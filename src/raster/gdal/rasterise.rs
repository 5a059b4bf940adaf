//! Polygons out of vector files, in the coordinates of a raster.

use std::path::Path;

use gdal::spatial_ref::{AxisMappingStrategy, CoordTransform, SpatialRef};
use gdal::vector::{Feature, FieldValue, Geometry, Layer, LayerAccess};
use gdal::{Dataset, DatasetOptions, GdalOpenFlags};

use super::errors;
use crate::raster::burn::{Polygon, burn, extent};
use crate::raster::{Burn, BurnRequest, Burned, GroundGrid, RasterError, Shapes, check_regular_file};

/// Formats of vectors that may be opened, whatever a file is called.
const DRIVERS: [&str; 4] = ["GPKG", "GeoJSON", "ESRI Shapefile", "FlatGeobuf"];

/// Bytes of a file that is read.
const MOST_BYTES: u64 = 1 << 30;

/// Corners of all polygons that meet a raster together: about 100 bytes each are held.
const MOST_CORNERS: usize = 1_000_000;

/// Collections within collections.
const DEEPEST: usize = 16;

/// The shapes of a request, read.
pub(super) struct Loaded {
    shapes: Shapes,
    field: Option<String>,
    grid: GroundGrid,
    /// Those that meet the grid.
    polygons: Vec<Polygon>,
    /// Where all of them lie.
    extent: Option<[f64; 4]>,
}

impl Loaded {
    pub(super) fn new(request: &BurnRequest) -> Result<Self, RasterError> {
        let BurnRequest { shapes, grid, .. } = request.clone();
        let field = field_of(request);
        let mut reading = Reading { grid: &grid, field: field.as_deref(), found: Found::default() };
        match &shapes {
            Shapes::File { path, layer } => reading.file(path, layer.as_deref())?,
            Shapes::Bounds { bounds, crs } => {
                let target = crs.as_deref().map(|crs| known_crs(crs).and_then(|crs| to_grid(&crs, &grid)));
                reading.add(Polygon::of_bounds(*bounds), target.transpose()?.as_ref())?;
            }
        }
        let Found { polygons, extent, .. } = reading.found;
        Ok(Self { shapes, field, grid, polygons, extent })
    }

    /// Whether they are what a request asks about.
    pub(super) fn are_of(&self, request: &BurnRequest) -> bool {
        self.shapes == request.shapes && self.grid == request.grid && self.field == field_of(request)
    }

    pub(super) fn burn(&self, request: &BurnRequest, into: &mut [u8]) -> Result<Burned, RasterError> {
        burn(request, &self.polygons, into)?;
        Ok(Burned { extent: self.extent, bytes: self.polygons.iter().map(Polygon::bytes).sum() })
    }
}

fn field_of(request: &BurnRequest) -> Option<String> {
    match &request.burn {
        Burn::Field { name, .. } => Some(name.clone()),
        Burn::Cover { .. } => None,
    }
}

fn unusable<T>(detail: impl Into<String>) -> Result<T, RasterError> {
    Err(RasterError::Vectors { detail: detail.into() })
}

/// The reference system of a code. Nothing else is looked up: GDAL would take names of files and of hosts as well.
fn known_crs(code: &str) -> Result<SpatialRef, RasterError> {
    let is_word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric());
    let is_code = code.split_once(':').is_some_and(|(authority, number)| is_word(authority) && is_word(number));
    errors::begin(code);
    match SpatialRef::from_definition(code) {
        Ok(crs) if is_code => Ok(crs),
        Ok(_) | Err(_) => {
            unusable(format!("`{code}` is no reference system that is known; write a code, as EPSG:4326"))
        }
    }
}

/// From one reference system to that of a grid, x (or east) first.
fn to_grid(from: &SpatialRef, grid: &GroundGrid) -> Result<CoordTransform, RasterError> {
    let refuse = |reason: &str| RasterError::Refused { reason: reason.to_owned() };
    let wkt = grid.crs.as_deref().ok_or_else(|| {
        refuse(
            "the scene has no coordinate system, and the area must be brought to it; give it one (gdal_edit.py -a_srs)",
        )
    })?;
    errors::begin("");
    let strange = |_| refuse("the scene's coordinate system is none that the area can be brought to");
    let (mut from, mut to) = (from.clone(), SpatialRef::from_wkt(wkt).map_err(strange)?);
    from.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
    to.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
    CoordTransform::new(&from, &to).map_err(strange)
}

/// What was read so far.
#[derive(Default)]
struct Found {
    polygons: Vec<Polygon>,
    corners: usize,
    extent: Option<[f64; 4]>,
    /// Polygons, those that do not meet the grid included.
    n: u64,
    /// Features without a value that a byte can hold, and the first such value.
    unfit: u64,
    first_unfit: Option<String>,
}

struct Reading<'a> {
    grid: &'a GroundGrid,
    field: Option<&'a str>,
    found: Found,
}

impl Reading<'_> {
    fn file(&mut self, path: &Path, layer: Option<&str>) -> Result<(), RasterError> {
        let bytes = check_regular_file(path).map_err(|error| RasterError::Vectors { detail: error.to_string() })?;
        if bytes > MOST_BYTES {
            return unusable(format!(
                "it has {bytes} bytes, and at most {MOST_BYTES} are read; write what is needed to a file of its own (ogr2ogr -spat)"
            ));
        }
        // `check_regular_file` has seen that it is UTF-8.
        let name = path.to_str().unwrap_or_default();
        errors::begin(name);
        let options = DatasetOptions {
            open_flags: GdalOpenFlags::GDAL_OF_READONLY
                | GdalOpenFlags::GDAL_OF_VECTOR
                | GdalOpenFlags::GDAL_OF_VERBOSE_ERROR,
            allowed_drivers: Some(&DRIVERS),
            ..DatasetOptions::default()
        };
        let dataset = Dataset::open_ex(name, options).map_err(|e| {
            let cause = errors::explain(&e);
            let detail = format!("it cannot be opened as GeoPackage, GeoJSON, Shapefile or FlatGeobuf: {cause}");
            RasterError::Vectors { detail }
        })?;
        let mut layer = pick(&dataset, layer)?;
        let read = self.layer(&mut layer);
        // What GDAL raises tells more than what follows from it.
        match errors::take() {
            Some(detail) if !matches!(read, Err(RasterError::Refused { .. })) => unusable(detail),
            Some(_) | None => read,
        }
    }

    fn layer(&mut self, layer: &mut Layer<'_>) -> Result<(), RasterError> {
        let Some(crs) = layer.spatial_ref() else {
            return unusable("it has no coordinate system; give it one (ogr2ogr -a_srs; a Shapefile needs its .prj)");
        };
        let field = match self.field {
            Some(field) => Some(layer.defn().field_index(field).map_err(|_| {
                let names = layer.defn().fields().map(|field| field.name()).collect::<Vec<_>>().join(", ");
                RasterError::Vectors { detail: format!("it has no field `{field}`; it has: {names}") }
            })?),
            None => None,
        };
        let target = to_grid(&crs, self.grid)?;
        for feature in layer.features() {
            let value = field.map_or(Some(0), |field| self.value(&feature, field));
            if let (Some(value), Some(geometry)) = (value, feature.geometry()) {
                self.geometry(geometry, value, &target, 0)?;
            }
        }
        let Found { n, unfit, first_unfit, .. } = &self.found;
        match (n, unfit, self.field) {
            (_, 1.., Some(field)) => unusable(format!(
                "{unfit} of its features have no value in the field `{field}` that is a whole number from 0 to 255 (the first one: {}); \
                 mend them, or leave them out",
                first_unfit.as_deref().unwrap_or("none")
            )),
            (0, ..) => unusable("it has no polygon"),
            (_, _, _) => Ok(()),
        }
    }

    /// A feature's value as a byte; one that is none is counted.
    fn value(&mut self, feature: &Feature<'_>, field: usize) -> Option<u8> {
        let found = feature.field(field).ok().flatten();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "compared with what it came from")]
        let value = match &found {
            Some(FieldValue::IntegerValue(value)) => u8::try_from(*value).ok(),
            Some(FieldValue::Integer64Value(value)) => u8::try_from(*value).ok(),
            Some(FieldValue::RealValue(value)) => {
                Some(*value as u8).filter(|byte| f64::from(*byte).to_bits() == value.abs().to_bits() && *value >= 0.0)
            }
            Some(
                FieldValue::StringValue(_)
                | FieldValue::StringListValue(_)
                | FieldValue::IntegerListValue(_)
                | FieldValue::Integer64ListValue(_)
                | FieldValue::RealListValue(_)
                | FieldValue::DateValue(_)
                | FieldValue::DateTimeValue(_),
            )
            | None => None,
        };
        if value.is_none() {
            self.found.unfit += 1;
            self.found.first_unfit.get_or_insert_with(|| match found {
                Some(FieldValue::IntegerValue(value)) => value.to_string(),
                Some(FieldValue::Integer64Value(value)) => value.to_string(),
                Some(FieldValue::RealValue(value)) => value.to_string(),
                Some(_) => "no number".into(),
                None => "none".into(),
            });
        }
        value
    }

    /// Takes the polygons of a geometry. Points and lines have no area.
    fn geometry(
        &mut self,
        geometry: &Geometry,
        value: u8,
        target: &CoordTransform,
        depth: usize,
    ) -> Result<(), RasterError> {
        match geometry.geometry_name().as_str() {
            "POLYGON" => {
                let mut polygon = Polygon { value, rings: Vec::new() };
                let mut corners = 0;
                for idx in 0..geometry.geometry_count() {
                    let ring = geometry.get_geometry(idx);
                    corners += ring.point_count();
                    if self.found.corners + corners > MOST_CORNERS {
                        return unusable(format!(
                            "its polygons have more than {MOST_CORNERS} corners on one scene; simplify them (ogr2ogr -simplify)"
                        ));
                    }
                    let mut points = Vec::with_capacity(ring.point_count());
                    ring.get_points(&mut points);
                    polygon.rings.push(points.into_iter().map(|(x, y, _)| [x, y]).collect());
                }
                self.add(polygon, Some(target))
            }
            "MULTIPOLYGON" | "GEOMETRYCOLLECTION" if depth < DEEPEST => (0..geometry.geometry_count())
                .try_for_each(|idx| self.geometry(&geometry.get_geometry(idx), value, target, depth + 1)),
            "POINT" | "LINESTRING" | "MULTIPOINT" | "MULTILINESTRING" => Ok(()),
            other => unusable(format!(
                "it has a geometry of the kind {other}, and polygons are read; write it as such (ogr2ogr -nlt CONVERT_TO_LINEAR)"
            )),
        }
    }

    /// Brings a polygon to the grid, and keeps it where it meets that.
    fn add(&mut self, mut polygon: Polygon, target: Option<&CoordTransform>) -> Result<(), RasterError> {
        let refuse = || {
            RasterError::Refused {
            reason: "the area cannot be brought to the scene's coordinate system: parts of it lie beyond what that is made for; \
                     cut it to where the scenes are (ogr2ogr -clipsrc)"
                .into(),
        }
        };
        for ring in polygon.rings.iter_mut().filter(|ring| !ring.is_empty()) {
            let (mut xs, mut ys): (Vec<f64>, Vec<f64>) = ring.iter().map(|[x, y]| (*x, *y)).unzip();
            if let Some(target) = target {
                target.transform_coords(&mut xs, &mut ys, &mut []).map_err(|_| refuse())?;
            }
            *ring = xs.into_iter().zip(ys).map(|(x, y)| [x, y]).collect();
            if !ring.iter().flatten().all(|number| number.is_finite()) {
                return Err(refuse());
            }
        }
        let own = polygon.extent();
        let all = self.found.extent.into_iter().chain(own);
        self.found.extent = extent(all.flat_map(|[x0, y0, x1, y1]| [[x0, y0], [x1, y1]]));
        self.found.n += u64::from(own.is_some());
        if polygon.meets(self.grid) {
            self.found.corners += polygon.rings.iter().map(Vec::len).sum::<usize>();
            self.found.polygons.push(polygon);
        }
        Ok(())
    }
}

/// The layer of this name, or the only one.
fn pick<'a>(dataset: &'a Dataset, layer: Option<&str>) -> Result<Layer<'a>, RasterError> {
    let names = || dataset.layers().map(|layer| layer.name()).collect::<Vec<_>>().join(", ");
    let lost = |e: gdal::errors::GdalError| RasterError::Vectors { detail: errors::explain(&e) };
    match (layer, dataset.layer_count()) {
        (_, 0) => unusable("it has no layer"),
        (None, 1) => dataset.layer(0).map_err(lost),
        (None, n) => unusable(format!("it has {n} layers; name one of them behind a colon: {}", names())),
        (Some(name), _) => dataset.layer_by_name(name).or_else(|_| {
            errors::begin("");
            unusable(format!("it has no layer `{name}`; it has: {}", names()))
        }),
    }
}
