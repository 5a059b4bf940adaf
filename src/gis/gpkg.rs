//! Polygons of classes as GeoPackages through GDAL.

use std::collections::BTreeMap;
use std::path::PathBuf;

use gdal::spatial_ref::SpatialRef;
use gdal::vector::{Feature, Geometry, LayerAccess, LayerOptions, OGRFieldType, OGRwkbGeometryType};
use gdal::{Dataset, DriverManager};

use super::beside::polygon_style;
use super::polygons::{Borders, Pixels, Polygon, polygons};
use super::simplify::Tolerance;
use super::tiff::{Said, begin, heard};
use super::{ClassRaster, Failure, Layer, disk};
use crate::atomic::AtomicFile;
use crate::config::classes::{ClassId, ClassTable, NODATA_LABEL};
use crate::geom::GeoTransform;
use crate::raster::PixelArea;

/// Fields of a polygon, in this order.
const FIELDS: [(&str, OGRFieldType::Type); 6] = [
    ("class", OGRFieldType::OFTString),
    ("id", OGRFieldType::OFTInteger),
    ("value", OGRFieldType::OFTInteger),
    ("pixels", OGRFieldType::OFTInteger64),
    ("area_m2", OGRFieldType::OFTReal),
    ("object", OGRFieldType::OFTInteger64),
];

/// One more where polygons have scores: the mean probability of their pixels' class.
const SCORE: (&str, OGRFieldType::Type) = ("score", OGRFieldType::OFTReal);

/// What a GeoPackage is written with: no clock in it, and no journal beside it, for it counts only when it is whole.
const SETTINGS: [(&str, &str); 3] = [
    ("OGR_CURRENT_DATE", "2000-01-01T00:00:00.000Z"),
    ("OGR_SQLITE_JOURNAL", "OFF"),
    ("OGR_SQLITE_SYNCHRONOUS", "OFF"),
];

/// A GeoPackage of one layer being written, rows of labels from top to bottom.
pub(crate) struct GpkgWriter {
    path: PathBuf,
    dataset: Dataset,
    layer: String,
    classes: ClassTable,
    transform: GeoTransform,
    score_steps: Option<f64>,
    tolerance: Option<Tolerance>,
    area: PixelArea,
    /// Rows so far.
    rows: u32,
    /// Polygons so far: their numbers are 1, 2, 3 ...
    n: u64,
    /// Label and number of the polygon of each pixel of the last row.
    last: Vec<Option<(ClassId, u64)>>,
    /// Polygons that go on below a border: which lower number each is the same object as.
    same: BTreeMap<u64, u64>,
}

impl GpkgWriter {
    /// Begins one in the place of `file`, for a raster that has a transform.
    pub(crate) fn create(
        file: &AtomicFile,
        raster: &ClassRaster<'_>,
        Layer { name: layer, transform, score_steps, simplify }: Layer<'_>,
    ) -> Result<Self, Failure> {
        let Ok(driver) = DriverManager::get_driver_by_name("GPKG") else {
            return Err(Failure::Refused("it was built without GeoPackages; set outputs.vectors = false".into()));
        };
        begin(file.temp_path());
        let create = || -> Said<_> {
            for (key, value) in SETTINGS {
                gdal::config::set_thread_local_config_option(key, value)?;
            }
            let crs = raster.header.crs.as_ref().map(|crs| SpatialRef::from_definition(crs)).transpose()?;
            let mut dataset = driver.create_vector_only(disk::named(file.temp_path()))?;
            let options =
                LayerOptions { name: layer, srs: crs.as_ref(), ty: OGRwkbGeometryType::wkbPolygon, options: None };
            let created = dataset.create_layer(options)?;
            created.create_defn_fields(&FIELDS)?;
            created.create_defn_fields(if score_steps.is_some() { &[SCORE] } else { &[] })?;
            style(&mut dataset, layer, raster)?;
            Ok((dataset, PixelArea::of(crs.as_ref(), transform)))
        };
        let (dataset, area) = heard(create(), file.target())?;
        let (path, classes, layer) = (file.target().to_owned(), raster.classes.clone(), layer.to_owned());
        let GeoTransform(t) = transform;
        let tolerance = Tolerance { distance: simplify, right: [t[1], t[4]], down: [t[2], t[5]] };
        Ok(Self {
            path,
            dataset,
            layer,
            classes,
            transform,
            score_steps,
            tolerance: (simplify > 0.0).then_some(tolerance),
            area,
            rows: 0,
            n: 0,
            last: Vec::new(),
            same: BTreeMap::new(),
        })
    }

    /// Adds the polygons of further rows of labels, whose pixels have these scores, if any.
    pub(crate) fn push(&mut self, labels: &[ClassId], scores: &[u8], n_rows: u32) -> Result<(), Failure> {
        begin(&self.path);
        let Self { path, dataset, layer, classes, transform, score_steps, tolerance, area, rows, n, .. } = self;
        let weights: Vec<f64> = (*rows..*rows + n_rows).map(|row| area.of_pixel(row)).collect();
        let pixels = Pixels { labels, scores, weights: &weights };
        let before = *n;
        let mut write = || -> Said<Borders> {
            let transaction = dataset.start_transaction()?;
            let borders = {
                let layer = transaction.layer_by_name(layer)?;
                polygons(pixels, NODATA_LABEL, *tolerance, |polygon| {
                    let mut feature = Feature::new(layer.defn())?;
                    feature.set_geometry(Geometry::from_wkb(&wkb(&polygon, *transform, *rows))?)?;
                    if let Some(class) = classes.classes().get(usize::from(polygon.label)) {
                        feature.set_field_string(0, &class.name)?;
                        feature.set_field_integer(1, class.id.into())?;
                        feature.set_field_integer(2, class.value.into())?;
                    }
                    feature.set_field_integer64(3, i64::try_from(polygon.pixels).unwrap_or(i64::MAX))?;
                    if let Some(area) = area_of(&polygon, *area) {
                        feature.set_field_double(4, area)?;
                    }
                    *n += 1;
                    feature.set_field_integer64(5, i64::try_from(*n).unwrap_or(i64::MAX))?;
                    if let Some(score) = score_steps.and_then(|steps| mean_score(&polygon, steps)) {
                        feature.set_field_double(FIELDS.len(), score)?;
                    }
                    feature.create(&layer)
                })?
            };
            transaction.commit().map(|()| borders)
        };
        let borders = heard(write(), path)?;
        *rows += n_rows;
        let with_labels = |owners: Vec<Option<usize>>, labels: &[ClassId]| -> Vec<_> {
            owners.into_iter().zip(labels).map(|(own, label)| Some((*label, before + 1 + own? as u64))).collect()
        };
        let first = with_labels(borders.first, labels);
        let last = with_labels(borders.last, &labels[labels.len() - first.len()..]);
        let above = std::mem::replace(&mut self.last, last);
        for (above, below) in above.into_iter().zip(first) {
            match (above, below) {
                (Some((label, one)), Some((below, other))) if label == below => join(&mut self.same, one, other),
                (_, _) => {}
            }
        }
        Ok(())
    }

    pub(crate) fn close(self) -> Result<(), Failure> {
        begin(&self.path);
        let Self { path, mut dataset, layer, same, .. } = self;
        let close = || -> Said<()> {
            let transaction = dataset.start_transaction()?;
            {
                let layer = transaction.layer_by_name(&layer)?;
                for piece in same.keys() {
                    let Some(mut feature) = layer.feature(*piece) else { continue };
                    feature.set_field_integer64(5, i64::try_from(object(&same, *piece)).unwrap_or(i64::MAX))?;
                    layer.set_feature(feature)?;
                }
            }
            transaction.commit()?;
            dataset.close()
        };
        heard(close(), &path)
    }
}

/// The mean probability of those pixels that have one.
fn mean_score(polygon: &Polygon, steps: f64) -> Option<f64> {
    let (sum, n) = polygon.score;
    // Of a byte of 1 to 255.
    (n > 0).then(|| (sum - n) as f64 / n as f64 / steps)
}

/// The least number of those that are the same object.
fn object(same: &BTreeMap<u64, u64>, mut piece: u64) -> u64 {
    while let Some(lower) = same.get(&piece) {
        piece = *lower;
    }
    piece
}

fn join(same: &mut BTreeMap<u64, u64>, one: u64, other: u64) {
    let (one, other) = (object(same, one), object(same, other));
    if one != other {
        same.insert(one.max(other), one.min(other));
    }
}

/// The table that QGIS looks for, with the classes' colours.
fn style(dataset: &mut Dataset, layer: &str, raster: &ClassRaster<'_>) -> Said<()> {
    const TEXTS: [&str; 10] = [
        "f_table_catalog",
        "f_table_schema",
        "f_table_name",
        "f_geometry_column",
        "styleName",
        "styleQML",
        "styleSLD",
        "description",
        "owner",
        "ui",
    ];
    let options = LayerOptions { name: "layer_styles", ty: OGRwkbGeometryType::wkbNone, ..LayerOptions::default() };
    let styles = dataset.create_layer(options)?;
    let fields = TEXTS.map(|name| (name, OGRFieldType::OFTString));
    styles.create_defn_fields(&fields)?;
    styles.create_defn_fields(&[
        ("useAsDefault", OGRFieldType::OFTInteger),
        ("update_time", OGRFieldType::OFTDateTime),
    ])?;
    let mut feature = Feature::new(styles.defn())?;
    for (name, text) in [
        ("f_table_catalog", ""),
        ("f_table_schema", ""),
        ("f_table_name", layer),
        ("f_geometry_column", "geom"),
        ("styleName", layer),
        ("styleQML", &polygon_style(raster)),
    ] {
        feature.set_field_string(feature.field_index(name)?, text)?;
    }
    feature.set_field_integer(feature.field_index("useAsDefault")?, 1)?;
    feature.create(&styles)
}

/// A polygon on the ground as well-known binary. `top` is the row that its own rows are counted from.
fn wkb(polygon: &Polygon, GeoTransform(t): GeoTransform, top: u32) -> Vec<u8> {
    const LITTLE_ENDIAN: u8 = 1;
    const POLYGON: u32 = 3;
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = vec![LITTLE_ENDIAN];
    bytes.extend(POLYGON.to_le_bytes());
    bytes.extend(count(polygon.rings.len()));
    for ring in &polygon.rings {
        bytes.extend(count(ring.len()));
        for (column, row) in ring {
            let (column, row) = (f64::from(*column), f64::from(top) + f64::from(*row));
            bytes.extend((t[0] + column * t[1] + row * t[2]).to_le_bytes());
            bytes.extend((t[3] + column * t[4] + row * t[5]).to_le_bytes());
        }
    }
    bytes
}

/// The area of a polygon whose pixels' own have been added up where they differ.
fn area_of(polygon: &Polygon, area: PixelArea) -> Option<f64> {
    match area {
        PixelArea::Plane(pixel) => Some(polygon.pixels as f64 * pixel),
        PixelArea::Grid { .. } => Some(polygon.weight),
        PixelArea::Unknown => None,
    }
}
