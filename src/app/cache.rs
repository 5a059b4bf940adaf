//! What is kept for this user on this machine, beside any run directory: speeds, profiles. All of it can be removed at any time.

use std::path::PathBuf;

/// A file or folder in the user's cache directory; none where no such directory is known.
pub(super) fn path(name: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    Some(cache.join("swath").join(name))
}
