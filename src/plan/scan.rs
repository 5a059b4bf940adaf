//! Selects the scenes and gives each the name of its outputs.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use globset::{Glob, GlobSet, GlobSetBuilder};
use walkdir::WalkDir;

/// What to look at.
#[derive(Clone, Debug, Default)]
pub struct ScanOptions {
    /// One folder, one list file, or files.
    pub inputs: Vec<PathBuf>,
    /// Globs over paths relative to the folder; none means GeoTIFFs by name.
    pub include: Vec<String>,
    /// Globs that take files out again.
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
    /// The page of it, counted from 1; `None` for the only one.
    pub page: Option<u32>,
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
        [list] if is_list(list) => read_list(list)?,
        files => files_as_given(files)?,
    };
    if scanned.scenes.is_empty() {
        let inputs = options.inputs.iter().map(|p| format!("`{}`", p.display())).collect::<Vec<_>>().join(", ");
        return Err(ScanError::Nothing { inputs, ignored: scanned.ignored });
    }
    scanned.scenes.sort_by(|a, b| a.name.cmp(&b.name).then(a.file.cmp(&b.file)));
    check_names(&scanned.scenes)?;
    Ok(scanned)
}

fn globs(patterns: &[String]) -> Result<GlobSet, ScanError> {
    let mut builder = GlobSetBuilder::new();
    let fail = |pattern: &str, e: globset::Error| ScanError::Pattern { pattern: pattern.into(), detail: e.to_string() };
    for pattern in patterns {
        builder.add(Glob::new(pattern).map_err(|e| fail(pattern, e))?);
    }
    builder.build().map_err(|e| fail(&patterns.join(" "), e))
}

/// Every scene below a folder. Hidden files and folders, sidecars and all else are counted, never failed.
fn walk(folder: &Path, options: &ScanOptions) -> Result<Scanned, ScanError> {
    let (include, exclude) = (globs(&options.include)?, globs(&options.exclude)?);
    let run_dir = options.run_dir.as_ref().and_then(|d| d.canonicalize().ok());
    let mut scanned = Scanned { root: folder.to_owned(), ..Scanned::default() };
    let hidden = |e: &walkdir::DirEntry| e.depth() > 0 && e.file_name().to_string_lossy().starts_with('.');
    let is_run_dir = |e: &walkdir::DirEntry| {
        e.depth() > 0 && e.file_type().is_dir() && run_dir.is_some() && e.path().canonicalize().ok() == run_dir
    };
    let walk = WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter();
    for entry in walk.filter_entry(|e| !(is_run_dir(e) || (hidden(e) && e.file_type().is_dir()))) {
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
        let wanted = if options.include.is_empty() { is_geotiff_name(&file) } else { include.is_match(&file) };
        if wanted && !is_hidden && !exclude.is_match(&file) {
            scanned.scenes.push(ScannedScene { name: stem_of(&file), file, page: None });
        } else {
            scanned.ignored += 1;
        }
    }
    Ok(scanned)
}

fn is_geotiff_name(file: &Path) -> bool {
    file.extension().is_some_and(|e| e.eq_ignore_ascii_case("tif") || e.eq_ignore_ascii_case("tiff"))
}

fn is_list(path: &Path) -> bool {
    path.extension().is_some_and(|e| ["txt", "list", "lst", "tsv"].iter().any(|known| e.eq_ignore_ascii_case(known)))
}

/// A list: one path a line, relative to the list's folder. Behind a TAB may follow `page=2`: the page of that file.
fn read_list(list: &Path) -> Result<Scanned, ScanError> {
    let fail = |detail: String| ScanError::Input { path: list.into(), detail };
    let text = std::fs::read_to_string(list).map_err(|e| fail(e.to_string()))?;
    let mut scanned = Scanned { root: list.parent().unwrap_or(Path::new("")).to_owned(), ..Scanned::default() };
    for (line, text) in (1..).zip(text.lines()) {
        let (path, settings) = text.split_once('\t').unwrap_or((text, ""));
        if path.trim().is_empty() || path.starts_with('#') {
            continue;
        }
        let page = page_in(settings.trim()).map_err(|detail| fail(format!("line {line}: {detail}")))?;
        scanned.scenes.push(of_page(explicit(Path::new(path.trim_end())), page));
    }
    Ok(scanned)
}

/// The page that the settings of an input name.
fn page_in(settings: &str) -> Result<Option<u32>, String> {
    let page = settings.strip_prefix("page=").and_then(|number| number.parse().ok()).filter(|page| *page > 0);
    match (settings, page) {
        ("", _) => Ok(None),
        (_, Some(page)) => Ok(Some(page)),
        (_, None) => Err(format!("`{settings}` behind the TAB is not understood; write page=2 for the second page")),
    }
}

/// The scene that is this page of a file. Its outputs tell the page.
fn of_page(scene: ScannedScene, page: Option<u32>) -> ScannedScene {
    let name = page.map_or_else(|| scene.name.clone(), |page| format!("{}.page{page}", scene.name));
    ScannedScene { name, page, ..scene }
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
        scanned.scenes.push(ScannedScene { name: file_stem(path), file: path.clone(), page: None });
    }
    Ok(scanned)
}

/// A file named in a list is always a scene. It keeps its sub-folders where it lies below the list, else only its file name.
fn explicit(path: &Path) -> ScannedScene {
    let below = path.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    ScannedScene { name: if below { stem_of(path) } else { file_stem(path) }, file: path.to_owned(), page: None }
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
        let files = twins.iter().map(|s| format!("`{}`", label(&s.file, s.page))).collect::<Vec<_>>().join(" and ");
        problems.push(format!("{files} would both be written to `{}.png`", twins[0].name));
    }
    if problems.is_empty() { Ok(()) } else { Err(ScanError::Names(problems)) }
}

/// What a scene is called where a person reads it: its file, and the page where one is named.
pub(super) fn label(file: &Path, page: Option<u32>) -> String {
    page.map_or_else(|| file.display().to_string(), |page| format!("{} (page {page})", file.display()))
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
    fn a_list_is_relative_to_itself_and_may_name_pages() {
        let dir = folder(&["sub/a.tif", "b.bin"]);
        let list = dir.path().join("scenes.txt");
        crate::atomic::write(&list, b"sub/a.tif\n\n# comment\nb.bin\t\n/else/where.tif\n").unwrap();
        let options = ScanOptions { inputs: vec![list.clone()], ..ScanOptions::default() };
        assert_eq!(names(&options), ["b", "sub/a", "where"]);
        crate::atomic::write(&list, b"sub/a.tif\tpage=2\nb.bin\tpage=1\nb.bin\n").unwrap();
        assert_eq!(names(&options), ["b", "b.page1", "sub/a.page2"]);
        for settings in ["nodata=3", "page=0", "page=-1", "page=", "page=2 x", "page=5000000000"] {
            crate::atomic::write(&list, format!("b.bin\nsub/a.tif\t{settings}\n").as_bytes()).unwrap();
            assert!(scan(&options).unwrap_err().to_string().contains("line 2"), "{settings}");
        }
        crate::atomic::write(&list, b"b.bin\tpage=2\nb.bin\tpage=2\n").unwrap();
        assert!(scan(&options).unwrap_err().to_string().contains("`b.bin (page 2)` and `b.bin (page 2)`"));
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
