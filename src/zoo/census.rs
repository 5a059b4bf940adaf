//! How large a network is: its parameters, its multiply-accumulate operations, its layers.
//!
//! The network is built without memory and run twice, on small images of zeros. What each operation costs grows with the image's area
//! to some power, which the two runs tell: 0 behind a pooling of the whole map, 1 for a convolution, 2 for attention between all positions.

use std::cell::RefCell;
use std::rc::Rc;

use tch::{Device, Kind, Tensor};

use super::layers::scope::Purpose;
use super::layers::trace::observed;
use super::registry::{self, UnknownNetwork};
use super::spec::{Network, NetworkSpec};
use crate::weights::layout::Layout;

/// Sides of the two images: every network takes both.
const SIDES: [i64; 2] = [64, 128];

/// What a network is made of.
#[derive(Clone, Debug)]
pub struct Census {
    /// Names and shapes of its tensors.
    pub layout: Layout,
    operations: Vec<Operation>,
}

/// An operation with weights, or a product of two maps.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Prefix of its variables.
    pub name: String,
    /// Output and cost on both images.
    seen: [(Vec<i64>, u64); 2],
}

/// Counts the network that `spec` describes.
///
/// # Errors
/// When there is no such network, or it cannot be run on an image of 64 or 128 pixels.
pub fn census(spec: &NetworkSpec) -> Result<Census, UnknownNetwork> {
    let (layout, [small, large]) = if spec.network == Network::Backbone {
        let built = registry::build_backbone(spec, Purpose::Outline)?;
        let run = |input: &Tensor| drop(built.network.classify(&built.network.features(input, false)));
        (built.layout, SIDES.map(|side| operations(spec, side, run)))
    } else {
        let built = registry::build(spec, Purpose::Outline, Device::Cpu)?;
        let run = |input: &Tensor| drop(built.network.forward(input, false));
        (built.layout, SIDES.map(|side| operations(spec, side, run)))
    };
    let pairs = small.into_iter().zip(large);
    let operations = pairs.map(|((name, a), (_, b))| Operation { name, seen: [a, b] }).collect();
    Ok(Census { layout, operations })
}

/// Name, output shape and cost.
type Seen = (String, (Vec<i64>, u64));

/// The operations of a forward pass in order.
fn operations(spec: &NetworkSpec, side: i64, run: impl Fn(&Tensor)) -> Vec<Seen> {
    let _no_grad = tch::no_grad_guard();
    let seen: Rc<RefCell<Vec<Seen>>> = Rc::default();
    let notes = Rc::clone(&seen);
    let note = move |name: &str, output: &Tensor, macs: u64| {
        notes.borrow_mut().push((name.to_owned(), (output.size(), macs)));
    };
    let input = Tensor::zeros([1, i64::from(spec.bands), side, side], (Kind::Float, Device::Cpu));
    observed(note, || run(&input));
    seen.take()
}

impl Census {
    /// The operations in the order in which they run.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Multiply-accumulate operations on an image of `side` x `side` pixels: convolutions, matrices and attention.
    pub fn macs(&self, side: u32) -> f64 {
        self.operations.iter().map(|o| o.macs(side)).sum()
    }
}

impl Operation {
    /// Multiply-accumulate operations on an image of `side` x `side` pixels.
    pub fn macs(&self, side: u32) -> f64 {
        let [(_, small), (_, large)] = &self.seen;
        if *small == 0 {
            return 0.0;
        }
        let [small_side, large_side] = SIDES.map(|side| side as f64);
        let power = (*large as f64 / *small as f64).ln() / (large_side / small_side).ln();
        *large as f64 * (f64::from(side) / large_side).powf(power)
    }

    /// Shape of the output on an image of `side` x `side` pixels, without the batch.
    pub fn shape(&self, side: u32) -> Vec<i64> {
        let [(small, _), (large, _)] = &self.seen;
        let scale = |(a, b): (&i64, &i64)| if a == b { *b } else { b * i64::from(side) / SIDES[1] };
        small.iter().zip(large).skip(1).map(scale).collect()
    }
}
