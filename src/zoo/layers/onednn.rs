//! oneDNN's convolution on maps whose channels go last, with weights in oneDNN's own order and the ReLU in the same operation: libtorch has it
//! for what its compiler makes, and exports a C function. What tch has takes such weights for maps in other orders only.

use std::ffi::{c_char, c_int, c_void};
use std::ptr::{null, null_mut};
use std::sync::OnceLock;

use libloading::os::unix::Library;
use tch::{Kind, Tensor};

use super::kernels::Activation;

/// An `at::Tensor *`, which is what tch holds too.
type Handle = *mut c_void;
type Numbers = *const i64;
/// Input, weight, bias; padding, stride and dilation, each with its length; groups; what follows, its numbers and its algorithm.
#[rustfmt::skip]
type Pointwise = unsafe extern "C" fn(
    Handle, Handle, *mut Handle, Numbers, i64, Numbers, i64, Numbers, i64, i64,
    *const c_char, *const *const f64, i64, *const *const c_char, *mut Handle,
) -> c_int;
/// Stride, padding and dilation, along both axes.
type Steps = [[i64; 2]; 3];

/// libtorch's function.
pub(super) struct OneDnn(Pointwise);

impl OneDnn {
    /// That of the libtorch that runs; `None` where it was built without oneDNN.
    pub(super) fn get() -> Option<&'static Self> {
        static FOUND: OnceLock<Option<OneDnn>> = OnceLock::new();
        FOUND.get_or_init(Self::find).as_ref()
    }

    #[expect(unsafe_code, reason = "a function of libtorch is looked up by name")]
    fn find() -> Option<Self> {
        // SAFETY: the type is that of torch/csrc/inductor/aoti_torch/c/shim_cpu.h of libtorch 2.11, the one that tch links with, which is never
        // unloaded.
        let found = unsafe { Library::this().get::<Pointwise>(b"aoti_torch_cpu_mkldnn__convolution_pointwise\0") };
        found.ok().map(|function| Self(*function))
    }

    /// A weight in the order that is best for inputs of this size, pixel after pixel. Other sizes may take it too.
    pub(super) fn packed(weight: &Tensor, steps: Steps, groups: i64, input: &[i64]) -> Tensor {
        let [stride, padding, dilation] = steps;
        let opaque = weight.f_to_mkldnn(None::<Kind>);
        let packed = opaque.and_then(|w| w.f_mkldnn_reorder_conv2d_weight(padding, stride, dilation, groups, input));
        packed.unwrap_or_else(|e| panic!("{e}"))
    }

    /// Convolves a map on the CPU whose order is pixel after pixel, with ReLU or without. The result has that order too; `None` if libtorch
    /// refuses.
    #[expect(unsafe_code, reason = "a function of libtorch is called")]
    pub(super) fn convolve(
        &self,
        xs: &Tensor,
        packed: &Tensor,
        bias: Option<&Tensor>,
        steps: Steps,
        groups: i64,
        activation: Activation,
    ) -> Option<Tensor> {
        let handle = |tensor: &Tensor| tensor.as_ptr().cast_mut().cast::<c_void>();
        let attribute = match activation {
            Activation::Identity => c"none",
            Activation::Relu => c"relu",
        };
        let [stride, padding, dilation] = steps;
        let (stride, padding, dilation) = (stride.as_ptr(), padding.as_ptr(), dilation.as_ptr());
        let mut bias = bias.map(handle);
        let bias = bias.as_mut().map_or(null_mut(), |bias| &raw mut *bias);
        let mut out = null_mut();
        // SAFETY: all tensors are alive during the call, which keeps none of the pointers; the lists have two values; an optional argument is
        // absent where its pointer is null. The function catches what libtorch throws.
        #[rustfmt::skip]
        let status = unsafe {
            self.0(
                handle(xs), handle(packed), bias, padding, 2, stride, 2, dilation, 2, groups,
                attribute.as_ptr(), null(), 0, null(), &raw mut out,
            )
        };
        // SAFETY: on success the pointer is a new tensor, which is the caller's.
        (status == 0 && !out.is_null()).then(|| unsafe { Tensor::from_ptr(out.cast()) })
    }
}
