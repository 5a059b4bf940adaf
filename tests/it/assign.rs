//! Members spread over devices: the masks are those of devices that hold all of them.
#![cfg(feature = "gdal")]

use std::collections::BTreeMap;

use crate::support::command::{Workdir, with_scenes};
use crate::support::outputs;

const RUN: [&str; 8] = ["run", "p.toml", "-i", "in", "-o", "out", "--backend", "fake"];
const LOGITS: [&str; 2] = ["--set", "checkpoints=[\"labels\", \"member-logits\"]"];

const SPREAD: &str = "[[device]]\nid = \"cpu\"\nmembers = [\"member1\"]\n\
                      [[device]]\nid = \"cpu\"\nmembers = [\"member0\"]\n\
                      [[device]]\nid = \"cpu\"\nmembers = [\"member1\"]\n";

fn work() -> Workdir {
    let work = with_scenes(&[(130, 140), (70, 60), (40, 30), (40, 30)]);
    work.write("spread.toml", SPREAD);
    work.write("gpus.toml", SPREAD.replace("\"cpu\"", "\"cuda:1\"").replacen("cuda:1", "cuda:0", 1));
    work
}

/// What a run into a new folder makes.
fn fresh(work: &Workdir, more: &[&str]) -> BTreeMap<String, Vec<u8>> {
    work.swath(&[&RUN[..], &["--fresh"], more].concat()).expect(0);
    outputs(&work.path("out"))
}

#[test]
fn spread_members_give_the_same_bytes() {
    let work = work();
    let expected = fresh(&work, &["--devices", "cpu"]);
    for devices in [
        &["--devices", "cpu,cpu", "--assign", "partition"][..],
        &["--devices", "cpu,cpu,cpu", "--assign", "partition"],
        &["--devices", "cuda:0,cuda:1", "--assign", "partition"],
        &["--devices", "cuda:0", "--assign", "partition"],
        &["--assign", "spread.toml"],
        &["--assign", "gpus.toml"],
    ] {
        assert!(fresh(&work, devices) == expected, "{devices:?}");
        assert!(fresh(&work, &[devices, &LOGITS].concat()) == expected, "{devices:?} with stored logits");
        // Half of what is stored is run again, the rest goes through the sum as if it had been.
        std::fs::remove_file(work.path("out/masks/s0.png")).unwrap();
        work.swath(&[&RUN[..], devices, &LOGITS, &["--from", "average"]].concat()).expect(0);
        assert_eq!(work.report("out")["totals"]["forwards"], 0, "{devices:?}");
        assert!(outputs(&work.path("out")) == expected, "{devices:?} from stored logits");
    }
}

#[test]
fn logits_that_spread_members_stored_serve_a_device_that_holds_all() {
    let work = work();
    let expected = fresh(&work, &["--devices", "cpu"]);
    work.swath(&[&RUN[..], &LOGITS, &["--assign", "spread.toml", "--until", "infer", "--fresh"]].concat()).expect(0);
    work.swath(&[&RUN[..], &LOGITS, &["--devices", "cpu"]].concat()).expect(0);
    assert_eq!(work.report("out")["totals"]["forwards"], 0);
    assert!(outputs(&work.path("out")) == expected);
}

#[test]
fn faults_of_spread_members_change_no_byte() {
    let work = work();
    let expected = fresh(&work, &["--devices", "cpu"]);
    for faults in ["device:oom@2", "device:nan@3", "device:oom~n2"] {
        for devices in ["spread.toml", "gpus.toml"] {
            let mut command = work.command(&[&RUN[..], &["--fresh", "--assign", devices]].concat());
            let output = command.env("SWATH_FAULTS", faults).output().unwrap();
            assert!(output.status.success(), "{faults}: {}", String::from_utf8_lossy(&output.stderr));
            assert!(outputs(&work.path("out")) == expected, "{faults}, {devices}");
        }
    }
}

#[test]
fn what_cannot_be_assigned_is_told_before_work() {
    let work = work();
    let says = |file: &str, text: &str, words: &[&str]| {
        work.write(file, text);
        work.swath(&[&RUN[..], &["--assign", file]].concat()).says(2, words);
    };
    says("a.toml", &SPREAD.replacen("member1", "other", 1), &["a.toml", "no member `other`", "`member0`, `member1`"]);
    says("b.toml", &SPREAD.replace("member0", "member1"), &["no device holds the member `member0`"]);
    says(
        "c.toml",
        &SPREAD.replacen("[\"member1\"]", "[\"member0\", \"member1\"]", 1),
        &["share some members and not all"],
    );
    says("d.toml", &SPREAD.replace("\"cpu\"", "\"tpu\""), &["`tpu` is not a device"]);
    says("e.toml", &SPREAD.replacen("id", "name", 1), &["unknown field `name`"]);
    work.swath(&[&RUN[..], &["--assign", "spread"]].concat()).says(2, &["--assign `spread`", "replicate, partition"]);
    let both = ["--assign", "spread.toml", "--devices", "cpu"];
    work.swath(&[&RUN[..], &both].concat()).says(2, &["leave --devices out"]);
}
