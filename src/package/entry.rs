//! The expected set: what the archive must hold, under which names.

use std::path::PathBuf;

use super::PackageError;
use super::manifest::MANIFEST;
use crate::config::classes::ClassTable;
use crate::config::{MaskDepth, name_fault};
use crate::geom::Size;

/// One mask of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Name below the prefix, folders separated by `/`: `sub/a.png`.
    pub name: String,
    /// Extent of its scene.
    pub size: Size,
    /// Where its pixels come from.
    pub content: Content,
}

/// What an entry is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// This mask, checked and copied.
    File(PathBuf),
    /// This file, copied as it is.
    Copy(PathBuf),
    /// A mask of this value everywhere. Who asks for it decides which value that is: the class table need not have it.
    Blank(u16),
}

/// What holds for all entries.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Depth of the masks.
    pub depth: MaskDepth,
    /// The values that masks may hold.
    pub classes: &'a ClassTable,
    /// Folder above all names; empty for none.
    pub prefix: &'a str,
    /// Whether `manifest.json` is added.
    pub manifest: bool,
}

impl Rules<'_> {
    /// The name in the archive of what is called `name` below the prefix.
    pub(super) fn full_name(&self, name: &str) -> String {
        match self.prefix.trim_end_matches('/') {
            "" => name.to_owned(),
            prefix => format!("{prefix}/{name}"),
        }
    }
}

/// The entries under their full names, in the archive's order, checked.
pub(super) fn order(entries: Vec<Entry>, rules: &Rules<'_>) -> Result<Vec<Entry>, PackageError> {
    let rename = |entry: Entry| Entry { name: rules.full_name(&entry.name), ..entry };
    let mut entries: Vec<Entry> = entries.into_iter().map(rename).collect();
    entries.sort_unstable_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    for entry in &entries {
        if let Some(cause) = name_fault(&entry.name) {
            return Err(PackageError::Name { name: entry.name.clone(), cause });
        }
    }
    if let Some(pair) = entries.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(PackageError::Duplicate { name: pair[0].name.clone() });
    }
    let manifest = rules.full_name(MANIFEST);
    if rules.manifest && entries.iter().any(|e| e.name == manifest) {
        return Err(PackageError::Duplicate { name: manifest });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::classes::{Class, Color};

    fn table() -> ClassTable {
        ClassTable::new(vec![Class { id: 0, name: "c".into(), value: 1, color: Color([0; 3]) }], None).unwrap()
    }

    fn names(names: &[&str], prefix: &str, manifest: bool) -> Result<Vec<String>, PackageError> {
        let rules = Rules { depth: MaskDepth::Eight, classes: &table(), prefix, manifest };
        let entry = |name: &&str| Entry { name: (*name).into(), size: Size::new(1, 1), content: Content::Blank(0) };
        let ordered = order(names.iter().map(entry).collect(), &rules)?;
        Ok(ordered.into_iter().map(|e| e.name).collect())
    }

    #[test]
    fn names_are_sorted_by_byte_below_the_prefix() {
        let sorted = names(&["b/a.png", "b.png", "Z.png", "ä.png", "b-1.png"], "", false).unwrap();
        assert_eq!(sorted, ["Z.png", "b-1.png", "b.png", "b/a.png", "ä.png"]);
        assert_eq!(names(&["b.png", "a.png"], "results/", true).unwrap(), ["results/a.png", "results/b.png"]);
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["", "/a.png", "a//b.png", "a/", "../a.png", "a/./b.png", "a\\b.png", "a\nb.png"] {
            assert!(matches!(names(&[name], "", false), Err(PackageError::Name { .. })), "{name:?}");
        }
        let error = names(&["a.png"], "../out", false).unwrap_err().to_string();
        assert_eq!(error, "`../out/a.png` cannot be a name in the archive: the name leads out of its folder");
    }

    #[test]
    fn a_name_twice_is_refused() {
        let error = names(&["s/a.png", "b.png", "s/a.png"], "p", false).unwrap_err();
        assert!(matches!(&error, PackageError::Duplicate { name } if name == "p/s/a.png"), "{error}");
        assert!(matches!(names(&["manifest.json"], "", true), Err(PackageError::Duplicate { .. })));
        assert!(names(&["manifest.json"], "", false).is_ok());
    }
}
