//! Selects the scenes and gives each the name of its outputs.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use walkdir::WalkDir;

use super::patterns::Patterns;

/// What to look at.
#[derive(Clone, Debug, Default)]
pub struct ScanOptions {
    /// One folder, one list file, or files.
    pub inputs: Vec<PathBuf>,
    /// Globs over paths relative to the folder; none means GeoTIFFs by name.
    pub include: Vec<String>,
    /// Globs that take files out again, and folders with all that is in them.
    pub exclude: Vec<String>,
    /// The run directory: never scanned.
    pub run_dir: Option<PathBuf>,
}

/// A file that is a scene.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScannedScene {
    /// Name of its outputs without extension, with `/` between folders.
    pub name: String,
    /// The file, relative to the root.
    pub file: PathBuf,
}

/// What the walk found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// What scene files are relative to; empty when they are as given.
    pub root: PathBuf,
    /// The scenes by name.
    pub scenes: Vec<ScannedScene>,
    /// Files that are no scenes.
    pub ignored: u64,
    /// What a person should know: patterns that match nothing.
    pub warnings: Vec<String>,
}

/// Why the inputs cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// An input does not exist or cannot be listed.
    #[error("cannot read the input `{}`: {detail}", path.display())]
    Input {
        /// The path.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// A folder beside other inputs.
    #[error("`{}` is a folder; give one folder, one list file, or files", path.display())]
    Mixed {
        /// The folder.
        path: PathBuf,
    },
    /// A glob that does not parse.
    #[error("cannot use the pattern `{pattern}`: {detail}")]
    Pattern {
        /// As given.
        pattern: String,
        /// What is wrong.
        detail: String,
    },
    /// Nothing to do.
    #[error(
        "no scene in {inputs} ({ignored} other files ignored); scenes are *.tif and *.tiff, or what --include says"
    )]
    Nothing {
        /// The inputs.
        inputs: String,
        /// Files that were ignored.
        ignored: u64,
    },
    /// Names that cannot be used.
    #[error("output names that cannot be used:\n  {}", .0.join("\n  "))]
    Names(Vec<String>),
}

/// Selects the scenes.
///
/// # Errors
/// When an input cannot be read, there is no scene, two scenes map to one output, or a name is unsafe in an archive. All pairs
/// and all unsafe names are listed together.
pub fn scan(options: &ScanOptions) -> Result<Scanned, ScanError> {
    let mut scanned = match options.inputs.as_slice() {
        [folder] if folder.is_dir() => walk(folder, options)?,
        [list] if is_list(list) => without_patterns(read_list(list)?, options),
        files => without_patterns(files_as_given(files)?, options),
    };
    if scanned.scenes.is_empty() {
        let inputs = options.inputs.iter().map(|p| format!("`{}`", p.display())).collect::<Vec<_>>().join(", ");
        let inputs = [&[inputs], scanned.warnings.as_slice()].concat().join("; ");
        return Err(ScanError::Nothing { inputs, ignored: scanned.ignored });
    }
    scanned.scenes.sort_by(|a, b| a.name.cmp(&b.name).then(a.file.cmp(&b.file)));
    check_names(&scanned.scenes)?;
    Ok(scanned)
}

/// Says that patterns select nothing where every file is named.
fn without_patterns(mut scanned: Scanned, options: &ScanOptions) -> Scanned {
    if !(options.include.is_empty() && options.exclude.is_empty()) {
        let text = "--include and --exclude select files in a folder; here each file is named, and all are taken";
        scanned.warnings.push(text.to_owned());
    }
    scanned
}

/// Every scene below a folder. Hidden files and folders, sidecars and all else are counted, never failed.
fn walk(folder: &Path, options: &ScanOptions) -> Result<Scanned, ScanError> {
    let include = Patterns::new("--include", &options.include)?;
    let exclude = Patterns::new("--exclude", &options.exclude)?;
    let run_dir = options.run_dir.as_ref().and_then(|d| d.canonicalize().ok());
    let mut scanned = Scanned { root: folder.to_owned(), ..Scanned::default() };
    let hidden = |e: &walkdir::DirEntry| e.depth() > 0 && e.file_name().to_string_lossy().starts_with('.');
    let is_run_dir = |e: &walkdir::DirEntry| {
        e.depth() > 0 && e.file_type().is_dir() && run_dir.is_some() && e.path().canonicalize().ok() == run_dir
    };
    let is_left_out = |e: &walkdir::DirEntry| {
        let inside = e.path().strip_prefix(folder).unwrap_or(e.path());
        e.depth() > 0 && e.file_type().is_dir() && exclude.is_folder_match(inside)
    };
    let walk = WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter();
    for entry in walk.filter_entry(|e| !(is_run_dir(e) || (hidden(e) && e.file_type().is_dir()) || is_left_out(e))) {
        let (path, is_dir) = match &entry {
            Ok(entry) => (entry.path().to_owned(), entry.file_type().is_dir()),
            Err(e) => match e.path() {
                // A link to nothing is still a name that somebody expects a mask for.
                Some(path) if path.is_symlink() => (path.to_owned(), false),
                _ => return Err(ScanError::Input { path: folder.into(), detail: e.to_string() }),
            },
        };
        if is_dir {
            continue;
        }
        let file = path.strip_prefix(folder).unwrap_or(&path).to_owned();
        let is_hidden = file.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
        let wanted = if include.is_empty() { is_geotiff_name(&file) } else { include.is_match(&file) };
        if wanted && !is_hidden && !exclude.is_match(&file) {
            scanned.scenes.push(ScannedScene { name: stem_of(&file), file });
        } else {
            scanned.ignored += 1;
        }
    }
    scanned.warnings = [include.unmatched(), exclude.unmatched()].concat();
    Ok(scanned)
}

fn is_geotiff_name(file: &Path) -> bool {
    file.extension().is_some_and(|e| e.eq_ignore_ascii_case("tif") || e.eq_ignore_ascii_case("tiff"))
}

fn is_list(path: &Path) -> bool {
    path.extension().is_some_and(|e| ["txt", "list", "lst", "tsv"].iter().any(|known| e.eq_ignore_ascii_case(known)))
}

/// A list: one path a line, relative to the list's folder. What follows a TAB is reserved for settings of that input.
fn read_list(list: &Path) -> Result<Scanned, ScanError> {
    let fail = |detail: String| ScanError::Input { path: list.into(), detail };
    let text = std::fs::read_to_string(list).map_err(|e| fail(e.to_string()))?;
    let mut scanned = Scanned { root: list.parent().unwrap_or(Path::new("")).to_owned(), ..Scanned::default() };
    // Some editors begin a file with a byte order mark.
    let lines = text.strip_prefix('\u{feff}').unwrap_or(&text).lines();
    for (line, text) in (1..).zip(lines) {
        let (path, settings) = text.split_once('\t').unwrap_or((text, ""));
        if !settings.trim().is_empty() {
            return Err(fail(format!("line {line}: settings behind a TAB are reserved; this version knows none")));
        }
        if !path.trim().is_empty() && !path.starts_with('#') {
            scanned.scenes.push(explicit(Path::new(path.trim_end())));
        }
    }
    Ok(scanned)
}

fn files_as_given(files: &[PathBuf]) -> Result<Scanned, ScanError> {
    let mut scanned = Scanned::default();
    for path in files {
        if path.is_dir() {
            return Err(ScanError::Mixed { path: path.clone() });
        }
        if !path.exists() && !path.is_symlink() {
            return Err(ScanError::Input { path: path.clone(), detail: "there is no such file".into() });
        }
        scanned.scenes.push(ScannedScene { name: file_stem(path), file: path.clone() });
    }
    Ok(scanned)
}

/// A file named in a list is always a scene. It keeps its sub-folders where it lies below the list, else only its file name.
fn explicit(path: &Path) -> ScannedScene {
    let below = path.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    ScannedScene { name: if below { stem_of(path) } else { file_stem(path) }, file: path.to_owned() }
}

/// The path without its last extension (`a.1.tif` is `a.1`), with `/` between folders.
fn stem_of(file: &Path) -> String {
    let parts = file.with_extension("");
    let names = parts.components().filter(|c| matches!(c, Component::Normal(_)));
    names.map(|c| c.as_os_str().to_string_lossy().into_owned()).collect::<Vec<_>>().join("/")
}

fn file_stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Refuses unsafe names and every pair that would share an output, or would on a file system that ignores case.
fn check_names(scenes: &[ScannedScene]) -> Result<(), ScanError> {
    let mut problems = Vec::new();
    let mut by_name: BTreeMap<String, Vec<&ScannedScene>> = BTreeMap::new();
    for scene in scenes {
        if let Some(reason) = unsafe_name(&scene.name) {
            problems.push(format!("`{}`: {reason}", scene.file.display()));
        }
        by_name.entry(scene.name.to_lowercase()).or_default().push(scene);
    }
    for twins in by_name.values().filter(|t| t.len() > 1) {
        let files = twins.iter().map(|s| format!("`{}`", s.file.display())).collect::<Vec<_>>().join(" and ");
        problems.push(format!("{files} would both be written to `{}.png`", twins[0].name));
    }
    if problems.is_empty() { Ok(()) } else { Err(ScanError::Names(problems)) }
}

fn unsafe_name(name: &str) -> Option<&'static str> {
    let bad = |c: char| c.is_control() || matches!(c, '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|');
    if name.is_empty() || name.split('/').any(|part| part.is_empty() || part == "..") {
        Some("the name is empty or leaves its folder")
    } else if name.contains('\u{fffd}') {
        Some("the name is not UTF-8")
    } else if name.contains(bad) {
        Some("the name has a character that archives or other systems cannot hold")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            crate::atomic::write(&dir.path().join(file), b"x").unwrap();
        }
        dir
    }

    fn names(options: &ScanOptions) -> Vec<String> {
        scan(options).unwrap().scenes.into_iter().map(|s| s.name).collect()
    }

    #[test]
    fn a_folder_keeps_sub_folders_and_counts_what_it_ignores() {
        let dir =
            folder(&["b.tif", "sub/a.1.tif", "sub/a.2.TIFF", "a.txt", ".hidden.tif", "b.tif.aux.xml", "run/x.tif"]);
        let options = ScanOptions {
            inputs: vec![dir.path().into()],
            run_dir: Some(dir.path().join("run")),
            ..ScanOptions::default()
        };
        assert_eq!(names(&options), ["b", "sub/a.1", "sub/a.2"]);
        assert_eq!(scan(&options).unwrap().ignored, 3);
    }

    #[test]
    fn include_and_exclude_select() {
        let dir = folder(&["a.tif", "a.dat", "b.dat"]);
        let options = ScanOptions {
            inputs: vec![dir.path().into()],
            include: vec!["*.dat".into()],
            exclude: vec!["b*".into()],
            ..ScanOptions::default()
        };
        assert_eq!(names(&options), ["a"]);
    }

    #[test]
    fn all_collisions_and_unsafe_names_are_listed() {
        let dir = folder(&["a.tif", "a.tiff", "B.tif", "b.tif", "c:d.tif"]);
        let error = scan(&ScanOptions { inputs: vec![dir.path().into()], ..ScanOptions::default() }).unwrap_err();
        let text = error.to_string();
        for part in ["`a.tif` and `a.tiff`", "`B.tif` and `b.tif`", "`c:d.tif`"] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
    }

    #[test]
    fn a_list_is_relative_to_itself_and_its_settings_are_reserved() {
        let dir = folder(&["sub/a.tif", "b.bin"]);
        let list = dir.path().join("scenes.txt");
        crate::atomic::write(&list, b"sub/a.tif\n\n# comment\nb.bin\t\n/else/where.tif\n").unwrap();
        let options = ScanOptions { inputs: vec![list.clone()], ..ScanOptions::default() };
        assert_eq!(names(&options), ["b", "sub/a", "where"]);
        crate::atomic::write(&list, b"sub/a.tif\tnodata=3\n").unwrap();
        assert!(scan(&options).unwrap_err().to_string().contains("line 1"));
    }

    #[test]
    fn an_empty_folder_and_a_missing_file_are_errors() {
        let dir = folder(&["a.txt"]);
        let error = scan(&ScanOptions { inputs: vec![dir.path().into()], ..ScanOptions::default() }).unwrap_err();
        assert!(error.to_string().contains("1 other files ignored"), "{error}");
        let missing = dir.path().join("no.tif");
        let error = scan(&ScanOptions { inputs: vec![missing], ..ScanOptions::default() }).unwrap_err();
        assert!(error.to_string().contains("no.tif"), "{error}");
    }
}
