//! What is among the inputs and cannot become an output costs itself, through the command line.
#![cfg(all(feature = "gdal", target_os = "linux"))]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use swath::geom::Size;

use crate::support::command::{Ran, Workdir, geotiff, with_scenes};
use crate::support::memory::values;

/// The command on these inputs.
fn swath(work: &Workdir, command: &str, input: &str) -> Ran {
    let told = if command == "run" { &["-v"][..] } else { &[] };
    let job = ["p.toml", "-i", input, "-o", "out", "--backend", "fake", "--devices", "cpu"];
    work.swath(&[&[command], &job[..], told].concat())
}

fn scene(work: &Workdir, name: &[u8]) {
    let size = Size::new(20, 10);
    geotiff(&work.path("plain.tif"), size, &values(size, 7, 1));
    std::fs::rename(work.path("plain.tif"), work.path("in").join(OsStr::from_bytes(name))).unwrap();
}

#[test]
fn a_name_that_no_archive_can_hold_costs_its_scene_alone() {
    let work = with_scenes(&[(130, 140), (40, 30)]);
    for name in [&b"a<b.tif"[..], b"c\"d.tif", b"e\nf.tif", b"g\xff.tif", b"g\xfe.tif"] {
        scene(&work, name);
    }
    swath(&work, "plan", "in").says(3, &["2 to segment", "5 refused", "in/a<b.tif: no output can be called after it"]);
    swath(&work, "run", "in").says(3, &["2 done, 5 failed", "in/g\\xfe.tif (plan)", "in/e\\nf.tif (plan)"]);
    let report = work.report("out");
    let failed: Vec<&str> = report["failed"].as_array().unwrap().iter().map(|f| f["stage"].as_str().unwrap()).collect();
    assert_eq!(failed, ["plan"; 5], "{report}");
    assert!(work.path("out/masks/s0.png").exists() && work.path("out/masks/s1.png").exists());
    work.swath(&["status", "out"]).says(0, &["7 in all: 2 done, 5 failed"]);
}

#[test]
fn a_list_may_hold_such_names_too() {
    let work = with_scenes(&[(40, 30)]);
    scene(&work, b"g\xff.tif");
    work.write("in/all.txt", b"s0.tif\ng\xff.tif\n");
    swath(&work, "run", "in/all.txt").says(3, &["1 done, 1 failed", "g\\xff.tif (plan)", "not UTF-8"]);
}

#[test]
fn a_folder_that_cannot_be_listed_costs_itself() {
    let work = with_scenes(&[(40, 30)]);
    // The one way to keep even root out: a path that is longer than the system takes. It comes to be by moving a folder below others.
    let long = "d".repeat(255);
    let chain = vec![long.as_str(); 15].join("/");
    std::fs::create_dir_all(work.path("deep").join(chain)).unwrap();
    std::fs::create_dir_all(work.path("in").join(&long).join(&long)).unwrap();
    std::fs::rename(work.path("deep"), work.path("in").join(&long).join(&long).join("deep")).unwrap();
    swath(&work, "plan", "in").says(3, &["1 to segment", "1 refused", "cannot list this folder"]);
    swath(&work, "run", "in").says(3, &["1 done, 1 failed", "ddd (plan): cannot list this folder", "name too long"]);
}

#[test]
fn a_folder_without_the_right_to_list_it_costs_itself() {
    use std::os::unix::fs::PermissionsExt;
    let work = with_scenes(&[(40, 30)]);
    scene(&work, b"closed.tif");
    let closed = work.path("in/closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).unwrap();
    if !work.heeds_rights() {
        return;
    }
    for _ in 0..2 {
        let ran = swath(&work, "run", "in");
        ran.says(3, &["2 done, 1 failed", "in/closed (plan): cannot list this folder", "ermission denied"]);
        assert!(work.path("out/masks/closed.png").exists(), "the scene of the same name has nothing to do with it");
    }
}
