//! What every network does: a batch of images in, logits at the network's own resolution out.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tch::Tensor;

use crate::zoo::layers::resize::bilinear;
use crate::zoo::spec::Upsample;

/// A network's answer.
#[derive(Debug)]
pub struct Segmented {
    /// `[N, classes, h, w]`, the input's kind and device: logits at native resolution, `logit_stride` input pixels apart.
    pub values: Tensor,
    /// How the reference goes from here to one logit per input pixel; `None` where it is there already.
    pub upsample: Option<Upsample>,
    /// What else the reference returns, for training; empty in a network that was built for inference.
    pub side: Vec<Side>,
}

/// A further map that training looks at.
#[derive(Debug)]
pub struct Side {
    /// The reference's name of it.
    pub name: &'static str,
    /// `[N, channels, h, w]` at native resolution.
    pub values: Tensor,
    /// How the reference goes from here to one value per input pixel; `None` where it is there already, or does not.
    pub upsample: Option<Upsample>,
}

impl Segmented {
    /// Logits alone.
    pub fn new(values: Tensor, upsample: Option<Upsample>) -> Self {
        Self { values, upsample, side: vec![] }
    }
}

impl Upsample {
    /// `[N, C, h, w]` brought to height and width `size` as the reference does.
    pub fn apply(self, values: &Tensor, size: [i64; 2]) -> Tensor {
        let Self::Bilinear { align_corners } = self;
        bilinear(values, size, align_corners)
    }
}

/// A segmentation network.
pub trait Segmenter: Send {
    /// The logits of `input`, `[N, bands, H, W]`, with H and W as the spec's `size_rule` demands.
    ///
    /// `train` switches batch statistics and dropout on; gradients are tracked unless the caller has switched them off.
    /// Panics as tch does when libtorch refuses (wrong shape, out of memory); [`run`] turns that into an error.
    fn forward(&self, input: &Tensor, train: bool) -> Segmented;
}

/// Why a network gave no answer.
#[derive(Debug, thiserror::Error)]
#[error("cannot run the network on an input of shape {input_shape:?}: {message}")]
pub struct ForwardError {
    /// Shape of the input.
    pub input_shape: Vec<i64>,
    /// First line of what libtorch said.
    pub message: String,
}

/// Runs `net` for inference: no gradients, running statistics, no dropout.
///
/// tch reports errors of libtorch as panics; they end here. The process's panic hook still sees them.
///
/// # Errors
/// When libtorch refuses an operation, for instance for want of memory or because the input has the wrong channels.
pub fn run(net: &dyn Segmenter, input: &Tensor) -> Result<Segmented, ForwardError> {
    // Nothing is left half done by an unwinding forward pass: in inference no variable is written.
    let outcome = caught(|| {
        let _no_grad = tch::no_grad_guard();
        net.forward(input, false)
    });
    outcome.map_err(|message| ForwardError { input_shape: input.size(), message })
}

/// What `work` returns, or the first line of what libtorch said when it refused.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| torch_message(&*panic))
}

/// The first line of libtorch's own words in a tch panic.
fn torch_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let Some(text) = text else {
        return "panic without a message".to_owned();
    };
    // `Result::unwrap` prints the error's debug form, where a line break is a backslash and an `n`.
    let text = text.split_once("Torch(\"").map_or(text, |(_, message)| message);
    let end = [text.find("\\n"), text.find('\n'), text.rfind("\")")].into_iter().flatten().min();
    text[..end.unwrap_or(text.len())].trim().to_owned()
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    struct Stub(Option<&'static str>);

    impl Segmenter for Stub {
        fn forward(&self, input: &Tensor, train: bool) -> Segmented {
            assert!(!train);
            match self.0 {
                Some(message) => panic!("{message}"),
                None => Segmented::new(input.matmul(&Tensor::ones([7, 7], (Kind::Float, Device::Cpu))), None),
            }
        }
    }

    #[test]
    fn a_refusal_of_libtorch_becomes_one_line() {
        let error = run(&Stub(None), &Tensor::zeros([1, 3], (Kind::Float, Device::Cpu))).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("cannot run the network on an input of shape [1, 3]: mat1 and mat2"), "{text}");
        assert!(!text.contains("\\n") && !text.contains("Exception raised"), "{text}");
    }

    #[test]
    fn other_panics_keep_their_words_and_gradients_come_back_on() {
        let input = Tensor::zeros([1], (Kind::Float, Device::Cpu));
        assert_eq!(run(&Stub(Some("odd")), &input).unwrap_err().message, "odd");
        let x = input.set_requires_grad(true);
        assert!((&x * 2).requires_grad());
    }
}
