//! Which files a process may open, set by itself through Landlock before it opens what it is not trusted with.

use std::io;
use std::path::PathBuf;

/// From now on this thread, and those that it starts, opens files below these folders alone, and these to read. What is open stays open.
///
/// # Errors
/// When a folder cannot be opened, or the kernel has no Landlock.
#[cfg(target_os = "linux")]
pub fn limit_reading(folders: &[PathBuf]) -> io::Result<()> {
    use landlock::{
        ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
        RulesetCreatedAttr, RulesetError, RulesetStatus,
    };
    let failed = |e: RulesetError| io::Error::other(e.to_string());
    // What Landlock could do from the first on it must do; what it has learned since is as welcome as it is there.
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))
        .and_then(|set| set.set_compatibility(CompatLevel::BestEffort).handle_access(AccessFs::from_all(ABI::V5)))
        .and_then(|set| set.handle_access(AccessNet::from_all(ABI::V4)));
    let mut ruleset = ruleset.and_then(Ruleset::create).map_err(failed)?;
    for folder in folders {
        let opened = PathFd::new(folder).map_err(|e| io::Error::other(e.to_string()))?;
        let rule = PathBeneath::new(opened, AccessFs::ReadFile | AccessFs::ReadDir);
        ruleset = ruleset.add_rule(rule).map_err(failed)?;
    }
    match ruleset.restrict_self().map_err(failed)?.ruleset {
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
        RulesetStatus::NotEnforced => Err(io::Error::other("the kernel has no Landlock")),
    }
}

/// The version of Landlock by which [`limit_reading`] confines here, as the kernel counts them.
///
/// # Errors
/// When the kernel has none.
#[cfg(target_os = "linux")]
pub fn landlock_version() -> io::Result<i32> {
    use landlock::{ABI, Access, AccessFs, LandlockStatus, Ruleset, RulesetAttr};
    // A thread that has nothing to read: only one that is confined is told.
    let asked = || {
        let set = Ruleset::default().handle_access(AccessFs::from_all(ABI::V1));
        set.and_then(Ruleset::create).and_then(landlock::RulesetCreated::restrict_self).map(|status| status.landlock)
    };
    let status = std::thread::scope(|scope| scope.spawn(asked).join());
    match status.map_err(|_| io::Error::other("a thread ended"))?.map_err(|e| io::Error::other(e.to_string()))? {
        LandlockStatus::Available { effective_abi, kernel_abi } => Ok(kernel_abi.unwrap_or(effective_abi as i32)),
        LandlockStatus::NotEnabled => Err(io::Error::other("the kernel has Landlock, and it is not switched on")),
        LandlockStatus::NotImplemented => Err(io::Error::other("the kernel has no Landlock")),
    }
}

/// Fails: there is nothing of the kind.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn landlock_version() -> io::Result<i32> {
    Err(io::Error::other("this system has no Landlock, which Linux has"))
}

/// Fails: there is nothing of the kind.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn limit_reading(_folders: &[PathBuf]) -> io::Result<()> {
    Err(io::Error::other("this system has no Landlock, which Linux has"))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::ErrorKind;

    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_thread_reads_below_its_folders_and_nowhere_else() {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (own, other) = (inside.path().join("a"), outside.path().join("b"));
        let link = inside.path().join("link");
        for path in [&own, &other] {
            crate::atomic::write(path, b"x").unwrap();
        }
        std::os::unix::fs::symlink(&other, &link).unwrap();
        let confined = || {
            if let Err(e) = limit_reading(&[inside.path().to_owned()]) {
                // Such a kernel is told by its words; the program refuses mosaics there.
                return assert!(e.to_string().contains("Landlock"), "{e}");
            }
            let refused = |path: &std::path::Path| File::open(path).map_err(|e| e.kind()).err();
            assert_eq!(refused(&own), None);
            for path in [&other, &link] {
                assert_eq!(refused(path), Some(ErrorKind::PermissionDenied), "{}", path.display());
            }
            let written = File::options().write(true).open(&own).map_err(|e| e.kind()).err();
            assert_eq!(written, Some(ErrorKind::PermissionDenied));
            let made = std::fs::create_dir(inside.path().join("c")).map_err(|e| e.kind()).err();
            assert_eq!(made, Some(ErrorKind::PermissionDenied));
        };
        // What a thread gives up the others keep.
        std::thread::scope(|scope| scope.spawn(confined).join().unwrap());
        assert!(File::open(&other).is_ok());
    }
}
