//! Cuts a scene into tiles: pure arithmetic, no I/O, no tensor.
//!
//! A tile has a *centre*, the pixels it owns, and a *crop*, what the network sees: the centre grown by the dilation on each
//! side. Centres partition the scene exactly. Inside the scene the ring around a centre holds real neighbours, outside it what
//! the [`Border`] says. All crops of a scene have one size, so that they batch.
//!
//! Where tiles are blended, a tile's centre is the upper left of its crop, and a pixel is a mean over the tiles that see it: the one that owns
//! it, and at most one before it along each axis ([`Blend`]).
//!
//! The two axes are independent: a [`Grid`] is two [`Axis`] values, and everything about a tile follows from its column and row.

mod axis;
mod blend;
mod border;
mod dilation;
mod strategy;

pub use axis::{Axis, Grid};
pub use blend::Blend;
pub use border::Border;
pub use dilation::Dilation;
pub use strategy::{Rule, Strategy, Tiling, TilingError};
