//! The archive for machines without network: made of the program at hand, it checks this machine from its first line to its last.
#![cfg(feature = "gdal")]

use std::path::Path;
use std::process::{Command, Output};

use crate::support::command::Workdir;
use crate::support::skipped;

/// What runs a script of the repository or of the bundle; the bundle is in the folder `bundle`.
fn bash(work: &Workdir, script: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("bash");
    command.arg(script).args(arguments).current_dir(work.path("."));
    command.env("SWATH", Path::new(env!("CARGO_BIN_EXE_swath")).parent().unwrap()).env("OUT", work.path("out"));
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_bundle_checks_a_machine_and_notices_what_is_wrong() {
    if !cfg!(feature = "torch") {
        return skipped("built without the networks that a bundle checks (feature torch)");
    }
    let work = Workdir::new();
    let folder = work.path("bundle").display().to_string();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let made = bash(&work, &repository.join("tests/bench/gpu-bundle.sh"), &["--small", &folder]);
    assert!(made.status.success(), "{}", said(&made));
    let check = |more: &[&str]| {
        bash(&work, &work.path("bundle/gpu.sh"), &[&["--devices", "cpu", "--small", "--budget", "600"], more].concat())
    };

    let all = check(&[]);
    assert!(all.status.success(), "{}", said(&all));
    let table = String::from_utf8_lossy(&all.stdout);
    for line in [
        "agree/branches ",
        "same/3 workers ",
        "same/averaged anew ",
        "same/lost device ",
        "speed/run, 1 worker ",
        "speed/tune ",
        "speed/run, 1 worker, tuned ",
    ] {
        let row = table.lines().find(|row| row.starts_with(line)).unwrap_or_else(|| panic!("no {line}in\n{table}"));
        assert!(row.contains(" ok "), "{table}");
    }
    assert!(table.ends_with(" ok, 0 failed\n"), "{table}");
    assert!(table.lines().count() <= 100 && work.path("out/results.tar.gz").exists());

    // Other masks than this machine gives, and a device that there is not.
    let truth = |scene: &str| work.path(&format!("bundle/expected/branches/{scene}.png"));
    std::fs::copy(truth("group0"), truth("group1")).unwrap();
    let wrong = check(&["--only", "agree/branches"]);
    assert_eq!(wrong.status.code(), Some(1), "{}", said(&wrong));
    assert!(said(&wrong).contains("0 ok, 1 failed"), "{}", said(&wrong));
    let none = bash(&work, &work.path("bundle/gpu.sh"), &["--devices", "cuda:99", "--small"]);
    assert_eq!(none.status.code(), Some(2), "{}", said(&none));
    assert!(said(&none).contains("no cuda:99"), "{}", said(&none));
}
