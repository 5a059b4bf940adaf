//! A run is killed at each call that changes the file system, and each such call is made to fail: whatever happens, the next run ends
//! with the same archive.
//!
//! A few points and chains run with every test. To run every point (or so many), and as many chains of random kills:
//! `SWATH_KILL_POINTS=all SWATH_KILL_CHAINS=500 cargo test --release --test it kill -- --nocapture --test-threads 1`.
//! `SWATH_KILL_ERRORS=ENOSPC` tries failing calls with that error only, so that several can be tried beside each other.
#![cfg(all(feature = "gdal", target_os = "linux", target_arch = "x86_64"))]

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use swath::geom::Size;

use crate::support::command::{Workdir, children, geotiff};
use crate::support::memory::{TWO, pipeline, values};
use crate::support::outputs;
use crate::support::tracer::{Action, trace};

const RUN: [&str; 10] = ["run", "p.toml", "-i", "in", "-o", "out", "--backend", "fake", "--devices", "cpu"];

/// Six scenes, one of them of several rows of tiles, three of them a group.
fn prepared() -> Workdir {
    let work = Workdir::new();
    let text = pipeline("strategy = \"fixed\"\ncentre = 64\ndilation = 16\nwhole_max = 60", TWO, 7, None);
    let text = text.replace(
        "color = true",
        &[
            "color",
            "geotiff",
            "cog",
            "sidecars",
            "vectors",
            "vectors_score",
            "scores",
            "probabilities",
            "disagreement",
            "overlay",
            "legend",
        ]
        .map(|key| format!("{key} = true"))
        .join("\n"),
    );
    work.write("p.toml", text + "[inference]\nbatch = 2\n");
    for (i, (w, h)) in (0..).zip([(130, 140), (70, 60), (40, 30), (40, 30), (40, 30), (1, 1)]) {
        let size = Size::new(w, h);
        geotiff(&work.path(&format!("in/s{i}.tif")), size, &values(size, 7, i));
    }
    work
}

/// Points to try out of `n`: all of them, or a few that differ from one place to the next.
fn points(n: usize, few: usize) -> Vec<usize> {
    let step = match std::env::var("SWATH_KILL_POINTS").as_deref() {
        Ok("all") => 1,
        Ok(number) => n.div_ceil(number.parse().unwrap()),
        Err(_) => n.div_ceil(few),
    };
    let step = step.max(1);
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
fn killed_at_any_change_the_next_run_gives_the_same_bytes() {
    let work = prepared();
    let (calls, expected) = reference(&work);
    let points = points(calls, 12);
    for &at in &points {
        trace(&mut work.command(&RUN), Action::Kill { at, all: true });
        if work.path("out").exists() {
            recover(&work, &expected, &format!("killed at {at} of {calls}"));
        }
    }
    eprintln!("{} of {calls} kill points tried", points.len());
}

#[test]
fn a_worker_killed_at_any_change_gives_the_same_bytes() {
    let work = prepared();
    let (calls, expected) = reference(&work);
    let points = points(calls, 6);
    for &at in &points {
        let traced = trace(&mut work.command(&RUN), Action::Kill { at, all: false });
        assert_eq!(traced.code, Some(0), "{at} of {calls}");
        assert!(outputs(&work.path("out")) == expected, "worker killed at {at} of {calls}");
        std::fs::remove_dir_all(work.path("out")).unwrap();
    }
    eprintln!("{} of {calls} kill points of the worker tried", points.len());
}

/// Kills of one chain.
const LONGEST_CHAIN: u64 = 5;

#[test]
fn killed_at_random_it_gives_the_same_bytes() {
    let work = prepared();
    let started = Instant::now();
    work.swath(&RUN).expect(0);
    let typical = started.elapsed();
    let expected = outputs(&work.path("out"));
    let n: u64 = std::env::var("SWATH_KILL_CHAINS").ok().map_or(6, |n| n.parse().unwrap());
    let mut kills = [0; 3];
    for chain in 0..n {
        std::fs::remove_dir_all(work.path("out")).unwrap();
        let mut random = Random(chain);
        for _ in 0..=random.below(LONGEST_CHAIN) {
            let mut parent = work.command(&RUN).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(typical.mul_f64(random.below(1000) as f64 / 1000.0));
            let workers = children(parent.id());
            let decoders: Vec<i32> = workers.iter().flat_map(|w| children(w.unsigned_abs())).collect();
            let all = [vec![i32::try_from(parent.id()).unwrap()], workers, decoders];
            let depth = usize::try_from(random.below(3)).unwrap();
            // One that is not there (yet, or any more) is replaced by the one above it.
            let Some((depth, &victim)) = (0..=depth).rev().find_map(|d| Some((d, all[d].first()?))) else { continue };
            kill(Pid::from_raw(victim), Signal::SIGKILL).unwrap_or_default();
            kills[depth] += 1;
            // Without the parent nothing is left; without another process the run goes on to its end.
            let code = parent.wait().unwrap().code();
            assert!(matches!((depth, code), (_, Some(0)) | (0, None)), "chain {chain}: {depth}, {code:?}");
        }
        assert!(matches!(work.swath(&["verify", "out"]).code, Some(0 | 2)), "chain {chain}");
        work.swath(&RUN).expect(0);
        assert!(outputs(&work.path("out")) == expected, "chain {chain}");
    }
    eprintln!("{n} chains: {} parents, {} workers and {} decoders killed", kills[0], kills[1], kills[2]);
}

/// Numbers that follow from a seed (SplitMix64, Steele et al. 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

#[test]
fn a_change_that_fails_never_makes_a_wrong_done() {
    let work = prepared();
    let (calls, expected) = reference(&work);
    let points = points(calls, 3);
    let mut tried = 0;
    let wanted = std::env::var("SWATH_KILL_ERRORS").ok();
    let is_wanted = |error: &Errno| wanted.as_ref().is_none_or(|wanted| *wanted == format!("{error:?}"));
    let errors = [Errno::ENOSPC, Errno::EIO, Errno::EROFS, Errno::EDQUOT, Errno::EMFILE];
    for error in errors.into_iter().filter(is_wanted) {
        for for_ever in [false, true] {
            for &at in &points {
                let traced = trace(&mut work.command(&RUN), Action::Fail { at, error, for_ever });
                let what = format!("{error} at {at} of {calls}, for ever: {for_ever}");
                tried += 1;
                // Some failures are repaired on the way; then everything must be there.
                if traced.code == Some(0) {
                    let mut left = outputs(&work.path("out"));
                    // A lock that could not be taken away at the very end is held by nobody: the next run takes it over.
                    left.remove(".lock");
                    let names: BTreeSet<&String> = left.keys().chain(expected.keys()).collect();
                    let differ = names.into_iter().filter(|name| left.get(*name) != expected.get(*name));
                    assert_eq!(differ.collect::<Vec<_>>(), [""; 0], "{what}");
                } else {
                    assert!(matches!(traced.code, Some(1 | 2 | 3 | 13)), "{what}: {traced:?}");
                    assert!(traced.stderr.contains("error: ") || traced.code == Some(3), "{what}: {traced:?}");
                }
                if traced.code == Some(13) {
                    let is_about_room = matches!(error, Errno::ENOSPC | Errno::EDQUOT);
                    let says_so = traced.stderr.contains("no room for the outputs");
                    // SQLite passes on that a write found no room, but not why a file could not be opened or synced, nor that a quota is used up.
                    let is_silent = |text: &str| traced.stderr.contains(text);
                    let knows = !["unable to open database file", "disk I/O error"].into_iter().any(is_silent);
                    assert!(says_so == (is_about_room && knows), "{what}: {traced:?}");
                    // How much room there is helps where it is about room, or nobody tells what it is about.
                    let tells_room = traced.stderr.contains("more are needed (uncompressed)");
                    assert!(tells_room == (says_so || !traced.stderr.contains("(os error")), "{what}: {traced:?}");
                    let names_it = ["`out`", "`out/"].into_iter().any(|path| traced.stderr.contains(path));
                    assert!(names_it, "{what}: {traced:?}");
                }
                if work.path("out").exists() {
                    recover(&work, &expected, &what);
                }
            }
        }
    }
    eprintln!("{tried} failures tried at {} of {calls} points", points.len());
}

#[test]
fn a_write_that_takes_only_half_of_the_bytes_loses_none() {
    let work = prepared();
    let (calls, expected) = reference(&work);
    // All of them, and each alone.
    let one = points(calls, 6).into_iter().map(|at| (at, false));
    let mut more_calls = 0;
    for (at, for_ever) in one.chain([(1, true)]) {
        let traced = trace(&mut work.command(&RUN), Action::Short { at, for_ever });
        assert_eq!(traced.code, Some(0), "short at {at} of {calls}, for ever: {for_ever}: {traced:?}");
        assert!(outputs(&work.path("out")) == expected, "short at {at} of {calls}, for ever: {for_ever}");
        std::fs::remove_dir_all(work.path("out")).unwrap();
        more_calls = traced.calls;
    }
    assert!(more_calls > calls, "what was left of each write took another: {more_calls}, {calls}");
}
