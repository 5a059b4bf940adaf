//! How far crops reach beyond their centres.

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Pixels around a centre, on each side of it. Written as one number, or as columns and rows: `[64, 128]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dilation {
    /// Columns to the left, and as many to the right.
    pub x: u32,
    /// Rows above, and as many below.
    pub y: u32,
}

impl Dilation {
    /// The same on all sides.
    pub const fn all(pixels: u32) -> Self {
        Self { x: pixels, y: pixels }
    }
}

impl Serialize for Dilation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.x == self.y { self.x.serialize(serializer) } else { [self.x, self.y].serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Dilation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl<'de> Visitor<'de> for Written {
            type Value = Dilation;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number of pixels, or two, of columns and of rows: [64, 128]")
            }

            fn visit_u64<E: de::Error>(self, pixels: u64) -> Result<Dilation, E> {
                let fits = u32::try_from(pixels).map(Dilation::all);
                fits.map_err(|_| E::invalid_value(de::Unexpected::Unsigned(pixels), &self))
            }

            fn visit_i64<E: de::Error>(self, pixels: i64) -> Result<Dilation, E> {
                let unsigned = u64::try_from(pixels);
                unsigned
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(pixels), &self))
                    .and_then(|n| self.visit_u64(n))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Dilation, A::Error> {
                let mut side = |n| seq.next_element()?.ok_or_else(|| de::Error::invalid_length(n, &self));
                let dilation = Dilation { x: side(0)?, y: side(1)? };
                match seq.next_element::<de::IgnoredAny>()? {
                    None => Ok(dilation),
                    Some(_) => Err(de::Error::invalid_length(3, &self)),
                }
            }
        }

        deserializer.deserialize_any(Written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_number_or_two_and_comes_back() {
        let parsed = |text: &str| serde_json::from_str::<Dilation>(text);
        for (text, dilation) in [("128", Dilation::all(128)), ("[64,0]", Dilation { x: 64, y: 0 })] {
            assert_eq!(parsed(text).unwrap(), dilation);
            assert_eq!(serde_json::to_string(&dilation).unwrap(), text);
        }
        assert_eq!(parsed("[7, 7]").unwrap(), Dilation::all(7));
        for bad in ["-1", "[1]", "[1,2,3]", "[1,-2]", "\"128\"", "4294967296"] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }
}
