//! What is done to crops before the network sees them.

use serde::{Deserialize, Serialize};

use super::super::fault::Fault;
use super::within;

/// `[train.augment]`. Everything is drawn anew for each crop; 0 and `false` leave crops as they are. Values of pixels are those that are
/// normalised next: value by divisor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augment {
    /// One of three, equally often: nothing, mirrored left to right, turned by a quarter to three quarters. What the 2020 entry did.
    pub naic2020: bool,
    /// Mirrored left to right and top to bottom, each half of the time.
    pub flips: bool,
    /// Turned by 0 to 3 quarters.
    pub quarter_turns: bool,
    /// The least and the greatest scale; at 2 everything is twice as large.
    pub scale: Option<[f64; 2]>,
    /// Turned by up to so many degrees either way.
    pub rotation: f64,
    /// Up to this is added to all bands, or taken away.
    pub brightness: f64,
    /// Contrast is multiplied by a factor between 1 - this and 1 + this, around the mean of each band.
    pub contrast: f64,
    /// Values from 0 to 1 are raised to a power between 1 / (1 + this) and 1 + this.
    pub gamma: f64,
    /// Greatest standard deviation of Gaussian noise.
    pub noise: f64,
    /// Greatest standard deviation of a Gaussian blur, in pixels.
    pub blur: f64,
    /// How likely each band is to be lost; never all of them.
    pub band_drop: f64,
    /// How likely a crop is to have a rectangle of the next one in its batch (Yun et al. 2019, arXiv:1905.04899).
    pub cutmix: f64,
}

impl Augment {
    pub(super) fn checked(self) -> Result<Self, Fault> {
        let key = |key: &str| format!("train.augment.{key}");
        if self.naic2020 && (self.flips || self.quarter_turns) {
            return Err(Fault::about(
                key("naic2020"),
                "it has flips and quarter turns of its own; keep one of the two",
            ));
        }
        if let Some([least, most]) = self.scale
            && !(least >= 0.1 && most <= 10.0 && least <= most)
        {
            return Err(Fault::value(
                key("scale"),
                format!("[{least}, {most}]"),
                "two factors from 0.1 to 10, in order",
            ));
        }
        let ranges = [
            ("rotation", self.rotation, 180.0),
            ("brightness", self.brightness, 10.0),
            ("contrast", self.contrast, 1.0),
            ("gamma", self.gamma, 10.0),
            ("noise", self.noise, 10.0),
            ("blur", self.blur, 16.0),
            ("band_drop", self.band_drop, 0.9),
            ("cutmix", self.cutmix, 1.0),
        ];
        for (name, value, most) in ranges {
            within(&key(name), value, 0.0..=most)?;
        }
        Ok(self)
    }

    /// Side of the window that a crop of this side is made from: small scales and turned squares need more.
    pub fn window(&self, crop: u32) -> u32 {
        let least = self.scale.map_or(1.0, |[least, _]| least).min(1.0);
        let angle = self.rotation.min(45.0).to_radians();
        let side = f64::from(crop) * (angle.sin() + angle.cos()) / least;
        // Half a pixel more on each side for those between which values are taken.
        let more = if self.scale.is_some() || self.rotation > 0.0 { 2.0 } else { 0.0 };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 8192 x 15")]
        let side = (side + more).ceil() as u32;
        // Even where the crop is: the middles of both are then on the same grid.
        side + (side ^ crop) % 2
    }
}
