//! Values that are written as a number or as a word.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};

/// Reads one. `number` and `word` say what it means, if anything.
pub(super) struct NumberOr<T> {
    /// What may be written.
    pub(super) expecting: &'static str,
    pub(super) number: fn(u32) -> Option<T>,
    pub(super) word: fn(&str) -> Option<T>,
}

impl<T> Visitor<'_> for NumberOr<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        let meant = u32::try_from(number).ok().and_then(self.number);
        meant.ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        let meant = u32::try_from(number).ok().and_then(self.number);
        meant.ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<T, E> {
        (self.word)(word).ok_or_else(|| E::invalid_value(Unexpected::Str(word), &self))
    }
}
