//! How many tiles a forward pass takes, as people write it.

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Tiles per forward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Batch {
    /// What was measured to be fastest on devices of the plan's class; one where nothing was.
    #[default]
    Auto,
    /// So many, whatever the crop.
    Tiles(u32),
}

/// Its word in pipeline files.
const AUTO: &str = "auto";

impl Serialize for Batch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str(AUTO),
            Self::Tiles(tiles) => serializer.serialize_u32(*tiles),
        }
    }
}

impl<'de> Deserialize<'de> for Batch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl Visitor<'_> for Written {
            type Value = Batch;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number of tiles from 1, or \"auto\"")
            }

            fn visit_u64<E: de::Error>(self, tiles: u64) -> Result<Batch, E> {
                let tiles_that_fit = u32::try_from(tiles).ok().filter(|tiles| *tiles > 0);
                tiles_that_fit.map(Batch::Tiles).ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(tiles), &self))
            }

            fn visit_i64<E: de::Error>(self, tiles: i64) -> Result<Batch, E> {
                let unsigned = u64::try_from(tiles);
                unsigned
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(tiles), &self))
                    .and_then(|n| self.visit_u64(n))
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Batch, E> {
                if word == AUTO { Ok(Batch::Auto) } else { Err(E::invalid_value(de::Unexpected::Str(word), &self)) }
            }
        }

        deserializer.deserialize_any(Written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_number_or_a_word_and_comes_back() {
        let parsed = |text: &str| serde_json::from_str::<Batch>(text);
        for batch in [Batch::Auto, Batch::Tiles(1), Batch::Tiles(64)] {
            assert_eq!(parsed(&serde_json::to_string(&batch).unwrap()).unwrap(), batch);
        }
        for bad in ["0", "-1", "1.5", "4294967296", "\"many\"", "\"4\"", "[1]"] {
            let error = parsed(bad).unwrap_err().to_string();
            assert!(error.contains("a number of tiles from 1, or \"auto\""), "{bad}: {error}");
        }
    }
}
