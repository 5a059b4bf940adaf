//! What the tests share: scenes in memory, jobs over them, the program as a command, and the fixtures outside the repository.

pub(crate) mod browser;
pub(crate) mod command;
pub(crate) mod memory;
pub(crate) mod tracer;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Says that the test that calls it, or a part of it, does not take place, and why: on standard error, and in the file that
/// `run.sh test` sums up at its end.
#[expect(clippy::print_stderr, reason = "a test that skips says why")]
pub(crate) fn skipped(reason: &str) {
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    eprintln!("skipped: {reason}");
    if let Some(list) = std::env::var_os("SWATH_SKIPPED") {
        let mut list = std::fs::OpenOptions::new().append(true).create(true).open(list).unwrap();
        list.write_all(format!("{reason}\t{test}\n").as_bytes()).unwrap();
    }
}

/// A file or folder of the shared fixtures (`../shared`, or where `SWATH_SHARED` says), or `None` with a printed reason.
pub(crate) fn shared(relative: &str) -> Option<PathBuf> {
    let root = std::env::var_os("SWATH_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let path = root.join(relative);
    if !path.exists() {
        let missing = if root.exists() { &path } else { &root };
        skipped(&format!("no `{}` (set SWATH_SHARED)", missing.display()));
        return None;
    }
    Some(path)
}

/// Seeded weights of a network in a file.
#[cfg(feature = "torch")]
pub(crate) fn save_weights(spec: &swath::zoo::spec::NetworkSpec, path: &Path) {
    use swath::zoo::{layers::scope::Purpose, registry, store};
    let built = registry::build(spec, Purpose::Training, tch::Device::Cpu).unwrap();
    store::seeded(&built.store, &built.layout, 5).unwrap();
    store::save(&built.store, &built.layout, path).unwrap();
}

/// Memory that a process has for reading small files, in KiB: far more than the test program itself takes.
const MEMORY_KIB: u64 = 1 << 20;
/// Set in the process that has no more.
const CAPPED: &str = "SWATH_TEST_MEMORY_IS_CAPPED";

/// Runs the test `name` in a process of its own that has [`MEMORY_KIB`] to itself; `false` there.
pub(crate) fn within_bounded_memory(name: &str) -> bool {
    if std::env::var_os(CAPPED).is_some() {
        return false;
    }
    let limited = format!("ulimit -d {MEMORY_KIB} && exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.arg("-c").arg(limited).arg(std::env::current_exe().unwrap()).args([name, "--exact"]).env(CAPPED, "1");
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
    true
}

/// Width, height and values of a PNG, by the `image` crate: a decoder that swath itself does not use for masks.
pub(crate) fn png(path: &Path) -> (u32, u32, Vec<u16>) {
    let image = image::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (width, height) = (image.width(), image.height());
    let values = if let image::DynamicImage::ImageLuma16(grey) = image {
        grey.into_raw()
    } else {
        let grey = image.as_luma8().unwrap_or_else(|| panic!("{}: {:?} is no mask", path.display(), image.color()));
        grey.as_raw().iter().copied().map(u16::from).collect()
    };
    (width, height, values)
}

/// Every file below a folder by relative path, temporary ones included.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap).filter(|e| e.file_type().is_file()) {
        let name = entry.path().strip_prefix(folder).unwrap().to_string_lossy().into_owned();
        found.insert(name, std::fs::read(entry.path()).unwrap());
    }
    found
}

/// The files whose bytes a plan decides: neither the reports, which tell times, nor the plan itself, nor the journal, nor what is kept for another run.
pub(crate) fn outputs(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = files(folder);
    let told = ["report.json", "report.html", "plan.jsonl"];
    let kept = |name: &str| name.starts_with("run.db") || name.starts_with("checkpoints/") || told.contains(&name);
    all.retain(|name, _| !kept(name));
    all
}

/// Names and contents of an archive.
pub(crate) fn archive(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut archive = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
    let mut entries = BTreeMap::new();
    for i in 0..archive.len() {
        let mut entry = archive.by_index(i).unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        entries.insert(entry.name().unwrap().into_owned(), bytes);
    }
    entries
}
