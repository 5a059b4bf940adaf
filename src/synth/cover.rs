//! The classes of a sample scene.

use crate::config::classes::{Class, ClassId, Color};

/// What covers a pixel; the discriminant is the class id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Cover {
    Water,
    Bank,
    Wetland,
    Road,
    Track,
    Building,
    Courtyard,
    Crop,
    Stubble,
    Orchard,
    Meadow,
    Broadleaf,
    Conifer,
    Scrub,
    BareSoil,
}

impl Cover {
    pub(super) const fn id(self) -> ClassId {
        self as ClassId
    }
}

/// Cover, name, mask value and preview colour.
const CLASSES: [(Cover, &str, u16, [u8; 3]); 15] = [
    (Cover::Water, "water", 1, [0x2b, 0x6c, 0xb0]),
    (Cover::Bank, "bank", 2, [0xf2, 0xd5, 0x9b]),
    (Cover::Wetland, "wetland", 3, [0x5f, 0xb7, 0xae]),
    (Cover::Road, "road", 4, [0x4a, 0x4a, 0x4f]),
    (Cover::Track, "track", 7, [0xb0, 0x8a, 0x64]),
    (Cover::Building, "building", 8, [0xc8, 0x32, 0x2b]),
    (Cover::Courtyard, "courtyard", 9, [0xc9, 0xc3, 0xcf]),
    (Cover::Crop, "crop", 10, [0xe3, 0xc4, 0x2f]),
    (Cover::Stubble, "stubble", 11, [0xf0, 0x9a, 0x3e]),
    (Cover::Orchard, "orchard", 12, [0xb1, 0x5f, 0xa8]),
    (Cover::Meadow, "meadow", 13, [0xa6, 0xd8, 0x54]),
    (Cover::Broadleaf, "broadleaf forest", 14, [0x2f, 0x9e, 0x3f]),
    (Cover::Conifer, "conifer forest", 15, [0x0f, 0x54, 0x3a]),
    (Cover::Scrub, "scrub", 16, [0x84, 0x86, 0x2e]),
    (Cover::BareSoil, "bare soil", 17, [0x7a, 0x4b, 0x2c]),
];

/// The classes of every sample scene, in order of id.
pub fn class_table() -> Vec<Class> {
    let class = |&(cover, name, value, color): &(Cover, &str, u16, [u8; 3])| Class {
        id: cover.id(),
        name: name.to_owned(),
        value,
        color: Color(color),
    };
    CLASSES.iter().map(class).collect()
}
