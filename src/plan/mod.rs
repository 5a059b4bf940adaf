//! From a pipeline and a set of inputs to the exact work.
//!
//! A [`Plan`] is everything that can change a byte of output: scenes, tiles, units, batches, forward passes, weights, precision. It is
//! computed first and it is data. A [`Schedule`] is how the work is done here and now: devices, readers, memory. It decides when,
//! never what.
//!
//! The path: [`scan`] selects the files and their output names; [`Planner`] looks at each header, tiles the scene and cuts the
//! whole into [`Unit`]s; [`Unit::geometry`] spells out the reads and tiles of one unit when its turn comes, so that a plan stays
//! small for a scene of any size.
//!
//! What a run must give up against its plan it writes down as [`Concessions`], and they say how a unit is really done.

mod area;
mod backend;
mod bands;
mod concessions;
mod cost;
mod doubts;
mod file;
mod footprint;
mod forecast;
mod gpu_memory;
mod keys;
mod model;
mod mosaics;
mod passes;
mod patterns;
mod planes;
mod planner;
mod profile;
mod resolution;
mod scan;
mod schedule;
mod shards;
mod unit;
mod validity;

pub use area::{Area, Shapes, Within};
pub use backend::BackendKind;
pub(crate) use bands::{numbers, seen};
pub use concessions::Concessions;
pub use doubts::{declared_nodata, doubts};
pub use file::{PlanFile, PlanFileError};
pub use footprint::Footprint;
pub use forecast::{Forecast, HostRates, Rates, forecast};
pub use gpu_memory::Roomier;
pub use keys::Keys;
pub use model::{Maxima, MemberPlan, PLAN_FORMAT, Plan, PlanPart, PlanTotals, Scene};
pub use passes::{Pass, Shares};
pub use planes::{Plane, TilePlanes};
pub use planner::{PlanError, Planned, Planner, Refusal, check_memory};
pub use profile::{CropBatch, Profile, Timing};
pub(crate) use resolution::at_resolution;
pub use scan::{ScanError, ScanOptions, Scanned, ScannedScene, scan};
pub use schedule::{Assignment, Decode, DeviceGroup, DeviceId, LINK_CAPACITY, Promise, REMEMBERED, Schedule};
pub use shards::{MOST_SHARDS, ShardCut, Stretch};
pub use unit::{Lender, Part, Tile, Unit, UnitGeometry, admission_needs};
pub(crate) use validity::{has_non_finite, non_finite, validity};
