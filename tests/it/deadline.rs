//! Time that is short: what has not begun is left to fewer members or to another run, recorded and repeated; and what is made with
//! fewer members is never taken for what all of them make.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use swath::app::{Ended, RunOptions, TimeLimits};
use swath::geom::Size;
use swath::journal::{Conceded, ConcessionRecord, Journal, Record};
use swath::raster::MemoryRaster;

use crate::support::memory::{Flow, pipeline, scene};
use crate::support::outputs;

const FIXED: &str = "strategy = \"fixed\"\ncentre = 24\ndilation = 5\nwhole_max = 20";
const LOGITS: &str = "checkpoints = [\"labels\", \"member-logits\"]\n";

/// The first `n` of three members.
fn members(n: usize) -> String {
    let member = |(seed, weight)| {
        format!("[[members]]\nnetwork = \"deeplabv3plus\"\nbackbone = \"resnet18\"\nseed = {seed}\nweight = {weight}\n")
    };
    [(1, "1.0"), (2, "0.75"), (3, "2.5")].into_iter().take(n).map(member).collect()
}

fn text(n: usize) -> String {
    pipeline(FIXED, &members(n), 7, Some(9)) + "[inference]\nbatch = 2\n"
}

/// A scene of 3 x 4 tiles, one of 3 x 2, and three that are one tile each and share a unit: seven units.
fn scenes() -> Vec<(String, MemoryRaster)> {
    let sizes = [(64, 90), (50, 33), (18, 12), (18, 12), (18, 12)];
    (0..).zip(sizes).map(|(i, (w, h))| (format!("s{i}"), scene(Size::new(w, h), 7, i))).collect()
}

fn masks(out: &Path) -> BTreeMap<String, Vec<u8>> {
    outputs(out).into_iter().filter(|(name, _)| name.starts_with("masks/")).collect()
}

/// What a quiet run makes of a pipeline.
fn quiet(text: &str) -> BTreeMap<String, Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    Flow::new(text, scenes()).run(dir.path()).unwrap();
    masks(dir.path())
}

/// Writes down that fewer members see these units, as an earlier run would have.
fn concede(flow: &Flow, out: &Path, units: &[[u32; 2]], members: u32) {
    let passes = (0..members).collect();
    let plan = flow.plan().unwrap().0.plan.digest().unwrap();
    let what = Conceded::FewerPasses { units: units.to_vec(), passes, seconds: 7.0 };
    Journal::open(out).unwrap().append(&[Record::Concession(ConcessionRecord { plan, what })]).unwrap();
}

fn within(limit: Duration) -> TimeLimits {
    TimeLimits { deadline: Some(limit), ..TimeLimits::default() }
}

/// With all the time in the world.
fn run(flow: &Flow, out: &Path) -> Ended {
    flow.run_with(RunOptions { limits: within(Duration::from_secs(86_400)), ..RunOptions::into(out) }).unwrap()
}

#[test]
fn a_step_is_repeated_reported_and_forgotten_without_a_deadline() {
    for (combine, checkpoints) in [("logits", ""), ("probabilities", ""), ("logits", LOGITS)] {
        let text = |n| format!("{checkpoints}{}combine = \"{combine}\"\n", text(n));
        let (all, one) = (quiet(&text(3)), quiet(&text(1)));
        assert!(all.iter().all(|(name, bytes)| one[name] != *bytes), "the members differ");
        let (flow, dir) = (Flow::new(&text(3), scenes()), tempfile::tempdir().unwrap());
        // From the second row of tiles of the first scene on with two members, and the small scenes with one.
        concede(&flow, dir.path(), &[[1, 4], [6, 7]], 2);
        concede(&flow, dir.path(), &[[6, 7]], 1);
        let report = run(&flow, dir.path()).report;
        let degraded = masks(dir.path());
        for name in ["s2", "s3", "s4"].map(|name| format!("masks/{name}.png")) {
            assert!(degraded[&name] == one[&name], "{name}");
        }
        assert!(degraded["masks/s1.png"] == all["masks/s1.png"] && degraded["masks/s0.png"] != all["masks/s0.png"]);

        let counts =
            |a, b, c| BTreeMap::from([("member0", a), ("member1", b), ("member2", c)].map(|(k, v)| (k.into(), v)));
        let mut found: Vec<_> = report.reduced.iter().map(|c| (c.scene.as_str(), c.units, c.members.clone())).collect();
        found.sort_unstable_by_key(|f| f.0);
        let small = counts(1, 0, 0);
        let expected = [
            ("s0.tif", 4, counts(4, 4, 1)),
            ("s2.tif", 1, small.clone()),
            ("s3.tif", 1, small.clone()),
            ("s4.tif", 1, small),
        ];
        assert_eq!(found, expected);
        assert_eq!((report.degraded(), report.totals.done), (4, 5));
        let steps = report.deadline.unwrap().steps;
        assert_eq!(
            steps.iter().map(|s| (s.seconds, s.units, s.members.len())).collect::<Vec<_>>(),
            [(7.0, 4, 2), (7.0, 1, 1)]
        );

        let again = run(&flow, dir.path()).report;
        assert_eq!((again.totals.reused, again.totals.forwards, again.degraded()), (5, 0, 4));
        std::fs::remove_file(dir.path().join("masks/s0.png")).unwrap();
        let again = run(&flow, dir.path()).report;
        assert_eq!((again.totals.reused, again.totals.forwards), (4, 0), "labels are stored");
        assert!(masks(dir.path()) == degraded);

        // Three rows of two batches and a group of two: all members, or those whose logits are not stored.
        let full = flow.run(dir.path()).unwrap().report;
        let expected = if checkpoints == LOGITS { 3 * 2 + 2 * 2 } else { 3 * 2 * 3 + 2 * 3 };
        assert_eq!((full.totals.reused, full.totals.forwards, full.degraded()), (1, expected, 0));
        assert!(masks(dir.path()) == all && full.deadline.is_none());
        let report = run(&flow, dir.path()).report;
        assert_eq!((report.totals.reused, report.degraded()), (5, 0), "the steps are forgotten");
    }
}

#[test]
fn labels_of_fewer_members_are_never_taken_for_all() {
    let dir = tempfile::tempdir().unwrap();
    let three = Flow::new(&text(3), scenes());
    concede(&three, dir.path(), &[[0, 7]], 2);
    run(&three, dir.path());
    // The same two members with the same weights: but their shares are others, and so may be the last bit of a sum.
    let two = Flow::new(&text(2), scenes()).run(dir.path()).unwrap().report.totals;
    assert_eq!((two.reused, two.forwards > 0), (0, true));
    // A step of one plan means nothing to another.
    let other = Flow::new(&text(3).replace("value = 9", "value = 11"), scenes());
    let report = run(&other, dir.path()).report;
    assert_eq!((report.degraded(), report.totals.forwards > 0), (0, true));
}

#[test]
fn spread_members_leave_out_those_that_are_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let matrix = Some(vec![vec![true, false, false], vec![false, true, false], vec![false, false, true]]);
    let flow = Flow { devices: 3, matrix, ..Flow::new(&text(3), scenes()) };
    concede(&flow, dir.path(), &[[0, 7]], 1);
    let report = run(&flow, dir.path()).report;
    assert_eq!(report.degraded(), 5);
    assert!(masks(dir.path()) == quiet(&text(1)));
    let batches = 4 * 2 + 2 * 2 + 2;
    assert_eq!(report.totals.forwards, batches);
}

#[test]
fn a_unit_may_be_short_of_memory_and_of_time() {
    let dir = tempfile::tempdir().unwrap();
    let flow = Flow::new(&text(3), scenes());
    concede(&flow, dir.path(), &[[2, 7]], 1);
    let options = |faults| RunOptions {
        faults: swath::faults::FaultPlan::of(faults),
        limits: within(Duration::from_secs(86_400)),
        ..RunOptions::into(dir.path())
    };
    let first = flow.run_with(options("device:oom~n2 s1")).unwrap().report;
    assert_eq!((first.degraded(), first.reduced.iter().filter(|c| !c.single_tiles.is_empty()).count()), (5, 1));
    let one = quiet(&text(1));
    let degraded = masks(dir.path());
    assert!(["s1", "s2", "s3", "s4"].map(|n| format!("masks/{n}.png")).iter().all(|name| degraded[name] == one[name]));
    let again = flow.run_with(options("device:oom")).unwrap().report;
    assert_eq!((again.totals.reused, again.reduced), (5, first.reduced));
}

#[test]
fn a_deadline_that_is_over_at_once_leaves_all_to_another_run() {
    let dir = tempfile::tempdir().unwrap();
    let flow = Flow::new(&text(3), scenes());
    let options = RunOptions { limits: within(Duration::from_nanos(1)), ..RunOptions::into(dir.path()) };
    let report = flow.run_with(options).unwrap().report;
    assert_eq!(report.totals.done + report.missing.len() as u64, 5);
    assert_eq!(report.missing.is_empty(), report.package.is_some());
    flow.run(dir.path()).unwrap();
    assert!(masks(dir.path()) == quiet(&text(3)));
}

#[cfg(feature = "gdal")]
mod command {
    use std::io::{BufRead, BufReader, Read};

    use super::*;
    use crate::support::command::{Ran, Workdir, geotiff};
    use crate::support::memory::values;

    /// Scenes of one tile and a shape of their own: as many units.
    const N_SCENES: u32 = 60;

    fn prepared() -> Workdir {
        let work = Workdir::new();
        let tiler = "strategy = \"fixed\"\ncentre = 64\ndilation = 5\nwhole_max = 100";
        work.write("p.toml", pipeline(tiler, &members(3), 7, None));
        for i in 0..N_SCENES {
            let size = Size::new(20 + i, 20);
            geotiff(&work.path(&format!("in/s{i:02}.tif")), size, &values(size, 7, i));
        }
        work
    }

    /// Runs into `out` with networks that take this long.
    fn swath(work: &Workdir, out: &str, delay_ms: u32, more: &[&str]) -> Ran {
        let arguments = ["run", "p.toml", "-i", "in", "-o", out, "--backend", "fake", "--devices", "cpu"];
        let mut command = work.command(&[&arguments[..], more].concat());
        let output = command.env("SWATH_FAKE_DELAY_MS", delay_ms.to_string()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    #[test]
    fn a_short_deadline_leaves_the_rest_to_fewer_members() {
        let work = prepared();
        swath(&work, "quiet", 0, &[]).expect(0);
        // All members take 9 s of sleep, one takes 3 s. A machine with much else to do may not manage even that beside its own work, whose
        // share becomes less when everything takes longer.
        let attempt = |factor: u32| {
            let (delay, limit) = (50 * factor, format!("{}s", 6 * factor));
            let ran = swath(&work, "out", delay, &["--deadline", &limit]);
            if ran.code == Some(5) {
                // Where not even the first pass began, there is none.
                drop(std::fs::remove_dir_all(work.path("out")));
                return None;
            }
            ran.says(4, &["deadline: after", "60 done, 0 failed", "fewer members", "submit.zip"]);
            Some((delay, limit))
        };
        let (delay, limit) = [1, 2, 4, 8].into_iter().find_map(attempt).unwrap();
        let limit = ["--deadline", &limit];
        let report = work.report("out");
        let (steps, conceded) = (&report["deadline"]["steps"], report["reduced"].as_array().unwrap());
        assert!(!steps.as_array().unwrap().is_empty() && !conceded.is_empty() && conceded.len() < 60, "{report}");
        assert!(conceded.iter().all(|c| c["members"]["member0"] == 1 && c["members"]["member2"] == 0), "{conceded:?}");
        assert_eq!(report["missing"].as_array().unwrap().len(), 0);
        let degraded = outputs(&work.path("out"));

        let said = swath(&work, "out", delay, &limit).expect(4);
        let again = work.report("out");
        assert_eq!((&again["totals"]["reused"], &again["totals"]["forwards"]), (&60.into(), &0.into()), "{said}");
        assert_eq!((&again["reduced"], &again["deadline"]["steps"]), (&report["reduced"], steps));
        assert!(outputs(&work.path("out")) == degraded);

        swath(&work, "out", 0, &[]).expect(0);
        let full = work.report("out");
        assert_eq!(full["totals"]["reused"], 60 - conceded.len());
        assert_eq!(full["reduced"].as_array().unwrap().len(), 0);
        assert!(outputs(&work.path("out")) == outputs(&work.path("quiet")));
    }

    /// Starts a run whose networks, or whose clock, a test has in its hand.
    fn planned(work: &Workdir, faults: &str, deadline: &str) -> std::process::Command {
        let mut command = work.command(&["run", "p.toml", "-i", "in", "-o", "out", "--backend", "fake"]);
        command.args(["--devices", "cpu", "--deadline", deadline]);
        command.env("SWATH_FAULTS", faults).env("SWATH_FAULTS_LOG", work.path("faults.log"));
        command
    }

    /// A run that is at its `pass`th forward pass when its time is up; what it says on standard error.
    fn out_of_time(work: &Workdir, pass: u32, more: &[&str]) -> String {
        let mut command = planned(work, &format!("device:hold@{pass}!,clock:late~{pass} passes"), "1h");
        command.args(more).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
        let mut run = command.spawn().unwrap();
        let mut said = BufReader::new(run.stderr.take().unwrap());
        let mut text = String::new();
        while !text.contains("time is up") {
            assert!(said.read_line(&mut text).unwrap() > 0, "{text}");
        }
        // The pass ends.
        std::fs::remove_file(work.path("faults.log")).unwrap();
        said.read_to_string(&mut text).unwrap();
        assert_eq!(run.wait().unwrap().code(), Some(5), "{text}");
        assert!(text.contains("deadline missed by 21 s"), "{text}");
        drop(std::fs::remove_file(work.path("faults.log")));
        text
    }

    #[test]
    fn time_that_is_up_leaves_scenes_to_the_same_command() {
        let work = prepared();
        swath(&work, "quiet", 0, &[]).expect(0);
        // Three members have seen two scenes.
        out_of_time(&work, 7, &[]);
        let report = work.report("out");
        let missing = report["missing"].as_array().unwrap().len();
        assert_eq!((missing, &report["totals"]["done"], &report["state"]), (58, &2.into(), &"stopped".into()));
        assert!(!work.path("out/submit.zip").exists());

        out_of_time(&work, 7, &["--allow-partial=blank:0"]);
        assert_eq!(work.report("out")["totals"]["reused"], 2);
        assert_eq!(crate::support::archive(&work.path("out/submit.zip")).len(), 60);

        swath(&work, "out", 0, &["--deadline", "1h"]).expect(0);
        assert!(outputs(&work.path("out")) == outputs(&work.path("quiet")));
    }

    #[test]
    fn when_time_is_up_the_rest_is_dropped_and_lateness_told() {
        let work = prepared();
        swath(&work, "quiet", 0, &[]).expect(0);
        // The first of three members is at the first unit.
        let text = out_of_time(&work, 1, &[]);
        assert!(text.contains("59 parts of the work are left over"), "{text}");
        let report = work.report("out");
        let totals = &report["totals"];
        // As long as nothing is known of the networks, no second unit begins.
        assert_eq!((&totals["forwards"], &totals["decoded"], &totals["tiles"]), (&1.into(), &1.into(), &0.into()));
        assert_eq!(report["missing"].as_array().unwrap().len(), 60);
        assert_eq!(report["deadline"]["missed_by"], 21.0);
        assert!(outputs(&work.path("out")).is_empty());
        swath(&work, "out", 0, &[]).expect(0);
        assert!(outputs(&work.path("out")) == outputs(&work.path("quiet")));
    }

    #[test]
    fn a_run_that_is_complete_and_late_says_so_and_is_not_done() {
        let work = prepared();
        let output = planned(&work, "clock:late~180 passes", "1h").output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let ran = Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
        ran.says(4, &["60 done, 0 failed", "deadline missed by 21 s", "submit.zip"]);
        assert_eq!(work.report("out")["totals"]["forwards"], 180);
        // The same in time is done.
        swath(&work, "out", 0, &["--deadline", "1h"]).expect(0);
        assert!(work.report("out")["deadline"]["missed_by"].is_null());
    }

    #[test]
    fn a_deadline_over_before_work_touches_nothing() {
        let work = prepared();
        let output = planned(&work, "decode:stall~open s07", "1s").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(5), "{said}");
        assert!(said.contains("before work could begin") && said.contains("--deadline"), "{said}");
        assert!(!work.path("out").exists());
    }
}
