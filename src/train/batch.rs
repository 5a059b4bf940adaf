//! Crops as tensors.

use tch::{Device, Kind, Tensor};

/// Some crops of one size.
#[derive(Debug)]
pub struct Batch {
    /// `[N, bands, H, W]`, f32: value by divisor.
    pub image: Tensor,
    /// `[N, 1, H, W]`, f32: 1 where there is data, 0 elsewhere.
    pub valid: Tensor,
    /// `[N, H, W]`, i64: class ids, or [`super::loss::IGNORED`].
    pub labels: Tensor,
    /// `[N]`: how much the labels of each crop count. A rectangle that is mixed into another crop counts as that does.
    pub weights: Vec<f64>,
}

/// What is normalised with: a mean and a standard deviation for each band.
#[derive(Debug)]
pub(super) struct Normaliser {
    mean: Tensor,
    std: Tensor,
}

impl Normaliser {
    /// On a device.
    pub(super) fn new(mean: &[f64], std: &[f64], device: Device) -> Self {
        let [mean, std] =
            [mean, std].map(|of| Tensor::from_slice(of).to_kind(Kind::Float).to_device(device).view([1, -1, 1, 1]));
        Self { mean, std }
    }

    /// What the network sees: 0 where there is no data.
    pub(super) fn apply(&self, batch: &Batch) -> Tensor {
        self.apply_to(&batch.image, &batch.valid)
    }

    /// The same of these bands.
    pub(super) fn apply_to(&self, image: &Tensor, valid: &Tensor) -> Tensor {
        (image - &self.mean) / &self.std * valid
    }
}

impl Batch {
    /// Puts `n` crops of `side` x `side` pixels on a device; each of the slices holds one crop after the other. Panics as tch does when
    /// libtorch refuses, or when a slice has another length.
    pub fn new(n: usize, side: u32, image: &[f32], valid: &[u8], labels: &[u8], device: Device) -> Self {
        let (n, side) = (n as i64, i64::from(side));
        let up = |tensor: Tensor| tensor.to_device(device);
        Self {
            image: up(Tensor::from_slice(image)).view([n, -1, side, side]),
            valid: up(Tensor::from_slice(valid)).view([n, 1, side, side]).ne(0).to_kind(Kind::Float),
            labels: up(Tensor::from_slice(labels)).view([n, side, side]).to_kind(Kind::Int64),
            weights: vec![1.0; usize::try_from(n).unwrap_or_default()],
        }
    }

    /// The same with labels that count as much as these say, crop by crop.
    pub fn weighted(self, weights: Vec<f64>) -> Self {
        Self { weights, ..self }
    }

    /// The part `at` of `parts` of equal size.
    pub(super) fn part(&self, at: u32, parts: u32) -> Self {
        let n = self.image.size()[0] / i64::from(parts);
        let cut = |of: &Tensor| of.narrow(0, n * i64::from(at), n);
        let first = usize::try_from(n * i64::from(at)).unwrap_or_default();
        let weights = self.weights.iter().copied().skip(first).take(usize::try_from(n).unwrap_or_default()).collect();
        Self { image: cut(&self.image), valid: cut(&self.valid), labels: cut(&self.labels), weights }
    }
}
