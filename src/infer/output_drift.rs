//! How far a member's outputs drift when it runs with other weights.

/// How far outputs with other weights are from those with the member's own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutputDrift {
    /// Squared difference of the logits, relative to their square; what all classes of a pixel have in common does not count. Infinite
    /// where an answer is no number any more.
    pub relative: f64,
    /// Share of the pixels that keep their class.
    pub agreement: f64,
}
