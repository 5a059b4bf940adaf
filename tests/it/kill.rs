//! A run is killed at each call that changes the file system, and each such call is made to fail: whatever happens, the next run ends
//! with the same archive.
//!
//! A few points run with every test. `SWATH_KILL_POINTS=all` runs every one:
//! `SWATH_KILL_POINTS=all cargo test --release --test it kill -- --nocapture --test-threads 1`.
#![cfg(all(feature = "gdal", target_os = "linux", target_arch = "x86_64"))]

use nix::errno::Errno;
use swath::geom::Size;

use crate::support::command::{Workdir, geotiff};
use crate::support::memory::{TWO, pipeline, values};
use crate::support::outputs;
use crate::support::tracer::{Action, trace};

const RUN: [&str; 10] = ["run", "p.toml", "-i", "in", "-o", "out", "--backend", "fake", "--devices", "cpu"];

/// Six scenes, one of them of several rows of tiles, three of them a group.
fn prepared() -> Workdir {
    let work = Workdir::new();
    let text = pipeline("strategy = \"fixed\"\ncentre = 64\ndilation = 16\nwhole_max = 60", TWO, 7, None);
    work.write("p.toml", text + "[inference]\nbatch = 2\n");
    for (i, (w, h)) in (0..).zip([(130, 140), (70, 60), (40, 30), (40, 30), (40, 30), (1, 1)]) {
        let size = Size::new(w, h);
        geotiff(&work.path(&format!("in/s{i}.tif")), size, &values(size, 7, i));
    }
    work
}

/// Points to try out of `n`: all of them, or a few that differ from one place to the next.
fn points(n: usize, few: usize) -> Vec<usize> {
    let all = std::env::var("SWATH_KILL_POINTS").is_ok_and(|v| v == "all");
    let step = if all { 1 } else { n.div_ceil(few).max(1) };
    (1..=n).step_by(step).collect()
}

fn reference(work: &Workdir) -> (usize, std::collections::BTreeMap<String, Vec<u8>>) {
    let traced = trace(&mut work.command(&RUN), Action::Count);
    assert_eq!(traced.code, Some(0));
    let bytes = outputs(&work.path("out"));
    std::fs::remove_dir_all(work.path("out")).unwrap();
    (traced.calls, bytes)
}

/// What a cut-off attempt left must lead to the same archive, and must not be taken for more than it is.
fn recover(work: &Workdir, expected: &std::collections::BTreeMap<String, Vec<u8>>, what: &str) {
    let verified = work.swath(&["verify", "out"]);
    // No run directory yet, or one in which everything recorded is there.
    assert!(matches!(verified.code, Some(0 | 2)), "{what}: {verified:?}");
    let ran = work.swath(&RUN);
    assert_eq!(ran.code, Some(0), "{what}: {ran:?}");
    assert!(outputs(&work.path("out")) == *expected, "{what}");
    std::fs::remove_dir_all(work.path("out")).unwrap();
}

#[test]
fn killed_at_any_change_of_the_file_system_the_next_run_ends_with_the_same_bytes() {
    let work = prepared();
    let (calls, expected) = reference(&work);
    let points = points(calls, 12);
    for &at in &points {
        trace(&mut work.command(&RUN), Action::Kill { at });
        if work.path("out").exists() {
            recover(&work, &expected, &format!("killed at {at} of {calls}"));
        }
    }
    eprintln!("{} of {calls} kill points tried", points.len());
}

#[test]
fn a_change_that_fails_once_or_for_ever_never_makes_a_wrong_done() {
    let work = prepared();
    let (calls, expected) = reference(&work);
    let points = points(calls, 3);
    let mut tried = 0;
    for error in [Errno::ENOSPC, Errno::EIO, Errno::EROFS, Errno::EDQUOT, Errno::EMFILE] {
        for for_ever in [false, true] {
            for &at in &points {
                let traced = trace(&mut work.command(&RUN), Action::Fail { at, error, for_ever });
                let what = format!("{error} at {at} of {calls}, for ever: {for_ever}");
                tried += 1;
                // Some failures are repaired on the way; then everything must be there.
                if traced.code == Some(0) {
                    assert!(outputs(&work.path("out")) == expected, "{what}");
                } else {
                    assert!(matches!(traced.code, Some(1 | 2 | 3 | 13)), "{what}: {traced:?}");
                }
                if work.path("out").exists() {
                    recover(&work, &expected, &what);
                }
            }
        }
    }
    eprintln!("{tried} failures tried at {} of {calls} points", points.len());
}
