//! `swath status` and `swath verify` on run directories that nobody may write.
#![cfg(feature = "gdal")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use swath::atomic::Fingerprint;
use swath::journal::{FileRecord, Journal, KeyHasher, OutputRecord, Record, SceneFacts, SceneRecord};

use crate::support::command::{Workdir, with_scenes};
use crate::support::files;

const RUN: [&str; 7] = ["run", "p.toml", "-i", "in", "-o", "out", "--backend=fake"];

/// Takes the right to write a folder and its files away, or gives it back.
fn writable(folder: &Path, writable: bool) {
    for entry in walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap) {
        let mode = match (entry.file_type().is_dir(), writable) {
            (true, true) => 0o755,
            (true, false) => 0o555,
            (false, true) => 0o644,
            (false, false) => 0o444,
        };
        std::fs::set_permissions(entry.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// Looks at a folder without the right to write it; what is there stays as it is.
fn look(work: &Workdir, folder: &str, command: &str, words: &[&str]) {
    let before = files(&work.path(folder));
    writable(&work.path(folder), false);
    let ran = work.swath(&[command, folder]);
    writable(&work.path(folder), true);
    ran.says(0, words);
    assert!(files(&work.path(folder)) == before, "{command} {folder} has changed something");
}

#[test]
fn a_run_directory_is_looked_at_without_the_right_to_write_it() {
    let work = with_scenes(&[(70, 50), (30, 20)]);
    if !work.heeds_rights() {
        return;
    }
    work.swath(&RUN).expect(0);
    look(&work, "out", "status", &["2 in all: 2 done, 0 failed"]);
    look(&work, "out", "verify", &["0 do not"]);
    // The right to write changes nothing: a look leaves no trace.
    let before = files(&work.path("out"));
    work.swath(&["status", "out"]).expect(0);
    work.swath(&["verify", "out"]).expect(0);
    work.swath(&["plan", "p.toml", "-i", "in", "-o", "out", "--backend=fake"]).expect(0);
    assert!(files(&work.path("out")) == before);
}

#[test]
fn what_a_killed_run_left_in_the_log_counts() {
    let work = with_scenes(&[(30, 20)]);
    if !work.heeds_rights() {
        return;
    }
    work.swath(&RUN).expect(0);
    let mut journal = Journal::open(&work.path("out")).unwrap();
    let file = FileRecord { path: "masks/late.png".into(), content: Fingerprint { bytes: 1, sha256: "00".into() } };
    let scene = SceneRecord {
        name: "late".into(),
        complete: true,
        attempt: 1,
        outputs: vec![OutputRecord { kind: "masks".into(), key: KeyHasher::new("t").finish(), files: vec![file] }],
        facts: SceneFacts::default(),
    };
    journal.append(&[Record::Scene(scene)]).unwrap();
    // While it is open the scene stands in the log alone. A name that a link of SQLite's would have to spell.
    for (folder, suffixes) in [("a #1?%41", &["", "-wal", "-shm"][..]), ("no index", &["", "-wal"])] {
        for suffix in suffixes {
            let name = format!("run.db{suffix}");
            let content = std::fs::read(work.path("out").join(&name)).unwrap();
            assert!(!content.is_empty());
            work.write(&format!("{folder}/{name}"), content);
        }
        look(&work, folder, "status", &["2 done"]);
        // The masks are not here, the journal is sound.
        let ran = work.swath(&["verify", folder]);
        ran.says(3, &["late.png"]);
    }
    // Beside a run at work, too.
    work.swath(&["status", "out"]).says(0, &["2 done"]);
}

#[test]
fn a_journal_that_cannot_be_read_is_named_with_the_cause() {
    let work = with_scenes(&[(30, 20)]);
    if !work.heeds_rights() {
        return;
    }
    work.swath(&RUN).expect(0);
    std::fs::set_permissions(work.path("out/run.db"), std::fs::Permissions::from_mode(0o000)).unwrap();
    let ran = work.swath(&["status", "out"]);
    ran.says(20, &["cannot read the journal `out/run.db`: Permission denied"]);
}
