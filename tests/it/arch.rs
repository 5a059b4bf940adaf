//! The layering that `src/lib.rs` states, checked on the text of the sources: who uses whom, which crate belongs to which folder, who
//! may print, and where `unsafe` is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What each folder (or file) of `src` may use of the others.
const ARROWS: [(&str, &[&str]); 31] = [
    ("geom", &[]),
    ("tiler", &["geom"]),
    ("faults", &[]),
    ("exit", &[]),
    ("process", &[]),
    ("flow", &["faults", "process"]),
    ("parallel", &[]),
    ("atomic", &["parallel"]),
    ("words", &[]),
    ("random", &[]),
    ("raster", &["atomic", "faults", "geom", "process"]),
    ("tensor", &["geom", "raster", "tiler"]),
    ("weights", &["atomic", "parallel"]),
    ("zoo", &["atomic", "geom", "random", "weights"]),
    ("config", &["geom", "raster", "tiler", "weights", "words", "zoo"]),
    ("journal", &["atomic"]),
    ("plan", &["atomic", "config", "geom", "journal", "outputs", "post", "raster", "tiler", "words", "zoo"]),
    ("infer", &["atomic", "config", "faults", "geom", "plan", "raster", "tensor", "tiler", "weights", "words", "zoo"]),
    ("post", &["config", "geom"]),
    ("train", &["config", "random", "weights", "words", "zoo"]),
    ("dataset", &["config", "flow", "geom", "plan", "random", "raster", "tiler", "words"]),
    ("gis", &["atomic", "config", "geom", "raster", "words"]),
    ("outputs", &["atomic", "config", "geom", "gis", "journal", "raster"]),
    ("package", &["atomic", "config", "geom", "outputs"]),
    ("eval", &["config", "dataset", "geom", "outputs", "raster", "words"]),
    ("synth", &["config", "geom", "random"]),
    (
        "stages",
        &[
            "atomic", "config", "faults", "flow", "geom", "infer", "journal", "outputs", "parallel", "plan", "post",
            "raster", "tiler",
        ],
    ),
    ("report", &["atomic", "eval", "outputs", "words"]),
    ("lifecycle", &["atomic", "exit", "flow", "process", "report", "words"]),
    (
        "app",
        &[
            "atomic",
            "config",
            "dataset",
            "eval",
            "exit",
            "faults",
            "flow",
            "geom",
            "gis",
            "infer",
            "journal",
            "lifecycle",
            "outputs",
            "package",
            "plan",
            "process",
            "random",
            "raster",
            "report",
            "stages",
            "synth",
            "tensor",
            "tiler",
            "train",
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
            "dataset",
            "eval",
            "exit",
            "flow",
            "geom",
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
const OWNERS: [(&str, &[&str]); 25] = [
    ("libc", &["process/leave.rs"]),
    ("landlock", &["process/fence.rs"]),
    ("roxmltree", &["raster/gdal/vrt.rs"]),
    ("rustix", &["process/", "app/run/disk.rs"]),
    ("tch", &["infer/torch/", "tensor/", "train/", "zoo/"]),
    ("ort", &["infer/onnx/"]),
    ("libloading", &["tensor/cuda.rs", "tensor/timeline.rs", "zoo/layers/onednn.rs"]),
    ("gdal", &["gis/", "raster/gdal/"]),
    ("gdal_sys", &["gis/disk.rs", "raster/gdal/color.rs", "raster/gdal/fence.rs"]),
    ("tokio", &["lifecycle/"]),
    ("crossbeam_channel", &["flow/"]),
    ("zip", &["package/", "weights/pth/"]),
    ("png", &["app/page/pictures.rs", "outputs/"]),
    ("image", &["app/page/pictures.rs", "outputs/legend.rs", "synth/"]),
    ("noto_sans_mono_bitmap", &["outputs/legend.rs"]),
    ("askama", &["report/html/"]),
    ("indicatif", &["report/"]),
    ("console", &["report/"]),
    ("crc32c", &["report/training/"]),
    ("textwrap", &["report/"]),
    ("chrono", &["app/run/record.rs"]),
    ("clap", &["cli/"]),
    ("walkdir", &["plan/scan.rs", "eval/", "app/", "dataset/"]),
    ("rusqlite", &["journal/store"]),
    ("zstd", &["journal/artefact.rs"]),
];

/// Every file that has `unsafe` code, and why is written there.
const UNSAFE: [&str; 8] = [
    "gis/disk.rs",
    "process/leave.rs",
    "raster/gdal/color.rs",
    "raster/gdal/fence.rs",
    "tensor/cuda.rs",
    "tensor/staging.rs",
    "tensor/timeline.rs",
    "zoo/layers/onednn.rs",
];

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

/// The names that follow `prefix` in a text: `crate::geom` gives `geom`, and `crate::{geom, plan::Unit}` gives both.
fn names_after<'a>(text: &'a str, prefix: &str) -> BTreeSet<&'a str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let word = |text: &'a str| text.trim_start().split(|c| !is_word(c)).next().unwrap();
    let follows = text.match_indices(prefix).filter(|(at, _)| !text[..*at].ends_with(is_word));
    let named = |(at, _): (usize, &str)| match text[at + prefix.len()..].strip_prefix('{') {
        None => vec![word(&text[at + prefix.len()..])],
        Some(list) => parts(list).into_iter().map(word).collect(),
    };
    follows.flat_map(named).collect()
}

/// What stands between the commas of a list, up to the brace that ends it.
fn parts(list: &str) -> Vec<&str> {
    let (mut depth, mut begin, mut parts) = (0, 0, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                parts.push(&list[begin..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&list[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.into_iter().filter(|part| !part.trim().is_empty()).collect()
}

type Module = Vec<String>;

fn module(file: &str) -> Module {
    let parts = file.trim_end_matches(".rs").trim_end_matches("/mod").split('/');
    parts.map(str::to_owned).collect()
}

/// Every path that a text uses, spelled out, and whether it is handed on (`pub use`).
fn uses(code: &str) -> Vec<(Module, bool)> {
    let spelled = |tree: &str| {
        let mut open = vec![tree.to_owned()];
        let mut paths = Vec::new();
        while let Some(tree) = open.pop() {
            match tree.split_once('{') {
                None => paths.push(tree.split(" as ").next().unwrap().trim().to_owned()),
                Some((head, list)) => open.extend(parts(list).iter().map(|part| head.trim().to_owned() + part.trim())),
            }
        }
        paths
    };
    let lines = code.match_indices("use ").filter(|(at, _)| {
        let line = code[..*at].rsplit('\n').next().unwrap().trim();
        line.is_empty() || line.starts_with("pub")
    });
    let of_line = |(at, _): (usize, &str)| {
        let is_public = code[..at].rsplit('\n').next().unwrap().contains("pub");
        let tree = code[at + 4..].split(';').next().unwrap().to_owned();
        let path = |path: String| (path.split("::").map(|name| name.trim().to_owned()).collect(), is_public);
        spelled(&tree).into_iter().map(path).collect::<Vec<_>>()
    };
    lines.flat_map(of_line).collect()
}

/// Folders whose files know each other in a circle, and why that stays.
const KNOTS: [(&str, &str); 3] = [
    ("eval", "a report, its text and its hints: one thing in several files"),
    ("plan", "a plan holds its units, and a unit is spelled out by its plan"),
    ("zoo/spec", "near names are sought among presets, and advise who asks for one"),
];

/// Who uses whom among the files of each folder; what lies in a folder below counts as that folder.
fn edges() -> BTreeMap<Module, BTreeMap<String, BTreeSet<String>>> {
    let code: BTreeMap<Module, String> = sources().into_iter().map(|(file, code)| (module(&file), code)).collect();
    // Names that a folder hands on stand for the files that have them.
    let mut handed_on: BTreeMap<Module, Module> = BTreeMap::new();
    for (own, text) in &code {
        for (path, _) in uses(text).into_iter().filter(|(_, is_public)| *is_public) {
            let (name, within) = path.split_last().unwrap();
            let target = [&own[..], within].concat();
            if code.contains_key(&target) {
                handed_on.insert([&own[..], std::slice::from_ref(name)].concat(), target);
            }
        }
    }
    let resolve = |own: &Module, path: &Module| -> Option<Module> {
        let ups = path.iter().take_while(|name| *name == "super").count();
        let (mut at, rest) = match path.first()?.as_str() {
            "crate" => (Module::new(), &path[1..]),
            "super" => (own[..own.len() - ups.min(own.len())].to_vec(), &path[ups..]),
            _ => (own.clone(), &path[..]),
        };
        for name in rest {
            let next = [&at[..], std::slice::from_ref(name)].concat();
            match (code.contains_key(&next), handed_on.get(&next)) {
                (true, _) => at = next,
                (false, Some(file)) => at = file.clone(),
                (false, None) => break,
            }
        }
        Some(at)
    };
    let mut edges: BTreeMap<Module, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (own, text) in code.iter().filter(|(own, _)| !own.iter().any(|name| name == "tests")) {
        for to in uses(text).iter().filter_map(|(path, _)| resolve(own, path)) {
            let common = own.iter().zip(&to).take_while(|(a, b)| a == b).count();
            if common < own.len() && common < to.len() {
                let folder = edges.entry(own[..common].to_vec()).or_default();
                folder.entry(own[common].clone()).or_default().insert(to[common].clone());
            }
        }
    }
    edges
}

#[test]
fn files_of_a_folder_know_each_other_in_no_circle() {
    let edges = edges();
    assert!(edges.values().map(BTreeMap::len).sum::<usize>() > 150, "too few are seen: {edges:?}");
    let mut knots = Vec::new();
    for (folder, mut files) in edges.into_iter().filter(|(folder, _)| !folder.is_empty()) {
        loop {
            let names: BTreeSet<String> = files.keys().cloned().collect();
            let before = files.len();
            files.retain(|_, to| to.iter().any(|to| names.contains(to)));
            if files.len() == before {
                break;
            }
        }
        if !files.is_empty() {
            knots.push((folder.join("/"), files));
        }
    }
    let found: Vec<&str> = knots.iter().map(|(folder, _)| folder.as_str()).collect();
    assert_eq!(found, KNOTS.map(|(folder, _)| folder), "{knots:?}");
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
        assert!(
            [format!("//! | [`{name}`]"), format!("//! | `{name}`")].iter().any(|line| architecture.contains(line)),
            "{name} is not on the map in lib.rs"
        );
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
