//! A run that dies, stalls or is told to end, through the command line: what is lost is what must be.
#![cfg(all(feature = "gdal", target_os = "linux"))]

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::command::{self, Ran, Workdir, children, is_alive, wait_until, with_scenes};
use crate::support::outputs;

const RUN: [&str; 8] = ["run", "p.toml", "-i", "in", "-o", "out", "--backend", "fake"];

/// Six scenes, one of them of several rows of tiles, three of them a group.
fn prepared() -> Workdir {
    with_scenes(&[(130, 140), (70, 60), (40, 30), (40, 30), (40, 30), (1, 1)])
}

/// What an undisturbed run leaves.
fn reference(work: &Workdir) -> BTreeMap<String, Vec<u8>> {
    command::reference(work, &RUN)
}

fn faulty(work: &Workdir, faults: &str, more: &[&str]) -> Command {
    let mut command = work.command(&[&RUN[..], more].concat());
    command.env("SWATH_FAULTS", faults).env("SWATH_FAULTS_LOG", work.path("faults.log"));
    command
}

fn run(mut command: Command) -> Ran {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// How often planned faults have struck.
fn strikes(work: &Workdir) -> usize {
    std::fs::read_to_string(work.path("faults.log")).unwrap_or_default().lines().count()
}

#[test]
fn a_run_that_dies_once_is_started_again_and_ends_with_the_same_bytes() {
    let work = prepared();
    let expected = reference(&work);
    for stage in ["scene", "read", "tile", "infer", "average", "keep", "stitch", "encode", "commit"] {
        let ran = run(faulty(&work, &format!("{stage}:abort@2!"), &[]));
        ran.says(0, &["was killed by SIGABRT", "starting it again", "6 done, 0 failed"]);
        assert_eq!(strikes(&work), 1, "{stage}");
        assert!(outputs(&work.path("out")) == expected, "{stage}");
        assert_eq!(work.report("out")["restarts"].as_array().unwrap().len(), 1);
        std::fs::remove_file(work.path("faults.log")).unwrap();
        std::fs::remove_dir_all(work.path("out")).unwrap();
    }
}

#[test]
fn a_scene_that_kills_the_run_alone_is_left_out_by_name_and_costs_no_other() {
    let work = prepared();
    let expected = reference(&work);
    // One of many tiles, and one inside a group.
    for poison in ["s0", "s3"] {
        let ran = run(faulty(&work, &format!("scene:abort~{poison}"), &[]));
        ran.says(
            3,
            &[&format!("`{poison}` alone"), "5 done, 1 failed", &format!("in/{poison}.tif"), "(supervisor)", "SIGABRT"],
        );
        assert_eq!(work.report("out")["restarts"].as_array().unwrap().len(), 2, "{ran:?}");
        assert_eq!(strikes(&work), 2);
        let left = outputs(&work.path("out"));
        let good = |name: &String| !name.contains(poison) && name != "submit.zip";
        assert!(left.iter().filter(|(n, _)| good(n)).eq(expected.iter().filter(|(n, _)| good(n))));
        // When the cause is gone, the same command does the rest.
        work.swath(&RUN).expect(0);
        assert!(outputs(&work.path("out")) == expected);
        std::fs::remove_file(work.path("faults.log")).unwrap();
        std::fs::remove_dir_all(work.path("out")).unwrap();
    }
}

#[test]
fn a_run_that_dies_whatever_it_does_ends_with_its_cause() {
    let work = prepared();
    run(faulty(&work, "commit:abort", &[])).says(1, &["SIGABRT", "times in a row", "--no-supervise"]);
    work.swath(&RUN).expect(0);
}

#[test]
fn what_was_forgotten_once_is_not_forgotten_again_by_the_second_attempt() {
    let work = prepared();
    let expected = reference(&work);
    work.swath(&RUN).expect(0);
    for more in [&["--fresh"][..], &["--from", "infer"]] {
        run(faulty(&work, "encode:abort@3!", more)).says(0, &["SIGABRT"]);
        assert!(outputs(&work.path("out")) == expected, "{more:?}");
        std::fs::remove_file(work.path("faults.log")).unwrap();
    }
    work.swath(&["resume", "out"]).says(0, &["6 of 6 scenes are done"]);
}

const STAGES: [&str; 9] = ["read", "tile", "infer", "average", "keep", "stitch", "post", "encode", "commit"];

#[test]
fn every_stage_that_does_not_come_back_is_told_with_the_stage_table_and_the_run_started_again() {
    let stalled = |stage: &str| {
        let work = prepared();
        let pipeline = std::fs::read_to_string(work.path("p.toml")).unwrap();
        work.write("p.toml", pipeline + "[post]\nfill_holes = 3\n");
        let expected = reference(&work);
        let ran = run(faulty(&work, &format!("{stage}:stall@2!"), &["--stall-timeout", "2"]));
        let words = [&format!("the stage `{stage}` has not come back"), "stopped itself", "6 done, 0 failed"];
        ran.says(0, &words);
        let has_line =
            |stage: &&str| ran.stderr.lines().any(|l| l.starts_with(&format!("  {stage} ")) && l.contains("% busy"));
        assert!(STAGES.iter().all(has_line), "{ran:?}");
        assert_eq!(strikes(&work), 1);
        assert!(outputs(&work.path("out")) == expected, "{stage}");
    };
    // Most of the time nothing happens: a few at once.
    for stages in STAGES.chunks(3) {
        std::thread::scope(|scope| stages.iter().for_each(|stage| drop(scope.spawn(|| stalled(stage)))));
    }
}

#[test]
fn an_archive_that_is_not_finished_is_a_stall_like_any_other() {
    let work = prepared();
    let expected = reference(&work);
    let ran = run(faulty(&work, "pack:stall!", &["--stall-timeout", "2"]));
    ran.says(0, &["the stage `pack` has not come back", "  commit ", "stopped itself", "starting it again"]);
    assert!(outputs(&work.path("out")) == expected);
}

#[test]
fn without_a_supervisor_a_stall_is_the_end() {
    let work = prepared();
    let ran = run(faulty(&work, "infer:stall@2", &["--stall-timeout", "2", "--no-supervise"]));
    ran.says(1, &["the stage `infer` has not come back", "--stall-timeout"]);
}

#[test]
fn a_stage_that_does_not_come_back_does_not_keep_another_ones_error_from_ending_the_run() {
    let work = prepared();
    let expected = reference(&work);
    let ran = run(faulty(&work, "infer:stall@3!,commit:error@1!", &["--stall-timeout", "2"]));
    ran.says(0, &["the stage `infer` has not come back", "6 done, 0 failed"]);
    assert!(outputs(&work.path("out")) == expected);
}

#[test]
fn a_run_that_loses_its_device_is_started_again_until_the_device_is_left_out() {
    let work = prepared();
    let expected = reference(&work);
    run(faulty(&work, "device:lost@2!", &[]))
        .says(0, &["the device cpu is lost", "a device was lost; starting", "6 done"]);
    assert!(outputs(&work.path("out")) == expected);
    std::fs::remove_file(work.path("faults.log")).unwrap();
    std::fs::remove_dir_all(work.path("out")).unwrap();
    let ran = run(faulty(&work, "device:lost", &["--devices", "cpu"]));
    ran.says(14, &["no device is left: cpu was lost 3 times", "goes on"]);
    assert_eq!(strikes(&work), 3);
    work.swath(&RUN).expect(0);
    assert!(outputs(&work.path("out")) == expected);
}

#[test]
fn without_a_supervisor_a_death_is_the_end() {
    let work = prepared();
    let expected = reference(&work);
    let ran = run(faulty(&work, "infer:abort@2", &["--no-supervise"]));
    assert_eq!(ran.code, None, "{ran:?}");
    work.swath(&RUN).expect(0);
    assert!(outputs(&work.path("out")) == expected);
}

#[test]
fn when_the_grace_is_over_what_does_not_come_back_is_left() {
    let work = prepared();
    let expected = reference(&work);
    let (mut parent, worker) = stuck(&work);
    kill(Pid::from_raw(i32::try_from(parent.id()).unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(parent.wait().unwrap().code(), Some(143));
    wait_until(|| !is_alive(worker));
    work.swath(&RUN).expect(0);
    assert!(outputs(&work.path("out")) == expected);
}

#[test]
fn a_run_that_was_told_to_end_is_not_started_again_whatever_it_dies_of_on_the_way() {
    let work = prepared();
    let expected = reference(&work);
    // The pass under way is finished, and so its batch is averaged.
    for death in ["average:abort@1", "average:stall@1"] {
        let mut command = faulty(&work, &format!("device:hold@1!,{death}"), &["--stall-timeout", "2"]);
        command.args(["--devices", "cpu", "--grace", "600"]);
        let mut parent = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        wait_until(|| strikes(&work) > 0);
        kill(Pid::from_raw(i32::try_from(parent.id()).unwrap()), Signal::SIGTERM).unwrap();
        let mut said = std::io::BufReader::new(parent.stderr.take().unwrap());
        hear(&mut said, "finishing what is under way");
        std::fs::remove_file(work.path("faults.log")).unwrap();
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut said, &mut rest).unwrap();
        assert_eq!(parent.wait().unwrap().code(), Some(143), "{death}: {rest}");
        assert!(strikes(&work) == 1 && !rest.contains("starting"), "{death}: {rest}");
        std::fs::remove_file(work.path("faults.log")).unwrap();
        work.swath(&RUN).expect(0);
        assert!(outputs(&work.path("out")) == expected, "{death}");
        std::fs::remove_dir_all(work.path("out")).unwrap();
    }
}

#[test]
fn arguments_that_are_no_options_stay_behind_those_that_are() {
    let work = prepared();
    let arguments = ["run", "-i", "in", "-o", "out", "--backend", "fake", "--", "p.toml"];
    work.swath(&arguments).says(0, &["6 done, 0 failed"]);
}

/// A run that does not come to its end by itself, its worker waiting in `infer`.
fn stuck(work: &Workdir) -> (std::process::Child, i32) {
    let mut command = faulty(work, "infer:stall@2", &["--grace", "1"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until(|| strikes(work) > 0);
    let worker = children(child.id())[0];
    (child, worker)
}

#[test]
fn a_killed_parent_takes_everything_with_it_and_the_next_run_goes_on() {
    let work = prepared();
    let expected = reference(&work);
    let (mut parent, worker) = stuck(&work);
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_until(|| !is_alive(worker));
    work.swath(&RUN).expect(0);
    assert!(outputs(&work.path("out")) == expected);
}

#[test]
fn a_killed_worker_is_started_again() {
    let work = prepared();
    let expected = reference(&work);
    let (mut parent, worker) = stuck(&work);
    kill(Pid::from_raw(worker), Signal::SIGKILL).unwrap();
    // The next attempt runs into the same stall.
    wait_until(|| strikes(&work) == 2);
    assert!(parent.try_wait().unwrap().is_none());
    parent.kill().unwrap();
    parent.wait().unwrap();
    work.swath(&RUN).expect(0);
    assert!(outputs(&work.path("out")) == expected);
}

/// Whether this process was started with a signal ignored, as `nohup` does: children inherit that. Says so.
fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    let is_ignored = u64::from_str_radix(mask.trim(), 16).unwrap() >> (signal as i32 - 1) & 1 == 1;
    if is_ignored {
        crate::support::skipped(&format!("{signal} is ignored here, and so by the program"));
    }
    is_ignored
}

/// Reads what a program says until a line holds these words.
fn hear(said: &mut impl std::io::BufRead, words: &str) -> String {
    let mut line = String::new();
    while !line.contains(words) {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "`{words}` is not said");
    }
    line
}

/// Sends a signal to every process of a group, as a terminal does.
fn send_to_group(leader: &std::process::Child, signal: Signal) {
    kill(Pid::from_raw(-i32::try_from(leader.id()).unwrap()), signal).unwrap();
}

#[test]
fn a_signal_reaches_the_run_twice_and_counts_once_and_the_second_one_ends_it_at_once() {
    use std::os::unix::process::CommandExt;
    let work = prepared();
    let expected = reference(&work);
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143), (Signal::SIGHUP, 129)] {
        for more in [&["--grace", "600"][..], &["--grace", "600", "--no-supervise"]] {
            if is_ignored(signal) {
                continue;
            }
            let mut command = faulty(&work, "infer:stall@2", more);
            command.process_group(0).stdout(Stdio::null()).stderr(Stdio::piped());
            let mut parent = command.spawn().unwrap();
            wait_until(|| strikes(&work) > 0);
            let processes = children(parent.id());
            // To everybody in the group. With what the parent passes on, that is still one signal: only the first one is answered.
            send_to_group(&parent, signal);
            let mut said = std::io::BufReader::new(parent.stderr.take().unwrap());
            let line = hear(&mut said, "finishing what is under way");
            assert!(line.contains("send it again to stop now"), "{line}");
            send_to_group(&parent, signal);
            assert_eq!(parent.wait().unwrap().code(), Some(code));
            let mut rest = String::new();
            std::io::Read::read_to_string(&mut said, &mut rest).unwrap();
            assert_eq!(rest, "");
            wait_until(|| processes.iter().all(|process| !is_alive(*process)));
            std::fs::remove_file(work.path("faults.log")).unwrap();
            work.swath(&RUN).expect(0);
            assert!(outputs(&work.path("out")) == expected);
            std::fs::remove_dir_all(work.path("out")).unwrap();
        }
    }
}

#[test]
fn a_signal_leaves_what_no_network_has_begun_and_finishes_the_pass_under_way() {
    let work = prepared();
    let expected = reference(&work);
    for more in [&[][..], &["--no-supervise"]] {
        // The first member is at its first batch, and everything else waits behind it.
        let mut command = faulty(&work, "device:hold@1!", more);
        command.args(["--devices", "cpu", "--grace", "600"]).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut run = command.spawn().unwrap();
        wait_until(|| strikes(&work) > 0);
        kill(Pid::from_raw(i32::try_from(run.id()).unwrap()), Signal::SIGTERM).unwrap();
        let mut said = std::io::BufReader::new(run.stderr.take().unwrap());
        hear(&mut said, "finishing what is under way");
        std::fs::remove_file(work.path("faults.log")).unwrap();
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut said, &mut rest).unwrap();
        assert_eq!(run.wait().unwrap().code(), Some(143), "{rest}");
        assert!(rest.contains("stopped by SIGTERM"), "{rest}");
        let report = work.report("out");
        let totals = &report["totals"];
        assert_eq!((&totals["forwards"], &totals["done"], &totals["tiles"]), (&1.into(), &0.into(), &0.into()));
        assert_eq!(report["state"], "stopped");
        assert!(outputs(&work.path("out")).is_empty());
        work.swath(&RUN).expect(0);
        assert!(outputs(&work.path("out")) == expected);
        std::fs::remove_dir_all(work.path("out")).unwrap();
    }
}
