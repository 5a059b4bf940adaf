//! `swath report`: what a run directory remembers is all that its report needs.
#![cfg(feature = "gdal")]

use serde_json::Value;
use swath::journal::Journal;

use crate::support::command::{Workdir, with_scenes};

const RUN: [&str; 9] = ["run", "p.toml", "-i", "in", "-o", "out", "--backend=fake", "--pack-fake", "--devices=cpu"];

fn derived(work: &Workdir) -> Value {
    serde_json::from_str(&work.swath(&["report", "out", "--json"]).expect(0)).unwrap()
}

/// The unit and the run that the journal names with a failure.
fn verdict(work: &Workdir, scene: &str) -> (Option<u32>, u64) {
    let state = Journal::open_read_only(&work.path("out")).unwrap().unwrap().state().unwrap();
    (state.failures[scene].unit, state.failures[scene].attempt)
}

fn n(report: &Value, list: &str) -> usize {
    report[list].as_array().unwrap().len()
}

#[test]
fn the_report_of_a_run_that_has_ended_is_the_one_that_it_wrote() {
    let work = with_scenes(&[(130, 140), (40, 30), (40, 30)]);
    let good = std::fs::read(work.path("in/s2.tif")).unwrap();
    work.write("in/broken.tif", &good[..60]);
    let (none, failing) = ("", "device:error~s1 s2");
    type Check = fn(&Value) -> bool;
    let cases: [(&str, &[&str], i32, Check); 7] = [
        (none, &[], 3, |told| told["totals"]["done"] == 3 && n(told, "failed") == 1),
        (none, &[], 3, |told| told["totals"]["reused"] == 3 && told["scenes"]["s0"]["done_before"] == true),
        (failing, &["--fresh"], 3, |told| n(told, "failed") == 3 && told["package"].is_null()),
        (failing, &["--fresh", "--allow-partial=blank:0"], 3, |told| {
            told["failed"][1]["action"] == "blank mask of 0" && told["package"]["entries"] == 3
        }),
        ("device:oom~n2 s0 y0", &["--fresh", "--allow-partial=omit"], 3, |told| n(told, "reduced") == 1),
        (none, &["--fresh", "--until=average"], 3, |told| told["totals"]["done"] == 0 && n(told, "missing") == 0),
        ("read:cut@1", &["--fresh", "--readers=1", "--deadline=1h"], 5, |told| n(told, "missing") == 3),
    ];
    for (faults, more, code, check) in cases {
        let ran = work.swath_with(&[&RUN[..], more].concat(), &[("SWATH_FAULTS", faults)]);
        assert_eq!(ran.code, Some(code), "{faults} {more:?}: {ran:?}");
        let told = work.report("out");
        assert!(check(&told), "{faults} {more:?}: {told}");
        let (report, away) = (work.path("out/report.json"), work.path("told.json"));
        std::fs::rename(&report, &away).unwrap();
        assert_eq!(derived(&work), told, "{faults} {more:?}");
        std::fs::rename(&away, &report).unwrap();
        if faults == failing {
            // The band of three rows of tiles lies before the group of the small ones.
            assert_eq!([verdict(&work, "s1"), verdict(&work, "broken")], [(Some(3), 1), (None, 1)]);
        }
    }
}

#[test]
fn the_report_of_a_run_that_was_killed_says_what_it_has_done() {
    let work = with_scenes(&[(130, 140), (40, 30), (40, 30)]);
    let kill = |faults: &str| {
        let ran = work.swath_with(&[&RUN[..], &["--no-supervise"]].concat(), &[("SWATH_FAULTS", faults)]);
        assert_eq!(ran.code, None, "{ran:?}");
        assert_eq!(work.report("out")["state"], "running");
        derived(&work)
    };
    let early = kill("scene:abort~s0");
    assert_eq!((&early["state"], n(&early, "missing")), (&"stopped".into(), 3), "{early}");
    let late = kill("pack:abort");
    assert_eq!((&late["state"], &late["totals"]["done"], n(&late, "missing")), (&"stopped".into(), &3.into(), 0));
    assert!(late["outputs"].as_object().unwrap().values().all(|file| file["bytes"].is_u64()), "{late}");
    work.swath(&["report", "out"]).says(0, &["3 done, 0 failed", "out/masks"]);
    // A plan that no run has begun with is nobody's report.
    work.swath(&["plan", "p.toml", "-i", "in/s0.tif", "--backend=fake", "--overwrite", "--save", "out/plan.jsonl"])
        .expect(0);
    work.swath(&["report", "out"]).says(2, &["no run has begun with the plan that `out` holds"]);
}
