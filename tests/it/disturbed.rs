//! Every stage is disturbed at every item: by an error, a panic, an end of admission, a signal that drops what is
//! queued and one whose grace is over. Whatever happens,
//! the run ends, what is recorded is there, and the next run does exactly the rest.
//!
//! Every third item or so is tried with every test; `SWATH_DISTURB=all` tries every one, in three arrangements of workers.

use std::collections::BTreeMap;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use swath::app::{Error, RunOptions, verify};
use swath::faults::FaultPlan;
use swath::geom::Size;
use swath::stages::GraphError;

use crate::support::memory::{Flow, TWO, pipeline, scene};
use crate::support::outputs;

const STAGES: [&str; 10] =
    ["read", "tile", "infer", "average", "keep", "stitch", "post", "encode", "commit", "nowhere"];
const KINDS: [&str; 5] = ["error", "panic", "drain", "cut", "trip"];

/// A run that has not ended after this long hangs.
const DEADLINE: Duration = Duration::from_secs(60);

/// Six scenes, one of them of several rows of tiles, three of them a group.
fn flow(devices: usize, readers: usize) -> Flow {
    let text = pipeline("strategy = \"fixed\"\ncentre = 64\ndilation = 16\nwhole_max = 60", TWO, 7, None);
    let text = text + "[inference]\nbatch = 2\n[post]\nfill_holes = 3\n";
    let sizes = [(130, 140), (70, 60), (40, 30), (40, 30), (40, 30), (1, 1)];
    let scenes = (0..).zip(sizes).map(|(i, (w, h))| (format!("s{i}"), scene(Size::new(w, h), 7, i)));
    Flow { devices, readers, ..Flow::new(&text, scenes.collect()) }
}

/// What became of a disturbed run: `None` when the fault did not come.
fn disturb(flow: &Flow, faults: &str, expected: &BTreeMap<String, Vec<u8>>) -> Option<()> {
    let dir = tempfile::tempdir().unwrap();
    let plan = FaultPlan::of(faults);
    let options = RunOptions { faults: plan.clone(), ..RunOptions::into(dir.path()) };
    let ended = flow.run_with(options);
    match (plan.strikes(), &ended) {
        (0, Ok(_)) => return None,
        (1.., Err(Error::Graph(GraphError::Planted { .. }))) if faults.contains("error") => {}
        (1.., Err(Error::Graph(GraphError::Panic { message, .. }))) if faults.contains("panic") => {
            assert!(message.contains("planted fault"), "{message}");
        }
        (1.., Ok(ended)) if !faults.contains("error") && !faults.contains("panic") => {
            assert_eq!(ended.report.totals.done + ended.report.missing.len() as u64, 6, "{faults}");
            assert_eq!(ended.report.package.is_some(), ended.report.missing.is_empty(), "{faults}");
        }
        // Only a signal trips a run, and no signal was caught: the sum is what does not add up.
        (1.., Err(Error::Internal(text))) if faults.contains("trip") => {
            assert!(text.contains("of 6 scenes have ended"), "{text}");
        }
        other => panic!("{faults}: {other:?}"),
    }
    // Nothing that is recorded is missing or damaged.
    assert!(verify(dir.path()).unwrap().damaged.is_empty(), "{faults}");
    let again = flow.run(dir.path()).unwrap();
    assert_eq!((again.report.totals.done, again.report.failed.len()), (6, 0), "{faults}");
    assert!(outputs(dir.path()) == *expected, "{faults}");
    Some(())
}

#[test]
fn a_disturbed_stage_loses_and_doubles_nothing() {
    let all = std::env::var("SWATH_DISTURB").is_ok_and(|v| v == "all");
    let arrangements = if all { &[(1, 1), (2, 2), (3, 4)][..] } else { &[(2, 2)] };
    let reference = tempfile::tempdir().unwrap();
    flow(1, 1).run(reference.path()).unwrap();
    let expected = outputs(reference.path());
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let work = move || {
        for &(devices, readers) in arrangements {
            for stage in STAGES {
                let mut n_items = 0;
                for (kind, name) in KINDS.into_iter().enumerate() {
                    for at in (1..).skip(if all { 0 } else { kind % 3 }).step_by(if all { 1 } else { 3 }) {
                        let faults = format!("{stage}:{name}@{at}");
                        tell.send(Some(faults.clone())).unwrap();
                        if disturb(&flow(devices, readers), &faults, &expected).is_none() {
                            break;
                        }
                        n_items += 1;
                    }
                }
                assert_eq!(n_items > 0, stage != "nowhere", "{stage}");
            }
        }
        tell.send(None).unwrap();
    };
    let worker = std::thread::spawn(work);
    let mut tried = Vec::new();
    loop {
        match told.recv_timeout(DEADLINE) {
            Ok(Some(faults)) => tried.push(faults),
            Ok(None) => break,
            Err(RecvTimeoutError::Timeout) => panic!("it hangs: {:?}", tried.last()),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    worker.join().unwrap();
    eprintln!("{} disturbances tried", tried.len());
}
