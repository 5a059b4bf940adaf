//! Fills small holes in a label map, row by row: a map of any height passes through a few rows of memory.
//!
//! # The rule
//!
//! For each class in table order, on the result of the classes before it: a connected component of pixels that are *not* of the
//! class takes the class if it has fewer than N pixels. Two pixels are connected when they share a side. This is the rule of the
//! 2020 entry (`post_process.py` of JasmineRain/NAIC_AI-RS), there with N = 50. Three things it leaves open are decided so:
//!
//! - *The border of a scene* is nothing special, as in the original: a small bay that is cut off by the border is filled too.
//! - *Nodata* is not the class, so it belongs to components like any other pixel: it connects them and it counts. It is never
//!   changed. What lies beside it may go on under it, so a strip of missing lines does not cut a field into pieces small enough
//!   to vanish. The price is that specks along a wide margin of nodata stay as they are.
//! - *A component fills only from a pixel of the class beside it.* Every component has one, but for the one that is the whole
//!   scene; by the letter of the rule a scene of fewer than N pixels would take class after class, whether they occur in it or
//!   not. So the guard is a bound: a component must have fewer pixels than the scene.
//!
//! # How
//!
//! [`FillHoles`] is a chain of filters, one for each class; what leaves one enters the next. A filter follows the components that
//! reach its last row, as runs joined by union-find. One that comes to N pixels is decided: it stays. One that does not reach the
//! next row is decided too: it is filled. A row leaves as soon as everything in it and above it is decided, and since a component
//! of fewer than N pixels spans fewer than N rows, a filter never keeps N of them.

mod band;
mod class_filter;
mod components;
mod fill_holes;

pub use fill_holes::FillHoles;
