//! Where on the ground work is done.
//!
//! An [`Area`] is part of the plan. Planning asks, scene by scene and without a raster of it, which tiles' centres it meets ([`Within`]), or
//! where tiles are blended which of them see some of it: units are cut from these alone, a scene that it does not meet is left out, and one
//! that lies inside is planned as if there were none. A network sees a tile as it would without an area, the ground beyond its border
//! included; what it makes of pixels outside is replaced by nodata as the unit leaves the networks. So logits have the keys that they have
//! without an area, and of planes those of the tiles that its border cuts depend on it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{PlanError, Scene};
use crate::atomic;
use crate::config::classes::ClassTable;
use crate::geom::{PixelRect, Size, Span};
use crate::journal::{KeyHasher, StageKey};
pub use crate::raster::Shapes;
use crate::raster::{
    Burn, BurnRequest, GroundGrid, Identity, RasterError, RasterSource, SceneHeader, check_regular_file,
};
use crate::tiler::Grid;

/// Where on the ground work is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Area {
    /// A rectangle, or a file of polygons.
    pub shapes: Shapes,
    /// Of the file that it comes from: SHA-256 of all that belongs to it.
    pub sha256: Option<String>,
    /// And which file that was. No part of the plan's digest.
    pub identity: Option<Identity>,
    /// Bytes that a reader holds while it looks at it.
    pub bytes: u64,
}

/// Files that belong to a Shapefile, by their extensions, and what a database that is written to has beside it.
const OF_SHAPEFILE: [&str; 4] = ["shx", "dbf", "prj", "cpg"];
const OF_DATABASE: &str = "-wal";

impl Area {
    /// The area of these shapes.
    ///
    /// # Errors
    /// When their file cannot be read.
    pub(super) fn new(shapes: Shapes) -> Result<Self, RasterError> {
        let (mut sha256, mut identity) = (None, None);
        if let Shapes::File { path, .. } = &shapes {
            check_regular_file(path)?;
            let mut hasher = Sha256::new();
            for file in files_of(path) {
                let own = atomic::sha256_of(&file).map_err(|e| RasterError::Open { detail: e.to_string() })?;
                hasher.update(own);
            }
            sha256 = Some(crate::hex(&hasher.finalize()));
            identity = Some(identity_of(path)?);
        }
        Ok(Self { shapes, sha256, identity, bytes: 0 })
    }

    /// Whether its file is still the one that was planned with.
    pub fn is_unchanged(&self) -> bool {
        match &self.shapes {
            Shapes::File { path, .. } => identity_of(path).ok() == self.identity,
            Shapes::Bounds { .. } => true,
        }
    }

    /// Whether its file, which may have been copied or touched, has the bytes that it was planned with: then it is known as it is now.
    pub(crate) fn is_found_again(&mut self) -> bool {
        if self.is_unchanged() {
            return true;
        }
        let now = Self::new(self.shapes.clone()).ok().filter(|now| now.sha256 == self.sha256);
        now.map(|now| self.identity = now.identity).is_some()
    }

    /// What it is called where a person reads it.
    pub fn label(&self) -> String {
        match &self.shapes {
            Shapes::File { path, layer: None } => path.display().to_string(),
            Shapes::File { path, layer: Some(layer) } => format!("{}:{layer}", path.display()),
            Shapes::Bounds { bounds: [x0, y0, x1, y1], crs } => {
                format!("{x0},{y0},{x1},{y1}{}", crs.as_ref().map(|crs| format!(" ({crs})")).unwrap_or_default())
            }
        }
    }

    /// The same without what changes no byte: where its file lies, and when that was written.
    pub(super) fn essence(&self) -> Self {
        let shapes = match &self.shapes {
            Shapes::File { layer, .. } => Shapes::File { path: PathBuf::new(), layer: layer.clone() },
            bounds @ Shapes::Bounds { .. } => bounds.clone(),
        };
        Self { shapes, sha256: self.sha256.clone(), identity: None, bytes: 0 }
    }

    pub(super) fn key(&self) -> StageKey {
        KeyHasher::new("area").value(&self.essence()).finish()
    }

    /// Asks which pixels of a window lie inside, or which cells of so many.
    pub fn request(&self, grid: GroundGrid, burn: Burn, window: PixelRect) -> BurnRequest {
        BurnRequest { shapes: self.shapes.clone(), burn, grid, window }
    }

    /// Refuses a pipeline whose masks could not say what lies outside.
    pub(super) fn check(&self, classes: &ClassTable) -> Result<(), PlanError> {
        if classes.nodata().is_some() { Ok(()) } else { Err(PlanError::NoNodata { area: self.label() }) }
    }

    /// The tiles of a scene that it meets; counts what a reader needs for it.
    pub(super) fn select(
        &mut self,
        header: &SceneHeader,
        grid: Grid,
        reader: &mut dyn RasterSource,
    ) -> Result<Selected, Unmet> {
        let ground = GroundGrid::of(header).map_err(|cause| {
            Unmet::Scene(format!("{cause}, so no area can be told on it; run it without one, or give it a transform (gdal_translate -a_ullr)"))
        })?;
        let size = Size::new(grid.x.length, grid.y.length);
        let cell = Size::new(grid.x.centre.min(size.width), grid.y.centre.min(size.height));
        let request = self.request(ground.resized(size), Burn::Cover { cell }, PixelRect::whole(size));
        let mut cells = vec![0; request.size().len()];
        let burned = reader.rasterise(&request, &mut cells).map_err(|error| match error {
            RasterError::Refused { reason } => Unmet::Scene(reason),
            error @ RasterError::NoDecoder { .. } => Unmet::Plan(PlanError::NoDecoder(error)),
            error @ (RasterError::Open { .. }
            | RasterError::Read { .. }
            | RasterError::Vectors { .. }
            | RasterError::Changed
            | RasterError::Crashed { .. }) => Unmet::Plan(PlanError::Area { area: self.label(), error }),
        })?;
        self.bytes = self.bytes.max(burned.bytes);
        if grid.is_blended() {
            cells = seen(&cells, request.size().width);
        }
        let within = Within::of(&cells, request.size().width);
        Ok(match (within.met.is_empty(), cells.iter().all(|cell| *cell == u8::MAX)) {
            (true, _) => Selected::Nothing { scene: request.grid.extent(), area: burned.extent },
            (false, true) => Selected::Everything,
            (false, false) => Selected::Some(within),
        })
    }
}

/// What lies in the cells of blended tiles, from what lies in their middles: a tile is run if some pixel that it sees is inside, so that inside
/// all is as without an area. It sees no farther than the next middles, and what it owns lies in its own and those before.
fn seen(cells: &[u8], n_cols: u32) -> Vec<u8> {
    let width = (n_cols as usize).max(1);
    let height = cells.len() / width;
    let block = |x: usize, y: usize, reach: usize| {
        let columns = x.saturating_sub(1)..(x + reach + 1).min(width);
        (y.saturating_sub(1)..(y + reach + 1).min(height))
            .flat_map(move |y| columns.clone().map(move |x| cells[y * width + x]))
    };
    let cell = |at: usize| {
        let (x, y) = (at % width, at / width);
        match (block(x, y, 0).all(|cell| cell == u8::MAX), block(x, y, 1).all(|cell| cell == 0)) {
            (true, _) => u8::MAX,
            (false, true) => 0,
            (false, false) => 1,
        }
    };
    (0..cells.len()).map(cell).collect()
}

/// What an area meets of a scene.
pub(super) enum Selected {
    /// Nothing; where both lie, in the scene's coordinates.
    Nothing { scene: [f64; 4], area: Option<[f64; 4]> },
    /// Every pixel.
    Everything,
    /// These tiles.
    Some(Within),
}

/// Why that cannot be said.
pub(super) enum Unmet {
    /// The scene is at fault.
    Scene(String),
    /// It is not, and the area can be held against no scene.
    Plan(PlanError),
}

/// Some bounds for people.
pub(super) fn bounds([x0, y0, x1, y1]: [f64; 4]) -> String {
    format!("x {x0:.6} to {x1:.6}, y {y0:.6} to {y1:.6}")
}

/// All files that belong to a vector file and are there.
fn files_of(path: &Path) -> Vec<PathBuf> {
    let is_shapefile = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("shp"));
    let mut database = path.as_os_str().to_owned();
    database.push(OF_DATABASE);
    let beside = OF_SHAPEFILE.iter().filter(|_| is_shapefile).map(|extension| path.with_extension(extension));
    let beside = beside.chain([PathBuf::from(database)]).filter(|file| file.exists());
    std::iter::once(path.to_owned()).chain(beside).collect()
}

fn identity_of(path: &Path) -> Result<Identity, RasterError> {
    // A database that nobody has written to may have an empty file beside it.
    let files = files_of(path).into_iter().filter(|file| file == path || file.metadata().is_ok_and(|m| m.len() > 0));
    files.map(|file| Identity::of(&file)).collect::<Result<_, _>>().map(Identity::of_all)
}

/// The tiles of a scene that are run for an area's sake, where it does not hold all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Within {
    /// Tiles of which some pixel lies inside, or that are blended with such, row by row, from left to right.
    met: Vec<Run>,
    /// Those of them whose pixels all do.
    inside: Vec<Run>,
}

/// Neighbouring tiles of a row.
type Run = (u32, Span);

impl Within {
    /// From a byte for each tile, as [`Burn::Cover`] has them.
    fn of(cells: &[u8], n_cols: u32) -> Self {
        let runs = |is_meant: fn(u8) -> bool| {
            let mut runs: Vec<Run> = Vec::new();
            for (row, cells) in (0..).zip(cells.chunks((n_cols as usize).max(1))) {
                for (col, _) in (0..).zip(cells).filter(|(_, cell)| is_meant(**cell)) {
                    match runs.last_mut() {
                        Some((last, cols)) if *last == row && cols.end == col => cols.end += 1,
                        _ => runs.push((row, Span::new(col, col + 1))),
                    }
                }
            }
            runs
        };
        Self { met: runs(|cell| cell > 0), inside: runs(|cell| cell == u8::MAX) }
    }

    /// Whether all pixels of a tile lie inside.
    fn holds(&self, col: u32, row: u32) -> bool {
        of_row(&self.inside, row).any(|cols| cols.start <= col && col < cols.end)
    }
}

fn of_row(runs: &[Run], row: u32) -> impl Iterator<Item = Span> + '_ {
    let first = runs.partition_point(|run| run.0 < row);
    runs[first..].iter().take_while(move |run| run.0 == row).map(|run| run.1)
}

impl Scene {
    /// The tiles of a row that are planned, as runs from left to right.
    pub fn planned_of(&self, row: u32) -> impl Iterator<Item = Span> + '_ {
        let all = self.within.is_none().then(|| Span::new(0, self.grid.x.n_tiles()));
        all.into_iter().chain(self.within.iter().flat_map(move |within| of_row(&within.met, row)))
    }

    /// Number of tiles that are planned.
    pub fn n_tiles(&self) -> u64 {
        let met = |within: &Within| within.met.iter().map(|(_, cols)| u64::from(cols.len())).sum();
        self.within.as_ref().map_or(self.grid.n_tiles(), met)
    }

    /// Pixels of the networks' grid that those own.
    pub fn planned_pixels(&self) -> u64 {
        let Grid { x, y } = self.grid;
        let length = |cols: Span| u64::from(x.centre(cols.end - 1).end - x.centre(cols.start).start);
        let met = |within: &Within| {
            within.met.iter().map(|(row, cols)| length(*cols) * u64::from(y.centre(*row).len())).sum()
        };
        self.within.as_ref().map_or(self.network_size().area(), met)
    }

    /// Pixels of its own grid under those.
    pub fn own_pixels(&self) -> u64 {
        let (own, whole) = (self.header.size.area(), self.network_size().area());
        let under = u128::from(self.planned_pixels()) * u128::from(own) / u128::from(whole.max(1));
        u64::try_from(under).unwrap_or(own)
    }

    /// Pixels of them that networks see.
    pub fn network_pixels(&self) -> u64 {
        self.n_tiles() * self.grid.crop().area()
    }

    /// Whether some pixel of the tile with this centre lies outside the area.
    pub fn is_cut(&self, centre: PixelRect) -> bool {
        let at = (self.grid.x.tile_at(centre.x), self.grid.y.tile_at(centre.y));
        self.within.as_ref().is_some_and(|within| !within.holds(at.0, at.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_come_as_runs_and_those_at_the_border_are_told() {
        let within = Within::of(&[0, 1, 255, 255, 0, 1, 0, 0, 0, 0, 255, 255, 255, 0, 1], 5);
        let met = |row| of_row(&within.met, row).collect::<Vec<_>>();
        assert_eq!(met(0), [Span::new(1, 4)]);
        assert_eq!(met(1), [Span::new(0, 1)]);
        assert_eq!(met(2), [Span::new(0, 3), Span::new(4, 5)]);
        assert_eq!(
            [(1, 0), (2, 0), (0, 2), (4, 2)].map(|(col, row)| within.holds(col, row)),
            [false, true, true, false]
        );
    }

    #[test]
    fn blended_tiles_are_run_for_what_they_see() {
        let cells = [0, 0, 0, 0, 0, 255, 255, 0, 0, 255, 255, 1, 0, 0, 0, 0];
        let expected = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 255, 1, 1, 1, 1, 1];
        assert_eq!(seen(&cells, 4), expected);
        assert_eq!(seen(&[255, 255, 255, 255], 2), [255; 4]);
        assert_eq!(seen(&[0, 0, 0, 0, 255], 5), [0, 0, 0, 1, 1]);
    }

    #[test]
    fn an_area_is_what_its_file_holds_and_not_where_that_lies() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &[u8]| {
            let path = dir.path().join(name);
            atomic::write(&path, text).unwrap();
            path
        };
        let area = |path: PathBuf| Area::new(Shapes::File { path, layer: None }).unwrap();
        let (one, other) = (area(file("a.geojson", b"{}")), area(file("b.geojson", b"{}")));
        assert_eq!((one.essence(), one.key()), (other.essence(), other.key()));
        assert!(one.is_unchanged());
        file("a.geojson", b"{ }");
        assert!(!one.is_unchanged());
        let shapefile = area(file("c.shp", b"shp"));
        file("c.prj", b"somewhere");
        assert!(!shapefile.is_unchanged());
        assert_ne!(area(dir.path().join("c.shp")).key(), shapefile.key());
    }
}
