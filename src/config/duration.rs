//! Spans of time as people write them.

use std::time::Duration;

/// Reads `12h`, `90m`, `45s` or `1h30m`: whole numbers with units, the greatest first, no span of nothing.
///
/// # Errors
/// What would be right, where it is none of these.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad =
        || format!("`{text}` is not a span of time; write hours, minutes or seconds, e.g. 12h, 90m, 45s or 1h30m");
    let (mut seconds, mut rest) = (0u64, text.trim());
    for (unit, length) in [('h', 3600), ('m', 60), ('s', 1)] {
        if let Some((number, behind)) = rest.split_once(unit) {
            let number: u64 = number.parse().map_err(|_| bad())?;
            seconds = number.checked_mul(length).and_then(|s| s.checked_add(seconds)).ok_or_else(bad)?;
            rest = behind;
        }
    }
    if rest.is_empty() && seconds > 0 { Ok(Duration::from_secs(seconds)) } else { Err(bad()) }
}

/// A span of time to the second, to the minute where it is hours.
pub fn format_duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m {s:02}s"),
        (h, m, _) => format!("{h}h {m:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_numbers_with_units() {
        let cases = [("12h", 43_200), ("90m", 5400), ("45s", 45), ("1h30m", 5400), ("1h0m1s", 3601), (" 2m ", 120)];
        for (text, seconds) in cases {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "12", "h", "1.5h", "-1h", "0s", "30m1h", "1h 30m", "12hours", "99999999999999999h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spans_print_short() {
        let print = |seconds| format_duration(Duration::from_secs(seconds));
        assert_eq!([print(5), print(65), print(43_265)], ["5s", "1m 05s", "12h 01m"]);
    }
}
