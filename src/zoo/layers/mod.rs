//! Building blocks that several networks share.

pub mod aspp;
pub mod conv;
pub mod double_conv;
pub mod dropout;
pub mod dual_attention;
pub mod joint;
pub mod kernels;
pub mod linear;
pub mod object_context;
mod onednn;
pub mod point_rend;
pub mod pyramid_pool;
pub mod resize;
pub mod scope;
pub mod scse;
pub mod separable;
mod shape;
pub mod smp_decoder;
pub mod trace;
mod winograd;
