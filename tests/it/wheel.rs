//! The Python wheel: made of the program at hand, installed where nothing else is, and used as in a notebook.
#![cfg(feature = "gdal")]

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::support::command::Workdir;
use crate::support::skipped;

/// Runs a command to its end, and expects that it went well.
fn done(command: &mut Command) {
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{command:?}: {}\n{text}", output.status);
}

#[test]
fn a_wheel_does_what_notebooks_ask() {
    let python = |words: &[&str]| {
        let mut command = Command::new("python3");
        command.args(words);
        command
    };
    if !python(&["-c", "import venv, pip"]).output().is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "the wheel cannot be tried: no python3 with venv and pip");
        return skipped("no python3 with venv and pip");
    }
    let work = Workdir::new();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = |relative: &str| work.path(relative).display().to_string();
    let program = Path::new(env!("CARGO_BIN_EXE_swath")).parent().unwrap();
    done(Command::new("bash").arg(repository.join("run.sh")).args(["wheel", &path("dist")]).env("SWATH", program));
    let wheels: Vec<_> = std::fs::read_dir(work.path("dist")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(wheels.len() == 1 && wheels[0].to_string_lossy().ends_with("_x86_64.whl"), "{wheels:?}");

    done(&mut python(&["-m", "venv", "--without-pip", &path("venv")]));
    let venv = path("venv/bin/python");
    done(python(&["-m", "pip", "--python", &venv, "install", "--no-deps", "--no-index"]).args(&wheels));
    work.swath(&["synth", "--seed", "5", "-o", "scenes"]).expect(0);
    let backend = if cfg!(feature = "torch") { "torch" } else { "fake" };
    let mut notebook = Command::new(venv);
    notebook.arg(repository.join("tests/fixtures/wheel/notebook.py")).arg(repository).args([&path("."), backend]);
    // A terminal's Ctrl-C reaches the whole group: this one's alone.
    done(notebook.current_dir(work.path(".")).env("XDG_CACHE_HOME", work.path("cache")).process_group(0));
}
