//! What becomes of a member's answers with other weights.

/// What other weights change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Damage {
    /// Squared difference of the logits, relative to their square; what all classes of a pixel have in common does not count. Infinite
    /// where an answer is no number any more.
    pub relative: f64,
    /// Share of the pixels that keep their class.
    pub agreement: f64,
}
