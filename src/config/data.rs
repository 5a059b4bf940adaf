//! `[data]`: where labelled scenes lie and what their masks hold.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What the values of a mask are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabelKind {
    /// Class values, as `swath run` writes them.
    #[default]
    Value,
    /// Positions in the class table.
    Id,
}

/// Which places of the scenes crops are taken from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampling {
    /// Every labelled pixel is as likely as any other.
    #[default]
    Area,
    /// Every class is as likely as any other, then every place where it is.
    Class,
    /// Every scene is as likely as any other, then every place in it.
    Scene,
}

impl Sampling {
    /// All of them, by name.
    pub const NAMED: [(&'static str, Self); 3] = [("area", Self::Area), ("class", Self::Class), ("scene", Self::Scene)];
}

/// Labelled scenes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Data {
    /// Folder of the images, or a path in which `{}` stands for the name of a pair.
    pub images: String,
    /// The same of the masks.
    pub masks: String,
    /// What the values of masks are. Masks with three bands hold the classes' colours, whatever this says.
    pub labels: LabelKind,
    /// What other values (`"41"`) or colours (`"#9b9b9b"`) are: a class by name, or `ignore`.
    pub remap: BTreeMap<String, String>,
}

impl Data {
    pub(super) fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it says anything of what masks hold.
    pub(crate) fn tells_labels(&self) -> bool {
        self.labels != LabelKind::Value || !self.remap.is_empty()
    }
}

impl Default for Data {
    fn default() -> Self {
        Self { images: "images".into(), masks: "masks".into(), labels: LabelKind::Value, remap: BTreeMap::new() }
    }
}
