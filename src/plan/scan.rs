//! Selects the scenes and gives each the name of its outputs.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use walkdir::WalkDir;

use super::patterns::Patterns;
use super::{Area, Refusal};
use crate::config::name_fault;
use crate::raster::{Driver, Drivers, RasterError, Shapes, is_mosaic};
use crate::words::{count, listed};

/// What to look at.
#[derive(Clone, Debug, Default)]
pub struct ScanOptions {
    /// One folder, one list file, or files.
    pub inputs: Vec<PathBuf>,
    /// Globs over paths relative to the folder; none means GeoTIFFs by name, or else pictures.
    pub include: Vec<String>,
    /// Globs that take files out again, and folders with all that is in them.
    pub exclude: Vec<String>,
    /// The run directory: never scanned.
    pub run_dir: Option<PathBuf>,
    /// Where each band has a file of its own: the patterns of their names, in the order of the plan's bands.
    pub bands: Vec<String>,
    /// Where on the ground work is done; `None` for everywhere.
    pub area: Option<Shapes>,
    /// Formats that may be opened.
    pub drivers: Drivers,
    /// Whether scenes are known by all bytes of their files.
    pub hash_inputs: bool,
    /// Folders where parts of mosaics may lie as well.
    pub homes: Vec<PathBuf>,
    /// What scene files are told from, where that is not the folder of the inputs: other hosts may have it elsewhere.
    pub root: Option<PathBuf>,
}

/// A file that is a scene.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScannedScene {
    /// Name of its outputs without extension, with `/` between folders.
    pub name: String,
    /// The file, relative to the root.
    pub file: PathBuf,
    /// Where each band has a file of its own: all of them, `file` first, in the order of the plan's bands.
    pub files: Vec<PathBuf>,
    /// The page of it, counted from 1; `None` for the only one.
    pub page: Option<u32>,
}

impl ScannedScene {
    /// The file, or those of its bands.
    pub(super) fn all_files(&self) -> impl Iterator<Item = &PathBuf> {
        let own = self.files.is_empty().then_some(&self.file);
        own.into_iter().chain(&self.files)
    }

    pub(super) fn paths(&self, root: &Path) -> Vec<PathBuf> {
        paths_of(root, &self.file, &self.files)
    }
}

/// Where all files of a scene are: `files`, or else the only one.
pub(super) fn paths_of(root: &Path, file: &Path, files: &[PathBuf]) -> Vec<PathBuf> {
    if files.is_empty() { vec![root.join(file)] } else { files.iter().map(|file| root.join(file)).collect() }
}

/// What the walk found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scanned {
    /// What scene files are relative to; empty when they are as given.
    pub root: PathBuf,
    /// Folders, by their real names, where parts of mosaics may lie as well.
    pub homes: Vec<PathBuf>,
    /// Whether the scenes were found there; otherwise each was named.
    pub is_walked: bool,
    /// The scenes by name.
    pub scenes: Vec<ScannedScene>,
    /// Files whose names no output can have, and folders that cannot be listed.
    pub refused: Vec<Refusal>,
    /// Files that are no scenes.
    pub ignored: u64,
    /// What a person should know: patterns that match nothing.
    pub warnings: Vec<String>,
    /// Where on the ground work is done.
    pub area: Option<Area>,
    /// Whether scenes are known by all bytes of their files.
    pub hash_inputs: bool,
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
    /// The file of the area cannot be read.
    #[error("cannot read the area `{}`: {error}", path.display())]
    Area {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: RasterError,
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
        /// The pattern, as it was given.
        pattern: String,
        /// What is wrong.
        detail: String,
    },
    /// Nothing to do: not one file is a scene.
    #[error(
        "no scene in {inputs} ({} ignored); scenes are *.tif and *.tiff, or else *.png and *.jpg, or what --include says",
        count(*ignored, "other file")
    )]
    Nothing {
        /// The inputs.
        inputs: String,
        /// Files that were ignored.
        ignored: u64,
    },
    /// Scenes that another host would not find.
    #[error(
        "--input-root `{}`: {} outside of it; name a folder that holds all scenes",
        root.display(),
        lie(files)
    )]
    OutsideRoot {
        /// The folder.
        root: PathBuf,
        /// Files that lie elsewhere.
        files: Vec<PathBuf>,
    },
    /// Scenes that would be written to one file.
    #[error("{}", said_of_pairs(.0))]
    Names(Vec<String>),
}

/// Finds the scenes below the inputs and names their outputs. No scene is opened.
///
/// # Errors
/// When an input cannot be read, there is no scene, or two scenes map to one output; all such pairs are listed together. A name that
/// no output can have costs its scene, a folder that cannot be listed costs itself.
pub fn scan(options: &ScanOptions) -> Result<Scanned, ScanError> {
    let mut scanned = match options.inputs.as_slice() {
        [folder] if folder.is_dir() => walk(folder, options)?,
        [list] if is_list(list) => without_patterns(read_list(list)?, options),
        files => without_patterns(files_as_given(files)?, options),
    };
    if let Some(root) = &options.root {
        tell_from(&mut scanned, root)?;
    }
    if !options.bands.is_empty() {
        gather(&mut scanned, &options.bands);
    }
    refuse_names(&mut scanned);
    if scanned.scenes.is_empty() && scanned.refused.is_empty() {
        let inputs = options.inputs.iter().map(|p| format!("`{}`", p.display())).collect::<Vec<_>>().join(", ");
        let inputs = [&[inputs], scanned.warnings.as_slice()].concat().join("; ");
        return Err(ScanError::Nothing { inputs, ignored: scanned.ignored });
    }
    scanned.hash_inputs = options.hash_inputs;
    scanned.homes.clone_from(&options.homes);
    scanned.scenes.sort_by(|a, b| a.name.cmp(&b.name).then(a.file.cmp(&b.file)));
    // Of a folder a file that is called like a mosaic may be a part of it, which only the mosaic tells.
    check_pairs(scanned.scenes.iter().filter(|scene| !(scanned.is_walked && is_mosaic(&scene.file))))
        .map_err(ScanError::Names)?;
    if let Some(shapes) = &options.area {
        let of_file = |error| match shapes {
            Shapes::File { path, .. } => ScanError::Area { path: path.clone(), error },
            Shapes::Bounds { .. } => ScanError::Area { path: PathBuf::new(), error },
        };
        scanned.area = Some(Area::new(shapes.clone()).map_err(of_file)?);
    }
    Ok(scanned)
}

/// Tells where scene files are from this folder, whatever they were found by.
fn tell_from(scanned: &mut Scanned, root: &Path) -> Result<(), ScanError> {
    let fail = |detail: String| ScanError::Input { path: root.to_owned(), detail };
    let real = root.canonicalize().map_err(|e| fail(e.to_string()))?;
    if !real.is_dir() {
        return Err(fail("--input-root is a folder".into()));
    }
    let root = std::path::absolute(root).map_err(|e| fail(e.to_string()))?;
    let mut outside = Vec::new();
    for scene in &mut scanned.scenes {
        let file = scanned.root.join(&scene.file);
        match below(&root, &real, &file) {
            Some(inside) => scene.file = inside,
            None => outside.push(file),
        }
    }
    scanned.root.clone_from(&root);
    if outside.is_empty() { Ok(()) } else { Err(ScanError::OutsideRoot { root, files: outside }) }
}

/// The way from a folder, which has a real name without links, to a file below it. Links on the way are kept where they can be.
fn below(root: &Path, real: &Path, file: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(file).ok()?;
    let is_plain = |path: &Path| path.components().all(|c| c != Component::ParentDir);
    if let Ok(inside) = path.strip_prefix(root).or_else(|_| path.strip_prefix(real)).map(Path::to_owned)
        && is_plain(&inside)
    {
        return Some(inside);
    }
    let folder = path.parent()?.canonicalize().ok()?;
    Some(folder.strip_prefix(real).ok()?.join(path.file_name()?))
}

/// Files as the subject of a sentence.
fn lie(files: &[PathBuf]) -> String {
    let names: Vec<String> = files.iter().map(|file| format!("`{}`", escaped(file))).collect();
    format!("{} {}", listed(&names, LISTED), if files.len() == 1 { "lies" } else { "lie" })
}

/// Files that an error names.
const LISTED: usize = 3;

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
    let mut scanned = Scanned { root: folder.to_owned(), is_walked: true, ..Scanned::default() };
    let hidden = |e: &walkdir::DirEntry| e.depth() > 0 && e.file_name().to_string_lossy().starts_with('.');
    let is_run_dir = |e: &walkdir::DirEntry| {
        e.depth() > 0 && e.file_type().is_dir() && run_dir.is_some() && e.path().canonicalize().ok() == run_dir
    };
    let is_left_out = |e: &walkdir::DirEntry| {
        let inside = e.path().strip_prefix(folder).unwrap_or(e.path());
        e.depth() > 0 && e.file_type().is_dir() && exclude.is_folder_match(inside)
    };
    let (mut pictures, mut mosaics) = (Vec::new(), 0);
    let known = Known::of(options.drivers);
    let walk = WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter();
    let is_skipped = |e: &walkdir::DirEntry| is_run_dir(e) || (hidden(e) && e.file_type().is_dir()) || is_left_out(e);
    for entry in walk.filter_entry(|e| !is_skipped(e)) {
        let path = match entry {
            Ok(entry) if entry.file_type().is_dir() => continue,
            Ok(entry) => entry.into_path(),
            Err(e) => match e.path() {
                // A link to nothing is still a name that somebody expects a mask for.
                Some(path) if path.is_symlink() => path.to_owned(),
                Some(path) if e.depth() > 0 => {
                    scanned.refused.push(unlisted(folder, path, &e));
                    continue;
                }
                _ => return Err(ScanError::Input { path: folder.into(), detail: cause(&e) }),
            },
        };
        let file = path.strip_prefix(folder).unwrap_or(&path).to_owned();
        let is_hidden = file.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
        let is_band = options.bands.iter().any(|pattern| star_of(&file, pattern).is_some());
        let is_scene = !is_hidden && !exclude.is_match(&file);
        let by_name = include.is_empty() && options.bands.is_empty();
        if by_name && is_scene && known.is_picture(&file) {
            pictures.push(file);
            continue;
        }
        let wanted = match (include.is_empty(), options.bands.is_empty()) {
            (true, true) => known.is_scene(&file),
            (true, false) => is_band,
            (false, of_one_file) => include.is_match(&file) && (of_one_file || is_band),
        };
        if wanted && is_scene {
            scanned.scenes.push(scene_of(file));
        } else {
            scanned.ignored += 1;
            mosaics += u64::from(by_name && is_scene && has_extension(&file, &[MOSAIC]));
        }
    }
    scanned.warnings = [include.unmatched(), exclude.unmatched()].concat();
    Ok(or_pictures(scanned, pictures, mosaics))
}

/// Takes pictures for scenes where there is nothing else; tells of mosaics that would be, too.
fn or_pictures(mut scanned: Scanned, pictures: Vec<PathBuf>, mosaics: u64) -> Scanned {
    if scanned.scenes.is_empty() && !pictures.is_empty() {
        let n = count(pictures.len() as u64, "file");
        scanned.warnings.push(format!("there is no *.tif or *.tiff: the scenes are *.png, *.jpg and *.jpeg ({n})"));
        scanned.scenes = pictures.into_iter().map(scene_of).collect();
    } else {
        scanned.ignored += pictures.len() as u64;
    }
    if scanned.scenes.is_empty() && mosaics > 0 {
        let n = count(mosaics, "mosaic");
        scanned.warnings.push(format!("{n} (*.vrt): input.drivers = [\"GTiff\", \"VRT\"] makes scenes of them"));
    }
    scanned
}

/// A folder (or what cannot be told from one) whose scenes nobody knows.
fn unlisted(folder: &Path, path: &Path, error: &walkdir::Error) -> Refusal {
    // With a slash at its end it is no scene's name: there may be a scene that is called like the folder.
    let name = format!("{}/", escaped(path.strip_prefix(folder).unwrap_or(path)));
    let cause = format!("cannot list this folder, so nobody knows its scenes: {}", cause(error));
    Refusal::new(name, escaped(path), None, cause)
}

/// What the system said, without the path, which the message has already.
fn cause(error: &walkdir::Error) -> String {
    error.io_error().map_or_else(|| error.to_string(), ToString::to_string)
}

/// How scenes end where nothing else is said, and those that are scenes where there is none of the former.
const TIFFS: [&str; 2] = ["tif", "tiff"];
const PICTURES: [&str; 3] = ["png", "jpg", "jpeg"];
const MOSAIC: &str = "vrt";

/// How scenes end, by the formats that may be opened.
struct Known {
    scenes: Vec<&'static str>,
    pictures: Vec<&'static str>,
}

impl Known {
    fn of(drivers: Drivers) -> Self {
        let of =
            |driver, extensions: &[&'static str]| if drivers.allow(driver) { extensions.to_vec() } else { Vec::new() };
        let (png, jpeg) = PICTURES.split_at(1);
        Self {
            scenes: [of(Driver::GTiff, &TIFFS), of(Driver::Vrt, &[MOSAIC])].concat(),
            pictures: [of(Driver::Png, png), of(Driver::Jpeg, jpeg)].concat(),
        }
    }

    fn is_scene(&self, file: &Path) -> bool {
        has_extension(file, &self.scenes)
    }

    fn is_picture(&self, file: &Path) -> bool {
        has_extension(file, &self.pictures)
    }
}

fn has_extension(file: &Path, known: &[&str]) -> bool {
    file.extension().is_some_and(|e| known.iter().any(|known| e.eq_ignore_ascii_case(known)))
}

fn scene_of(file: PathBuf) -> ScannedScene {
    ScannedScene { name: stem_of(&file), file, files: Vec::new(), page: None }
}

fn is_list(path: &Path) -> bool {
    has_extension(path, &["txt", "list", "lst", "tsv"])
}

/// A list: one path a line, relative to the list's folder. Behind a TAB may follow `page=2`: the page of that file.
fn read_list(list: &Path) -> Result<Scanned, ScanError> {
    let fail = |detail: String| ScanError::Input { path: list.into(), detail };
    let bytes = std::fs::read(list).map_err(|e| fail(e.to_string()))?;
    let mut scanned = Scanned { root: list.parent().unwrap_or(Path::new("")).to_owned(), ..Scanned::default() };
    // Some editors begin a file with a byte order mark.
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    for (line, row) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        // Bytes, not text: a name that is not UTF-8 costs its scene, not the list.
        let mut columns = row.splitn(2, |byte| *byte == b'\t');
        let (path, settings) = (columns.next().unwrap_or_default(), columns.next().unwrap_or_default());
        if path.trim_ascii().is_empty() || path.starts_with(b"#") {
            continue;
        }
        let settings = String::from_utf8_lossy(settings);
        let page = page_in(settings.trim()).map_err(|detail| fail(format!("line {line}: {detail}")))?;
        scanned.scenes.push(of_page(explicit(Path::new(OsStr::from_bytes(path.trim_ascii_end()))), page));
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
        scanned.scenes.push(ScannedScene { name: file_stem(path), file: path.clone(), files: Vec::new(), page: None });
    }
    Ok(scanned)
}

/// A file named in a list is always a scene. It keeps its sub-folders where it lies below the list, else only its file name.
fn explicit(path: &Path) -> ScannedScene {
    let below = path.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    let name = if below { stem_of(path) } else { file_stem(path) };
    ScannedScene { name, file: path.to_owned(), files: Vec::new(), page: None }
}

/// The path without its last extension (`a.1.tif` is `a.1`), with `/` between folders.
fn stem_of(file: &Path) -> String {
    let parts = normal(&file.with_extension(""));
    parts.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

fn file_stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// What the star of a pattern stands for in a file's name, if that follows it.
fn star_of<'a>(file: &'a Path, pattern: &str) -> Option<&'a str> {
    let (before, behind) = pattern.split_once('*')?;
    file.file_name()?.to_str()?.strip_prefix(before)?.strip_suffix(behind).filter(|star| !star.is_empty())
}

/// Makes scenes of files that hold a band each: those whose names differ in nothing but what the patterns say.
fn gather(scanned: &mut Scanned, patterns: &[String]) {
    let mut groups: BTreeMap<String, Vec<Option<PathBuf>>> = BTreeMap::new();
    for scene in std::mem::take(&mut scanned.scenes) {
        // Of several that match the longest says most.
        let matching =
            (0..).zip(patterns).filter_map(|(at, pattern)| Some((pattern.len(), at, star_of(&scene.file, pattern)?)));
        let Some((_, at, star)) = matching.max_by_key(|(length, ..)| *length) else {
            let cause = format!("its name follows none of the patterns of input.bands ({})", patterns.join(", "));
            scanned.refused.push(Refusal::new(scene.name, escaped(&scanned.root.join(&scene.file)), None, cause));
            continue;
        };
        let name = match scene.name.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/{star}"),
            None => star.to_owned(),
        };
        let at: usize = at;
        let files = groups.entry(name).or_insert_with(|| vec![None; patterns.len()]);
        if let Some(other) = files[at].replace(scene.file) {
            let cause = format!(
                "another file of {} is there for the same scene; input.bands tells them not apart",
                patterns[at]
            );
            scanned.refused.push(Refusal::new(scene.name, escaped(&scanned.root.join(&other)), None, cause));
        }
    }
    for (name, files) in groups {
        let missing: Vec<&str> = files
            .iter()
            .zip(patterns)
            .filter(|(file, _)| file.is_none())
            .map(|(_, pattern)| pattern.as_str())
            .collect();
        let there: Vec<PathBuf> = files.iter().flatten().cloned().collect();
        let Some(file) = there.first().cloned() else { continue };
        if missing.is_empty() {
            scanned.scenes.push(ScannedScene { name, file, files: there, page: None });
        } else {
            let cause = format!("it has no file for {}, a band that the pipeline reads", missing.join(" and "));
            scanned.refused.push(Refusal::new(name, escaped(&scanned.root.join(&file)), None, cause));
        }
    }
}

/// Sets aside the scenes whose names no output can have.
fn refuse_names(scanned: &mut Scanned) {
    let root = &scanned.root;
    for scene in std::mem::take(&mut scanned.scenes) {
        match name_fault(&scene.name) {
            None => scanned.scenes.push(scene),
            Some(fault) => {
                let name = escaped(&normal(&scene.file.with_extension("")));
                let cause = format!("no output can be called after it: {fault}; rename the file");
                scanned.refused.push(Refusal::new(name, escaped(&root.join(&scene.file)), None, cause));
            }
        }
    }
}

/// What a scene is called where a person reads it: its file, and the page where one is named.
pub(super) fn label(file: &Path, page: Option<u32>) -> String {
    page.map_or_else(|| file.display().to_string(), |page| format!("{} (page {page})", file.display()))
}

/// A path without its root and without what leads out of it.
fn normal(path: &Path) -> PathBuf {
    path.components().filter(|c| matches!(c, Component::Normal(_))).collect()
}

/// A path for people: line breaks and bytes that are no text are spelled out, so that it stays one line and no two look alike.
fn escaped(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() { text.extend(c.escape_default()) } else { text.push(c) }
        }
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

/// Refuses every pair that would share an output, or would on a file system that ignores case.
pub(super) fn check_pairs<'a>(scenes: impl Iterator<Item = &'a ScannedScene>) -> Result<(), Vec<String>> {
    let mut by_name: BTreeMap<String, Vec<&ScannedScene>> = BTreeMap::new();
    for scene in scenes {
        by_name.entry(scene.name.to_lowercase()).or_default().push(scene);
    }
    let problem = |twins: &Vec<&ScannedScene>| {
        let files = twins.iter().map(|s| format!("`{}`", label(&s.file, s.page))).collect::<Vec<_>>().join(" and ");
        format!("{files} would {} be written to `{}.png`", if twins.len() == 2 { "both" } else { "all" }, twins[0].name)
    };
    let problems: Vec<String> = by_name.values().filter(|twins| twins.len() > 1).map(problem).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// What is said of such pairs.
pub(super) fn said_of_pairs(pairs: &[String]) -> String {
    format!(
        "output names that more than one input has; rename one of them, or leave it out (--exclude):\n  {}",
        pairs.join("\n  ")
    )
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
    fn all_pairs_are_listed_together() {
        let dir = folder(&["a.tif", "a.tiff", "B.tif", "b.tif", "c:d.tif"]);
        let error = scan(&ScanOptions { inputs: vec![dir.path().into()], ..ScanOptions::default() }).unwrap_err();
        let text = error.to_string();
        for part in ["`a.tif` and `a.tiff`", "`B.tif` and `b.tif`"] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
        assert!(!text.contains("c:d.tif"), "{text}");
    }

    #[test]
    fn a_name_that_no_output_can_have_costs_its_scene_alone() {
        use std::os::unix::ffi::OsStrExt;
        let dir = folder(&["a.tif", "c:d.tif", "e\nf.tif"]);
        for bytes in [&b"g\xff.tif"[..], b"g\xfe.tif"] {
            crate::atomic::write(&dir.path().join(std::ffi::OsStr::from_bytes(bytes)), b"x").unwrap();
        }
        let scanned = scan(&ScanOptions { inputs: vec![dir.path().into()], ..ScanOptions::default() }).unwrap();
        let mut names: Vec<&str> = scanned.refused.iter().map(|r| r.failure.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["c:d", "e\\nf", "g\\xfe", "g\\xff"]);
        assert_eq!(scanned.scenes.len(), 1);
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
        assert!(error.to_string().contains("1 other file ignored"), "{error}");
        let missing = dir.path().join("no.tif");
        let error = scan(&ScanOptions { inputs: vec![missing], ..ScanOptions::default() }).unwrap_err();
        assert!(error.to_string().contains("no.tif"), "{error}");
    }
}
