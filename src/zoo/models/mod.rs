//! The networks, one file each. None uses another.

pub mod deeplabv3plus;
