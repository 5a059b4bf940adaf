//! Where ONNX Runtime is, and which one.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use ort::environment::Environment;
use ort::ep::{self, ExecutionProvider};
use ort::logging::LogLevel;

use crate::atomic;
use crate::plan::DeviceId;

/// Names the library or its folder. ONNX Runtime's other users know the second.
const NAMED: [&str; 2] = ["SWATH_ONNXRUNTIME", "ORT_DYLIB_PATH"];
/// The version that `run.sh` fetches.
const FETCHED: &str = "1.31.1";
/// What its file is called; a version may follow.
const LIBRARY: &str = "libonnxruntime.so";
/// Where it may lie, from the folder of this program.
const NEAR: [&str; 3] = [".", "lib", "../lib/swath"];

struct Loaded {
    environment: Environment,
    file: PathBuf,
}

/// Once for the process: it cannot be loaded again from elsewhere.
fn loaded() -> Result<&'static Loaded, String> {
    static LOADED: OnceLock<Result<Loaded, String>> = OnceLock::new();
    LOADED.get_or_init(load).as_ref().map_err(Clone::clone)
}

fn load() -> Result<Loaded, String> {
    let file = find()?;
    let builder = ort::init_from(&file).map_err(|e| format!("{e}; {}", remedy()))?;
    // What it has to tell comes with its errors; nobody but `report` prints.
    let builder = builder.with_name("swath").with_telemetry(false).with_logger(Arc::new(|_, _, _, _, _| {}));
    let environment = builder.build().map_err(|e| format!("{} does not start: {e}", file.display()))?;
    environment.set_log_level(LogLevel::Fatal);
    Ok(Loaded { environment, file })
}

/// The file that is to be loaded.
fn find() -> Result<PathBuf, String> {
    let named = |name: &&'static str| Some((*name, std::env::var_os(name).filter(|path| !path.is_empty())?));
    if let Some((name, path)) = NAMED.iter().find_map(named) {
        let path = PathBuf::from(path);
        return library_at(&path).ok_or_else(|| format!("{name}={} is or holds no {LIBRARY}", path.display()));
    }
    let own = std::env::current_exe().ok();
    let near = own.as_deref().and_then(Path::parent).map(|own| NEAR.map(|folder| own.join(folder)));
    let fetched = ["cuda", "cpu"].map(|kind| atomic::cached(&format!("onnxruntime-{FETCHED}-{kind}")));
    let has_driver = Path::new("/proc/driver/nvidia/version").exists();
    let fetched = fetched.into_iter().skip(usize::from(!has_driver)).flatten();
    let places = near.into_iter().flatten().chain(fetched);
    // The dynamic loader knows more places: whatever it finds by name.
    Ok(places.into_iter().find_map(|place| library_at(&place)).unwrap_or_else(|| PathBuf::from(LIBRARY)))
}

/// The library that a path names: a file, or the first in a folder whose name begins as it should.
fn library_at(path: &Path) -> Option<PathBuf> {
    if path.is_file() {
        return path.canonicalize().ok();
    }
    let is_one = |file: &PathBuf| {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.strip_prefix(LIBRARY).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let files = std::fs::read_dir(path).ok()?.filter_map(|entry| entry.ok()?.path().canonicalize().ok());
    files.filter(is_one).min()
}

fn remedy() -> String {
    format!(
        "members with network = \"onnx\" need ONNX Runtime 1.18 or newer: `bash run.sh env` fetches it, or let {} name a \
         {LIBRARY} (`pip download --no-deps onnxruntime=={FETCHED}` gets a wheel, which is a zip archive with one in onnxruntime/capi)",
        NAMED[0]
    )
}

/// What sessions are made in.
pub(super) fn environment() -> Result<&'static Environment, String> {
    loaded().map(|loaded| &loaded.environment)
}

/// What keeps ONNX models from running on a device.
pub(in crate::infer) fn problem(device: DeviceId) -> Option<String> {
    match loaded() {
        Err(problem) => Some(problem),
        Ok(loaded) if device.gpu().is_some() && !ep::CUDA::is_available().unwrap_or(false) => Some(format!(
            "the ONNX Runtime at {} has no CUDA provider: let {} name one that has (PyPI's onnxruntime-gpu), or name --devices cpu",
            loaded.file.display(),
            NAMED[0]
        )),
        Ok(_) => None,
    }
}

/// Which ONNX Runtime this is, by its version and commit, for the build decides the bytes; and its file.
///
/// # Errors
/// When there is none, with the way to get it.
pub fn onnxruntime() -> Result<(String, PathBuf), String> {
    let file = loaded()?.file.clone();
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let of = |key: &str| ort::info().split([' ', ',']).find_map(|word| word.strip_prefix(key)).unwrap_or("?");
    // Wheels are built of no branch; the files in them are called after the version.
    let version = name.strip_prefix(LIBRARY).and_then(|rest| rest.strip_prefix('.'));
    let version = version.unwrap_or_else(|| of("git-branch=").trim_start_matches("rel-"));
    Ok((format!("{version} ({})", of("git-commit-id=")), file))
}
