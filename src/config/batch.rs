//! How many tiles a forward pass takes, as people write it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::number::NumberOr;

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
        deserializer.deserialize_any(NumberOr {
            expecting: "a number of tiles from 1, or \"auto\"",
            number: |tiles| (tiles > 0).then_some(Self::Tiles(tiles)),
            word: |word| (word == AUTO).then_some(Self::Auto),
        })
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
