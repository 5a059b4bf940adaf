//! What a person is told, command by command: the files in `tests/golden` are sessions of a shell with what was printed, both streams, and
//! the exit code where it is not 0. `UPDATE_GOLDEN=1` writes them anew; what changed is then read in the diff.
//!
//! A line `$ COMMAND` is run by `sh`, what is indented below it is its output. `~ OLD => NEW` changes `p.toml` for the next command alone.
#![cfg(all(feature = "gdal", target_os = "linux"))]

use std::path::{Path, PathBuf};
use std::process::Command;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::support::command::{Workdir, with_scenes};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Two scenes, a pipeline that has every key, and two small files of weights.
fn prepared() -> Workdir {
    let work = with_scenes(&[(130, 140), (40, 30)]);
    let sound = std::fs::read(golden("p.toml")).unwrap();
    work.write("p.toml", &sound);
    work.write("sound.toml", &sound);
    for (name, value) in [("w", 0.1_f32), ("v", 0.2)] {
        let bytes: Vec<u8> = std::iter::repeat_n(value, 64).flat_map(f32::to_le_bytes).collect();
        let view = TensorView::new(Dtype::F32, vec![8, 8], &bytes).unwrap();
        work.write(&format!("{name}.safetensors"), safetensors::serialize([("w", view)], None).unwrap());
    }
    std::fs::create_dir(work.path("bin")).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_swath"), work.path("bin/swath")).unwrap();
    work
}

/// What a command prints, indented, with its exit code.
fn told(work: &Workdir, command: &str) -> String {
    let path = std::env::join_paths(
        std::iter::once(work.path("bin")).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let output = Command::new("sh")
        .args(["-c", &format!("exec 2>&1\n{command}")])
        .current_dir(work.path("."))
        .env("PATH", path.unwrap())
        .env("XDG_CACHE_HOME", work.path("cache"))
        .envs([("COLUMNS", "100"), ("NO_COLOR", "1"), ("LC_ALL", "C")])
        .env_remove("RUST_BACKTRACE")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // Empty lines of the output are not told from those of the session, and left out.
    let lines = settled(&text, work);
    let lines = lines.lines().map(str::trim_end).filter(|line| !line.is_empty());
    let mut lines: Vec<String> = lines.map(|line| format!("  {line}")).collect();
    match output.status.code() {
        Some(0) => {}
        code => lines.push(format!("  [{}]", code.map_or("killed".to_owned(), |code| code.to_string()))),
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// A text without what differs from machine to machine and from run to run: the folder, sizes of memory and disk, times, speeds, digests,
/// processes and the version.
fn settled(text: &str, work: &Workdir) -> String {
    let folder = work.path(".").canonicalize().unwrap();
    let text = text.replace(&format!("{}/", folder.display()), "").replace(&folder.display().to_string(), "DIR");
    let text = text.replace(&format!("swath {}", env!("CARGO_PKG_VERSION")), "swath VERSION");
    text.split_inclusive('\n').map(settled_line).collect()
}

/// What stands for a number with this unit behind it.
fn stand_in(unit: &str) -> Option<&'static str> {
    match unit {
        "B" | "KiB" | "MiB" | "GiB" | "TiB" => Some("SIZE"),
        "s" => Some("TIME"),
        "Mpx/s" => Some("SPEED"),
        "%" => Some("SHARE"),
        _ => None,
    }
}

fn settled_line(line: &str) -> String {
    let bare = |word: &str| word.trim_matches(|c: char| "`(),;:.\n".contains(c)).to_owned();
    let is_number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit()) && word.parse::<f64>().is_ok();
    let is_digest = |word: &str| word.len() >= 12 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let mut settled: Vec<String> = Vec::new();
    for word in line.split(' ') {
        let (core, before) = (bare(word), settled.last().cloned().unwrap_or_default());
        let number = before.trim_start_matches('(');
        if let Some(stand_in) = stand_in(&core).filter(|_| is_number(number)) {
            // With its unit, for another machine has another one.
            settled.pop();
            settled.push(before.replace(number, "") + &word.replacen(&core, stand_in, 1));
        } else if is_digest(&core) {
            settled.push(word.replace(&core, "DIGEST"));
        } else if before == "process" && is_number(&core) {
            settled.push(word.replace(&core, "PID"));
        } else if before == "stage" && word.starts_with('`') {
            settled.push("`STAGE`".to_owned());
        } else {
            settled.push(word.to_owned());
        }
    }
    settled.join(" ")
}

/// The session of a golden file, played again.
fn played(work: &Workdir, session: &str) -> String {
    let (mut said, mut change) = (String::new(), None);
    for line in session.lines().filter(|line| !line.starts_with("  ")) {
        said += &format!("{line}\n");
        if let Some(edit) = line.strip_prefix("~ ") {
            let (old, new) = edit.split_once(" =>").unwrap_or_else(|| panic!("no => in {line}"));
            let [old, new] = [old, new.strip_prefix(' ').unwrap_or(new)].map(|part| part.replace("\\n", "\n"));
            let sound = std::fs::read_to_string(work.path("p.toml")).unwrap();
            assert!(sound.contains(&old), "p.toml has no `{old}`");
            work.write("p.toml", sound.replacen(&old, &new, 1));
            change = Some(sound);
        } else if let Some(command) = line.strip_prefix("$ ") {
            said += &told(work, command);
            if let Some(sound) = change.take() {
                work.write("p.toml", sound);
            }
        }
    }
    said
}

fn door(name: &str) {
    let file = golden(&format!("{name}.txt"));
    let session = std::fs::read_to_string(&file).unwrap();
    let said = played(&prepared(), &session);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &said).unwrap();
        return;
    }
    let (mut command, mut line) = ("", 0);
    for (known, now) in session.lines().chain(std::iter::repeat("(the end)")).zip(said.lines().chain(["(the end)"])) {
        line += 1;
        if now.starts_with("$ ") {
            command = now;
        }
        assert_eq!(now, known, "{}, line {line}, after {command}\n(UPDATE_GOLDEN=1 writes it anew)", file.display());
    }
}

#[test]
fn bench_says() {
    door("bench");
}

#[test]
fn run_says() {
    door("run");
}

#[test]
fn plan_says() {
    door("plan");
}

#[test]
fn wrong_pipeline_files_are_told() {
    door("pipeline");
}

#[test]
fn run_directories_are_told() {
    door("state");
}

#[test]
fn eval_says() {
    door("eval");
}

#[test]
fn weights_say() {
    door("weights");
}

#[test]
fn synth_says() {
    door("synth");
}

#[test]
fn help_says() {
    door("help");
}

#[test]
fn tune_says() {
    door("tune");
}

/// A build without networks has none to speak of.
#[cfg(feature = "torch")]
#[test]
fn models_say() {
    door("models");
}
