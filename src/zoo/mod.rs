//! The networks: what they are as data, and their layers in libtorch. [`crate::weights`] reads the files that fill them.
//!
//! [`spec`] and [`seed`] know no tensor and are always compiled, so that a plan can be made without libtorch. Names of variables are those of the reference implementations, so a
//! checkpoint saved from there loads as it is.
//!
//! To add a network: one file in `models` (and perhaps one in `backbone`), its entry in [`spec`]'s catalogue, one line in `registry`, one
//! parity fixture. `store` fills its variables from a weights file, `check` compares it with that,
//! `census` counts it, `identify` tells from a file which one it belongs to, `export` writes it for its reference, `start` for
//! training with other classes. A network that comes as a program has none of all that: `script` runs it.

pub mod seed;
pub mod spec;

#[cfg(feature = "torch")]
pub mod backbone;
#[cfg(feature = "torch")]
pub mod census;
#[cfg(feature = "torch")]
pub mod check;
#[cfg(feature = "torch")]
pub mod export;
#[cfg(feature = "torch")]
pub mod identify;
#[cfg(feature = "torch")]
pub mod layers;
#[cfg(feature = "torch")]
pub mod models;
#[cfg(feature = "torch")]
pub mod registry;
#[cfg(feature = "torch")]
pub mod script;
#[cfg(feature = "torch")]
pub mod segmenter;
#[cfg(feature = "torch")]
pub mod start;
#[cfg(feature = "torch")]
pub mod store;
