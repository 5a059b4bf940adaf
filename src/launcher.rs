//! Finds libtorch and becomes the program proper.
//!
//! The dynamic loader does not even start a program whose libraries are not where they were when it was built. So with libtorch `swath`
//! is this: it needs the standard library alone, looks for libtorch, and executes `swath-torch`, which lies beside it, in its own place.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// The libtorch that tch binds.
const VERSION: &str = "2.11.0";
/// What the loader must find.
const LIBRARIES: [&str; 2] = ["libtorch_cpu.so", "libc10.so"];
/// Where libtorch may lie, from the folder of this program.
const NEAR: [&str; 4] = ["lib", "libtorch/lib", "../lib", "../lib/swath"];
/// Names a libtorch.
const NAMED: &str = "LIBTORCH";
/// Where the loader looks first.
const SEARCH_PATH: &str = "LD_LIBRARY_PATH";
/// What glibc's memory is told before a program starts, which is why it is done here.
const TUNABLES: &str = "GLIBC_TUNABLES";
/// Networks ask for blocks of tens of megabytes again and again, each of which the system hands out anew, page by page: in pages of 2 MiB that
/// takes a quarter of the time (tests/bench/README.md).
const HUGE_PAGES: (&str, &str) = ("glibc.malloc.hugetlb", "1");
/// The exit code for arguments and what else was wrong from the start.
const USAGE: u8 = 2;

/// A folder that may hold libtorch's libraries.
struct Place {
    folder: PathBuf,
    /// How it came to be one.
    from: &'static str,
}

/// Answers `--version`, or becomes the program; comes back only with a failure.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "without libtorch there is no `report` to do it")]
pub(crate) fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let [_, only] = arguments.as_slice()
        && (only == "--version" || only == "-V")
    {
        println!("swath {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    let problem = become_program(&arguments);
    eprintln!("error: {problem}");
    ExitCode::from(USAGE)
}

/// Executes the program, and says what is wrong if that cannot be.
fn become_program(arguments: &[OsString]) -> String {
    let own = match std::env::current_exe() {
        Ok(own) => own,
        Err(e) => return format!("cannot tell where this program lies: {e}"),
    };
    let program = own.with_file_name("swath-torch");
    if !program.is_file() {
        return format!("`{}` is missing: it belongs beside `swath`", program.display());
    }
    let libraries = match find(places(own.parent().unwrap_or(Path::new("/")))) {
        Ok(folder) => folder,
        Err(problem) => return problem,
    };
    let mut command = Command::new(&program);
    // It is still called what was typed.
    if let Some(name) = arguments.first() {
        command.arg0(name);
    }
    command.args(arguments.iter().skip(1)).env(SEARCH_PATH, search_path(&libraries)).env(TUNABLES, tunables());
    let failure = command.exec();
    format!("cannot start `{}`: {failure}", program.display())
}

/// Where to look, the first that has it being right. What is asked for by name is the only place; Python, which takes a moment to answer,
/// is asked last.
fn places(own: &Path) -> Box<dyn Iterator<Item = Place>> {
    if let Some(libtorch) = std::env::var_os(NAMED).filter(|path| !path.is_empty()) {
        return Box::new(std::iter::once(Place { folder: Path::new(&libtorch).join("lib"), from: NAMED }));
    }
    let near = NEAR.iter().map(|folder| Place { folder: own.join(folder), from: "beside the program" });
    let searched = std::env::var_os(SEARCH_PATH).unwrap_or_default();
    let searched = std::env::split_paths(&searched).filter(|folder| folder.is_absolute());
    let searched = searched.map(|folder| Place { folder, from: SEARCH_PATH });
    let built =
        option_env!("SWATH_BUILT_WITH").map(|folder| Place { folder: folder.into(), from: "where it was built" });
    let here: Vec<Place> = near.chain(searched).chain(built).collect();
    Box::new(here.into_iter().chain(std::iter::once_with(of_python).flatten()))
}

/// The libtorch of the Python that a person would start. Nothing of torch itself runs, and nothing from the current folder.
fn of_python() -> Option<Place> {
    let ask = "import sys; sys.path[:] = filter(None, sys.path); import importlib.util, os; \
               print(os.path.dirname(importlib.util.find_spec('torch').origin))";
    let output = Command::new("python3").args(["-c", ask]).stdin(Stdio::null()).output().ok()?;
    let folder = PathBuf::from(OsString::from_vec(output.stdout.strip_suffix(b"\n")?.to_vec()));
    Some(Place { folder: folder.join("lib"), from: "the torch of python3" })
}

/// The first place that holds libtorch, or what was found at each.
fn find(places: impl Iterator<Item = Place>) -> Result<PathBuf, String> {
    let (mut looked, mut remedy) =
        (String::new(), "put its libraries in `lib` beside the program, or install it for python3");
    for Place { folder, from } in places {
        match lacks(&folder) {
            // The loader takes relative folders as relative to wherever the program goes.
            None => return Ok(folder.canonicalize().unwrap_or(folder)),
            Some(what) => looked += &format!("\n  {} ({from}): {what}", folder.display()),
        }
        if from == NAMED {
            remedy = "or unset it";
        }
    }
    Err(format!(
        "no libtorch {VERSION} found; let {NAMED} name the folder of one, with `lib` in it, {remedy}; looked in{looked}"
    ))
}

/// Why a folder's libraries will not do.
fn lacks(folder: &Path) -> Option<String> {
    match folder.metadata() {
        Ok(_) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Some("no such folder".into()),
        Err(e) => return Some(e.to_string()),
    }
    if let Some(missing) = LIBRARIES.iter().find(|name| !folder.join(name).is_file()) {
        return Some(format!("no {missing}"));
    }
    // Libraries that were copied by themselves do not tell; then they are taken at their word.
    let version = version(folder)?;
    let fits = version.split('+').next() == Some(VERSION);
    (!fits).then(|| format!("it is libtorch {version}"))
}

/// The version that a whole libtorch states beside its `lib`: in a file for that, or as the Python package does.
fn version(libraries: &Path) -> Option<String> {
    let root = libraries.parent()?;
    if let Ok(text) = std::fs::read_to_string(root.join("build-version")) {
        return Some(text.trim().to_owned());
    }
    let text = std::fs::read_to_string(root.join("version.py")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("__version__ = "))?;
    Some(line.trim_matches(['\'', '"']).to_owned())
}

/// What glibc shall be told: what it would be anyway, and huge pages unless that says something about them.
fn tunables() -> OsString {
    let mut told = std::env::var_os(TUNABLES).unwrap_or_default();
    let (name, value) = HUGE_PAGES;
    if !told.to_string_lossy().contains(name) {
        if !told.is_empty() {
            told.push(":");
        }
        told.push(format!("{name}={value}"));
    }
    told
}

/// What the loader shall search: these libraries, then what it would anyway.
fn search_path(libraries: &Path) -> OsString {
    let mut path = libraries.as_os_str().to_owned();
    if let Some(more) = std::env::var_os(SEARCH_PATH).filter(|more| !more.is_empty()) {
        path.push(":");
        path.push(more);
    }
    path
}
