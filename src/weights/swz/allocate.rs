//! The plan of least expected damage for a given file size.
//!
//! Every tensor may be coded in many ways; those worth having are the lower convex hull of (bytes, damage). Begun with the cheapest of
//! each, the step on any hull that takes away most damage per byte is taken next, until one does not fit: Lagrangian allocation
//! (Everett 1963; Shoham and Gersho, "Efficient bit allocation for an arbitrary set of quantizers", 1988). Since a larger budget takes
//! the same steps and more, it never makes anything worse.

use std::num::NonZeroUsize;

use super::encode::measure;
use super::header::{DIGEST_BYTES, Layout, PREFIX_BYTES};
use super::learned::Cost;
use super::plan::{Coding, Plan, is_kept_exact};
use super::source::SourceTensor;
use crate::parallel;
use crate::weights::WeightsError;

/// Finest step of the ladder, as a power of 2: about 8 bits per weight.
const FINEST: f32 = -6.0;
/// Steps of the ladder in an octave, each a quarter of a bit.
const PER_OCTAVE: u8 = 4;
/// Octaves of the ladder; its coarsest step leaves about a bit per weight.
const OCTAVES: u8 = 8;

/// A plan and what is expected of it.
#[derive(Clone, Debug)]
pub struct Allocated {
    /// How each tensor is coded.
    pub plan: Plan,
    /// The file's size: an estimate.
    pub bytes: u64,
    /// Sum over all tensors of the squared error times the sensitivity.
    pub damage: f64,
}

/// A way to code a tensor.
#[derive(Clone, Copy, Debug)]
struct Point {
    coding: Coding,
    bytes: u64,
    damage: f64,
}

/// What every coding worth having costs for every tensor.
#[derive(Debug)]
pub struct Allocator {
    /// Names, each with its hull.
    tensors: Vec<(String, Vec<Point>)>,
    /// Bytes of the file beside the tensors.
    overhead: u64,
}

impl Allocator {
    /// Tries out all codings of all tensors, those that [`is_kept_exact`] names and those with values that are not finite excepted.
    ///
    /// A tensor's damage is its squared error times what `sensitivity` says for its name. With the inverse of its
    /// [`energy`](SourceTensor::energy) errors count relative to the tensor.
    ///
    /// # Errors
    /// None that depend on the values; see [`measure`].
    pub fn new(
        tensors: &[SourceTensor<'_>],
        threads: NonZeroUsize,
        sensitivity: impl Fn(&str) -> f64 + Sync,
    ) -> Result<Self, WeightsError> {
        let measured = parallel::map(threads, tensors, SourceTensor::n_values, |tensor| {
            let points = points(tensor, sensitivity(tensor.name()))?;
            Ok((tensor.name().to_owned(), hull(points)))
        });
        let header: usize = tensors.iter().map(|t| t.entry(Layout::Exact, &[]).header_bytes()).sum();
        Ok(Self {
            tensors: measured.into_iter().collect::<Result<_, WeightsError>>()?,
            overhead: (PREFIX_BYTES + 4 + header + DIGEST_BYTES) as u64,
        })
    }

    /// The plan of least damage for a file of `budget` bytes.
    ///
    /// # Errors
    /// When no plan is expected to fit.
    pub fn plan(&self, budget: u64) -> Result<Allocated, WeightsError> {
        let cheapest = self.tensors.iter().filter_map(|(_, hull)| hull.first());
        let mut bytes = self.overhead + cheapest.map(|point| point.bytes).sum::<u64>();
        if bytes > budget {
            return Err(WeightsError::Budget { budget, least: bytes });
        }
        let mut chosen = vec![0; self.tensors.len()];
        for (tensor, position) in self.steps() {
            let hull = &self.tensors[tensor].1;
            let more = hull[position].bytes - hull[position - 1].bytes;
            if bytes + more > budget {
                break;
            }
            bytes += more;
            chosen[tensor] = position;
        }
        let mut allocated = Allocated { plan: Plan::default(), bytes, damage: 0.0 };
        for ((name, hull), position) in self.tensors.iter().zip(chosen) {
            allocated.damage += hull[position].damage;
            allocated.plan.set(name.as_str(), hull[position].coding);
        }
        Ok(allocated)
    }

    /// The files of least damage that have at most `budget` bytes together, and what was expected of them. `encode` makes the files of a
    /// plan.
    ///
    /// Where sizes were foretold too small, what is missing is taken from the budget and the plan made anew.
    ///
    /// # Errors
    /// When no plan fits, and as `encode`.
    pub fn within(
        &self,
        budget: u64,
        encode: impl Fn(&Plan) -> Result<Vec<Vec<u8>>, WeightsError>,
    ) -> Result<(Vec<Vec<u8>>, Allocated), WeightsError> {
        let mut excess = 0;
        loop {
            let allocated = match self.plan(budget.saturating_sub(excess)) {
                Err(WeightsError::Budget { least, .. }) => {
                    return Err(WeightsError::Budget { budget, least: least + excess });
                }
                planned => planned?,
            };
            let files = encode(&allocated.plan)?;
            let n_bytes: u64 = files.iter().map(|file| file.len() as u64).sum();
            if n_bytes <= budget {
                return Ok((files, allocated));
            }
            excess += n_bytes - budget;
        }
    }

    /// All steps on all hulls as (tensor, position after the step), those of most gain first.
    fn steps(&self) -> Vec<(usize, usize)> {
        let hull = |tensor: usize| &self.tensors[tensor].1;
        let of_tensor = |tensor| (1..hull(tensor).len()).map(move |position| (tensor, position));
        let mut steps: Vec<(usize, usize)> = (0..self.tensors.len()).flat_map(of_tensor).collect();
        let gain = |&(tensor, p): &(usize, usize)| gain(&hull(tensor)[p - 1], &hull(tensor)[p]);
        steps.sort_by(|a, b| gain(b).total_cmp(&gain(a)).then(a.cmp(b)));
        steps
    }
}

/// All ways to code `tensor`.
fn points(tensor: &SourceTensor<'_>, sensitivity: f64) -> Result<Vec<Point>, WeightsError> {
    let mut codings = vec![Coding::Exact];
    if !is_kept_exact(tensor.shape()) && tensor.values().iter().all(|v| v.is_finite()) {
        let step = |position: u8| (FINEST + f32::from(position) / f32::from(PER_OCTAVE)).exp2();
        codings.extend((0..=OCTAVES * PER_OCTAVE).map(|position| Coding::Trellis { step: step(position) }));
    }
    let costs = measure(tensor, &codings)?;
    let point = |(coding, cost): (Coding, Cost)| Point {
        coding,
        bytes: cost.bytes,
        damage: cost.squared_error * sensitivity.max(0.0),
    };
    Ok(codings.into_iter().zip(costs).map(point).collect())
}

/// The lower convex hull: bytes grow, damage falls, and less per byte from step to step.
fn hull(mut points: Vec<Point>) -> Vec<Point> {
    points.sort_by(|a, b| a.bytes.cmp(&b.bytes).then(a.damage.total_cmp(&b.damage)));
    let mut hull: Vec<Point> = Vec::new();
    for point in points {
        if hull.last().is_some_and(|last| point.damage >= last.damage) {
            continue;
        }
        while let [.., a, b] = hull[..]
            && gain(&b, &point) >= gain(&a, &b)
        {
            hull.pop();
        }
        hull.push(point);
    }
    hull
}

/// Damage that the second one saves per byte that it takes more.
fn gain(a: &Point, b: &Point) -> f64 {
    (a.damage - b.damage) / (b.bytes - a.bytes) as f64
}
