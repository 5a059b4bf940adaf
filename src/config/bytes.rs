//! Sizes in bytes as people write them.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::words::format_bytes;

/// A number of bytes, written `512MiB`, `1.5GB` or as a plain number. kB, MB, GB and TB, or their first letters alone, are powers of
/// 1000; KiB, MiB, GiB and TiB are of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "u64")]
pub struct ByteSize(pub u64);

impl From<ByteSize> for u64 {
    fn from(size: ByteSize) -> Self {
        size.0
    }
}

impl TryFrom<String> for ByteSize {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad =
            || format!("`{text}` is not a size; write e.g. 512MiB or 500MB (KiB, MiB, GiB: 1024; kB, MB, GB: 1000)");
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let number: f64 = text[..split].parse().map_err(|_| bad())?;
        let unit = text[split..].trim().to_ascii_lowercase();
        let unit = unit.strip_suffix('b').unwrap_or(&unit);
        let (prefix, base) = unit.strip_suffix('i').map_or((unit, 1000_f64), |prefix| (prefix, 1024_f64));
        let power = match prefix {
            "" if unit.is_empty() => 0,
            "k" => 1,
            "m" => 2,
            "g" => 3,
            "t" => 4,
            _ => return Err(bad()),
        };
        let bytes = number * base.powi(power);
        // Of 2^53 and more an f64 has not every byte, and no machine has so many.
        if bytes >= 9.0e15 {
            return Err(bad());
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "digits make no negative number")]
        Ok(Self(bytes as u64))
    }
}

impl std::fmt::Display for ByteSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&format_bytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_decimal_unless_they_have_an_i() {
        let cases = [
            ("7", 7),
            ("1k", 1000),
            ("1KiB", 1024),
            ("512MiB", 512 << 20),
            ("512Mi", 512 << 20),
            ("4GB", 4_000_000_000),
            ("4G", 4_000_000_000),
            ("2 TiB", 2 << 40),
            ("1.5GiB", 3 << 29),
            ("0.5GB", 500_000_000),
            ("12 B", 12),
            ("0", 0),
        ];
        for (text, bytes) in cases {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
            assert_eq!(text.to_lowercase().parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in ["", "GiB", ".", "1.2.3MB", "-1", "1 parsec", "1i", "1iB", "1bB", "99999999999T", "nan", "1e9"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }
}
