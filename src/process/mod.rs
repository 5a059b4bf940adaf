//! Other processes of the same program, and frames between them.
//!
//! A [`Child`] is this program again with other arguments. Its standard input is a socket: frames of JSON go both ways over it, and a
//! file can travel with one. The child calls [`Frames::of_parent`] first, after which it dies with the process that started it. What is
//! too much for a message goes through [`shared_memory`].

mod child;
mod cpu;
mod fence;
mod frames;
mod leave;
mod limits;
mod shared;

pub use child::{Child, Start, die_with_parent, ending, own_parent};
pub use cpu::{age_of_process, cpu_of_children, cpu_of_process, cpu_of_thread};
pub use fence::{landlock_version, limit_reading};
pub use frames::{FrameError, Frames};
pub use leave::exit_now;
pub use limits::{limit_files, limit_memory, limit_processor, own_peak, raise_file_limit};
pub use shared::shared_memory;
