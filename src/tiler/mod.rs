//! Cuts a scene into tiles: pure arithmetic, no I/O, no tensor.
//!
//! A tile has a *centre*, the pixels it owns, and a *crop*, what the network sees: the centre grown by the dilation on each
//! side. Centres partition the scene exactly. Inside the scene the ring around a centre holds real neighbours, outside it what
//! the [`Border`] says. All crops of a scene have one size, so that they batch.
//!
//! The two axes are independent: a [`Grid`] is two [`Axis`] values, and everything about a tile follows from its column and row.

mod axis;
mod border;
mod dilation;
mod strategy;

pub use axis::{Axis, Grid};
pub use border::Border;
pub use dilation::Dilation;
pub use strategy::{Rule, Strategy, Tiling, TilingError};
