//! What goes wrong is told with the file, or the stage, and the cause, through the command line.
#![cfg(all(feature = "gdal", target_os = "linux"))]

use std::collections::BTreeMap;
use std::fs::File;
use std::process::{Command, Stdio};

use swath::geom::Size;

use crate::support::command::{self, Workdir, geotiff, wait_until, with_scenes};
use crate::support::memory::values;
use crate::support::outputs;

const RUN: [&str; 11] = ["run", "p.toml", "-i", "in", "-o", "out", "--backend", "fake", "--devices", "cpu", "-v"];

/// Four scenes, the first of several rows of tiles, two of them a group.
fn prepared() -> Workdir {
    with_scenes(&[(130, 140), (40, 30), (40, 30), (1, 1)])
}

/// What an undisturbed run leaves.
fn reference(work: &Workdir) -> BTreeMap<String, Vec<u8>> {
    command::reference(work, &RUN)
}

#[test]
fn logits_that_are_no_numbers_cost_their_scene_and_name_the_member_and_the_tile() {
    let work = prepared();
    let expected = reference(&work);
    let ran = work.swath_with(&RUN, &[("SWATH_FAULTS", "device:nan~member1 n2 s0")]);
    ran.says(
        3,
        &[
            "in/s0.tif (infer): member `member1` returns non-finite logits",
            "the tile at column 0, row ",
            "3 done, 1 failed",
        ],
    );
    let left = outputs(&work.path("out"));
    let good = |name: &String| !name.contains("s0") && name != "submit.zip";
    assert!(left.iter().filter(|(n, _)| good(n)).eq(expected.iter().filter(|(n, _)| good(n))));
    assert!(!left.contains_key("masks/s0.png") && !left.contains_key("submit.zip"));
}

#[test]
fn a_pass_that_fails_costs_its_scenes_and_names_them_with_what_the_library_said() {
    let work = prepared();
    let ran = work.swath_with(&RUN, &[("SWATH_FAULTS", "device:error~s1 s2")]);
    ran.says(3, &["in/s1.tif (infer): ", "in/s2.tif (infer): ", "planted fault", "2 done, 2 failed"]);
}

#[test]
fn a_device_that_is_out_of_memory_for_a_batch_runs_its_tiles_one_by_one_and_the_report_names_the_scene() {
    let work = prepared();
    let ran = work.swath_with(&RUN, &[("SWATH_FAULTS", "device:oom~n2 s0 y0")]);
    ran.says(0, &["out of memory on a device: 1 of", "1 scene ran tile by tile", "4 done, 0 failed"]);
    let report = work.report("out");
    let conceded = report["reduced"].as_array().unwrap();
    assert!(conceded.len() == 1 && conceded[0]["scene"].as_str().unwrap().ends_with("in/s0.tif"), "{report}");
}

#[test]
fn a_panic_of_a_stage_ends_the_run_with_the_stage_and_its_message_and_the_next_run_goes_on() {
    let work = prepared();
    let expected = reference(&work);
    for stage in ["read", "infer", "encode", "commit"] {
        let output = work.command(&RUN).env("SWATH_FAULTS", format!("{stage}:panic@1")).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(&format!("error: the stage `{stage}` failed internally: planted fault")), "{text}");
        work.swath(&RUN).expect(0);
        assert!(outputs(&work.path("out")) == expected, "{stage}");
        std::fs::remove_dir_all(work.path("out")).unwrap();
    }
}

#[test]
fn a_scene_that_changes_while_the_run_is_at_work_is_named_and_gets_no_mask() {
    let work = prepared();
    let log = work.path("faults.log");
    // Before its first row is read, and when all has been read and nothing is encoded.
    for hold in ["read:hold@1!", "encode:hold@1!"] {
        let mut command = work.command(&RUN);
        command.env("SWATH_FAULTS", hold).env("SWATH_FAULTS_LOG", &log);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_until(|| log.exists());
        let size = Size::new(130, 140);
        geotiff(&work.path("in/s0.tif"), size, &values(size, 7, u32::try_from(hold.len()).unwrap()));
        std::fs::remove_file(&log).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(3), "{text}");
        let line = text.lines().find(|line| line.starts_with("failed: ") && line.contains("in/s0.tif"));
        assert!(line.is_some_and(|line| line.contains("changed since it was planned")), "{text}");
        assert!(!work.path("out/masks/s0.png").exists() && !work.path("out/submit.zip").exists());
        work.swath(&RUN).says(0, &["3 of 4 scenes are done and verified", "4 done, 0 failed"]);
        std::fs::remove_dir_all(work.path("out")).unwrap();
    }
}

#[test]
fn a_run_directory_that_cannot_be_understood_is_left_alone_and_named() {
    let work = prepared();
    work.write("out/run.db", "no journal");
    let ran = work.swath(&RUN);
    ran.says(20, &["out/run.db"]);
    assert_eq!(std::fs::read(work.path("out/run.db")).unwrap(), b"no journal");
}

#[test]
fn output_that_goes_nowhere_does_not_stop_a_run() {
    let work = prepared();
    let expected = reference(&work);
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let status = work.command(&RUN).stdout(full()).stderr(full()).status().unwrap();
    // The summary did not arrive; the work is done.
    assert_eq!(status.code(), Some(13));
    assert!(outputs(&work.path("out")) == expected);
}

/// A run with a limit of open files: `-S -n 16` it may raise, `-n 18` it may not.
fn limited(work: &Workdir, limit: &str) -> Command {
    let program = work.command(&RUN);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit {limit}; exec \"$0\" \"$@\"")]);
    shell.arg(program.get_program()).args(program.get_args()).current_dir(work.path("."));
    shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?)))).env_remove("RUST_BACKTRACE");
    shell
}

#[test]
fn too_few_files_are_raised_where_that_is_allowed_and_otherwise_end_the_run_and_cost_no_scene() {
    let work = prepared();
    let output = limited(&work, "-S -n 16").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    std::fs::remove_dir_all(work.path("out")).unwrap();
    let output = limited(&work, "-n 18").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() != Some(0) && text.contains("Too many open files"), "{text}");
    assert!(text.contains("error: ") && !text.contains("failed: "), "{text}");
    work.swath(&RUN).says(0, &["4 done, 0 failed"]);
}
