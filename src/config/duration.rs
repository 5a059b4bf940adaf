//! Spans of time as people write them.

use std::str::FromStr;
use std::time::Duration;

/// A span of time, written `12h`, `90m`, `45s` or `1h30m`: whole numbers with units, the greatest first. A number alone counts seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    /// A duration of whole seconds.
    pub const fn of_seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad =
            || format!("`{text}` is not a span of time; write hours, minutes or seconds, e.g. 12h, 90m, 45s or 1h30m");
        let (mut seconds, mut rest) = (0u64, text.trim());
        if let Ok(seconds) = rest.parse() {
            return Ok(Self::of_seconds(seconds));
        }
        for (unit, length) in [('h', 3600), ('m', 60), ('s', 1)] {
            if let Some((number, behind)) = rest.split_once(unit) {
                let number: u64 = number.parse().map_err(|_| bad())?;
                seconds = number.checked_mul(length).and_then(|s| s.checked_add(seconds)).ok_or_else(bad)?;
                rest = behind;
            }
        }
        if rest.is_empty() && !text.trim().is_empty() { Ok(Self::of_seconds(seconds)) } else { Err(bad()) }
    }
}

impl std::fmt::Display for Span {
    /// As it may be written.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.0.as_secs();
        let parts = [(seconds / 3600, 'h'), (seconds / 60 % 60, 'm'), (seconds % 60, 's')];
        parts.iter().filter(|(n, _)| *n > 0).try_for_each(|(n, unit)| write!(f, "{n}{unit}"))?;
        if seconds == 0 { f.write_str("0s") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_numbers_with_units() {
        let cases = [
            ("12h", 43_200),
            ("90m", 5400),
            ("45s", 45),
            ("1h30m", 5400),
            ("1h0m1s", 3601),
            (" 2m ", 120),
            ("20", 20),
            ("0", 0),
            ("0s", 0),
        ];
        for (text, seconds) in cases {
            let span = Span::of_seconds(seconds);
            assert_eq!(text.parse(), Ok(span), "{text}");
            assert_eq!(span.to_string().parse(), Ok(span), "{span}");
        }
        for text in ["", "h", "1.5h", "-1h", "-1", "30m1h", "1h30", "1h 30m", "12hours", "99999999999999999h"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
