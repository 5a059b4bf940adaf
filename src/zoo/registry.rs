//! From a spec to a network.

use std::cell::RefCell;
use std::collections::BTreeMap;

use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::weights::layout::{Layout, Plane};
use crate::zoo::backbone::{self, Extractor};
use crate::zoo::layers::conv;
use crate::zoo::layers::kernels::{Kernels, Prepared, arranged};
use crate::zoo::layers::scope::{Ahead, Purpose, Scope};
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
        let kernels = self.prepared.kernels.get_or_init(|| kernels);
        let _no_grad = tch::no_grad_guard();
        caught(|| {
            for mut weight in self.store.variables().into_values().filter(|v| v.dim() == 4) {
                weight.set_data(&arranged(&weight, kernels.format));
            }
        })
    }
}

/// The variables of a network for inference, with their values, and what its layers make of them: for any number of networks, each in a
/// thread of its own.
#[derive(Debug, Default)]
pub struct Variables {
    tensors: BTreeMap<String, Tensor>,
    prepared: Prepared,
}

impl Variables {
    /// These values on a device, in this type, for networks that run with `kernels`. Where a kernel has an order of its own for weights
    /// they are in it.
    ///
    /// # Errors
    /// What libtorch says when it refuses, for want of memory for instance.
    pub fn new(
        spec: &NetworkSpec,
        tensors: &BTreeMap<String, Tensor>,
        (device, kind): (Device, Kind),
        kernels: Kernels,
    ) -> Result<Self, String> {
        let _no_grad = tch::no_grad_guard();
        let has_own_order = conv::packs(kernels, device, kind);
        let place = |tensor: &Tensor| {
            let tensor = tensor.f_to_device(device)?.f_to_kind(kind)?;
            Ok::<_, tch::TchError>(if tensor.dim() == 4 && !has_own_order {
                arranged(&tensor, kernels.format)
            } else {
                tensor
            })
        };
        let place_all = || tensors.iter().map(|(name, tensor)| Ok((name.clone(), place(tensor)?)));
        let placed = caught(|| place_all().collect::<Result<BTreeMap<_, _>, tch::TchError>>());
        let tensors = placed?.map_err(|e| e.to_string())?;
        let variables = Self { tensors, prepared: Prepared::default() };
        variables.prepared.kernels.get_or_init(|| kernels);
        if has_own_order {
            // Layers bring their weights into order when they run first: here, and not in front of a scene.
            let ahead = Ahead::default();
            drop(variables.construct(spec, Some(&ahead)).map_err(|e| e.to_string())?);
            caught(|| ahead.work())?;
        }
        Ok(variables)
    }

    /// The same variables once more: nothing is copied.
    pub fn shared(&self) -> Self {
        let tensors = self.tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
        Self { tensors, prepared: Prepared::clone(&self.prepared) }
    }

    /// Their values in f32, for networks that run with the same kernels.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn widened(&self, spec: &NetworkSpec) -> Result<Self, String> {
        let device = self.tensors.values().next().map_or(Device::Cpu, Tensor::device);
        let kernels = self.prepared.get().copied().unwrap_or(Kernels::PLAIN);
        Self::new(spec, &self.tensors, (device, Kind::Float), kernels)
    }

    /// The network that `spec` describes, around them.
    ///
    /// # Errors
    /// As [`build`].
    pub fn network(&self, spec: &NetworkSpec) -> Result<Box<dyn Segmenter>, UnknownNetwork> {
        self.construct(spec, None)
    }

    fn construct(&self, spec: &NetworkSpec, ahead: Option<&Ahead>) -> Result<Box<dyn Segmenter>, UnknownNetwork> {
        let (store, layout) = (VarStore::new(Device::Cpu), RefCell::default());
        let root = Scope::root(&store, &layout, Purpose::Inference);
        let root = root.around(&self.tensors, Prepared::clone(&self.prepared), ahead);
        segmenter(&root, spec).map_err(|reason| UnknownNetwork { network: spec.to_string(), reason })
    }

    /// What a network for inference needs of a weights file, and which variables come of it.
    ///
    /// # Errors
    /// As [`build`].
    pub fn layout(spec: &NetworkSpec) -> Result<Layout, UnknownNetwork> {
        let (store, layout, none) = (VarStore::new(Device::Cpu), RefCell::default(), BTreeMap::new());
        let root = Scope::root(&store, &layout, Purpose::Inference).around(&none, Prepared::default(), None);
        let built = segmenter(&root, spec).map(drop);
        drop(root);
        built.map_err(|reason| UnknownNetwork { network: spec.to_string(), reason })?;
        Ok(layout.into_inner())
    }
}

/// Builds the network that `spec` describes on `device`, for `purpose`. [`super::store`] fills it.
///
/// # Errors
/// When the spec names a backbone alone, or a network without tensors.
pub fn build(spec: &NetworkSpec, purpose: Purpose, device: Device) -> Result<Built<dyn Segmenter>, UnknownNetwork> {
    construct(spec, purpose, device, |scope| segmenter(scope, spec))
}

/// Another network that `spec` describes, around the variables of one that was built for training: a replica that learns with it where they
/// are the same tensors, or made of them by operations that can be followed back.
///
/// # Errors
/// As [`build`].
pub fn replica(
    spec: &NetworkSpec,
    purpose: Purpose,
    variables: &BTreeMap<String, Tensor>,
) -> Result<Box<dyn Segmenter>, UnknownNetwork> {
    let (store, layout) = (VarStore::new(Device::Cpu), RefCell::default());
    let root = Scope::root(&store, &layout, purpose).around(variables, Prepared::default(), None);
    segmenter(&root, spec).map_err(|reason| UnknownNetwork { network: spec.to_string(), reason })
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
        (Network::TorchScript | Network::Onnx, _) => {
            return Err("it comes as a program, with layers that are not known here");
        }
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
    use crate::zoo::segmenter::run;
    use crate::zoo::spec::{Backbone, KernelSet, SpecTable};
    use crate::zoo::{seed, store};

    /// Variables by the rule for seeds.
    fn seeded(spec: &NetworkSpec) -> BTreeMap<String, Tensor> {
        let layout = Variables::layout(spec).unwrap();
        store::variables(&layout, |name, shape| seed::fill(5, name, shape, 0)).unwrap()
    }

    #[test]
    fn networks_around_the_same_variables_give_the_same_side_by_side() {
        let table = SpecTable { backbone: Some(Backbone::ResNet18), ..SpecTable::new(Network::DeepLabV3Plus) };
        let spec = table.resolve(3, Some(5)).unwrap();
        tch::set_num_threads(1);
        let input = Tensor::randn([1, 3, 96, 64], (Kind::Float, Device::Cpu));
        let built = build(&spec, Purpose::Inference, Device::Cpu).unwrap();
        store::seeded(&built.store, &built.layout, 5).unwrap();
        for set in [KernelSet::Plain, KernelSet::ChannelsLast, KernelSet::Fused] {
            let kernels = Kernels::named(set, Device::Cpu);
            let variables = Variables::new(&spec, &seeded(&spec), (Device::Cpu, Kind::Float), kernels).unwrap();
            let shared: Vec<Variables> = (0..3).map(|_| variables.shared()).collect();
            let answers = std::thread::scope(|scope| {
                let network = |variables: Variables| {
                    let (spec, input) = (&spec, input.shallow_clone());
                    scope.spawn(move || {
                        let network = variables.network(spec).unwrap();
                        let passes = [(); 3].map(|()| run(network.as_ref(), &input).unwrap().values);
                        assert!(passes.iter().all(|values| values.equal(&passes[0])));
                        let [values, ..] = passes;
                        values
                    })
                };
                let threads: Vec<_> = shared.into_iter().map(network).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
            });
            assert!(answers.iter().all(|values| values.equal(&answers[0])), "{set:?}");
            let alone = run(built.network.as_ref(), &input).unwrap().values;
            assert!(answers[0].allclose(&alone, 1e-3, 1e-4, false), "{set:?}");
            assert!(set != KernelSet::Plain || answers[0].equal(&alone));
        }
    }

    #[test]
    fn widened_variables_leave_the_others_as_they_are() {
        let table = SpecTable { backbone: Some(Backbone::ResNet18), ..SpecTable::new(Network::DeepLabV3Plus) };
        let spec = table.resolve(3, Some(5)).unwrap();
        let half = Variables::new(&spec, &seeded(&spec), (Device::Cpu, Kind::BFloat16), Kernels::PLAIN).unwrap();
        let wide = half.widened(&spec).unwrap();
        assert!(half.tensors.values().all(|tensor| tensor.kind() == Kind::BFloat16));
        assert!(wide.tensors.iter().all(|(name, tensor)| tensor.equal(&half.tensors[name].to_kind(Kind::Float))));
        let input = Tensor::randn([1, 3, 32, 32], (Kind::Float, Device::Cpu));
        let values = run(wide.network(&spec).unwrap().as_ref(), &input).unwrap().values;
        assert_eq!((values.kind(), values.isfinite().all().int64_value(&[])), (Kind::Float, 1));
    }

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
