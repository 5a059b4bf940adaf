//! Names of stage results.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Version of everything that keys stand for. Raised when a stage's result for the same inputs changes, or its stored form does.
const KEY_FORMAT: u32 = 1;

/// The digest of a stage's configuration, its inputs' keys and the format version: equal keys, equal bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StageKey(String);

impl StageKey {
    /// As the journal and records have it: SHA-256, hexadecimal.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A key as it was stored.
    pub(super) fn stored(text: String) -> Self {
        Self(text)
    }
}

impl std::fmt::Display for StageKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Puts a key together from parts.
pub struct KeyHasher(Sha256);

impl KeyHasher {
    /// A key of this stage.
    pub fn new(stage: &str) -> Self {
        Self(Sha256::new()).text(&format!("{KEY_FORMAT} {stage}"))
    }

    /// Adds a text. Its length goes in first, so that no two sequences of parts run together.
    #[must_use]
    pub fn text(mut self, part: &str) -> Self {
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    /// Adds another stage's key.
    #[must_use]
    pub fn key(self, key: &StageKey) -> Self {
        self.text(&key.0)
    }

    /// Adds a value by its JSON. Values that JSON cannot express (maps with odd keys) do not belong into keys and count as nothing.
    #[must_use]
    pub fn value(self, part: &impl Serialize) -> Self {
        let text = serde_json::to_string(part).unwrap_or_default();
        self.text(&text)
    }

    /// The key of all that was added.
    pub fn finish(self) -> StageKey {
        StageKey(crate::hex(&self.0.finalize()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        let key = |parts: &[&str]| parts.iter().fold(KeyHasher::new("s"), |k, p| k.text(p)).finish();
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_ne!(key(&["ab"]), key(&["ab", ""]));
        assert_eq!(key(&["ab"]), key(&["ab"]));
        assert_ne!(KeyHasher::new("a").finish(), KeyHasher::new("b").finish());
    }
}
