//! Other processes of the same program, and frames between them.
//!
//! A [`Child`] is this program again with other arguments. Its standard input is a socket: frames of JSON go both ways over it, and a
//! file can travel with one. The child calls [`Frames::of_parent`] first, after which it dies with the process that started it.

mod child;
mod frames;

pub use child::{Child, die_with_parent, ending, pass_on};
pub use frames::{FrameError, Frames};
