//! What a network returns, by the names that fixtures use.

use tch::Tensor;

use crate::zoo::backbone::Features;
use crate::zoo::layers::resize::size_of;
use crate::zoo::segmenter::Segmented;
use crate::zoo::spec::{Network, NetworkSpec, Upsample, Variant};

/// Names that fixtures have for what [`Segmented::values`] holds.
const MAIN: [&str; 3] = ["logits", "dout", "out_quarter"];
/// Ending of the name of a map before it is up-sampled.
const QUARTER: &str = "_quarter";

/// Outputs by name, each at native resolution with the way to full size.
pub(super) struct Outputs {
    /// The original BASNet ends each map in a sigmoid, which is monotone: masks do not need it.
    squashes: bool,
    list: Vec<(String, Tensor, Option<Upsample>)>,
}

impl Outputs {
    /// The maps of a backbone: `c1` to `c4` are the stages, `f0` to `f4` stem and stages, `low` and `high` the first and last.
    pub(super) fn of_backbone(features: Features, logits: Option<Tensor>) -> Self {
        let last = features.maps.len() - 1;
        let mut list = Vec::new();
        for (idx, map) in features.maps.into_iter().enumerate() {
            let names = [
                (true, format!("f{idx}")),
                (idx > 0, format!("c{idx}")),
                (idx == 1, "low".into()),
                (idx == last, "high".into()),
            ];
            let names = names.into_iter().filter(|(is_one, _)| *is_one);
            list.extend(names.map(|(_, name)| (name, map.shallow_clone(), None)));
        }
        list.extend(logits.map(|l| ("logits".to_owned(), l, None)));
        Self { squashes: false, list }
    }

    pub(super) fn of_segmenter(spec: &NetworkSpec, out: Segmented) -> Self {
        let squashes = spec.network == Network::BasNet && spec.variant == Variant::Official;
        let mut list = vec![(MAIN[0].to_owned(), out.values, out.upsample)];
        list.extend(out.side.into_iter().map(|side| (side.name.to_owned(), side.values, side.upsample)));
        Self { squashes, list }
    }

    /// Whether this is a name of the logits themselves.
    pub(super) fn is_main(&self, name: &str) -> bool {
        MAIN.contains(&name) || self.list.iter().any(|(have, ..)| have == name)
    }

    /// The output `name` for `input` in the shape that the reference returned: at native resolution or up-sampled.
    pub(super) fn named(&self, name: &str, input: &Tensor, shape: &[i64]) -> Option<Tensor> {
        let name = if MAIN.contains(&name) { MAIN[0] } else { name.strip_suffix(QUARTER).unwrap_or(name) };
        let (_, values, upsample) = self.list.iter().find(|(have, ..)| have == name)?;
        let values = match upsample {
            Some(upsample) if values.size() != shape => upsample.apply(values, size_of(input)),
            Some(_) | None => values.shallow_clone(),
        };
        Some(if self.squashes { values.sigmoid() } else { values })
    }
}
