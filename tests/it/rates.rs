//! What a run tells of its own work: what earlier ones left is no work of it, and what it cannot use is not said to be of use.
#![cfg(feature = "gdal")]

use std::time::{Duration, SystemTime};

use crate::support::command::with_scenes;

const RUN: [&str; 8] = ["run", "p.toml", "-i", "in", "-o", "out", "--backend", "fake"];

#[test]
fn what_was_stored_counts_only_for_its_own_inputs() {
    let work = with_scenes(&[(130, 140), (70, 60), (40, 30), (40, 30)]);
    let labels = || work.swath(&[&RUN[..], &["--until", "average"]].concat()).expect(0);
    assert!(!labels().contains("earlier runs"));
    let seen = work.report("out")["totals"]["network_pixels"].clone();
    assert!(seen.as_u64() > Some(0));

    // Three rows of tiles, one row, and two scenes in a group.
    let said = work.swath(&RUN).expect(0);
    assert!(said.contains("0 of 4 scenes") && said.contains(" 6 checkpoints"), "{said}");
    let totals = work.report("out")["totals"].clone();
    assert_eq!((&totals["done"], &totals["forwards"], &totals["network_pixels"]), (&4.into(), &0.into(), &0.into()));
    let said = work.swath(&RUN).expect(0);
    assert!(said.contains("4 of 4 scenes") && !said.contains(" 6 checkpoints"), "{said}");

    std::fs::remove_dir_all(work.path("out")).unwrap();
    labels();
    for scene in std::fs::read_dir(work.path("in")).unwrap() {
        let file = std::fs::File::options().write(true).open(scene.unwrap().path()).unwrap();
        file.set_modified(SystemTime::now() + Duration::from_secs(60)).unwrap();
    }
    let said = work.swath(&RUN).expect(0);
    assert!(!said.contains("usable"), "{said}");
    assert_eq!(work.report("out")["totals"]["network_pixels"], seen);
}
