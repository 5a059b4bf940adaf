//! From a spec to a network.

use tch::nn;

use crate::zoo::models::deeplabv3plus::DeepLabV3Plus;
use crate::zoo::segmenter::Segmenter;
use crate::zoo::spec::{Network, NetworkSpec};

/// Why a spec names no network that can be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot build the network `{network}`: {reason}")]
pub struct UnknownNetwork {
    /// The network as the spec displays it.
    pub network: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Builds the network that `spec` describes, its variables under `vs`, on `vs`'s device, f32.
///
/// The variables have the values that training from scratch starts with; `weights` fills them otherwise.
///
/// # Errors
/// When the spec names a network without tensors, lacks a backbone, or has a stride that the architecture does not know.
pub fn build(vs: &nn::Path, spec: &NetworkSpec) -> Result<Box<dyn Segmenter>, UnknownNetwork> {
    let refuse = |reason: String| UnknownNetwork { network: spec.to_string(), reason };
    match (spec.network, spec.backbone) {
        (Network::Identity, _) => Err(refuse("only the fake backend runs `identity`".to_owned())),
        (Network::DeepLabV3Plus, None) => Err(refuse("it needs a backbone".to_owned())),
        (Network::DeepLabV3Plus, Some(_)) if ![8, 16].contains(&spec.output_stride) => {
            Err(refuse(format!("its output stride is 8 or 16, not {}", spec.output_stride)))
        }
        (Network::DeepLabV3Plus, Some(backbone)) => Ok(Box::new(DeepLabV3Plus::new(vs, spec, backbone))),
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, nn::VarStore};

    use super::*;
    use crate::zoo::spec::Backbone;

    #[test]
    fn what_cannot_be_built_is_refused_with_the_reason() {
        let vs = VarStore::new(Device::Cpu);
        let refusal = |network, backbone, output_stride| {
            let spec = NetworkSpec { network, backbone, output_stride, rates: [6, 12, 18], bands: 3, classes: 5 };
            build(&vs.root(), &spec).map(|_| ()).unwrap_err().to_string()
        };
        assert_eq!(
            refusal(Network::Identity, None, 1),
            "cannot build the network `identity`: only the fake backend runs `identity`"
        );
        assert!(refusal(Network::DeepLabV3Plus, None, 16).ends_with("it needs a backbone"));
        assert!(refusal(Network::DeepLabV3Plus, Some(Backbone::ResNet18), 32).ends_with("8 or 16, not 32"));
        assert!(vs.is_empty());
    }
}
