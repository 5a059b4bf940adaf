//! Where profiles lie: one file per class of devices in the user's cache directory, and in a run directory, within its plan, the one that
//! it began with.

use std::path::{Path, PathBuf};

use super::Error;
use crate::atomic;
use crate::infer;
use crate::plan::{BackendKind, Plan, Profile};

/// The folder in the cache directory.
const FOLDER: &str = "profiles";

/// The file for a class.
///
/// # Errors
/// When no cache directory is known.
pub(super) fn file_of(backend: BackendKind, device_class: &str) -> Result<PathBuf, Error> {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let name: String = device_class.chars().map(plain).collect();
    let no_home = || Error::Usage("there is no cache directory: set HOME or XDG_CACHE_HOME".into());
    atomic::cached(&format!("{FOLDER}/{}-{name}.json", backend.name())).ok_or_else(no_home)
}

/// Every profile that is stored, with its file.
///
/// # Errors
/// When the folder or a file in it cannot be read.
pub(super) fn all() -> Result<Vec<(PathBuf, Profile)>, Error> {
    let Some(folder) = atomic::cached(FOLDER).filter(|folder| folder.is_dir()) else { return Ok(Vec::new()) };
    let failed = |e: std::io::Error| Error::Usage(format!("cannot read the folder `{}`: {e}", folder.display()));
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        files.push(entry.map_err(failed)?.path());
    }
    files.sort();
    files.into_iter().map(|file| read(&file).map(|profile| (file, profile))).collect()
}

/// Reads a profile.
///
/// # Errors
/// When it cannot be read or is none.
pub(super) fn read(file: &Path) -> Result<Profile, Error> {
    let wrong = |why: String| {
        let text = format!("`{}` is no profile: {why}; measure anew with swath tune", file.display());
        Error::Usage(text)
    };
    let text = std::fs::read(file).map_err(|e| Error::Usage(format!("cannot read `{}`: {e}", file.display())))?;
    let profile: Profile = serde_json::from_slice(&text).map_err(|e| wrong(e.to_string()))?;
    profile.flaw().map_or(Ok(profile), |flaw| Err(wrong(flaw)))
}

/// Writes a profile.
///
/// # Errors
/// When it cannot be written.
pub(super) fn write(file: &Path, profile: &Profile) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(profile).map_err(|e| Error::Internal(e.to_string()))?;
    Ok(atomic::write(file, format!("{text}\n").as_bytes())?)
}

/// The stored profile of such devices, and a word where it is of another libtorch.
///
/// # Errors
/// When it is damaged.
pub(super) fn stored(backend: BackendKind, device_class: &str) -> Result<(Option<Profile>, Option<String>), Error> {
    let file = file_of(backend, device_class).ok().filter(|file| file.exists());
    let Some(profile) = file.map(|file| read(&file)).transpose()? else { return Ok((None, None)) };
    let here = infer::libtorch_version();
    if profile.is_of(backend, device_class, here.as_deref()) {
        return Ok((Some(profile), None));
    }
    let version = |version: &Option<String>| version.clone().unwrap_or_else(|| "none".into());
    let (there, here) = (version(&profile.libtorch), version(&here));
    let text = format!(
        "what swath tune measured for {device_class} was measured with libtorch {there}, and here is {here}: it is not used; measure again"
    );
    Ok((None, Some(text)))
}

/// The profile for a plan, and what a person should know of the choice: a run directory keeps the one of the plan that it `began` with, even
/// if that is none.
///
/// # Errors
/// When the stored one is damaged.
pub(super) fn of_plan(
    backend: BackendKind,
    device_class: &str,
    began: Option<&Plan>,
) -> Result<(Option<Profile>, Option<String>), Error> {
    let (stored, warning) = stored(backend, device_class)?;
    let here = infer::libtorch_version();
    let is_of_here = |head: &&Plan| {
        let of = head.profile.as_ref().is_none_or(|kept| kept.is_of(backend, device_class, here.as_deref()));
        of && (head.backend, head.device_class.as_str()) == (backend, device_class)
    };
    let Some(kept) = began.filter(is_of_here).map(|head| head.profile.clone()) else { return Ok((stored, warning)) };
    if kept == stored || stored.is_none() {
        return Ok((kept, None));
    }
    let began = if kept.is_some() { "with other measurements" } else { "without measurements" };
    let text = format!(
        "swath tune has measured this class of devices, and the run directory began {began}, which it keeps: --retune takes the new ones"
    );
    Ok((kept, Some(text)))
}
