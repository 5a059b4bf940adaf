//! What the documentation tells people to type works, and what it lists is all there is.
#![cfg(feature = "gdal")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use swath::geom::Size;

use crate::support::command::{Workdir, geotiff, own_weights};
use crate::support::memory::values;

/// Where a person reads what to type, in the order in which the lines are tried.
const PAGES: [&str; 8] = [
    "README.md",
    "pipelines/README.md",
    "src/zoo/README.md",
    "src/journal/README.md",
    "src/app/launch/README.md",
    "src/python/README.md",
    "tests/bench/README.md",
    ".github/CONTRIBUTING.md",
];

/// Lines that are not run here, and why.
const NOT_RUN: [(&str, &str); 15] = [
    ("bash run.sh", "sets up the machine; its last two steps are lines of their own"),
    ("bash run.sh test", "runs this very test"),
    ("bash run.sh test -- resume", "runs other tests"),
    ("cargo test --no-default-features", "builds another program"),
    ("bash run.sh test -- NAME", "runs other tests"),
    ("UPDATE_GOLDEN=1 bash run.sh test -- golden", "writes into the clone"),
    ("eval \"$(bash run.sh env)\"", "sets up the machine"),
    ("bash run.sh env --cargo", "writes into the clone"),
    ("bash run.sh wheel", "wheel.rs does"),
    ("bash run.sh wheel --static", "builds GDAL"),
    ("pip install target-bundle/swath-*.whl", "installs torch"),
    ("pip install 'swath[arrays,progress] @ file:///FOLDER/swath-0.1.0-py3-none-linux_x86_64.whl'", "installs torch"),
    ("cargo install cargo-fuzz --locked", "installs a program"),
    ("python tests/fuzz/seeds.py ~/.cache/swath/target/release/swath seeds", "needs Python with torch"),
    (
        "RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir tests/fuzz pth seeds/pth -- -max_total_time=600 \
         -rss_limit_mb=1024 -malloc_limit_mb=512 -timeout=10",
        "takes ten minutes",
    ),
];

fn page(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The lines to type of a page, continued ones joined, without remarks.
fn lines_to_type(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let (mut inside, mut goes_on) = (false, false);
    for line in text.lines().map(str::trim) {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if inside && (goes_on || line.starts_with("$ ")) {
            let typed = line.strip_prefix("$ ").unwrap_or(line).split(" #").next().unwrap().trim();
            let part = typed.trim_end_matches('\\').trim();
            match lines.last_mut().filter(|_| goes_on) {
                Some(last) => *last = format!("{last} {part}"),
                None => lines.push(part.to_owned()),
            }
            goes_on = typed.ends_with('\\');
        }
    }
    lines
}

/// The arguments, if it is this program that the line starts.
fn of_swath(line: &str) -> Option<Vec<&str>> {
    let words: Vec<&str> = line.strip_prefix("bash run.sh ").unwrap_or(line).split_whitespace().collect();
    (words[0] == "swath").then(|| words[1..].to_vec())
}

/// A folder as somebody has it who does what the pages say: the shipped pipelines, and scenes, weights and true masks of their own.
fn prepared() -> Workdir {
    let work = Workdir::new();
    for name in ["demo.toml", "single.toml"] {
        work.write(&format!("pipelines/{name}"), page(&format!("pipelines/{name}")));
    }
    std::fs::create_dir_all(work.path("data/weights")).unwrap();
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/weights/demo");
    std::os::unix::fs::symlink(weights, work.path("data/weights/demo")).unwrap();
    let own =
        page("pipelines/single.toml").replace("../data/weights/deeplabv3plus_resnet34.safetensors", "my.safetensors");
    assert!(own.contains("\"my.safetensors\""), "single.toml names other weights");
    work.write("my.toml", own);
    own_weights(&work, "my.toml", "my.safetensors");
    let size = Size::new(70, 50);
    for seed in 0..2 {
        let planes: Vec<u8> = (0..3).flat_map(|band| values(size, 200, seed * 3 + band)).collect();
        geotiff(&work.path(&format!("scenes/s{seed}.tif")), size, &planes);
        let truth = image::GrayImage::from_pixel(70, 50, image::Luma([1]));
        std::fs::create_dir_all(work.path("truth")).unwrap();
        truth.save(work.path(&format!("truth/s{seed}.png"))).unwrap();
    }
    work
}

#[test]
fn every_line_to_type_works_or_is_listed_with_the_reason() {
    let work = prepared();
    let mut listed: BTreeSet<&str> = NOT_RUN.iter().map(|(line, _)| *line).collect();
    let pages = PAGES.map(page);
    let lines: Vec<String> = pages.iter().flat_map(|text| lines_to_type(text)).collect();
    assert!(lines.iter().filter(|line| of_swath(line).is_some()).count() >= 10, "{lines:?}");
    for line in &lines {
        if NOT_RUN.iter().any(|(known, _)| known == line) {
            listed.remove(line.as_str());
            continue;
        }
        let mut arguments = of_swath(line).unwrap_or_else(|| panic!("`{line}` is neither run nor listed"));
        if arguments[0] == "models" && !cfg!(feature = "torch") {
            // Such a build has no networks to show.
            continue;
        }
        // A saved plan says itself what runs its networks.
        if ["run", "plan"].contains(&arguments[0]) && !arguments.contains(&"--plan") {
            arguments.extend(["--backend", "fake"]);
        }
        let ran = work.swath(&arguments);
        assert_eq!(ran.code, Some(0), "`{line}`: {ran:?}");
    }
    assert!(listed.is_empty(), "no page has them any more: {listed:?}");
}

/// What the code spans of a text say.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Rows of the tables of a page: the first cell and the rest.
fn rows(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|l| l.strip_prefix("| ")).filter_map(|row| row.split_once(" | "))
}

/// Options that the text of `--help` lists.
fn options(help: &str) -> BTreeSet<String> {
    let lines = help.lines().map(str::trim).filter(|line| line.starts_with('-'));
    let words = lines.flat_map(|line| line.split([' ', ',', '=', '[']).take(3));
    words.filter(|word| word.starts_with('-') && word.len() > 1).map(str::to_owned).collect()
}

/// Options that a text names.
fn named(text: &str) -> BTreeSet<String> {
    let words = code(text).flat_map(|span| span.split([' ', '=', '[', ']']));
    words.filter(|word| word.starts_with('-') && word.len() > 1).map(str::to_owned).collect()
}

/// The commands that the program lists, those of a group by both words.
fn commands(work: &Workdir) -> BTreeSet<String> {
    let list = |group: &[&str]| {
        let help = work.swath(&[group, &["--help"]].concat()).expect(0);
        let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
        // What is indented further goes on with a description.
        let named = lines.filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
        let names = named.filter_map(|line| line.split_whitespace().next().map(str::to_owned));
        names.filter(|name| name != "help").collect::<BTreeSet<_>>()
    };
    let mut all = list(&[]);
    for group in ["models", "weights", "bench", "profiles", "data", "launch"] {
        assert!(all.remove(group), "{group}");
        all.extend(list(&[group]).into_iter().map(|name| format!("{group} {name}")));
    }
    all
}

#[test]
fn the_table_of_commands_is_complete_and_right() {
    let work = Workdir::new();
    let text = page("README.md");
    let table = text.split("## Commands").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut seen = BTreeSet::new();
    for (first, rest) in rows(table).filter(|(first, _)| first.starts_with("`swath ")) {
        let words: Vec<&str> = first.trim_matches('`').split_whitespace().skip(1).collect();
        let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-\\|".contains(c);
        let is_name = |word: &&&str| word.starts_with(char::is_lowercase) && word.chars().all(is_letter);
        let name: Vec<&str> = words.iter().take_while(is_name).copied().collect();
        // One row may stand for several.
        let (last, group) = name.split_last().unwrap();
        for name in last.split("\\|").map(|last| [group, &[last]].concat()) {
            let help = work.swath(&[&name[..], &["--help"]].concat()).expect(0);
            let missing: Vec<_> = named(&format!("{first}{rest}")).difference(&options(&help)).cloned().collect();
            assert!(missing.is_empty(), "`{}` does not take {missing:?}", name.join(" "));
            seen.insert(name.join(" "));
        }
    }
    assert_eq!(seen, commands(&work));
}

#[test]
fn the_options_of_run_and_plan_are_documented_and_there() {
    let work = Workdir::new();
    let of = |command: &str| options(&work.swath(&[command, "--help"]).expect(0));
    let all: BTreeSet<String> = of("run").union(&of("plan")).cloned().collect();
    let text = page("pipelines/README.md");
    let page = text.split("## Options of").nth(1).unwrap();
    let documented: BTreeSet<String> = rows(page).flat_map(|(first, _)| named(first)).collect();
    let gone: Vec<_> = documented.difference(&all).collect();
    assert!(gone.is_empty(), "documented, but not there: {gone:?}");
    // Short names stand beside the long ones; help and JSON are everywhere.
    let known =
        |option: &&String| option.len() == 2 || ["--help", "--json", "--input", "--out"].contains(&option.as_str());
    let new: Vec<_> = all.difference(&documented).filter(|o| !known(o)).collect();
    assert!(new.is_empty(), "not documented: {new:?}");
}

#[test]
fn every_key_of_a_pipeline_file_is_documented() {
    // The tables are the structures that refuse unknown keys.
    let sources = ["file.rs", "pipeline.rs", "post.rs", "classes.rs", "train/augment.rs"]
        .map(|name| page(&format!("src/config/{name}")));
    let tables = sources.iter().flat_map(|source| source.split("deny_unknown_fields").skip(1));
    let lines = tables.flat_map(|table| table.split("\n}").next().unwrap().lines());
    let keys = lines.filter_map(|line| Some(line.trim().strip_prefix("pub")?.split_once(": ")?.0));
    let keys: BTreeSet<&str> = keys.filter_map(|key| key.split_whitespace().last()).collect();
    assert!(
        ["bands", "fill_holes", "drop_islands", "prefix", "backbone", "value"].iter().all(|key| keys.contains(key)),
        "{keys:?}"
    );
    let text = page("pipelines/README.md");
    let spans: BTreeSet<&str> = code(&text).flat_map(|span| span.split(['.', ' ', ','])).collect();
    // The one whose name in the file is another.
    for key in keys.into_iter().map(|key| if key == "mask_depth" { "mask_bits" } else { key }) {
        assert!(spans.contains(key), "pipelines/README.md does not explain `{key}`");
    }
}

#[test]
fn the_table_of_exit_codes_has_each_of_them() {
    let source = page("src/exit.rs");
    let text = page("README.md");
    let table: BTreeSet<&str> = rows(&text).flat_map(|(codes, _)| codes.split(", ")).collect();
    let codes = source.lines().filter_map(|line| line.trim().strip_suffix(',')?.split_once(" = "));
    // How a worker asks to be started again is told to no person.
    let codes: Vec<&str> = codes.filter(|(name, _)| !name.starts_with("Restart")).map(|(_, code)| code).collect();
    assert!(codes.len() > 10);
    assert!(codes.iter().all(|code| table.contains(code)), "{codes:?} {table:?}");
}

#[test]
fn the_front_page_is_short_and_no_link_is_dead() {
    let front = page("README.md");
    assert!(front.lines().count() <= 200 && front.lines().all(|line| line.chars().count() <= 120));
    for name in PAGES {
        let text = page(name);
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name);
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|t| !t.contains("://")) {
            assert!(folder.parent().unwrap().join(target).exists(), "{name} links to {target}");
        }
    }
}
