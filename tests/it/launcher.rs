//! A build with libtorch, taken to another place: what is found there, and what a person is told when nothing is.
#![cfg(all(feature = "gdal", feature = "torch"))]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::command::{Workdir, with_scenes};
use crate::support::skipped;

/// The built program, in the folder `app`.
fn moved(work: &Workdir) {
    std::fs::create_dir_all(work.path("app")).unwrap();
    for program in [env!("CARGO_BIN_EXE_swath"), env!("CARGO_BIN_EXE_swath-torch")] {
        let name = Path::new(program).file_name().unwrap();
        std::fs::copy(program, work.path("app").join(name)).unwrap();
    }
}

/// The moved program, with this in place of what says where libtorch is.
fn start(work: &Workdir, libtorch: Option<&Path>, arguments: &[&str]) -> Output {
    let mut command = Command::new(work.path("app/swath"));
    command.args(arguments).current_dir(work.path(".")).env_remove("LD_LIBRARY_PATH").env_remove("LIBTORCH");
    command.envs(libtorch.map(|path| ("LIBTORCH", path)));
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The file of libtorch that the program says it uses.
fn used(output: &Output) -> PathBuf {
    let line = text(&output.stdout).lines().find(|line| line.starts_with("libtorch")).unwrap();
    PathBuf::from(line.split(", ").nth(1).unwrap_or_else(|| panic!("{line}")))
}

/// The libtorch of this build, as the program where it was built tells.
fn libraries() -> PathBuf {
    let output = Command::new(env!("CARGO_BIN_EXE_swath")).arg("doctor").output().unwrap();
    used(&output).parent().unwrap().to_owned()
}

/// Makes `folder` hold libtorch's libraries, as files of its own.
fn install(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    for file in std::fs::read_dir(libraries()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file())
    {
        let to = folder.join(file.file_name().unwrap());
        let file = file.canonicalize().unwrap();
        std::fs::hard_link(&file, &to).or_else(|_| std::fs::copy(&file, &to).map(drop)).unwrap();
    }
}

#[test]
fn without_libtorch_the_version_is_told_and_where_it_was_sought() {
    let work = Workdir::new();
    moved(&work);
    let nowhere = work.path("nowhere");
    for flag in ["--version", "-V"] {
        let output = start(&work, Some(&nowhere), &[flag]);
        assert!(output.status.success());
        let itself = Command::new(env!("CARGO_BIN_EXE_swath-torch")).arg(flag).output().unwrap();
        assert_eq!(text(&output.stdout), text(&itself.stdout));
    }
    let output = start(&work, Some(&nowhere), &["doctor"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for word in ["no libtorch 2.11.0", "nowhere/lib", "no such folder", "unset it"] {
        assert!(said.contains(word), "{said}");
    }
    work.write("other/lib/libtorch_cpu.so", "");
    work.write("other/lib/libc10.so", "");
    work.write("other/build-version", "2.5.1+cpu\n");
    let output = start(&work, Some(&work.path("other")), &["doctor"]);
    assert!(text(&output.stderr).contains("it is libtorch 2.5.1+cpu"), "{}", text(&output.stderr));
}

#[test]
fn glibc_is_told_of_huge_pages_unless_somebody_has_told_it() {
    let work = Workdir::new();
    moved(&work);
    install(&work.path("app/lib"));
    // In the program's place, one that tells what it is told.
    std::fs::remove_file(work.path("app/swath-torch")).unwrap();
    let told = work.write("app/swath-torch", "#!/bin/sh\necho \"$GLIBC_TUNABLES\"\n");
    std::fs::set_permissions(told, std::fs::Permissions::from_mode(0o755)).unwrap();
    let with = |tunables: Option<&str>| {
        let mut command = Command::new(work.path("app/swath"));
        command.env_remove("LIBTORCH").env_remove("GLIBC_TUNABLES");
        let output = command.envs(tunables.map(|told| ("GLIBC_TUNABLES", told))).output().unwrap();
        text(&output.stdout).trim().to_owned()
    };
    assert_eq!(with(None), "glibc.malloc.hugetlb=1");
    assert_eq!(with(Some("glibc.malloc.arena_max=2")), "glibc.malloc.arena_max=2:glibc.malloc.hugetlb=1");
    assert_eq!(with(Some("glibc.malloc.hugetlb=0")), "glibc.malloc.hugetlb=0");
}

#[test]
fn libtorch_is_found_near_the_program_or_where_it_is_said_to_be() {
    let work = with_scenes(&[(70, 50)]);
    moved(&work);
    for near in ["lib/swath", "lib", "app/libtorch/lib", "app/lib"] {
        install(&work.path(near));
        let found = used(&start(&work, None, &["doctor"]));
        assert_eq!(found.parent().unwrap(), work.path(near).canonicalize().unwrap());
    }
    let named = start(&work, Some(&work.path("app/libtorch")), &["doctor"]);
    assert_eq!(used(&named).parent().unwrap(), work.path("app/libtorch/lib").canonicalize().unwrap());
    // Its decoders and the run that its parent watches are started from there, too.
    let run = ["run", "p.toml", "-i", "in", "-o", "out", "--backend", "fake"];
    let output = start(&work, None, &run);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn a_launcher_without_its_program_says_so() {
    let work = Workdir::new();
    moved(&work);
    let libtorch = libraries();
    let output = start(&work, libtorch.parent(), &["run"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("Usage: swath run"), "{}", text(&output.stderr));
    std::fs::remove_file(work.path("app/swath-torch")).unwrap();
    let output = start(&work, None, &["doctor"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("swath-torch` is missing"), "{}", text(&output.stderr));
}

/// Makes the program one whose builder's folder is not on this machine.
fn far_from_its_builder(program: &Path) -> bool {
    let Some(built) = option_env!("SWATH_BUILT_WITH") else { return false };
    let mut bytes = std::fs::read(program).unwrap();
    let nowhere = "/".to_owned() + &"-".repeat(built.len() - 1);
    let places: Vec<usize> =
        (0..bytes.len() - built.len()).filter(|at| bytes[*at..].starts_with(built.as_bytes())).collect();
    places.iter().for_each(|at| bytes[*at..at + built.len()].copy_from_slice(nowhere.as_bytes()));
    std::fs::remove_file(program).unwrap();
    std::fs::write(program, bytes).unwrap();
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
    !places.is_empty()
}

#[test]
fn the_torch_of_python_is_taken_last() {
    let work = Workdir::new();
    moved(&work);
    if !far_from_its_builder(&work.path("app/swath")) {
        return skipped("the builder's folder is not in the program: LIBTORCH was not set");
    }
    let version = |text: &str| work.write("site/torch/version.py", format!("__version__ = '{text}'\n"));
    // It is found, not run.
    work.write("site/torch/__init__.py", "raise ImportError\n");
    work.write("site/torch/lib/libtorch_cpu.so", "");
    work.write("site/torch/lib/libc10.so", "");
    // What lies where the program is started is nobody's Python.
    work.write("torch/__init__.py", "raise ImportError\n");
    let mut command = Command::new(work.path("app/swath"));
    command.arg("doctor").current_dir(work.path(".")).env_remove("LD_LIBRARY_PATH").env_remove("LIBTORCH");
    command.env("PYTHONPATH", work.path("site"));
    version("2.5.1+cpu");
    let other = command.output().unwrap();
    let said = text(&other.stderr);
    assert_eq!(other.status.code(), Some(2), "{said}");
    let found = format!("{} (the torch of python3): it is libtorch 2.5.1+cpu", work.path("site/torch/lib").display());
    assert!(said.contains(&found) && said.contains("or install it for python3"), "{said}");
    version("2.11.0+cu130");
    std::fs::remove_dir_all(work.path("site/torch/lib")).unwrap();
    install(&work.path("site/torch/lib"));
    let used = used(&command.output().unwrap());
    assert_eq!(used.parent().unwrap(), work.path("site/torch/lib").canonicalize().unwrap());
}

#[test]
fn what_the_loader_searched_before_it_still_does() {
    let work = Workdir::new();
    moved(&work);
    // In the program's place, what tells where the loader would look.
    std::fs::remove_file(work.path("app/swath-torch")).unwrap();
    let program = work.write("app/swath-torch", "#!/bin/sh\nprintf %s \"$LD_LIBRARY_PATH\"\n");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    work.write("torch/lib/libtorch_cpu.so", "");
    work.write("torch/lib/libc10.so", "");
    let mut command = Command::new(work.path("app/swath"));
    command.arg("doctor").env("LIBTORCH", work.path("torch")).env("LD_LIBRARY_PATH", "/driver:/more");
    let searched = format!("{}:/driver:/more", work.path("torch/lib").canonicalize().unwrap().display());
    assert_eq!(text(&command.output().unwrap().stdout), searched);
}
