//! What changes the trained values.
//!
//! The values of a group are views of one flat tensor, and so are their gradients: a step, the norm of all gradients, a check for values
//! that are not finite are a few operations each, however many tensors a network has.

use tch::{Kind, Tensor};

pub use crate::config::train::Rule;

/// What a group's values have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// How much of themselves values lose in a step, times the rate.
    pub weight_decay: f64,
    /// How fast they learn against others.
    pub rate: f64,
}

impl Share {
    /// As fast as others.
    pub const fn decaying(weight_decay: f64) -> Self {
        Self { weight_decay, rate: 1.0 }
    }
}

/// Values that are trained in the same way.
#[derive(Debug)]
pub struct Group {
    rule: Rule,
    share: Share,
    values: Tensor,
    gradients: Tensor,
    /// As long as the values: momentum, or the two means.
    state: Vec<Tensor>,
    steps: i32,
}

impl Group {
    /// Takes over some tensors of one type and device: they become views of one flat tensor, and so do their gradients. Panics as tch
    /// does when libtorch refuses.
    pub fn new(rule: Rule, share: Share, tensors: &[Tensor]) -> Self {
        let _no_grad = tch::no_grad_guard();
        let flat: Vec<Tensor> = tensors.iter().map(|tensor| tensor.detach().reshape([-1])).collect();
        let values =
            if flat.is_empty() { Tensor::zeros([0], (Kind::Float, tch::Device::Cpu)) } else { Tensor::cat(&flat, 0) };
        let gradients = values.zeros_like();
        let mut start = 0;
        for tensor in tensors {
            let (n, size) = (tensor.numel() as i64, tensor.size());
            let view = |of: &Tensor| of.narrow(0, start, n).view(&size[..]);
            let mut tensor = tensor.shallow_clone();
            tensor.set_data(&view(&values));
            // A gradient is there from the first backward pass on; later ones add to it where it is.
            tch::with_grad(|| (&tensor * 0.0).sum(values.kind()).backward());
            tensor.grad().set_data(&view(&gradients));
            start += n;
        }
        let n_states = match rule {
            Rule::Sgd { momentum, .. } => usize::from(momentum != 0.0),
            Rule::AdamW { .. } => 2,
        };
        let state = (0..n_states).map(|_| values.zeros_like()).collect();
        Self { rule, share, values, gradients, state, steps: 0 }
    }

    /// Sets all gradients to 0.
    pub fn zero_gradients(&mut self) {
        // Not by multiplication: what is not finite would stay.
        drop(self.gradients.zero_());
    }

    /// The values, one after the other.
    pub fn values(&self) -> &Tensor {
        &self.values
    }

    /// The gradients, in the same order.
    pub fn gradients(&self) -> &Tensor {
        &self.gradients
    }

    /// What the rule remembers: tensors of the same order, and the steps taken.
    pub fn memory(&self) -> (&[Tensor], i32) {
        (&self.state, self.steps)
    }

    /// Goes on with what another group of the same tensors and rule remembered. Panics as tch does when lengths differ.
    pub fn remember(&mut self, state: &[Tensor], steps: i32) {
        self.state.iter_mut().zip(state).for_each(|(own, theirs)| own.copy_(theirs));
        self.steps = steps;
    }

    /// The Euclidean norm of the gradients of some groups together.
    pub fn norm(groups: &[Self]) -> f64 {
        groups.iter().map(|group| group.gradients.norm().double_value(&[]).powi(2)).sum::<f64>().sqrt()
    }

    /// Multiplies all gradients.
    pub fn scale_gradients(&mut self, factor: f64) {
        if factor != 1.0 {
            self.gradients *= factor;
        }
    }

    /// Follows the gradients.
    pub fn step(&mut self, rate: f64) {
        let _no_grad = tch::no_grad_guard();
        let (rate, decay) = (rate * self.share.rate, self.share.weight_decay);
        self.steps += 1;
        match (self.rule, &mut self.state[..]) {
            (Rule::Sgd { .. }, []) => {
                let direction = &self.gradients + &self.values * decay;
                self.values -= direction * rate;
            }
            (Rule::Sgd { momentum, nesterov }, [velocity, ..]) => {
                let gradient = &self.gradients + &self.values * decay;
                *velocity *= momentum;
                *velocity += &gradient;
                let direction = if nesterov { gradient + &*velocity * momentum } else { velocity.shallow_clone() };
                self.values -= direction * rate;
            }
            (Rule::AdamW { betas: [first, second], eps }, [mean, square, ..]) => {
                self.values *= 1.0 - rate * decay;
                *mean *= first;
                *mean += &self.gradients * (1.0 - first);
                *square *= second;
                *square += self.gradients.square() * (1.0 - second);
                let unbiased = |beta: f64| 1.0 - beta.powi(self.steps);
                let root = square.sqrt() / unbiased(second).sqrt() + eps;
                self.values -= &*mean / root * (rate / unbiased(first));
            }
            (Rule::AdamW { .. }, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    /// Two tensors in a group, and after each step of a quadratic bowl the first value of the first.
    fn descend(rule: Rule, decay: f64, n: usize) -> Vec<f64> {
        let options = (Kind::Double, Device::Cpu);
        let tensors =
            [Tensor::ones([2, 3], options) * 2.0, Tensor::ones([4], options)].map(|t| t.set_requires_grad(true));
        let mut groups = [Group::new(rule, Share::decaying(decay), &tensors)];
        (0..n)
            .map(|_| {
                groups[0].zero_gradients();
                let loss = tensors.iter().map(|t| t.square().sum(Kind::Double)).reduce(|a, b| a + b).unwrap();
                loss.backward();
                let expected: f64 =
                    tensors.iter().map(|t| (t * 2.0).square().sum(Kind::Double).double_value(&[])).sum();
                assert!((Group::norm(&groups) - expected.sqrt()).abs() < 1e-12);
                groups[0].step(0.1);
                tensors[0].double_value(&[0, 0])
            })
            .collect()
    }

    #[test]
    fn steps_are_those_of_the_formulas() {
        // By hand, in f64: the gradient of x² is 2 x.
        let by_hand = |mut step: Box<dyn FnMut(f64) -> f64>| {
            let mut x = 2.0;
            (0..4)
                .map(|_| {
                    x = step(x);
                    x
                })
                .collect::<Vec<f64>>()
        };
        let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
        for nesterov in [false, true] {
            let found = descend(Rule::Sgd { momentum: 0.9, nesterov }, 0.01, 4);
            let mut v = 0.0;
            let expected = by_hand(Box::new(move |x| {
                let g = 2.0 * x + 0.01 * x;
                v = 0.9 * v + g;
                x - 0.1 * if nesterov { g + 0.9 * v } else { v }
            }));
            assert!(close(&found, &expected), "{found:?} {expected:?}");
        }
        let found = descend(Rule::Sgd { momentum: 0.0, nesterov: false }, 0.0, 4);
        assert!(close(&found, &by_hand(Box::new(|x| x - 0.2 * x))), "{found:?}");
        let found = descend(Rule::AdamW { betas: [0.9, 0.999], eps: 1e-8 }, 0.01, 4);
        let (mut m, mut s, mut n) = (0.0, 0.0, 0);
        let expected = by_hand(Box::new(move |x| {
            let g = 2.0 * x;
            n += 1;
            m = 0.9 * m + 0.1 * g;
            s = 0.999 * s + 0.001 * g * g;
            let (m, s) = (m / (1.0 - 0.9_f64.powi(n)), s / (1.0 - 0.999_f64.powi(n)));
            x * (1.0 - 0.1 * 0.01) - 0.1 * m / (s.sqrt() + 1e-8)
        }));
        assert!(close(&found, &expected), "{found:?} {expected:?}");
    }
}
