//! The networks, one file each. None uses another.

pub mod basnet;
pub mod danet;
pub mod deeplabv3plus;
pub mod hrnet;
pub mod pointrend;
pub mod pspnet;
pub mod refinenet;
pub mod scse_unet;
pub mod unet;
pub mod unetpp;
