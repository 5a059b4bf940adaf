//! The Lovasz extensions of the Jaccard loss.

use tch::{Kind, Tensor};

use super::IGNORED;

/// Lovasz-softmax.
pub(super) fn softmax(logits: &Tensor, labels: &Tensor, absent: bool, per_image: bool) -> Tensor {
    let probabilities = if logits.size()[1] == 1 { logits.sigmoid() } else { logits.softmax(1, None::<Kind>) };
    by_image(&probabilities, labels, per_image, |probabilities, is_class| {
        let (losses, n) =
            (jaccard(&(is_class - probabilities).abs(), is_class), is_class.sum_dim_intlist(1, false, is_class.kind()));
        let counts = if absent { losses.ones_like() } else { n.gt(0).to_kind(losses.kind()) };
        (losses * &counts).sum(counts.kind()) / counts.sum(counts.kind()).clamp_min(1.0)
    })
}

/// Lovasz hinge.
pub(super) fn hinge(logits: &Tensor, labels: &Tensor, per_image: bool) -> Tensor {
    by_image(logits, labels, per_image, |logits, is_class| {
        jaccard(&(1.0 - logits * (is_class * 2.0 - 1.0)), is_class).mean(is_class.kind())
    })
}

/// The mean over images, or the batch as one, of what `value` makes of `[C, pixels]` values and whether a pixel is of the class, without
/// the pixels that take no part.
fn by_image(values: &Tensor, labels: &Tensor, per_image: bool, value: impl Fn(&Tensor, &Tensor) -> Tensor) -> Tensor {
    let n_classes = values.size()[1];
    let classes = match n_classes {
        1 => Tensor::from_slice(&[1_i64]),
        n => Tensor::arange(n, (Kind::Int64, labels.device())),
    };
    let classes = classes.to_device(labels.device()).view([-1, 1]);
    let of = |values: &Tensor, labels: &Tensor| {
        let (values, labels) = (values.transpose(0, 1).flatten(1, -1), labels.flatten(0, -1));
        let valid = labels.ne(IGNORED).nonzero().squeeze_dim(1);
        let (values, labels) = (values.index_select(1, &valid), labels.index_select(0, &valid));
        let is_class = labels.unsqueeze(0).eq_tensor(&classes).to_kind(values.kind());
        value(&values, &is_class)
    };
    if !per_image {
        return of(values, labels);
    }
    let n_images = values.size()[0];
    let images = (0..n_images).map(|idx| of(&values.narrow(0, idx, 1), &labels.narrow(0, idx, 1)));
    images.reduce(|sum, image| sum + image).unwrap_or_default() / n_images as f64
}

/// The extension at `errors`, `[C, pixels]`, for each class; 0 without pixels. What is not wrong costs nothing.
fn jaccard(errors: &Tensor, is_class: &Tensor) -> Tensor {
    let (errors, order) = errors.sort(1, true);
    let is_class = is_class.gather(1, &order, false);
    let n = is_class.sum_dim_intlist(1, true, is_class.kind());
    let intersection = &n - is_class.cumsum(1, is_class.kind());
    let union = n + is_class.eq(0).to_kind(is_class.kind()).cumsum(1, errors.kind());
    let jaccard: Tensor = 1.0 - intersection / union;
    // How much each further error adds.
    let n_pixels = jaccard.size()[1];
    let before = jaccard.narrow(1, 0, (n_pixels - 1).max(0)).constant_pad_nd([n_pixels.min(1), 0]);
    (errors.relu() * (jaccard - before)).sum_dim_intlist(1, false, errors.kind())
}
