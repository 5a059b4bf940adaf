//! What a second run does again and what it does not, by counting forward passes and decodes; and that its bytes are those of a
//! run from nothing.

use std::path::Path;

use swath::app::{Error, Reuse, RunOptions, StageName};
use swath::geom::Size;
use swath::raster::MemoryRaster;
use swath::report::Totals;

use crate::support::memory::{Flow, TWO, pipeline, scene};
use crate::support::{files, outputs};

const FIXED: &str = "strategy = \"fixed\"\ncentre = 24\ndilation = 5\nwhole_max = 20";
const THIRD: &str = "[[members]]\nnetwork = \"deeplabv3plus\"\nbackbone = \"resnet50\"\nseed = 3\n";
const LOGITS: &str = "checkpoints = [\"labels\", \"member-logits\"]\n";

fn scenes() -> Vec<(String, MemoryRaster)> {
    let sizes = [(50, 33), (64, 90), (18, 12), (18, 12), (18, 12)];
    (0..).zip(sizes).map(|(i, (w, h))| (format!("s{i}"), scene(Size::new(w, h), 7, i))).collect()
}

/// Batches of these scenes: forward passes of one member.
fn n_batches(flow: &Flow) -> u64 {
    let (planned, _) = flow.plan().unwrap();
    planned.plan.units.iter().map(|u| u.geometry(&planned.plan).batches().count() as u64).sum()
}

fn text(members: &str) -> String {
    pipeline(FIXED, members, 7, Some(9)) + "[inference]\nbatch = 2\n"
}

fn with_logits(members: &str) -> String {
    LOGITS.to_owned() + &text(members)
}

fn run(text: &str, out: &Path) -> Totals {
    Flow::new(text, scenes()).run(out).unwrap().report.totals
}

/// Runs `first`, then `second` into the same folder; the result must be that of `second` alone.
fn changed(first: &str, second: &str) -> Totals {
    let (dir, alone) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(first, dir.path());
    let totals = run(second, dir.path());
    run(second, alone.path());
    assert!(outputs(dir.path()) == outputs(alone.path()));
    totals
}

#[test]
fn the_same_command_again_does_nothing() {
    let dir = tempfile::tempdir().unwrap();
    run(&text(TWO), dir.path());
    let before = outputs(dir.path());
    let stamp = || std::fs::metadata(dir.path().join("submit.zip")).unwrap().modified().unwrap();
    let made = stamp();
    let totals = run(&text(TWO), dir.path());
    assert_eq!((totals.done, totals.reused, totals.forwards, totals.decoded), (5, 5, 0, 0));
    assert!(outputs(dir.path()) == before && stamp() == made);
}

#[test]
fn other_colours_values_or_post_processing_start_from_labels() {
    let text = text(TWO);
    let post = format!("{text}[post]\nfill_holes = 30\n");
    for other in [text.replace("2030", "4050"), text.replace("value = 3", "value = 77"), post] {
        assert_ne!(text, other);
        let totals = changed(&text, &other);
        assert_eq!((totals.reused, totals.forwards, totals.decoded), (0, 0, 0));
    }
}

#[test]
fn other_member_weights_or_another_rule_combine_stored_logits() {
    let text = with_logits(TWO);
    let heavier = text.replace("weight = 0.5", "weight = 2.0");
    let softmax = text.replace("batch = 2", "batch = 2\ncombine = \"probabilities\"");
    for other in [heavier, softmax] {
        assert_ne!(text, other);
        let totals = changed(&text, &other);
        assert_eq!((totals.reused, totals.forwards, totals.decoded), (0, 0, 0));
    }
    let totals = changed(&text.replace(LOGITS, ""), &text.replace(LOGITS, "").replace("weight = 0.5", "weight = 2.0"));
    assert!(totals.forwards > 0, "without stored logits the networks run again");
}

#[test]
fn an_added_member_or_one_with_other_weights_runs_alone() {
    let two = with_logits(TWO);
    let batches = n_batches(&Flow::new(&two, scenes()));
    let totals = changed(&two, &with_logits(&format!("{TWO}{THIRD}")));
    assert_eq!(totals.forwards, batches);
    let totals = changed(&two, &two.replace("seed = 2", "seed = 5"));
    assert_eq!(totals.forwards, batches);
}

#[test]
fn a_replaced_input_costs_itself() {
    for text in [text(TWO), with_logits(TWO)] {
        for (replaced, size, batches) in [(1, Size::new(64, 90), 8), (3, Size::new(18, 12), 1)] {
            let (dir, alone) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            run(&text, dir.path());
            let mut flow = Flow::new(&text, scenes());
            flow.scenes[replaced].1 = scene(size, 7, 1000);
            let totals = flow.run(dir.path()).unwrap().report.totals;
            flow.run(alone.path()).unwrap();
            assert!(outputs(dir.path()) == outputs(alone.path()), "scene {replaced}");
            assert_eq!((totals.reused, totals.forwards), (4, 2 * batches), "scene {replaced}");
        }
    }
}

#[test]
fn another_tiling_does_everything_again() {
    let totals = changed(&with_logits(TWO), &with_logits(TWO).replace("dilation = 5", "dilation = 6"));
    // Scenes that are one tile have no ring.
    assert_eq!(totals.reused, 3);
    let totals = changed(
        &with_logits(TWO),
        &with_logits(TWO).replace("border", "# border").replace("whole_max = 20", "whole_max = 10"),
    );
    assert_eq!(totals.reused, 2);
}

fn from(stage: StageName, text: &str, out: &Path) -> Result<Totals, Error> {
    let options = RunOptions { reuse: Reuse::Before(stage), ..RunOptions::into(out) };
    Flow::new(text, scenes()).run_with(options).map(|ended| ended.report.totals)
}

#[test]
fn from_discards_what_it_says_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let text = with_logits(TWO);
    let batches = n_batches(&Flow::new(&text, scenes()));
    run(&text, dir.path());
    let before = outputs(dir.path());
    for (stage, forwards, decoded, reused) in [
        (StageName::Infer, 2 * batches, true, 0),
        (StageName::Average, 0, false, 0),
        (StageName::Stitch, 0, false, 0),
        (StageName::Encode, 0, false, 0),
        (StageName::Pack, 0, false, 5),
    ] {
        let totals = from(stage, &text, dir.path()).unwrap();
        assert_eq!((totals.forwards, totals.decoded > 0, totals.reused), (forwards, decoded, reused), "{stage:?}");
        assert!(outputs(dir.path()) == before, "{stage:?}");
    }
}

#[test]
fn from_names_what_is_missing_and_the_line_that_stores_it() {
    let dir = tempfile::tempdir().unwrap();
    run(&text(TWO), dir.path());
    let error = from(StageName::Average, &text(TWO), dir.path()).unwrap_err();
    assert!(
        matches!(&error, Error::Usage(t) if t.contains("logits of 5 scenes") && t.contains("member-logits")),
        "{error}"
    );
    let bare = format!("checkpoints = []\n{}", text(TWO));
    let other = tempfile::tempdir().unwrap();
    run(&bare, other.path());
    assert!(!other.path().join("checkpoints").exists());
    let error = from(StageName::Encode, &bare, other.path()).unwrap_err();
    assert!(error.to_string().contains("checkpoints = [\"labels\"]"), "{error}");
}

#[test]
fn until_stops_there_and_the_next_run_goes_on() {
    let (dir, alone) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let text = with_logits(TWO);
    run(&text, alone.path());
    for (stage, n_files) in [(StageName::Infer, 0), (StageName::Average, 0), (StageName::Encode, 10)] {
        let options = RunOptions { until: Some(stage), ..RunOptions::into(dir.path()) };
        let ended = Flow::new(&text, scenes()).run_with(options).unwrap();
        assert_eq!(ended.report.totals.forwards > 0, stage == StageName::Infer, "{stage:?}");
        assert_eq!(outputs(dir.path()).len(), n_files, "{stage:?}");
    }
    let totals = run(&text, dir.path());
    assert_eq!((totals.reused, totals.forwards), (5, 0));
    assert!(outputs(dir.path()) == outputs(alone.path()));
}

#[test]
fn damaged_files_are_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    run(&text(TWO), dir.path());
    let before = outputs(dir.path());
    let mask = dir.path().join("masks/s1.png");
    let mut bytes = std::fs::read(&mask).unwrap();
    bytes[60] ^= 1;
    std::fs::write(&mask, bytes).unwrap();
    std::fs::remove_file(dir.path().join("color/s2.png")).unwrap();
    // Damaged checkpoints are noticed when they are used, and made again.
    for (name, bytes) in files(dir.path()).into_iter().filter(|(name, _)| name.starts_with("checkpoints/")) {
        std::fs::write(dir.path().join(name), [&bytes[..bytes.len() - 3], b"xyz"].concat()).unwrap();
    }
    let totals = run(&text(TWO), dir.path());
    assert_eq!(totals.reused, 3);
    assert!(totals.forwards > 0 && outputs(dir.path()) == before);
}

#[test]
fn fresh_forgets_and_leftovers_of_a_killed_run_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    run(&text(TWO), dir.path());
    let before = outputs(dir.path());
    std::fs::write(dir.path().join("masks/.swath-tmp-abc"), b"half").unwrap();
    let options = RunOptions { reuse: Reuse::Nothing, ..RunOptions::into(dir.path()) };
    let totals = Flow::new(&text(TWO), scenes()).run_with(options).unwrap().report.totals;
    assert_eq!(totals.reused, 0);
    assert!(totals.forwards > 0 && outputs(dir.path()) == before);
}

#[test]
fn a_journal_of_another_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("run.db"), vec![3; 9000]).unwrap();
    let error = Flow::new(&text(TWO), scenes()).run(dir.path()).unwrap_err();
    assert!(matches!(error, Error::Journal(_)) && error.to_string().contains("--fresh"), "{error}");
}

/// Flips a byte near the end of every checkpoint file, where its last result is.
fn damage_checkpoints(dir: &Path) {
    for (name, mut bytes) in files(dir).into_iter().filter(|(name, _)| name.starts_with("checkpoints/")) {
        let at = bytes.len() - 6;
        bytes[at] ^= 0x55;
        std::fs::write(dir.join(name), bytes).unwrap();
    }
}

#[test]
fn logits_that_cannot_be_read_never_become_those_of_an_empty_crop() {
    let (dir, alone) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let heavier = with_logits(TWO).replace("weight = 0.5", "weight = 2.0");
    run(&with_logits(TWO), dir.path());
    run(&heavier, alone.path());
    let right = outputs(alone.path());
    damage_checkpoints(dir.path());
    let ended = Flow::new(&heavier, scenes()).run(dir.path()).unwrap();
    for (name, bytes) in outputs(dir.path()).into_iter().filter(|(name, _)| name.ends_with("png")) {
        assert!(right[&name] == bytes, "{name}");
    }
    for failed in &ended.report.failed {
        assert!(failed.cause.contains("--from infer"), "{}", failed.cause);
    }
    // And nothing wrong was kept.
    from(StageName::Infer, &heavier, dir.path()).unwrap();
    assert!(outputs(dir.path()) == right);
}

#[test]
fn a_scene_that_failed_leaves_no_claim_that_it_holds_no_data() {
    let (dir, alone) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let text = with_logits(TWO);
    let mut broken = Flow::new(&text, scenes());
    broken.scenes[1].1.fault = Some(swath::raster::ReadFault::Row(30));
    assert_eq!(broken.run(dir.path()).unwrap().report.failed.len(), 1);
    run(&text, dir.path());
    let heavier = text.replace("weight = 0.5", "weight = 2.0");
    assert_eq!(run(&heavier, dir.path()).forwards, 0);
    run(&heavier, alone.path());
    assert!(outputs(dir.path()) == outputs(alone.path()));
}

#[test]
fn other_nodata_in_the_header_makes_a_scene_anew() {
    let dir = tempfile::tempdir().unwrap();
    run(&text(TWO), dir.path());
    let mut flow = Flow::new(&text(TWO), scenes());
    flow.scenes[0].1.header.nodata = vec![Some(3.0)];
    assert_eq!(flow.run(dir.path()).unwrap().report.totals.reused, 4);
}

#[test]
fn tiles_without_data_need_no_logits() {
    let dir = tempfile::tempdir().unwrap();
    let text = with_logits(TWO);
    let mut flow = Flow::new(&text, scenes());
    let (header, pixels) = (&mut flow.scenes[1].1.header, vec![3u8; 64 * 90]);
    header.nodata = vec![Some(3.0)];
    flow.scenes[1].1.pixels = swath::raster::PixelBuf::from_slice(swath::raster::PixelType::U8, &pixels);
    flow.run(dir.path()).unwrap();
    let options = RunOptions { reuse: Reuse::Before(StageName::Average), ..RunOptions::into(dir.path()) };
    let totals = flow.run_with(options).unwrap().report.totals;
    assert_eq!((totals.forwards, totals.decoded), (0, 0));
}

#[test]
fn a_scene_that_fails_before_the_end_is_told_with_until_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut flow = Flow::new(&text(TWO), scenes());
    flow.scenes[1].1.fault = Some(swath::raster::ReadFault::Row(30));
    let options = RunOptions { until: Some(StageName::Average), ..RunOptions::into(dir.path()) };
    let failed = flow.run_with(options).unwrap().report.failed;
    assert_eq!((failed.len(), failed[0].stage.as_str()), (1, "read"));
}

#[test]
fn fresh_starts_over_where_the_journal_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    run(&text(TWO), dir.path());
    let before = outputs(dir.path());
    std::fs::write(dir.path().join("run.db"), vec![3; 9000]).unwrap();
    let options = RunOptions { reuse: Reuse::Nothing, ..RunOptions::into(dir.path()) };
    assert_eq!(Flow::new(&text(TWO), scenes()).run_with(options).unwrap().report.totals.reused, 0);
    assert!(outputs(dir.path()) == before);
}
