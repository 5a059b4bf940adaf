//! What a decoder warns of while it reads pixels.

use serde::{Deserialize, Serialize};

/// Warnings of one scene that are kept.
const MOST: usize = 5;

/// Characters of one that are kept.
const LONGEST: usize = 200;

/// The first few different warnings about a scene. The decoder returned pixels all the same, and they may not be those that were meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Warnings(Vec<String>);

impl Warnings {
    /// Keeps one, unless it is known or there are enough.
    pub fn add(&mut self, text: &str) {
        let text: String = text.chars().take(LONGEST).collect();
        if self.0.len() < MOST && !self.0.contains(&text) {
            self.0.push(text);
        }
    }

    /// Keeps those of another read.
    pub fn add_all(&mut self, others: &Self) {
        others.0.iter().for_each(|text| self.add(text));
    }

    /// The first one.
    pub fn first(&self) -> Option<&str> {
        self.0.first().map(String::as_str)
    }

    /// All of them.
    pub fn to_vec(&self) -> Vec<String> {
        self.0.clone()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_different_ones_of_bounded_length_are_kept() {
        let mut warnings = Warnings::default();
        for i in 0..100 {
            warnings.add("the same");
            warnings.add(&format!("{i} {}", "é".repeat(10_000)));
        }
        let kept = warnings.to_vec();
        assert_eq!((kept.len(), kept[0].as_str(), kept[1].chars().count()), (MOST, "the same", LONGEST));
        let mut others = Warnings::default();
        others.add_all(&warnings);
        others.add_all(&warnings);
        assert_eq!(others, warnings);
    }
}
