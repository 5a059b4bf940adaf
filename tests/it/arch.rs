//! The layering that `src/lib.rs` states, checked on the text of the sources: who uses whom, which crate belongs to which folder, who
//! may print, and where `unsafe` is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What each folder (or file) of `src` may use of the others.
const ARROWS: [(&str, &[&str]); 25] = [
    ("geom", &[]),
    ("tiler", &["geom"]),
    ("faults", &[]),
    ("exit", &[]),
    ("process", &[]),
    ("flow", &["faults"]),
    ("atomic", &[]),
    ("words", &[]),
    ("raster", &["atomic", "faults", "geom", "process"]),
    ("weights", &["atomic"]),
    ("zoo", &["atomic", "geom", "weights"]),
    ("config", &["raster", "tiler", "words", "zoo"]),
    ("journal", &["atomic"]),
    ("plan", &["atomic", "config", "geom", "journal", "outputs", "post", "raster", "tiler", "words", "zoo"]),
    ("infer", &["config", "faults", "geom", "plan", "raster", "tiler", "weights", "zoo"]),
    ("post", &["config", "geom"]),
    ("outputs", &["atomic", "config", "geom", "journal"]),
    ("package", &["atomic", "config", "geom", "outputs"]),
    ("eval", &["config", "geom", "outputs", "raster"]),
    ("synth", &["config", "geom"]),
    (
        "stages",
        &[
            "atomic", "config", "faults", "flow", "geom", "infer", "journal", "outputs", "plan", "post", "raster",
            "tiler",
        ],
    ),
    ("report", &["atomic", "outputs", "words"]),
    ("lifecycle", &["atomic", "exit", "flow", "process", "report", "words"]),
    (
        "app",
        &[
            "atomic",
            "config",
            "eval",
            "exit",
            "faults",
            "flow",
            "geom",
            "infer",
            "journal",
            "lifecycle",
            "outputs",
            "package",
            "plan",
            "process",
            "raster",
            "report",
            "stages",
            "synth",
            "weights",
            "words",
            "zoo",
        ],
    ),
    (
        "cli",
        &[
            "app",
            "config",
            "exit",
            "flow",
            "infer",
            "lifecycle",
            "outputs",
            "plan",
            "report",
            "stages",
            "weights",
            "words",
            "zoo",
        ],
    ),
];

/// What is no part of the library.
const OUTSIDE: [&str; 5] = ["lib", "main", "program", "launcher", "build"];

/// Crates that only some places know.
const OWNERS: [(&str, &[&str]); 19] = [
    ("libc", &["process/leave.rs"]),
    ("rustix", &["process/", "app/run/disk.rs"]),
    ("tch", &["zoo/", "infer/torch/"]),
    ("libloading", &["infer/torch/cuda.rs"]),
    ("gdal", &["raster/gdal/"]),
    ("gdal_sys", &["raster/gdal/"]),
    ("tokio", &["lifecycle/"]),
    ("crossbeam_channel", &["flow/"]),
    ("zip", &["package/", "weights/pth/"]),
    ("png", &["outputs/"]),
    ("image", &["synth/"]),
    ("indicatif", &["report/"]),
    ("console", &["report/"]),
    ("textwrap", &["report/"]),
    ("chrono", &["app/run/record.rs"]),
    ("clap", &["cli/"]),
    ("walkdir", &["plan/scan.rs", "eval/", "app/"]),
    ("rusqlite", &["journal/store"]),
    ("zstd", &["journal/artefact.rs"]),
];

/// Every file that has `unsafe` code, and why is written there.
const UNSAFE: [&str; 2] = ["infer/torch/cuda.rs", "process/leave.rs"];

/// The sources without their test modules, by path relative to `src`.
fn sources() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = walkdir::WalkDir::new(&root).into_iter().map(Result::unwrap).map(walkdir::DirEntry::into_path);
    let code = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let lines = code.lines().filter(|l| !l.trim_start().starts_with("//"));
        let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        (name, lines.collect::<Vec<_>>().join("\n"))
    };
    files.filter(|p| p.extension().is_some_and(|e| e == "rs")).map(code).collect()
}

fn folder(file: &str) -> &str {
    file.split('/').next().unwrap().trim_end_matches(".rs")
}

/// The names that follow `prefix` in a text: `crate::geom` gives `geom`.
fn names_after<'a>(text: &'a str, prefix: &str) -> BTreeSet<&'a str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let follows = text.match_indices(prefix).filter(|(at, _)| !text[..*at].ends_with(is_word));
    follows.map(|(at, _)| text[at + prefix.len()..].split(|c| !is_word(c)).next().unwrap()).collect()
}

#[test]
fn folders_use_only_what_the_arrows_allow() {
    let arrows: BTreeMap<_, _> = ARROWS.into_iter().collect();
    for (file, code) in sources() {
        let from = folder(&file);
        if OUTSIDE.contains(&from) {
            continue;
        }
        let allowed = arrows.get(from).unwrap_or_else(|| panic!("{from} has no line in ARROWS"));
        for to in names_after(&code, "crate::") {
            let is_folder = arrows.contains_key(to);
            assert!(!is_folder || to == from || allowed.contains(&to), "{file} uses {to}");
        }
    }
}

#[test]
fn the_arrows_have_no_cycle() {
    let mut left: BTreeMap<_, _> = ARROWS.into_iter().collect();
    while !left.is_empty() {
        let free: Vec<&str> =
            left.iter().filter(|(_, to)| to.iter().all(|t| !left.contains_key(t))).map(|(f, _)| *f).collect();
        assert!(!free.is_empty(), "a cycle among {:?}", left.keys());
        left.retain(|f, _| !free.contains(f));
    }
}

#[test]
fn a_crate_is_known_only_where_it_belongs() {
    for (file, code) in sources() {
        for (name, owners) in OWNERS {
            let uses = format!("{name}::");
            let local =
                |before: &str| before.ends_with("::") || before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let known = code.match_indices(&uses).any(|(at, _)| !local(&code[..at]));
            assert!(!known || owners.iter().any(|o| file.starts_with(o)), "{file} knows the crate {name}");
        }
    }
}

#[test]
fn flow_names_no_raster_and_no_tensor() {
    for (file, code) in sources().into_iter().filter(|(f, _)| f.starts_with("flow/")) {
        for word in ["Raster", "Scene", "Tensor", "Logits", "Tile", "Pixel"] {
            assert!(!code.contains(word), "{file} names {word}");
        }
    }
}

#[test]
fn stages_and_models_do_not_use_their_siblings() {
    let stages = ["read", "tile", "infer", "average", "keep", "stitch", "post", "encode", "commit"];
    for (file, code) in sources() {
        if file.starts_with("stages/") && !file.ends_with("mod.rs") {
            let own = file.trim_start_matches("stages/").trim_end_matches(".rs");
            let used = names_after(&code, "super::");
            assert!(!stages.iter().any(|s| *s != own && used.contains(s)), "{file} uses {used:?}");
        }
        if file.starts_with("zoo/models/") && !file.ends_with("mod.rs") {
            assert!(
                !code.contains("zoo::models::") && names_after(&code, "super::").is_empty(),
                "{file} uses a sibling"
            );
        }
    }
}

#[test]
fn only_report_prints() {
    for (file, code) in sources() {
        let prints = ["println!", "print!(", "io::stdout()", "io::stderr()"].iter().any(|p| code.contains(p));
        // The launcher runs where the library, and with it `report`, cannot be loaded; a build script talks to cargo.
        let may = file.starts_with("report/") || ["launcher.rs", "build.rs"].contains(&file.as_str());
        assert!(!prints || may, "{file} prints");
    }
}

#[test]
fn unsafe_code_is_where_the_list_says() {
    let found: Vec<String> =
        sources().into_iter().filter(|(_, code)| code.contains("unsafe {")).map(|(f, _)| f).collect();
    assert_eq!(found, UNSAFE);
    let architecture = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    for file in UNSAFE {
        assert!(architecture.contains(&format!("`{file}`")), "lib.rs does not list {file}");
    }
}

#[test]
fn every_folder_is_on_the_code_map() {
    let architecture = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    for (name, _) in ARROWS {
        assert!(architecture.contains(&format!("//! | [`{name}`]")), "{name} is not on the map in lib.rs");
    }
}

#[test]
fn files_and_documentation_keep_to_the_house_rules() {
    for (file, _) in sources() {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(&file)).unwrap();
        assert!(text.starts_with("//!"), "{file} has no module documentation");
        assert!(text.lines().count() <= 800, "{file} is too long");
    }
}
