//! A command whose answer cannot be printed has failed; one whose reader has gone away has not.
#![cfg(feature = "gdal")]

use std::process::Stdio;

use crate::support::command::{Workdir, with_scenes};

const RUN: [&str; 8] = ["run", "p.toml", "-i", "in", "-o", "out", "--backend", "fake"];

/// Every command whose answer goes to standard output, and needs no network.
const ANSWERS: [&str; 16] = [
    "plan p.toml -i in -o out --backend=fake",
    "plan p.toml -i in -o out --backend=fake --json",
    "eval out/masks --truth out/masks",
    "eval out/masks --truth out/masks --json",
    "status out",
    "status out --json",
    "verify out",
    "verify out --json",
    "models list",
    "models list --json",
    "weights inspect w.safetensors",
    "weights diff w.safetensors w.safetensors --json",
    "bench encode --side 16 --repeats 1",
    "doctor",
    "--help",
    "gc out",
];

/// A folder with a run, and a file of weights without tensors.
fn prepared() -> Workdir {
    let work = with_scenes(&[(70, 50), (30, 20)]);
    work.swath(&RUN).expect(0);
    let header = b"{\"__metadata__\":{}}";
    let length = u64::try_from(header.len()).unwrap().to_le_bytes();
    work.write("w.safetensors", [&length[..], header].concat());
    work
}

/// Exit code and standard error of a command with this as its standard output.
fn printing_to(work: &Workdir, arguments: &[&str], stdout: impl Into<Stdio>) -> (Option<i32>, String) {
    let output = work.command(arguments).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
    let output = output.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn full() -> std::fs::File {
    std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap()
}

#[test]
fn an_answer_that_cannot_be_printed_is_a_failure() {
    let work = prepared();
    for line in ANSWERS {
        let arguments: Vec<&str> = line.split(' ').collect();
        let (code, stderr) = printing_to(&work, &arguments, full());
        assert_eq!(code, Some(13), "{line}: {stderr}");
        assert!(stderr.contains("error: cannot write to standard output: No space left"), "{line}: {stderr}");
    }
    let (code, _) = printing_to(&work, &["synth", "-o", "drawn"], full());
    assert_eq!(code, Some(13));
}

#[test]
fn a_reader_that_has_gone_away_is_none() {
    let work = prepared();
    for line in ANSWERS.into_iter().filter(|line| *line != "doctor") {
        let arguments: Vec<&str> = line.split(' ').collect();
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(printing_to(&work, &arguments, writer), (Some(0), String::new()), "{line}");
    }
}

#[test]
fn a_run_whose_summary_cannot_be_printed_says_so() {
    let work = with_scenes(&[(70, 50), (30, 20)]);
    let (code, stderr) = printing_to(&work, &RUN, full());
    assert_eq!(code, Some(13), "{stderr}");
    assert!(stderr.contains("No space left") && stderr.contains("recorded in `out/report.json`"), "{stderr}");
    assert_eq!(work.report("out")["state"], "finished");
    work.swath(&["status", "out"]).says(0, &["2 done", "submit.zip is made"]);
    work.swath(&RUN).says(0, &["2 of 2 scenes are done and verified"]);
    // What the run has to say itself weighs more.
    work.write("in/bad.tif", "no scene");
    assert_eq!(printing_to(&work, &RUN, full()).0, Some(3));
}
