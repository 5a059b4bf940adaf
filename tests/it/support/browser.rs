//! A browser that opens pages from disk.

use std::path::Path;
use std::process::Command;

use super::skipped;

/// A browser, if there is one.
pub(crate) fn chromium() -> Option<&'static str> {
    let names = ["chromium", "chromium-browser", "google-chrome", "chrome"];
    let found =
        names.into_iter().find(|name| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success()));
    if found.is_none() {
        skipped("no Chromium (apt-get install chromium)");
    }
    found
}

/// Opens the page of `out` of a folder in a browser, which must not complain, and returns what it says.
pub(crate) fn open(chromium: &str, folder: &Path, more: &[&str]) -> String {
    let profile = format!("--user-data-dir={}", folder.join("profile").display());
    let page = format!("file://{}", folder.join("out/report.html").display());
    let own =
        ["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=2000"];
    let output = Command::new(chromium).args(own).arg(profile).args(more).arg(page).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !stderr.contains("CONSOLE"), "{stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
