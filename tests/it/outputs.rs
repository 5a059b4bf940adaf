//! Each kind of output of a scene stands for itself: a run makes those that are not there as it wants them, and touches no others.
#![cfg(all(feature = "gdal", unix))]

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

use swath::atomic::Fingerprint;
use swath::journal::{FileRecord, Journal, Record};

use crate::support::command::{Workdir, with_scenes};
use crate::support::outputs;

const RUN: [&str; 7] = ["run", "p.toml", "-i", "in", "-o", "out", "--backend=fake"];

/// Two scenes of several rows of tiles, and two of a group.
fn prepared() -> Workdir {
    with_scenes(&[(130, 140), (70, 60), (40, 30), (40, 30)])
}

/// What tells whether a file was written again, of every file below a folder of the run directory.
fn stamps(work: &Workdir, folder: &str) -> BTreeMap<String, (u64, i64, i64)> {
    let files = walkdir::WalkDir::new(work.path("out").join(folder)).into_iter().map(Result::unwrap);
    let stamp = |entry: walkdir::DirEntry| {
        let meta = entry.metadata().unwrap();
        (entry.file_name().to_str().unwrap().to_owned(), (meta.ino(), meta.mtime(), meta.mtime_nsec()))
    };
    files.filter(|entry| entry.file_type().is_file()).map(stamp).collect()
}

/// Runs with these arguments more; the networks have nothing to do.
fn run_from_labels(work: &Workdir, more: &[&str]) {
    run(work, more);
    let totals = &work.report("out")["totals"];
    assert_eq!((&totals["forwards"], &totals["decoded"]), (&0.into(), &0.into()));
}

/// Runs with these arguments more.
fn run(work: &Workdir, more: &[&str]) {
    work.swath(&[&RUN, more].concat()).says(0, &["4 done, 0 failed"]);
}

/// What a run with these arguments makes from nothing.
fn alone(work: &Workdir, more: &[&str]) -> BTreeMap<String, Vec<u8>> {
    let arguments = RUN.map(|argument| if argument == "out" { "alone" } else { argument });
    work.swath(&[&arguments, more].concat()).expect(0);
    outputs(&work.path("alone"))
}

#[test]
fn other_colours_make_pictures_anew_and_touch_no_mask() {
    let work = prepared();
    work.swath(&RUN).expect(0);
    let (masks, color) = (stamps(&work, "masks"), stamps(&work, "color"));
    let other = ["--set", "classes.1.color=#405060"];
    run_from_labels(&work, &other);
    assert_eq!(stamps(&work, "masks"), masks);
    let new = stamps(&work, "color");
    assert!(new.len() == 4 && new.iter().all(|(name, stamp)| color[name] != *stamp), "{new:?}");
    assert!(outputs(&work.path("out")) == alone(&work, &other));
    // And the names of classes, which no file holds, nothing at all.
    run_from_labels(&work, &["--set", "classes.1.color=#405060", "--set", "classes.2.name=other"]);
    assert_eq!((stamps(&work, "masks"), stamps(&work, "color")), (masks, new));
}

#[test]
fn other_values_make_masks_anew_and_touch_no_picture() {
    let work = prepared();
    work.swath(&RUN).expect(0);
    let (masks, color) = (stamps(&work, "masks"), stamps(&work, "color"));
    let other = ["--set", "classes.1.value=77"];
    run_from_labels(&work, &other);
    assert_eq!(stamps(&work, "color"), color);
    assert!(stamps(&work, "masks").iter().all(|(name, stamp)| masks[name] != *stamp));
    assert!(outputs(&work.path("out")) == alone(&work, &other));
}

#[test]
fn a_kind_that_is_switched_on_or_off_leaves_the_others_alone() {
    let work = prepared();
    let off = ["--set", "outputs.color=false"];
    work.swath(&[&RUN[..], &off].concat()).expect(0);
    let masks = stamps(&work, "masks");
    assert!(!work.path("out/color").exists());
    for (kind, folder, n) in [
        ("color", "color", 4),
        ("geotiff", "geotiff", 12),
        ("cog", "cog", 12),
        ("sidecars", "masks", 16),
        ("vectors", "vectors", 4),
        ("overlay", "overlay", 4),
        ("scores", "scores", 8),
        ("probabilities", "probabilities", 8),
        ("disagreement", "disagreement", 8),
    ] {
        let on = ["--set", "outputs.color=false", "--set", &format!("outputs.{kind}=true")];
        match kind {
            // What is not stored the networks must say.
            "scores" | "probabilities" | "disagreement" => run(&work, &on),
            _ => run_from_labels(&work, &on),
        }
        let made = || {
            let new = |(name, _): &(String, _)| folder != "masks" || !masks.contains_key(name);
            stamps(&work, folder).into_iter().filter(new).count()
        };
        assert_eq!(made(), n, "{kind}");
        let untouched = || -> BTreeMap<_, _> {
            stamps(&work, "masks").into_iter().filter(|(name, _)| masks.contains_key(name)).collect()
        };
        assert_eq!(untouched(), masks);
        assert!(outputs(&work.path("out")) == alone(&work, &on), "{kind}");
        std::fs::remove_dir_all(work.path("alone")).unwrap();
        // Switched off again: its files are those of an earlier run, and may go.
        let earlier = format!("{n} files of earlier runs are still there");
        work.swath(&[&RUN[..], &off].concat()).says(0, &["all were done before", &earlier]);
        work.swath(&["gc", "out", "--outputs"]).says(0, &[&format!("{n} old outputs removed")]);
        work.swath(&["verify", "out"]).says(0, &["0 do not"]);
        run_from_labels(&work, &on);
        assert_eq!((untouched(), made()), (masks.clone(), n));
        work.swath(&[&RUN[..], &off].concat()).expect(0);
        work.swath(&["gc", "out", "--outputs"]).expect(0);
    }
}

#[test]
fn a_picture_that_is_gone_is_made_anew_and_nothing_else() {
    let work = prepared();
    work.swath(&RUN).expect(0);
    let (masks, color, bytes) = (stamps(&work, "masks"), stamps(&work, "color"), outputs(&work.path("out")));
    let report = work.report("out")["scenes"].clone();
    std::fs::remove_file(work.path("out/color/s2.png")).unwrap();
    work.swath(&RUN).says(0, &["3 were done before", "1 scene has files that are gone"]);
    assert_eq!((stamps(&work, "masks"), work.report("out")["totals"]["decoded"].as_u64()), (masks, Some(0)));
    let changed = |(name, stamp): (String, _)| (color[&name] != stamp).then_some(name);
    assert_eq!(stamps(&work, "color").into_iter().filter_map(changed).collect::<Vec<_>>(), ["s2.png"]);
    assert!(outputs(&work.path("out")) == bytes);
    // What was found out when the scene was first done is told again.
    assert_eq!(work.report("out")["scenes"]["s2"], report["s2"]);
}

#[test]
fn the_files_of_one_kind_hold_together_or_not_at_all() {
    let work = prepared();
    work.swath(&RUN).expect(0);
    let (masks, color) = (stamps(&work, "masks"), stamps(&work, "color"));
    // As a library leaves a second file beside a picture.
    let mut journal = Journal::open(&work.path("out")).unwrap();
    let mut scene = journal.state().unwrap().scenes["s1"].clone();
    let file =
        FileRecord { path: "color/s1.png.aux.xml".into(), content: Fingerprint { bytes: 1, sha256: "00".into() } };
    scene.outputs.iter_mut().find(|output| output.kind == "color").unwrap().files.push(file);
    journal.append(&[Record::Scene(scene)]).unwrap();
    drop(journal);
    run_from_labels(&work, &[]);
    let new = stamps(&work, "color");
    assert!(new["s1.png"] != color["s1.png"] && new["s0.png"] == color["s0.png"]);
    assert_eq!(stamps(&work, "masks"), masks);
    work.swath(&["verify", "out"]).says(0, &["0 do not"]);
}

#[test]
fn a_run_that_ends_between_two_kinds_goes_on_there() {
    let work = prepared();
    work.swath(&RUN).expect(0);
    let masks = stamps(&work, "masks");
    let other = [&RUN[..], &["--set", "classes.1.color=#405060"]].concat();
    let ran = work.swath_with(&other, &[("SWATH_FAULTS", "encode:error@3+")]);
    assert_ne!(ran.code, Some(0), "{ran:?}");
    // The masks hold, and no scene passes for done that lacks its picture.
    let made = work.swath(&["status", "out"]);
    assert!(!made.expect(0).contains("4 done"), "{made:?}");
    work.swath(&["verify", "out"]).says(0, &["0 do not"]);
    work.swath(&other).says(0, &["4 done, 0 failed"]);
    assert_eq!(stamps(&work, "masks"), masks);
    assert!(outputs(&work.path("out")) == alone(&work, &other[RUN.len()..]));
}

#[test]
fn without_stored_labels_everything_of_a_scene_is_made_of_one_piece() {
    let work = prepared();
    let bare = std::fs::read_to_string(work.path("p.toml")).unwrap();
    work.write("p.toml", format!("checkpoints = []\n{bare}"));
    work.swath(&RUN).expect(0);
    let masks = stamps(&work, "masks");
    let bytes = outputs(&work.path("out"));
    std::fs::remove_file(work.path("out/color/s0.png")).unwrap();
    work.swath(&RUN).says(0, &["3 were done before"]);
    // Of the same bytes, the mask stays what it was.
    assert_eq!((stamps(&work, "masks"), outputs(&work.path("out")) == bytes), (masks.clone(), true));
    std::fs::write(work.path("out/masks/s0.png"), "another").unwrap();
    work.swath(&RUN).says(0, &["3 were done before"]);
    let new = stamps(&work, "masks");
    assert!(new["s0.png"] != masks["s0.png"] && new["s1.png"] == masks["s1.png"]);
    assert!(outputs(&work.path("out")) == bytes);
}
