//! From a spec to a network.

use std::cell::RefCell;

use tch::Device;
use tch::nn::VarStore;

use crate::weights::layout::{Layout, Plane};
use crate::zoo::backbone::{self, Extractor};
use crate::zoo::layers::kernels::{Kernels, Prepared, arranged};
use crate::zoo::layers::scope::{Purpose, Scope};
use crate::zoo::models::basnet::BasNet;
use crate::zoo::models::danet::DaNet;
use crate::zoo::models::deeplabv3plus::DeepLabV3Plus;
use crate::zoo::models::hrnet::{HrNet, HrNetOcr};
use crate::zoo::models::pointrend::{RendDaNet, RendUnet};
use crate::zoo::models::pspnet::PspNet;
use crate::zoo::models::refinenet::RefineNet;
use crate::zoo::models::scse_unet::ScseUnet;
use crate::zoo::models::unet::{NaicUnet, SmpUnet};
use crate::zoo::models::unetpp::{NaicUnetPP, SmpUnetPP};
use crate::zoo::segmenter::{Segmenter, caught};
use crate::zoo::spec::{Network, NetworkSpec, Variant};

/// Why a spec names no network that can be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot build the network `{network}`: {reason}")]
pub struct UnknownNetwork {
    /// The network as the spec displays it.
    pub network: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// A network with its variables.
pub struct Built<N: ?Sized> {
    /// The variables, f32, with the values that training from scratch starts with; all 0 in a network for inference. Empty for an
    /// outline.
    pub store: VarStore,
    /// The names and shapes of the reference.
    pub layout: Layout,
    /// The network.
    pub network: Box<N>,
    prepared: Prepared,
}

impl<N: ?Sized> Built<N> {
    /// Prepares a network for inference, whose variables have their values, type and device, to be run with `kernels`; those of a network
    /// that is prepared already stay. From here on the network alone knows its weights: the variables may be empty.
    ///
    /// # Errors
    /// What libtorch says when it refuses, for want of memory for instance.
    pub fn prepare(&self, kernels: Kernels) -> Result<(), String> {
        let kernels = self.prepared.get_or_init(|| kernels);
        let _no_grad = tch::no_grad_guard();
        caught(|| {
            for mut weight in self.store.variables().into_values().filter(|v| v.dim() == 4) {
                weight.set_data(&arranged(&weight, kernels.format));
            }
        })
    }
}

/// Builds the network that `spec` describes on `device`, for `purpose`. [`super::store`] fills it.
///
/// # Errors
/// When the spec names a backbone alone, or a network without tensors.
pub fn build(spec: &NetworkSpec, purpose: Purpose, device: Device) -> Result<Built<dyn Segmenter>, UnknownNetwork> {
    construct(spec, purpose, device, |scope| segmenter(scope, spec))
}

/// Builds the backbone that `spec` describes, with its ImageNet classifier unless the spec asks for features.
///
/// # Errors
/// When the spec names something else.
pub fn build_backbone(spec: &NetworkSpec, purpose: Purpose) -> Result<Built<dyn Extractor>, UnknownNetwork> {
    construct(spec, purpose, Device::Cpu, |scope| match spec.network == Network::Backbone {
        true => backbone::alone(scope, spec).ok_or("it is not in this build"),
        false => Err("it is no backbone"),
    })
}

/// The names and shapes of the reference's tensors, without the network. Which of them follow the number of classes or bands is what
/// differs where there is one more.
///
/// # Errors
/// When the spec names a network without tensors.
pub fn outline(spec: &NetworkSpec) -> Result<Layout, UnknownNetwork> {
    let mut layout = names_and_shapes(spec)?;
    let (more_classes, more_bands) = (
        NetworkSpec { classes: spec.classes.saturating_add(1), ..spec.clone() },
        NetworkSpec { bands: spec.bands.saturating_add(1), ..spec.clone() },
    );
    layout.note(Plane::Classes, spec.classes as usize, &names_and_shapes(&more_classes)?);
    layout.note(Plane::Bands, spec.bands as usize, &names_and_shapes(&more_bands)?);
    Ok(layout)
}

/// An [`outline`] that says nothing of classes and bands, in a third of the time.
///
/// # Errors
/// As [`outline`].
pub fn names_and_shapes(spec: &NetworkSpec) -> Result<Layout, UnknownNetwork> {
    match spec.network == Network::Backbone {
        true => build_backbone(spec, Purpose::Outline).map(|built| built.layout),
        false => build(spec, Purpose::Outline, Device::Cpu).map(|built| built.layout),
    }
}

/// One line per network.
fn segmenter(scope: &Scope, spec: &NetworkSpec) -> Result<Box<dyn Segmenter>, &'static str> {
    let network: Option<Box<dyn Segmenter>> = match (spec.network, spec.variant) {
        (Network::DeepLabV3Plus, Variant::Smp) => boxed(DeepLabV3Plus::smp(scope, spec)),
        (Network::DeepLabV3Plus, _) => boxed(DeepLabV3Plus::naic(scope, spec)),
        (Network::Unet, Variant::Smp) => boxed(SmpUnet::new(scope, spec)),
        (Network::Unet, _) => boxed(Some(NaicUnet::new(scope, spec))),
        (Network::UnetPP, Variant::Smp) => boxed(SmpUnetPP::new(scope, spec)),
        (Network::UnetPP, _) => boxed(Some(NaicUnetPP::new(scope, spec))),
        (Network::ScseUnet, _) => boxed(ScseUnet::new(scope, spec)),
        (Network::PspNet, Variant::Smp) => boxed(PspNet::smp(scope, spec)),
        (Network::PspNet, _) => boxed(PspNet::naic(scope, spec)),
        (Network::HrNet, _) => boxed(HrNet::new(scope, spec)),
        (Network::HrnetOcr, _) => boxed(HrNetOcr::new(scope, spec)),
        (Network::DaNet, Variant::Official) => boxed(DaNet::official(scope, spec)),
        (Network::DaNet, _) => boxed(DaNet::naic(scope, spec)),
        (Network::BasNet, _) => boxed(BasNet::new(scope, spec)),
        (Network::RefineNet | Network::RefineNetLw, _) => boxed(RefineNet::new(scope, spec)),
        (Network::RendDaNet, _) => boxed(RendDaNet::new(scope, spec)),
        (Network::RendUnet, _) => boxed(RendUnet::new(scope, spec)),
        (Network::Identity, _) => return Err("only the fake backend runs `identity`"),
        (Network::TorchScript, _) => return Err("it comes as a program, with layers that are not known here"),
        (Network::Backbone, _) => return Err("a backbone alone segments nothing"),
    };
    network.ok_or("it needs a backbone")
}

fn boxed<N: Segmenter + 'static>(network: Option<N>) -> Option<Box<dyn Segmenter>> {
    Some(Box::new(network?))
}

fn construct<N: ?Sized>(
    spec: &NetworkSpec,
    purpose: Purpose,
    device: Device,
    build: impl FnOnce(&Scope) -> Result<Box<N>, &'static str>,
) -> Result<Built<N>, UnknownNetwork> {
    let store = VarStore::new(device);
    let layout = RefCell::default();
    let root = Scope::root(&store, &layout, purpose);
    let (network, prepared) = (build(&root), root.prepared());
    drop(root);
    let network = network.map_err(|reason| UnknownNetwork { network: spec.to_string(), reason })?;
    Ok(Built { store, layout: layout.into_inner(), network, prepared })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zoo::spec::SpecTable;

    #[test]
    fn what_cannot_be_built_is_refused_with_the_reason() {
        let refusal = |network| {
            let spec = SpecTable::new(network).resolve(3, Some(5)).unwrap();
            build(&spec, Purpose::Outline, Device::Cpu).map(|_| ()).unwrap_err().to_string()
        };
        assert_eq!(
            refusal(Network::Identity),
            "cannot build the network `identity`: only the fake backend runs `identity`"
        );
        assert!(refusal(Network::Backbone).ends_with("segments nothing"));
    }
}
