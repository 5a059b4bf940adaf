//! A network's weights written for its reference, or as they run.

use std::path::Path;

use tch::Device;

use super::identify::identify;
use super::layers::scope::Purpose;
use super::registry::{self, UnknownNetwork};
use super::spec::{NetworkSpec, SpecError, SpecTable};
use super::store;
use crate::weights::{self, WeightsError, WeightsFile};

/// Bands and classes of a network whose file does not tell.
pub(super) const PLANES: (u32, u32) = (3, 15);

/// Why weights could not be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// There is no network of that name.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The network has no tensors.
    #[error(transparent)]
    Unknown(#[from] UnknownNetwork),
    /// The file could not be read, does not fit, or could not be written.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

/// Writes the weights file `from` to the safetensors file `to` with the names, shapes and f32 values that the reference of the network `name`
/// has: its program loads the file without exceptions. Returns the network, with the file's bands and classes.
///
/// # Errors
/// When there is no such network, the file does not fit it, or `to` cannot be written.
pub fn plain(name: &str, from: &Path, to: &Path) -> Result<NetworkSpec, ExportError> {
    let spec = spec_of(name, from)?;
    let layout = registry::outline(&spec)?;
    weights::rewrite(&layout, from, to)?;
    Ok(spec)
}

/// Writes the weights of the network as it runs: batch normalisation folded into the convolutions, without what only training uses. The file
/// says so.
///
/// # Errors
/// As [`plain`].
pub fn folded(name: &str, from: &Path, to: &Path) -> Result<NetworkSpec, ExportError> {
    let spec = spec_of(name, from)?;
    let built = registry::build(&spec, Purpose::Inference, Device::Cpu)?;
    store::load(&built.store, &built.layout, from)?;
    let mut metadata = WeightsFile::open(from)?.metadata().clone();
    metadata.insert(weights::FORM_KEY.to_owned(), "folded".to_owned());
    store::save_variables(&built.store, to, &metadata)?;
    Ok(spec)
}

/// The network with the bands and classes of the file, if it fits; otherwise with the usual ones, so that what differs is told.
fn spec_of(name: &str, from: &Path) -> Result<NetworkSpec, ExportError> {
    let wanted = SpecTable::named(name)?.resolve(PLANES.0, Some(PLANES.1))?;
    let mut file = WeightsFile::open(from)?;
    file.adopt_shapes(&registry::outline(&wanted)?.shapes())?;
    let same = |s: &NetworkSpec| {
        let named = NetworkSpec { bands: s.bands, classes: s.classes, ..wanted.clone() };
        // Strides and rates change no weight.
        NetworkSpec { output_stride: s.output_stride, rates: s.rates, ..named } == *s
    };
    let planes = identify(file.tensors()).into_iter().find(same).map(|s| (s.bands, s.classes));
    let (bands, classes) = planes.unwrap_or((wanted.bands, wanted.classes));
    Ok(NetworkSpec { bands, classes, ..wanted })
}
