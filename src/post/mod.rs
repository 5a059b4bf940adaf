//! What is done to a label map before it is written, row by row: a map of any height passes through a few rows of memory. Nodata is never
//! changed.
//!
//! # The rules
//!
//! There are four, and each is applied to the result of those before it, in this order. A rule says what becomes of a whole map; how its
//! rows come and go changes nothing. Two pixels are connected when they share a side.
//!
//! 1. *Remap*: classes become other ones, all at once.
//! 2. *Majority*: each pixel takes the class that most pixels of a window around it have: its own if that is one of several, or else the
//!    first of them. All are decided by the map before any is changed. What lies outside the scene and nodata have no vote.
//! 3. *Holes*: for each class in table order, on the result of the classes before it: a connected component of pixels that are *not* of the
//!    class takes the class if it has fewer than N pixels.
//! 4. *Islands*: for each class in table order, on the result of the classes before it: a connected component of pixels of the class that
//!    has fewer than N pixels takes the class that most sides of its pixels touch, of several the first. Nodata and the border of the
//!    scene are no class; a component that touches no other class stays. Those of one class cannot touch each other, so that none of them
//!    depends on another; and what a class has lost, or another won, is counted when that has its turn. A component only grows after the
//!    turn of its class. So in the end none is smaller than the N of its class, but for those that touch nothing but nodata.
//!
//! The rule for holes is that of the 2020 entry (`post_process.py` of JasmineRain/NAIC_AI-RS), there with N = 50. Three things it leaves
//! open are decided so:
//!
//! - *The border of a scene* is nothing special, as in the original: a small bay that is cut off by the border is filled too.
//! - *Nodata* is not the class, so it belongs to components like any other pixel: it connects them and it counts. What lies beside it may
//!   go on under it, so a strip of missing lines does not cut a field into pieces small enough to vanish. The price is that specks along a
//!   wide margin of nodata stay as they are.
//! - *A component fills only from a pixel of the class beside it.* Every component has one, but for the one that is the whole
//!   scene; by the letter of the rule a scene of fewer than N pixels would take class after class, whether they occur in it or
//!   not. So the guard is a bound: a component must have fewer pixels than the scene.
//!
//! # How
//!
//! [`Chain`] is a row of filters; what leaves one enters the next. Holes and islands have one for each class. It follows the components that
//! reach its last row, as runs joined by union-find. One that comes to N pixels is decided: it stays, and is not followed any further. One
//! that does not reach the next row is decided too: it is changed. A row leaves as soon as everything in it and above it is decided, and
//! nothing above it will be asked for; and since a component of fewer than N pixels spans fewer than N rows, a filter never keeps more than
//! N of them. The majority filter keeps the rows of its window.

mod band;
mod class_filter;
mod components;
mod majority;
#[cfg(test)]
mod maps;
mod steps;

pub use steps::{Chain, Steps};

use crate::config::classes::ClassId;

/// Changes rows that come from top to bottom, and gives them back in the same order.
trait RowFilter: Send {
    /// Takes the next row. All that is decided must have been taken out.
    fn push(&mut self, row: Vec<ClassId>);

    /// Says that no row follows.
    fn end(&mut self);

    /// Gives the first row back if it is decided.
    fn pop(&mut self) -> Option<Vec<ClassId>>;

    /// Rows that it has not given back.
    #[cfg(test)]
    fn rows_held(&self) -> usize;

    /// What it has allocated, and itself.
    #[cfg(test)]
    fn bytes(&self) -> usize;
}
