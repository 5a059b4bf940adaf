//! What `run` would refuse before it works, `plan` refuses with the same words and the same exit code; and it says what is left to do.
#![cfg(all(feature = "gdal", target_os = "linux"))]

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::support::command::{Workdir, with_scenes};
use crate::support::{files, shared, skipped};

/// `plan` and `run` refuse alike, and neither leaves anything behind.
fn both_refuse(work: &Workdir, arguments: &[&str], code: i32, words: &[&str]) {
    let before = files(&work.path("."));
    let planned = work.swath(&[&["plan"], arguments].concat());
    let ran = work.swath(&[&["run"], arguments].concat());
    planned.says(code, words);
    ran.says(code, words);
    let error =
        |text: &str| text.lines().filter(|line| line.starts_with("error: ")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(error(&planned.stderr), error(&ran.stderr));
    assert_eq!(files(&work.path(".")), before);
}

const FAKE: [&str; 8] = ["p.toml", "-i", "in", "-o", "out", "--backend", "fake", "--memory=64MiB"];

fn with(more: &[&'static str]) -> Vec<&'static str> {
    [&FAKE[..], more].concat()
}

#[test]
fn a_prefix_that_no_archive_can_have() {
    let work = with_scenes(&[(40, 30)]);
    for prefix in ["../../x", "/x", "a//b", "a:b", "/"] {
        let setting = format!("package.prefix={prefix}");
        let arguments = [&FAKE[..], &["--set", &setting]].concat();
        both_refuse(&work, &arguments, 2, &["`package.prefix` is", "inside the archive"]);
    }
}

#[test]
fn a_device_that_is_not_there() {
    let work = with_scenes(&[(40, 30)]);
    both_refuse(
        &work,
        &["p.toml", "-i", "in", "-o", "out", "--devices", "cuda:99"],
        14,
        &["cannot use the device cuda:99"],
    );
}

#[test]
fn a_file_of_somebody_else_in_the_way() {
    let work = with_scenes(&[(40, 30)]);
    work.write("out/masks/s0.png", "precious");
    both_refuse(&work, &with(&[]), 2, &["out/masks/s0.png", "--overwrite"]);
    work.swath(&[&["plan"], &with(&["--overwrite"])[..]].concat()).says(0, &["in the way", "--overwrite replaces it"]);
}

#[test]
fn a_value_of_blank_masks_that_no_class_has() {
    let work = with_scenes(&[(40, 30)]);
    both_refuse(&work, &with(&["--allow-partial=blank:77"]), 2, &["no class of the pipeline has the value 77"]);
}

#[test]
fn a_run_directory_that_cannot_be_made() {
    let work = with_scenes(&[(40, 30)]);
    let below = |out: &'static str| ["p.toml", "-i", "in", "-o", out, "--backend", "fake"];
    let refusal =
        ["the outputs cannot be written; see to the cause", "cannot create the folder `p.toml/out`: not a directory"];
    both_refuse(&work, &below("p.toml/out"), 13, &refusal);
    work.write("full/masks", "a file where a folder should be");
    both_refuse(&work, &below("full"), 13, &["cannot write into the folder `full/masks`: not a directory"]);
    // Not even root can write here, where it is mounted as containers have it.
    if std::fs::create_dir("/sys/swath-test").is_err_and(|e| e.kind() == std::io::ErrorKind::ReadOnlyFilesystem) {
        let words = ["cannot create the folder `/sys/swath-test`: Read-only file system"];
        both_refuse(&work, &below("/sys/swath-test"), 13, &words);
    } else {
        skipped("/sys can be written, or refuses for another reason");
    }
}

#[test]
fn no_right_to_write_is_not_told_as_a_lack_of_room() {
    use std::os::unix::fs::PermissionsExt;
    let work = with_scenes(&[(40, 30)]);
    std::fs::create_dir(work.path("out")).unwrap();
    std::fs::set_permissions(work.path("out"), std::fs::Permissions::from_mode(0o555)).unwrap();
    if !work.heeds_rights() {
        return;
    }
    both_refuse(&work, &with(&[]), 13, &["cannot write into the folder `out`: Permission denied"]);
}

#[test]
fn a_disk_that_may_be_too_small_is_a_warning_of_the_same_words() {
    let Some(path) = shared("data/geotiffs/made__sparse_huge_200k.tif") else { return };
    let work = with_scenes(&[]);
    let arguments = ["p.toml", "-i", path.to_str().unwrap(), "-o", "out", "--backend", "fake", "--memory=512MiB"];
    let planned = work.swath(&[&["plan"], &arguments[..], &["--json", "--set", "tiler.centre=1024"]].concat());
    let document: serde_json::Value = serde_json::from_str(&planned.stdout).unwrap();
    if document["disk"].as_u64() <= document["disk_free"].as_u64() {
        return skipped("this disk has room for the masks of 40 gigapixels");
    }
    let warnings: Vec<&str> = document["warnings"].as_array().unwrap().iter().filter_map(|w| w.as_str()).collect();
    let words = |text: &str| text.split(" and ").next().unwrap().to_owned();
    let warning = words(warnings.iter().find(|w| w.contains("are free on their disk")).unwrap());
    let run = [&["run"], &arguments[..], &["--set", "tiler.centre=1024"]].concat();
    let mut child = work.command(&run).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains(&format!("warning: {warning}"))), "{warning}");
    // Its forty gigapixels are of no interest.
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_journal_of_another_format() {
    let work = with_scenes(&[(40, 30)]);
    work.write("out/run.db", [7; 5000]);
    both_refuse(&work, &with(&[]), 20, &["run.db", "unreadable"]);
}

#[test]
fn plan_without_a_run_directory_says_nothing_of_outputs() {
    let work = with_scenes(&[(40, 30)]);
    let arguments = ["plan", "p.toml", "-i", "in", "--backend", "fake"];
    work.swath(&arguments).says(0, &["1 to segment", "at most; free: unknown"]);
    let ran = work.swath(&[&arguments[..], &["--json"]].concat());
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(document["earlier"].is_null() && document["disk_free"].is_null(), "{document}");
}

#[test]
fn plan_tells_what_earlier_runs_have_done_and_touches_nothing() {
    let work = with_scenes(&[(130, 140), (40, 30), (40, 30)]);
    let plan = [&["plan"], &with(&[])[..]].concat();
    let run = [&["run"], &with(&[])[..]].concat();
    let good = std::fs::read(work.path("in/s1.tif")).unwrap();
    work.write("in/s1.tif", &good[..good.len() / 2]);
    work.swath(&run).says(3, &["2 done, 1 failed"]);
    work.write("in/s1.tif", &good);
    let before = files(&work.path("."));
    work.swath(&plan).says(0, &["earlier     2 of 3 scenes done and verified, 1 to do"]);
    assert_eq!(files(&work.path(".")), before);
    work.swath(&run).says(0, &["3 done, 0 failed"]);
    work.swath(&plan).says(0, &["earlier     3 of 3 scenes done and verified, 0 to do"]);
    work.write("out/masks/s0.png", "not what was recorded");
    work.swath(&plan).says(0, &["2 of 3 scenes done and verified, 1 to do", "files of 1 scene are damaged or gone"]);
    work.write("out/.lock", r#"{"pid":1,"host":"elsewhere"}"#);
    work.swath(&plan).says(0, &["in use by process 1 on elsewhere"]);
}
