//! Where a scene lies on the ground beyond an affine map.

use serde::{Deserialize, Serialize};

/// A place in a scene whose place on the ground is known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroundPoint {
    /// Column and row; corners of pixels are whole numbers.
    pub pixel: [f64; 2],
    /// Where that is, in the scene's reference system, and how high.
    pub ground: [f64; 3],
}

/// What few files say of their place beside a transform and a reference system.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ties {
    /// The file says that its values belong to points, not to areas. The transform speaks of pixel corners all the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pixel_is_point: bool,
    /// Ground control points.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<GroundPoint>,
    /// Rational polynomial coefficients, names and values as GDAL has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rpc: Vec<(String, String)>,
}
