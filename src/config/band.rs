//! Which band of a scene a network sees.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::number::NumberOr;

/// A band as pipelines name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Band {
    /// By its number, counted from 1.
    Number(u32),
    /// By what its file calls it, or by its colour.
    Name(String),
    /// The only band of a file of its own, whose name follows this pattern: what the star stands for names the scene.
    File(String),
}

impl std::fmt::Display for Band {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(text) | Self::File(text) => write!(f, "`{text}`"),
        }
    }
}

impl From<&str> for Band {
    fn from(text: &str) -> Self {
        if text.contains('*') { Self::File(text.to_owned()) } else { Self::Name(text.to_owned()) }
    }
}

impl Serialize for Band {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_u32(*number),
            Self::Name(text) | Self::File(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for Band {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOr {
            expecting: "a band's number, counted from 1, its name, or a pattern like \"*_B04.tif\"",
            number: |number| Some(Self::Number(number)),
            word: |text| Some(text.into()),
        })
    }
}
