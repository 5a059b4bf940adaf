//! Which formats may be opened, and where the parts of mosaics lie.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A format that scenes may have, as GDAL calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Driver {
    /// TIFF.
    GTiff,
    /// PNG.
    #[serde(rename = "PNG")]
    Png,
    /// JPEG.
    #[serde(rename = "JPEG")]
    Jpeg,
    /// A mosaic of other files.
    #[serde(rename = "VRT")]
    Vrt,
}

impl Driver {
    const ALL: [(Self, &'static str); 4] =
        [(Self::GTiff, "GTiff"), (Self::Png, "PNG"), (Self::Jpeg, "JPEG"), (Self::Vrt, "VRT")];

    /// What GDAL calls it.
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(one, _)| *one == self).map_or("", |(_, name)| name)
    }
}

/// Some of the formats: which ones, in the order that [`Driver`] has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Driver>", into = "Vec<Driver>")]
pub struct Drivers([bool; 4]);

impl Default for Drivers {
    fn default() -> Self {
        Self([true, true, true, false])
    }
}

impl From<Vec<Driver>> for Drivers {
    fn from(listed: Vec<Driver>) -> Self {
        Self(Driver::ALL.map(|(driver, _)| listed.contains(&driver)))
    }
}

impl From<Drivers> for Vec<Driver> {
    fn from(drivers: Drivers) -> Self {
        drivers.all().map(|(driver, _)| driver).collect()
    }
}

impl Drivers {
    fn all(self) -> impl Iterator<Item = (Driver, &'static str)> {
        Driver::ALL.into_iter().zip(self.0).filter_map(|(driver, is_there)| is_there.then_some(driver))
    }

    /// Whether one is among them.
    pub fn allow(self, driver: Driver) -> bool {
        self.all().any(|(one, _)| one == driver)
    }

    /// The same without mosaics.
    pub fn of_files(self) -> Self {
        let [tiff, png, jpeg, _] = self.0;
        Self([tiff, png, jpeg, false])
    }

    /// What GDAL calls them.
    pub fn names(self) -> Vec<&'static str> {
        self.all().map(|(_, name)| name).collect()
    }
}

/// What sources may open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowed {
    /// The formats.
    pub drivers: Drivers,
    /// Folders without links in their names, below which all parts of mosaics lie.
    pub roots: Vec<PathBuf>,
}

impl Allowed {
    /// These formats, and parts of mosaics below the folder of the inputs; where they have none in common, below those that mosaics among
    /// them lie in.
    pub fn below<'a>(drivers: Drivers, root: &Path, files: impl IntoIterator<Item = &'a Path>) -> Self {
        let mut roots = Vec::new();
        if drivers.allow(Driver::Vrt) && !root.as_os_str().is_empty() {
            roots.extend(root.canonicalize());
        } else if drivers.allow(Driver::Vrt) {
            let here = |file: &Path| file.parent().map(|folder| Path::new(".").join(folder));
            let folders = files.into_iter().filter(|file| is_mosaic(file)).filter_map(here);
            roots.extend(folders.filter_map(|folder| folder.canonicalize().ok()));
            roots.sort_unstable();
            roots.dedup();
        }
        Self { drivers, roots }
    }

    /// The same for files that a list in a folder names: below that folder, and where mosaics lie that it names elsewhere.
    pub fn listed<'a>(drivers: Drivers, folder: &Path, files: impl IntoIterator<Item = &'a Path>) -> Self {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let own = Self::below(drivers, folder, []);
        let is_here =
            |file: &Path| file.canonicalize().is_ok_and(|real| own.roots.iter().any(|root| real.starts_with(root)));
        let elsewhere = Self::below(drivers, Path::new(""), files.into_iter().filter(|file| !is_here(file)));
        own.and_below(&elsewhere.roots)
    }

    /// The same, and parts of mosaics below these folders as well.
    pub fn and_below(mut self, folders: &[PathBuf]) -> Self {
        if self.drivers.allow(Driver::Vrt) {
            self.roots.extend_from_slice(folders);
            self.roots.sort_unstable();
            self.roots.dedup();
        }
        self
    }

    /// Whether some of these files are mosaics that may be opened.
    pub(super) fn are_mosaics<'a>(&self, files: impl IntoIterator<Item = &'a PathBuf>) -> bool {
        self.drivers.allow(Driver::Vrt) && files.into_iter().any(|file| is_mosaic(file))
    }
}

/// Whether a file is called as mosaics are.
pub fn is_mosaic(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("vrt"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_a_set_and_mosaics_have_a_home() {
        let listed = |text: &str| serde_json::from_str::<Drivers>(text).unwrap();
        let drivers = listed(r#"["VRT", "GTiff", "VRT"]"#);
        assert_eq!(drivers.names(), ["GTiff", "VRT"]);
        assert_eq!(serde_json::to_string(&drivers).unwrap(), r#"["GTiff","VRT"]"#);
        assert_eq!(
            (Drivers::default().names(), drivers.of_files().names()),
            (vec!["GTiff", "PNG", "JPEG"], vec!["GTiff"])
        );
        assert!(serde_json::from_str::<Drivers>(r#"["GIF"]"#).is_err());
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().canonicalize().unwrap();
        let of = |drivers, root: &Path, file: &str| Allowed::below(drivers, root, [Path::new(file)]).roots;
        let file = home.join("a.VRT");
        assert_eq!(of(drivers, &home, "b/a.vrt"), std::slice::from_ref(&home));
        assert_eq!(of(drivers, Path::new(""), file.to_str().unwrap()), std::slice::from_ref(&home));
        let listed = |folder: &Path, file: &Path| Allowed::listed(drivers, folder, [file]).roots;
        let other = tempfile::tempdir().unwrap();
        let there = other.path().canonicalize().unwrap();
        assert_eq!(listed(&home, &home.join("b/a.tif")), std::slice::from_ref(&home));
        assert_eq!(listed(&home, &there.join("a.vrt")).len(), 2);
        crate::atomic::write(&file, b"x").unwrap();
        assert_eq!(listed(&home, &file), std::slice::from_ref(&home));
        assert!(of(drivers, Path::new(""), "/nowhere/a.tif").is_empty());
        assert!(of(Drivers::default(), dir.path(), "a.vrt").is_empty());
    }
}
