//! What `swath tune` measured on devices of one class, and what a plan makes of it. Pure: nothing here measures.
//!
//! A profile is a table of times. Which kernels and batches follow from it is computed, so that what is chosen can be looked up, and so
//! that equal profiles and pipelines give equal plans.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::BackendKind;
use crate::config::{Batch, Precision};
use crate::geom::Size;
use crate::zoo::spec::{KernelSet, NetworkSpec};

/// Version of a profile's serialised form.
const PROFILE_FORMAT: u32 = 1;

/// What differs by less is noise: the usual kernels and the smaller batch are kept.
const WORTH: f64 = 1.02;

/// Times of networks on devices of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Version of this form.
    swath_profile: u32,
    /// The engine: another has other kernels.
    pub backend: BackendKind,
    /// The class of the devices.
    pub device_class: String,
    /// The libtorch, where the program has one: another one has other kernels.
    pub libtorch: Option<String>,
    /// Ascending by network, precision, crop, kernels and batch, each once.
    pub timings: Vec<Timing>,
    /// Seconds from the start of a process to its first labels, with the pipeline that was measured last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_up: Option<f64>,
}

/// How long a network takes over a crop in one way to run it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Its layers are all that matters: times do not depend on the weights.
    pub network: NetworkSpec,
    /// As it ran: never `auto`.
    pub precision: Precision,
    /// As it ran: never `auto`.
    pub kernels: KernelSet,
    /// What it was given, before padding.
    pub crop: Size,
    /// Crops per pass.
    pub batch: u32,
    /// Milliseconds per crop: a pass takes `batch` times as long.
    pub ms: f64,
}

/// A network, its arithmetic, and the kernels that it is prepared for.
pub(crate) type Prepared<'a> = (&'a NetworkSpec, Precision, KernelSet);

/// The batch for crops of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CropBatch {
    /// Size of the crops, before padding.
    pub crop: Size,
    /// Crops per pass.
    pub batch: u32,
}

impl Profile {
    /// One without measurements, to add some to.
    pub fn new(backend: BackendKind, device_class: String, libtorch: Option<String>) -> Self {
        Self { swath_profile: PROFILE_FORMAT, backend, device_class, libtorch, timings: Vec::new(), start_up: None }
    }

    /// What is wrong with one that was read from a file, if anything.
    pub fn flaw(&self) -> Option<String> {
        if self.swath_profile != PROFILE_FORMAT {
            return Some(format!("it has format {}, this version reads {PROFILE_FORMAT}", self.swath_profile));
        }
        let is_sound = |t: &Timing| t.ms.is_finite() && t.ms > 0.0 && t.batch > 0 && t.kernels != KernelSet::Auto;
        if let Some(seconds) = self.start_up.filter(|seconds| !(seconds.is_finite() && *seconds > 0.0)) {
            return Some(format!("a start-up of {seconds} s is no measurement"));
        }
        self.timings.iter().find(|timing| !is_sound(timing)).map(|timing| format!("{timing:?} is no measurement"))
    }

    /// Whether it says something about such devices under such a libtorch.
    pub fn is_of(&self, backend: BackendKind, device_class: &str, libtorch: Option<&str>) -> bool {
        self.backend == backend && self.device_class == device_class && self.libtorch.as_deref() == libtorch
    }

    /// SHA-256 of it, by which plans name it.
    ///
    /// # Errors
    /// Never in practice: it holds nothing that JSON cannot express.
    pub fn digest(&self) -> Result<String, serde_json::Error> {
        Ok(crate::hex(&Sha256::digest(serde_json::to_vec(self)?)))
    }

    /// Takes measurements of networks in place of those that it has of them in that precision.
    pub fn learn(&mut self, timings: Vec<Timing>) {
        let is_new = |old: &Timing| timings.iter().any(|new| new.is_of(&old.network, old.precision));
        self.timings.retain(|old| !is_new(old));
        self.timings.extend(timings);
        let place = |t: &Timing| {
            let network = serde_json::to_string(&t.network).unwrap_or_default();
            (network, t.precision.name(), t.crop.area(), t.crop, t.kernels.name(), t.batch)
        };
        self.timings.sort_by_cached_key(place);
        self.timings.dedup_by_key(|timing| place(timing));
    }

    /// The kernels for a network: the set that takes the least time over all crops that were measured, each with its best batch and
    /// counted alike. None where nothing was measured, and `usual` where the gain is small.
    pub fn kernels(&self, network: &NetworkSpec, precision: Precision, usual: KernelSet) -> Option<KernelSet> {
        let of_network: Vec<&Timing> = self.timings.iter().filter(|t| t.is_of(network, precision)).collect();
        let least = |wanted: &dyn Fn(&Timing) -> bool| {
            of_network.iter().filter(|t| wanted(t)).map(|t| t.ms).min_by(f64::total_cmp)
        };
        let mut crops: Vec<Size> = of_network.iter().map(|t| t.crop).collect();
        crops.dedup();
        // A set that failed on a crop has no time there, and is out.
        let slowness = |kernels: KernelSet| -> Option<f64> {
            let of_crop = |crop: &Size| {
                let own = least(&|t: &Timing| t.crop == *crop && t.kernels == kernels)?;
                Some(own / least(&|t: &Timing| t.crop == *crop)?)
            };
            crops.iter().map(of_crop).sum()
        };
        let mut sets: Vec<KernelSet> = of_network.iter().map(|t| t.kernels).collect();
        sets.dedup();
        let timed = sets.into_iter().filter_map(|kernels| Some((kernels, slowness(kernels)?)));
        let (best, least) = timed.min_by(|a, b| a.1.total_cmp(&b.1))?;
        Some(if slowness(usual).is_some_and(|usual| usual <= least * WORTH) { usual } else { best })
    }

    /// What was measured for a network on crops of this size.
    pub(crate) fn ms(&self, (network, precision, kernels): Prepared<'_>, crop: Size, batch: u32) -> Option<f64> {
        let is_it = |t: &&Timing| t.is_of(network, precision) && (t.kernels, t.crop, t.batch) == (kernels, crop, batch);
        self.timings.iter().find(is_it).map(|t| t.ms)
    }

    /// The batches for the crops on which all these networks were measured, ascending by area: per crop the smallest with which all of them
    /// together take about the least time.
    pub(crate) fn batches(&self, networks: &[Prepared<'_>]) -> Vec<CropBatch> {
        let mut crops: Vec<Size> = self.timings.iter().map(|t| t.crop).collect();
        crops.sort_by_key(|crop| (crop.area(), *crop));
        crops.dedup();
        let mut sizes: Vec<u32> = self.timings.iter().map(|t| t.batch).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let best = |crop: Size| {
            let together =
                |batch: u32| networks.iter().map(|network| self.ms(*network, crop, batch)).sum::<Option<f64>>();
            let timed: Vec<(u32, f64)> = sizes.iter().filter_map(|batch| Some((*batch, together(*batch)?))).collect();
            let least = timed.iter().map(|(_, ms)| *ms).min_by(f64::total_cmp)?;
            let (batch, _) = timed.into_iter().find(|(_, ms)| *ms <= least * WORTH)?;
            Some(CropBatch { crop, batch })
        };
        if networks.is_empty() { Vec::new() } else { crops.into_iter().filter_map(best).collect() }
    }
}

impl Timing {
    fn is_of(&self, network: &NetworkSpec, precision: Precision) -> bool {
        self.network == *network && self.precision == precision
    }
}

/// Tiles per pass for crops of a size: as the pipeline says, or that of the smallest measured crop with as many pixels, which is sure to
/// fit; one where there is none.
pub(super) fn batch_of(asked: Batch, measured: &[CropBatch], crop: Size) -> u32 {
    match asked {
        Batch::Tiles(tiles) => tiles,
        Batch::Auto => {
            let at = measured.partition_point(|m| (m.crop.area(), m.crop) < (crop.area(), crop));
            measured.get(at).map_or(1, |measured| measured.batch)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zoo::spec::{Network, SpecTable};

    fn network() -> NetworkSpec {
        SpecTable::new(Network::Unet).resolve(3, Some(7)).unwrap()
    }

    fn profile(times: &[(KernelSet, u32, u32, f64)]) -> Profile {
        let timing = |(kernels, side, batch, ms): &(KernelSet, u32, u32, f64)| Timing {
            network: network(),
            precision: Precision::F32,
            kernels: *kernels,
            crop: Size::new(*side, *side),
            batch: *batch,
            ms: *ms,
        };
        let mut profile = Profile::new(BackendKind::Torch, "cpu".into(), None);
        profile.learn(times.iter().map(timing).collect());
        profile
    }

    #[test]
    fn kernels_are_the_fastest_over_all_crops_and_the_usual_ones_where_little_is_gained() {
        use KernelSet::{ChannelsLast, Fused, Plain};
        let kernels = |times: &[(KernelSet, u32, u32, f64)]| profile(times).kernels(&network(), Precision::F32, Fused);
        assert_eq!(kernels(&[]), None);
        assert_eq!(kernels(&[(Fused, 64, 1, 1.01), (Plain, 64, 1, 1.0)]), Some(Fused));
        assert_eq!(kernels(&[(Fused, 64, 1, 1.1), (Plain, 64, 1, 1.0)]), Some(Plain));
        // A larger batch counts where it is faster; crops count alike, however long they take.
        assert_eq!(kernels(&[(Fused, 64, 1, 1.1), (Fused, 64, 2, 0.9), (Plain, 64, 1, 1.0)]), Some(Fused));
        let two = [(Fused, 64, 1, 1.0), (Fused, 32, 1, 0.3), (Plain, 64, 1, 1.1), (Plain, 32, 1, 0.2)];
        assert_eq!(kernels(&two), Some(Plain));
        // What failed on a crop is out.
        let failed = [(Fused, 64, 1, 2.0), (Fused, 32, 1, 2.0), (Plain, 64, 1, 1.0), (ChannelsLast, 32, 1, 1.0)];
        assert_eq!(kernels(&failed), Some(Fused));
        assert_eq!(profile(&two).kernels(&network(), Precision::F16, Fused), None);
    }

    #[test]
    fn times_of_a_network_are_replaced_together() {
        let mut known = profile(&[(KernelSet::Fused, 64, 1, 1.0), (KernelSet::Plain, 64, 1, 1.0)]);
        known.learn(profile(&[(KernelSet::Plain, 32, 2, 3.0)]).timings);
        assert_eq!(known, profile(&[(KernelSet::Plain, 32, 2, 3.0)]));
        assert_eq!(known.flaw(), None);
        known.timings[0].ms = f64::NAN;
        assert!(known.flaw().is_some());
    }

    #[test]
    fn crops_that_were_not_measured_take_the_batch_of_the_next_larger() {
        let batch = |side, batch| CropBatch { crop: Size::new(side, side), batch };
        let measured = [batch(64, 8), batch(128, 2)];
        let of = |width, height| batch_of(Batch::Auto, &measured, Size::new(width, height));
        assert_eq!([of(64, 64), of(1, 1), of(100, 90), of(128, 128), of(128, 129)], [8, 8, 2, 2, 1]);
        assert_eq!(batch_of(Batch::Tiles(5), &measured, Size::new(64, 64)), 5);
    }
}
