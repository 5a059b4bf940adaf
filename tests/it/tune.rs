//! What `swath tune` measures, what plans make of it, and what a run directory keeps of it.
#![cfg(feature = "gdal")]

use serde_json::{Value, json};

use crate::support::command::{Workdir, with_scenes};
use crate::support::outputs;

const RUN: [&str; 8] = ["run", "p.toml", "-i", "in", "-o", "out", "--backend", "fake"];
const PLAN: [&str; 7] = ["plan", "p.toml", "-i", "in", "--backend", "fake", "--json"];
const TUNE: [&str; 8] = ["tune", "p.toml", "-i", "in", "--backend", "fake", "--batch", "1,2,4"];

/// Scenes of two kinds of crops, and a pipeline that leaves the batch open.
fn work() -> Workdir {
    let work = with_scenes(&[(130, 140), (40, 30), (40, 30), (40, 30)]);
    let text = std::fs::read_to_string(work.path("p.toml")).unwrap();
    work.write("p.toml", text.replace("batch = 2", "batch = \"auto\""));
    work
}

/// The document that a command prints.
fn document(work: &Workdir, arguments: &[&str]) -> Value {
    let ran = work.swath(arguments);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

fn plan(work: &Workdir, more: &[&str]) -> Value {
    document(work, &[&PLAN[..], more].concat())
}

fn batches(plan: &Value) -> Vec<(Value, u64)> {
    let all = plan["batches"].as_array().unwrap().iter();
    all.map(|batch| (batch["crop"].clone(), batch["tiles"].as_u64().unwrap())).collect()
}

/// Adds a profile in which these batches are the fastest, by side of the crop.
fn add_profile(work: &Workdir, fastest: impl Fn(u64) -> u64) {
    work.swath(&TUNE).expect(0);
    work.swath(&["profiles", "save", "cpu", "-o", "measured.json", "--overwrite"]).expect(0);
    let mut profile: Value = serde_json::from_slice(&std::fs::read(work.path("measured.json")).unwrap()).unwrap();
    for timing in profile["timings"].as_array_mut().unwrap() {
        let is_fastest = timing["batch"] == fastest(timing["crop"]["width"].as_u64().unwrap());
        timing["ms"] = json!(if is_fastest { 1.0 } else { 2.0 });
    }
    work.write("profile.json", profile.to_string());
    work.swath(&["profiles", "add", "profile.json"]).says(0, &["cpu", "profile.json"]);
}

#[test]
fn plans_go_by_what_was_measured() {
    let work = work();
    let untuned = plan(&work, &[]);
    assert_eq!(untuned["profile"], Value::Null);
    assert!(batches(&untuned).iter().all(|(_, tiles)| *tiles == 1));
    work.swath(&["profiles", "list"]).says(0, &["nothing is measured"]);

    let figures = document(&work, &[&TUNE[..], &["--json"]].concat());
    // Two members, two crops, three batches; with one set of kernels, for the networks are fake.
    let measured = figures["measured"].as_array().unwrap();
    assert_eq!(measured.len(), 12);
    assert!(measured.iter().all(|row| row["ms"].as_f64() > Some(0.0) && row["refused"].is_null()), "{measured:?}");
    assert_eq!(figures["chosen"].as_array().unwrap().len(), 4);
    assert!(figures["start_up"].as_f64() > Some(0.0), "{figures}");
    let tuned = plan(&work, &[]);
    assert_eq!(tuned["profile"], figures["profile"]);
    let listed = work.swath(&["profiles", "list"]).expect(0);
    assert!(listed.contains("cpu") && listed.contains("12"), "{listed}");

    add_profile(&work, |side| if side == 96 { 2 } else { 4 });
    let by_hand = plan(&work, &[]);
    assert_eq!(batches(&by_hand), [(json!([96, 96]), 2), (json!([40, 30]), 4)]);
    assert_ne!(by_hand["profile"], tuned["profile"]);
    // What a pipeline says itself is so.
    let named = plan(&work, &["--set", "inference.batch=3"]);
    assert!(batches(&named).iter().all(|(_, tiles)| *tiles == 3));
    // Crops that nobody measured: the batch of the next larger ones, which is sure to fit.
    let others = plan(&work, &["--set", "tiler.centre=32"]);
    assert_eq!(batches(&others), [(json!([64, 64]), 2), (json!([40, 30]), 4)]);
    let larger = plan(&work, &["--set", "tiler.centre=128"]);
    assert_eq!(batches(&larger)[0], (json!([160, 160]), 1));
}

#[test]
fn a_run_keeps_the_measurements_that_it_began_with() {
    let work = work();
    work.swath(&RUN).expect(0);
    let masks = outputs(&work.path("out"));
    add_profile(&work, |_| 4);

    let again = work.swath(&RUN).expect(0);
    assert!(again.contains("4 of 4 scenes") && again.contains("--retune"), "{again}");
    let left = |more: &[&str]| plan(&work, &[&["-o", "out"], more].concat())["earlier"]["outstanding"].clone();
    assert_eq!((left(&[]), left(&["--retune"])), (json!(0), json!(4)));

    let retuned = work.swath(&[&RUN[..], &["--retune"]].concat()).expect(0);
    assert!(!retuned.contains("4 of 4 scenes"), "{retuned}");
    assert_eq!(outputs(&work.path("out")), masks, "the stand-in does not round");
    // From here on it keeps those, whatever comes: also in a run that is resumed.
    add_profile(&work, |_| 2);
    assert_eq!(left(&[]), json!(0));
    let resumed = work.swath(&["resume", "out"]).expect(0);
    assert!(resumed.contains("4 of 4 scenes"), "{resumed}");
    assert_eq!((left(&[]), left(&["--retune"])), (json!(0), json!(4)));
    // Who forgets everything begins with what there is now.
    work.swath(&[&RUN[..], &["--fresh"]].concat()).expect(0);
    assert_eq!(left(&["--retune"]), json!(0));
}

#[test]
fn what_is_no_profile_of_this_machine_is_refused_or_left_out() {
    let work = work();
    add_profile(&work, |_| 4);
    work.swath(&["profiles", "save", "cuda", "-o", "x.json"]).says(2, &["`cuda`", "cpu"]);
    work.swath(&["profiles", "save", "cpu", "-o", "profile.json"]).says(2, &["exists", "--overwrite"]);
    let mut profile: Value = serde_json::from_slice(&std::fs::read(work.path("profile.json")).unwrap()).unwrap();
    for (key, value) in [("swath_profile", json!(7)), ("timings", json!([{"ms": 1}]))] {
        let mut broken = profile.clone();
        broken[key] = value;
        work.write("broken.json", broken.to_string());
        work.swath(&["profiles", "add", "broken.json"]).says(2, &["broken.json", "is no profile"]);
    }
    work.swath(&["profiles", "add", "gone.json"]).says(2, &["gone.json"]);

    profile["libtorch"] = json!("1.0.0");
    work.write("old.json", profile.to_string());
    work.swath(&["profiles", "add", "old.json"]).expect(0);
    let told = plan(&work, &[]);
    assert!(told["warnings"].to_string().contains("measured with libtorch 1.0.0"), "{told}");
    assert!(batches(&told).iter().all(|(_, tiles)| *tiles == 1));
    work.write("cache/swath/profiles/fake-cpu.json", "{");
    work.swath(&PLAN).says(2, &["fake-cpu.json", "is no profile"]);
}

/// With networks, kernels are measured as well.
#[cfg(feature = "torch")]
#[test]
fn kernels_are_those_that_were_measured_as_fastest() {
    let work = work();
    let tune = ["tune", "p.toml", "--crops", "64x48", "--batch", "1", "--repeats", "1", "--device", "cpu", "--json"];
    let figures = document(&work, &tune);
    let measured = figures["measured"].as_array().unwrap();
    let of_first = |row: &&Value| row["member"] == measured[0]["member"];
    let mut sets: Vec<&str> = measured.iter().filter(of_first).map(|row| row["kernels"].as_str().unwrap()).collect();
    sets.sort_unstable();
    assert_eq!(sets, ["channels-last", "fused", "fused-contiguous", "plain"]);
    assert!(measured.iter().all(|row| row["agreement"].as_f64() > Some(0.99)), "{measured:?}");

    work.swath(&["profiles", "save", "cpu", "-o", "measured.json"]).expect(0);
    let mut profile: Value = serde_json::from_slice(&std::fs::read(work.path("measured.json")).unwrap()).unwrap();
    for timing in profile["timings"].as_array_mut().unwrap() {
        timing["ms"] = json!(if timing["kernels"] == "channels-last" { 1.0 } else { 2.0 });
    }
    work.write("profile.json", profile.to_string());
    work.swath(&["profiles", "add", "profile.json"]).expect(0);
    let planned = |more: &[&str]| -> Vec<String> {
        let words = [&["plan", "p.toml", "-i", "in", "--devices", "cpu", "--json"], more].concat();
        let plan = document(&work, &words);
        let members = plan["members"].as_array().unwrap().iter();
        members.map(|member| member["kernels"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(planned(&[]), ["channels-last"; 2]);
    assert_eq!(planned(&["--set", "members.0.kernels=plain"]), ["plain", "channels-last"]);
    work.swath(&["run", "p.toml", "-i", "in", "-o", "out", "--devices", "cpu"]).expect(0);
}
