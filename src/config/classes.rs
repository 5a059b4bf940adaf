//! The class table: what the channels of a network mean, and what a mask holds for each.

use serde::{Deserialize, Serialize};

/// Index of a class: the network's output channel, and what moves through the pipeline as a label.
pub type ClassId = u8;

/// The label of a pixel without data. Never a channel, so a table holds at most 255 classes.
pub const NODATA_LABEL: ClassId = 255;

/// A colour in sRGB, written `"#rrggbb"` in a pipeline file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Color(pub [u8; 3]);

impl TryFrom<String> for Color {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.strip_prefix('#').filter(|d| d.len() == 6 && d.bytes().all(|b| b.is_ascii_hexdigit()));
        let number = digits.and_then(|d| u32::from_str_radix(d, 16).ok());
        let [_, r, g, b] = number.ok_or_else(|| format!("`{text}` is not a colour; write \"#rrggbb\""))?.to_be_bytes();
        Ok(Self([r, g, b]))
    }
}

impl From<Color> for String {
    fn from(Color([r, g, b]): Color) -> Self {
        format!("#{r:02x}{g:02x}{b:02x}")
    }
}

/// One class: its position in the table is its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// The network's output channel; the table lists them 0, 1, 2 ...
    pub id: ClassId,
    /// What people call it; no output depends on it but tables and legends.
    pub name: String,
    /// What the mask holds for this class.
    pub value: u16,
    /// Colour in pictures and legends.
    pub color: Color,
}

/// What the mask holds where the scene has no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nodata {
    /// What masks hold where there is no data.
    pub value: u16,
    /// Colour in previews; black when absent.
    #[serde(default = "black")]
    pub color: Color,
}

fn black() -> Color {
    Color([0; 3])
}

/// A checked class table: ids 0.. without gaps, values all different.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassTable {
    classes: Vec<Class>,
    nodata: Option<Nodata>,
}

/// Why a class table is not usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClassTableError {
    /// Not between 1 and 255 classes.
    #[error("the class table has {0} classes; it needs 1 to 255")]
    Count(usize),
    /// An id is not its position.
    #[error("class `{name}` has id {id} at position {position}; ids count 0, 1, 2 ... in order")]
    Id {
        /// Name of the class.
        name: String,
        /// The id it states.
        id: ClassId,
        /// Where it stands.
        position: usize,
    },
    /// Two entries share a mask value.
    #[error("`{first}` and `{second}` both have value {value}; a mask could not tell them apart")]
    Value {
        /// One entry.
        first: String,
        /// The other.
        second: String,
        /// The shared value.
        value: u16,
    },
}

impl ClassTable {
    /// Checks the entries of a pipeline file.
    ///
    /// # Errors
    /// When ids are not 0, 1, 2 ..., or a value occurs twice (the nodata value included).
    pub fn new(classes: Vec<Class>, nodata: Option<Nodata>) -> Result<Self, ClassTableError> {
        if classes.is_empty() || classes.len() > usize::from(NODATA_LABEL) {
            return Err(ClassTableError::Count(classes.len()));
        }
        if let Some((position, class)) = classes.iter().enumerate().find(|(i, c)| usize::from(c.id) != *i) {
            return Err(ClassTableError::Id { name: class.name.clone(), id: class.id, position });
        }
        let table = Self { classes, nodata };
        let mut seen = std::collections::BTreeMap::new();
        for (name, value) in table.entries() {
            if let Some(first) = seen.insert(value, name) {
                return Err(ClassTableError::Value { first: first.into(), second: name.into(), value });
            }
        }
        Ok(table)
    }

    fn entries(&self) -> impl Iterator<Item = (&str, u16)> {
        let classes = self.classes.iter().map(|c| (c.name.as_str(), c.value));
        classes.chain(self.nodata.iter().map(|n| ("nodata", n.value)))
    }

    /// The classes in order of id.
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// The nodata entry, if masks may hold one.
    pub fn nodata(&self) -> Option<Nodata> {
        self.nodata
    }

    /// Largest value a mask may hold.
    pub fn max_value(&self) -> u16 {
        self.entries().map(|(_, value)| value).max().unwrap_or(0)
    }

    /// Whether a mask may hold `value`.
    pub fn holds(&self, value: u16) -> bool {
        self.entries().any(|(_, v)| v == value)
    }

    /// Mask value and colour for every label, 256 entries; labels that cannot occur map to `None`.
    pub fn by_label(&self) -> [Option<(u16, Color)>; 256] {
        let mut table = [None; 256];
        for class in &self.classes {
            table[usize::from(class.id)] = Some((class.value, class.color));
        }
        if let Some(nodata) = self.nodata {
            table[usize::from(NODATA_LABEL)] = Some((nodata.value, nodata.color));
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(id: u8, value: u16) -> Class {
        Class { id, name: format!("c{id}"), value, color: Color([id, 0, 0]) }
    }

    #[test]
    fn a_value_used_twice_is_refused_with_both_names() {
        let error = ClassTable::new(vec![class(0, 7), class(1, 7)], None).unwrap_err();
        assert_eq!(error.to_string(), "`c0` and `c1` both have value 7; a mask could not tell them apart");
        let nodata = Some(Nodata { value: 7, color: Color([0; 3]) });
        let error = ClassTable::new(vec![class(0, 7)], nodata).unwrap_err();
        assert!(error.to_string().contains("`nodata`"), "{error}");
    }

    #[test]
    fn ids_must_count_up_from_zero() {
        assert!(matches!(
            ClassTable::new(vec![class(1, 1)], None),
            Err(ClassTableError::Id { id: 1, position: 0, .. })
        ));
        assert_eq!(ClassTable::new(vec![], None), Err(ClassTableError::Count(0)));
    }

    #[test]
    fn colours_parse_and_print() {
        let color = Color::try_from("#0aFF10".to_owned()).unwrap();
        assert_eq!((color, String::from(color)), (Color([10, 255, 16]), "#0aff10".to_owned()));
        assert!(Color::try_from("red".to_owned()).is_err());
    }
}
