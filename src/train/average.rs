//! Weights averaged over the steps of training: often better than those of any single step.

use std::collections::BTreeMap;

use tch::Tensor;

use crate::config::train::Averaging;

/// The average of some variables by name, statistics of batch normalisation included.
#[derive(Debug)]
pub(super) struct Average {
    how: Averaging,
    values: BTreeMap<String, Tensor>,
    /// What has gone into it.
    pub(super) count: u32,
}

impl Average {
    /// Of these variables; `None` where nothing is averaged.
    pub(super) fn new(how: Averaging, variables: &BTreeMap<String, Tensor>) -> Option<Self> {
        let values = || variables.iter().map(|(name, own)| (name.clone(), own.detach().copy())).collect();
        (how != Averaging::None).then(|| Self { how, values: values(), count: 0 })
    }

    /// A step has been taken.
    pub(super) fn after_step(&mut self, variables: &BTreeMap<String, Tensor>) {
        if let Averaging::Ema(decay) = self.how {
            self.count = self.count.saturating_add(1);
            // Early on the mean of what there is: the start is forgotten soon.
            let decay = decay.min((1.0 + f64::from(self.count)) / (10.0 + f64::from(self.count)));
            self.towards(variables, 1.0 - decay);
        }
    }

    /// An epoch has ended; counted from 0.
    pub(super) fn after_epoch(&mut self, epoch: u32, variables: &BTreeMap<String, Tensor>) {
        if let Averaging::Swa(from) = self.how
            && epoch >= from
        {
            self.count += 1;
            self.towards(variables, 1.0 / f64::from(self.count));
        }
    }

    fn towards(&mut self, variables: &BTreeMap<String, Tensor>, share: f64) {
        let _no_grad = tch::no_grad_guard();
        for (name, average) in &mut self.values {
            if let Some(own) = variables.get(name) {
                drop(average.lerp_(own, share));
            }
        }
    }

    /// The average, once something has gone into it.
    pub(super) fn values(&self) -> Option<&BTreeMap<String, Tensor>> {
        (self.count > 0).then_some(&self.values)
    }

    /// All of it, to be kept.
    pub(super) fn stored(&self) -> &BTreeMap<String, Tensor> {
        &self.values
    }

    /// Goes on with what was kept.
    pub(super) fn restore(&mut self, stored: &BTreeMap<String, Tensor>, count: u32) {
        for (name, own) in &mut self.values {
            if let Some(stored) = stored.get(name) {
                own.copy_(&stored.to_kind(own.kind()));
            }
        }
        self.count = count;
    }
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

    fn variables(value: f64) -> BTreeMap<String, Tensor> {
        BTreeMap::from([("w".to_owned(), Tensor::full([2], value, (Kind::Double, tch::Device::Cpu)))])
    }

    fn value(average: &Average) -> Option<f64> {
        average.values().map(|values| values["w"].double_value(&[0]))
    }

    #[test]
    fn averages_are_those_of_their_definitions() {
        assert!(Average::new(Averaging::None, &variables(1.0)).is_none());
        let mut swa = Average::new(Averaging::Swa(1), &variables(9.0)).unwrap();
        for (epoch, of) in [(0, 5.0), (1, 1.0), (2, 2.0), (3, 6.0)] {
            swa.after_step(&variables(100.0));
            swa.after_epoch(epoch, &variables(of));
            assert_eq!(value(&swa).is_some(), epoch >= 1);
        }
        assert!((value(&swa).unwrap() - 3.0).abs() < 1e-12);
        let mut ema = Average::new(Averaging::Ema(0.5), &variables(0.0)).unwrap();
        let mut expected = 0.0;
        for (n, of) in (1..).zip([4.0, 8.0, 2.0]) {
            ema.after_step(&variables(of));
            let decay: f64 = [0.5, (1.0 + f64::from(n)) / (10.0 + f64::from(n))].into_iter().fold(1.0, f64::min);
            expected = decay * expected + (1.0 - decay) * of;
        }
        assert!((value(&ema).unwrap() - expected).abs() < 1e-12);
    }
}
