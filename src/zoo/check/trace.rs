//! Where a network first leaves its reference.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use tch::{Kind, Tensor};

use super::fixture::Folder;
use super::{Purpose, Subject};
use crate::zoo::layers::trace::observed;

/// Relative difference of a layer's mean, root mean square or first values that counts.
const RELATIVE: f64 = 1e-3;

/// The first layer, in the reference's order, whose output is not the reference's.
#[derive(Clone, Debug)]
pub struct Divergence {
    /// Its name.
    pub layer: String,
    /// Its type in the reference.
    pub kind: String,
    /// Shape, mean, root mean square, first values: the reference's.
    pub expected: String,
    /// The same of ours.
    pub found: String,
}

/// What is compared of an output.
struct Summary {
    shape: Vec<i64>,
    mean: f64,
    rms: f64,
    first: Vec<f64>,
}

impl Summary {
    fn of(output: &Tensor) -> Self {
        let _no_grad = tch::no_grad_guard();
        let flat = output.flatten(0, -1).to_kind(Kind::Double);
        let first = flat.narrow(0, 0, flat.size()[0].min(4));
        Self {
            shape: output.size(),
            mean: flat.mean(Kind::Double).double_value(&[]),
            rms: (&flat * &flat).mean(Kind::Double).sqrt().double_value(&[]),
            first: Vec::try_from(&first).unwrap_or_default(),
        }
    }

    fn is_close(&self, other: &Self) -> bool {
        let close = |a: f64, b: f64| (a - b).abs() <= RELATIVE * other.rms + 1e-6;
        self.shape == other.shape
            && close(self.mean, other.mean)
            && close(self.rms, other.rms)
            && self.first.iter().zip(&other.first).all(|(a, b)| close(*a, *b))
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} mean {:.6} rms {:.6} first {:?}", self.shape, self.mean, self.rms, self.first)
    }
}

/// Runs case 0 of the fixture `name` and compares every layer that has weights with the reference's activations.
///
/// # Errors
/// When the fixture has no activations or the network cannot be built or run.
pub fn first_divergence(folder: &Folder, name: &str) -> Result<Option<Divergence>, String> {
    let taps = folder.taps(name).map_err(|e| e.to_string())?;
    let fixture = folder.fixture(name).map_err(|e| e.to_string())?;
    let subject = Subject::build(&fixture, Purpose::Training)?;
    let input = fixture.tensor("case0.input")?;
    let seen: Rc<RefCell<BTreeMap<String, Vec<Summary>>>> = Rc::default();
    let notes = Rc::clone(&seen);
    let note = move |layer: &str, output: &Tensor, _macs: u64| {
        notes.borrow_mut().entry(layer.to_owned()).or_default().push(Summary::of(output));
    };
    observed(note, || (subject.run)(&input))?;
    let mut seen = seen.borrow_mut();
    for (layer, kind, shape, mean, rms, first) in taps {
        let expected = Summary { shape, mean, rms, first };
        // A layer that runs several times is tapped as often.
        let Some(ours) = seen.get_mut(&layer).filter(|list| !list.is_empty()).map(|list| list.remove(0)) else {
            continue;
        };
        if !ours.is_close(&expected) {
            let (expected, found) = (expected.to_string(), ours.to_string());
            return Ok(Some(Divergence { layer, kind, expected, found }));
        }
    }
    Ok(None)
}
