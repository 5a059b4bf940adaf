//! Building blocks that several networks share.

pub mod aspp;
pub mod conv;
pub mod separable;
