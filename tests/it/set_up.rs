//! `run.sh` on machines that lack something: what it says, and what it leaves behind. Its tools are stand-ins.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What every system has.
const BASICS: [&str; 19] = [
    "bash", "sh", "dirname", "cat", "head", "cut", "sort", "mkdir", "rm", "mv", "touch", "ln", "find", "flock", "env",
    "ls", "mktemp", "uniq", "wc",
];

/// A machine: a folder of programs, a home and a cache.
struct Machine(tempfile::TempDir);

impl Machine {
    /// With the basics alone; its user is not root.
    fn bare() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(machine.path("bin")).unwrap();
        let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect();
        for name in BASICS {
            if let Some(program) = folders.iter().map(|folder| folder.join(name)).find(|program| program.is_file()) {
                symlink(program, machine.path("bin").join(name)).unwrap();
            }
        }
        machine.has("id", "echo 1000")
    }

    /// With all that is needed.
    fn complete() -> Self {
        let machine = Self::bare();
        let libraries = machine.path("libtorch/lib");
        std::fs::create_dir_all(&libraries).unwrap();
        std::fs::write(libraries.join("libtorch_cpu.so"), "").unwrap();
        for kind in ["cpu", "cuda"] {
            std::fs::create_dir_all(machine.path(&format!("cache/swath/onnxruntime-1.31.1-{kind}"))).unwrap();
        }
        ["cc", "c++", "pkg-config", "python3"]
            .into_iter()
            .fold(machine.has("cargo", "echo \"cargo $*\"").has("rustc", "echo rustc 1.99.0"), |machine, name| {
                machine.has(name, "exit 0")
            })
    }

    /// And with a program that does this.
    fn has(self, name: &str, does: &str) -> Self {
        let program = self.path("bin").join(name);
        std::fs::write(&program, format!("#!/bin/sh\n{does}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.0.path().join(relative)
    }

    /// Runs `run.sh` there, with this libtorch.
    fn run(&self, arguments: &[&str], libtorch: Option<&str>) -> Output {
        self.run_of(Path::new(env!("CARGO_MANIFEST_DIR")), arguments, libtorch)
    }

    /// Runs that of a clone.
    fn run_of(&self, clone: &Path, arguments: &[&str], libtorch: Option<&str>) -> Output {
        let mut command = Command::new(self.path("bin/bash"));
        command.arg(clone.join("run.sh")).args(arguments).current_dir(self.path(".")).env_clear();
        command.env("PATH", self.path("bin")).env("HOME", self.path("home")).env("XDG_CACHE_HOME", self.path("cache"));
        command.envs(libtorch.map(|folder| ("LIBTORCH", folder)));
        command.output().unwrap()
    }
}

fn said(output: &Output, code: i32, words: &[&str]) {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{text}");
    for word in words {
        assert!(text.contains(word), "`{word}` is not in:\n{text}");
    }
}

#[test]
fn all_that_is_missing_is_named_at_once_with_the_way_to_get_it() {
    let packages = "missing: g++ pkg-config libgdal-dev python3 python3-pip";
    let bare = Machine::bare();
    said(&bare.run(&["env"], None), 1, &["no cargo", "https://rustup.rs", packages, "your package manager"]);
    let debian = bare.has("apt-get", "exit 1");
    said(&debian.run(&["env"], None), 1, &["no cargo", "sudo apt-get install g++ pkg-config libgdal-dev"]);
    let root = debian.has("id", "echo 0");
    said(&root.run(&["env"], None), 1, &["apt-get could not install g++"]);
}

#[test]
fn what_is_too_old_is_told_from_what_is_missing() {
    let gdal = "case \"$*\" in *atleast*) exit 1 ;; *modversion*) echo 3.4.1 ;; esac";
    let old = Machine::complete().has("pkg-config", gdal).has("rustc", "echo rustc 1.75.0");
    let words = ["Rust 1.89 or newer is needed, not rustc 1.75.0", "GDAL 3.6 or newer is needed, not 3.4.1"];
    let output = old.run(&["env"], Some("libtorch"));
    said(&output, 1, &words);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("missing"));
    said(&Machine::complete().run(&["env"], Some("nowhere")), 1, &["nowhere holds no lib/libtorch_cpu.so", "unset it"]);
}

#[test]
fn a_wheel_names_what_it_lacks_before_it_builds_for_long() {
    let machine = Machine::complete();
    said(&machine.run(&["wheel", "--static"], Some("libtorch")), 1, &["no cmake", "libsqlite3-dev"]);
    let machine = machine.has("python3", "exit 1");
    said(&machine.run(&["wheel"], Some("libtorch")), 1, &["no python3 with pip", "python3-pip"]);
}

#[test]
fn tests_are_run_by_name() {
    let machine = Machine::complete();
    let run = |arguments: &[&str]| String::from_utf8(machine.run(arguments, Some("libtorch")).stdout).unwrap();
    assert_eq!(run(&["test"]), "cargo test --release --locked\n");
    assert_eq!(run(&["test", "--", "resume"]), "cargo test --release --locked --lib --test it -- resume\n");
}

#[test]
fn what_was_skipped_is_summed_up_by_reason() {
    let tests = "printf 'no data\\ta\\nno rights\\tb\\nno data\\tc\\nno data\\tc\\n' >>\"$SWATH_SKIPPED\"; exit 101";
    let output = Machine::complete().has("cargo", tests).run(&["test"], Some("libtorch"));
    let words = ["run.sh: skipped, by reason: 3 tests or parts of tests\n", " 2 no data\n", " 1 no rights\n"];
    said(&output, 101, &words);
    said(&Machine::complete().run(&["test"], Some("libtorch")), 0, &["run.sh: no test was skipped"]);
}

#[test]
fn settings_for_cargo_and_editors_replace_nobody_elses() {
    let machine = Machine::complete();
    let clone = machine.path("clone");
    std::fs::create_dir(&clone).unwrap();
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("run.sh"), clone.join("run.sh")).unwrap();
    let run = || machine.run_of(&clone, &["env", "--cargo"], Some("a \"libtorch\""));
    std::fs::rename(machine.path("libtorch"), machine.path("a \"libtorch\"")).unwrap();
    for _ in 0..2 {
        said(&run(), 0, &["wrote ", "/clone/.cargo/config.toml"]);
    }
    let text = std::fs::read_to_string(clone.join(".cargo/config.toml")).unwrap();
    let settings: toml::Table = text.parse().unwrap();
    let libtorch = PathBuf::from(settings["env"]["LIBTORCH"].as_str().unwrap());
    assert!(libtorch.join("lib/libtorch_cpu.so").exists(), "{text}");
    assert_eq!(settings["build"]["target-dir"].as_str().map(Path::new), Some(&*machine.path("cache/swath/target")));
    std::fs::write(clone.join(".cargo/config.toml"), "[net]\noffline = true\n").unwrap();
    said(&run(), 1, &["is there and not of this script"]);
    said(&machine.run_of(&clone, &["env", "--crago"], Some("a \"libtorch\"")), 1, &["env takes --cargo"]);
}

#[test]
fn without_onnx_runtime_all_goes_on_but_the_tests_that_would_skip_it() {
    // A download that fails, one of nothing, and a wheel that is none.
    let wheel = "for last; do case \"$last\" in */onnxruntime-*.partial) [ -d \"$last\" ] && echo half >\"$last/o.whl\" ;; esac; done";
    for python in ["case \"$*\" in *download*) exit 1 ;; esac", "exit 0", wheel] {
        let machine = Machine::complete().has("python3", python);
        for kind in ["cpu", "cuda"] {
            std::fs::remove_dir(machine.path(&format!("cache/swath/onnxruntime-1.31.1-{kind}"))).unwrap();
        }
        let words =
            ["fetching the library of onnxruntime", "ONNX Runtime 1.31.1 could not be fetched", "SWATH_ONNXRUNTIME"];
        said(&machine.run(&["env"], Some("libtorch")), 0, &[&words[..], &["export LIBTORCH="]].concat());
        said(&machine.run(&["test"], Some("libtorch")), 1, &words);
        let left = std::fs::read_dir(machine.path("cache/swath")).unwrap().map(|entry| entry.unwrap().path());
        assert!(left.into_iter().all(|path| !path.is_dir()));
    }
}

#[test]
fn a_download_that_was_cut_off_is_not_taken_for_whole() {
    // The download gets half of a file, and the connection is gone.
    let half = "case \"$*\" in *--version*) exit 0 ;; esac\n\
                for last; do case \"$last\" in */wheels-*|*/libtorch-*) mkdir -p \"$last\"; echo half >\"$last/torch.whl\" ;; esac; done\n\
                exit 1";
    let machine = Machine::complete().has("python3", half);
    for kind in ["cpu", "cuda/torch"] {
        let left = machine.path(&format!("cache/swath/libtorch-2.11.0-{kind}/lib"));
        std::fs::create_dir_all(&left).unwrap();
        std::fs::write(left.join("libtorch_cpu.so"), "half").unwrap();
    }
    for _ in 0..2 {
        said(&machine.run(&["env"], None), 1, &["fetching", "the download failed", "try again"]);
    }
    let left = std::fs::read_dir(machine.path("cache/swath")).unwrap().map(|entry| entry.unwrap().path());
    assert!(left.into_iter().all(|folder| !folder.join("complete").exists()));
    assert!(!machine.path("cache/swath/wheels-2.11.0").exists());
}
