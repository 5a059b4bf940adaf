//! What may be written over: nothing that is there, unless a person says so, and never what the output is made from.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Error;

/// Files that an error lists.
const LISTED: usize = 5;

/// A file to be written, or a folder for files.
#[derive(Clone, Debug)]
pub struct Output {
    /// Where it is written.
    pub path: PathBuf,
    /// Whether files that are there may be replaced.
    pub overwrite: bool,
}

impl Output {
    /// The file, if it may be written as safetensors from these.
    pub(super) fn safetensors(&self, inputs: &[&Path]) -> Result<&Path, Error> {
        let path = &self.path;
        if path.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("safetensors")) {
            let text =
                format!("`{}` would be a safetensors file: give -o a name that ends in .safetensors", path.display());
            return Err(Error::Usage(text));
        }
        self.check(&[path], inputs)?;
        Ok(path)
    }

    /// Refuses these files, which are the output or belong below it, if one is among the inputs, or there already.
    pub(super) fn check(&self, files: &[impl AsRef<Path>], inputs: &[&Path]) -> Result<(), Error> {
        let files = || files.iter().map(AsRef::as_ref);
        if let Some(file) = files().find(|file| inputs.iter().any(|input| is_same(file, input))) {
            let text =
                format!("`{}` would be written over the file that it is made from: choose another -o", file.display());
            return Err(Error::Usage(text));
        }
        let there: Vec<&Path> = files().filter(|file| file.symlink_metadata().is_ok()).collect();
        match there.iter().find(|file| file.is_dir()) {
            Some(folder) => Err(Error::Usage(format!("-o `{}` is a folder; name a file", folder.display()))),
            None if there.is_empty() || self.overwrite => Ok(()),
            None => Err(exist(&there)),
        }
    }
}

/// The error that files exist which must not.
pub(super) fn exist(files: &[&Path]) -> Error {
    let listed = files.iter().take(LISTED).map(|file| format!("`{}`", file.display())).collect::<Vec<_>>().join(", ");
    let more = if files.len() > LISTED { format!(" and {} more", files.len() - LISTED) } else { String::new() };
    let (verb, them) = if files.len() == 1 { ("exists", "it") } else { ("exist", "them") };
    Error::Usage(format!("{listed}{more} {verb}; add --overwrite to replace {them}, or choose another -o"))
}

/// Whether two paths lead to one file, by links of either kind too.
fn is_same(a: &Path, b: &Path) -> bool {
    let identity = |path: &Path| std::fs::metadata(path).ok().map(|m: Metadata| (m.dev(), m.ino()));
    identity(a).is_some_and(|a| identity(b) == Some(a))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_of_either_kind_leads_to_the_same_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        crate::atomic::write(&path("a"), b"x").unwrap();
        crate::atomic::write(&path("b"), b"x").unwrap();
        std::os::unix::fs::symlink("a", path("soft")).unwrap();
        std::fs::hard_link(path("a"), path("hard")).unwrap();
        assert!(is_same(&path("soft"), &path("hard")) && is_same(&path("a"), &dir.path().join("./a")));
        assert!(!is_same(&path("a"), &path("b")) && !is_same(&path("none"), &path("none")));
    }
}
