//! A plan in parts, each a run of its own in one directory, and what they left put together: the bytes are those of one run.
#![cfg(feature = "gdal")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::support::command::{Ran, Workdir, children, is_alive, own_weights, wait_until, with_scenes};
use crate::support::{files, outputs};

const PLAN: [&str; 10] =
    ["plan", "p.toml", "-i", "in", "--backend", "fake", "--devices", "cpu", "--save", "plan.jsonl"];
const ALONE: [&str; 8] = ["run", "--plan", "plan.jsonl", "-o", "alone", "--devices", "cpu", "--pack-fake"];
const MERGE: [&str; 5] = ["merge", "out", "--pack-fake", "--patience", "1s"];

/// A giant that any cut goes through, scenes of some tiles, and small ones that are read in groups.
const SIZES: [(u32, u32); 9] =
    [(500, 900), (200, 170), (130, 140), (70, 60), (40, 30), (40, 30), (40, 30), (40, 30), (40, 30)];

/// Scenes, their plan, and what one run of all of it leaves.
fn planned() -> (Workdir, BTreeMap<String, Vec<u8>>) {
    let work = with_scenes(&SIZES);
    work.swath(&PLAN).expect(0);
    work.swath(&ALONE).expect(0);
    let whole = outputs(&work.path("alone"));
    (work, whole)
}

fn shard<'a>(index: &'a str, count: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let run = ["run", "--plan", "plan.jsonl", "-o", "out", "--devices", "cpu", "--scratch", "scratch"];
    [&run[..], &["--shard", index, "--shards", count], more].concat()
}

fn differing<'a>(a: &'a BTreeMap<String, Vec<u8>>, b: &'a BTreeMap<String, Vec<u8>>) -> Vec<&'a String> {
    let is_made = |name: &&String| !name.starts_with("records/");
    a.keys().chain(b.keys()).filter(is_made).filter(|name| a.get(*name) != b.get(*name)).collect()
}

/// Puts together what is in `out`: no network runs, and the bytes are those of one run.
fn merged(work: &Workdir, whole: &BTreeMap<String, Vec<u8>>) {
    work.swath(&MERGE).expect(0);
    assert_eq!(differing(&outputs(&work.path("out")), whole), [""; 0]);
    assert_eq!(work.report("out")["totals"]["forwards"], 0);
}

#[test]
fn shards_in_any_order_give_the_bytes_of_one_run() {
    let (work, whole) = planned();
    // More than there are units: some have nothing to do.
    for (count, slots) in [(3, None), (6, Some("2")), (25, None)] {
        let count_text = count.to_string();
        for index in (0..count).rev() {
            let of_slots = slots.map_or(Vec::new(), |slots| vec!["--slots", slots]);
            work.swath(&shard(&index.to_string(), &count_text, &of_slots)).expect(0);
        }
        assert!(!work.path("out/submit.zip").exists() && !work.path("out/run.db").exists(), "a shard packs nothing");
        assert!(std::fs::read_dir(work.path("scratch")).unwrap().next().is_none(), "its own folder is gone");
        merged(&work, &whole);
        // Again it is the same.
        merged(&work, &whole);
        work.swath(&["verify", "out"]).expect(0);
        work.swath(&["report", "out"]).expect(0);
        work.swath(&["resume", "out"]).expect(0);
        std::fs::remove_dir_all(work.path("out")).unwrap();
    }
}

#[test]
fn a_shard_alone_is_not_the_whole_and_the_line_that_is_printed_completes_it() {
    let (work, whole) = planned();
    work.swath(&shard("1", "4", &[])).expect(0);
    work.swath(&["status", "out"]).says(0, &["1 of 4 complete", "shards 0,2-3 have to end"]);
    let ran = work.swath(&MERGE);
    ran.says(5, &["of 4 shards these are to run again: 0,2-3", "--shard auto"]);
    assert!(!work.path("out/submit.zip").exists());
    // What could not begin leaves the directory as it was.
    work.swath(&["status", "out"]).says(0, &["1 of 4 complete"]);
    work.swath(&["run", "p.toml", "-i", "in", "-o", "out", "--backend", "fake"]).says(2, &["swath merge"]);
    let line = ran.stderr.lines().find(|line| line.starts_with("for i in ")).unwrap();
    let bin = Path::new(env!("CARGO_BIN_EXE_swath")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let done = Command::new("bash").args(["-c", line]).current_dir(work.path(".")).env("PATH", path).status().unwrap();
    assert!(done.success(), "{line}");
    merged(&work, &whole);
}

/// Lets a shard come to a place where it waits, kills it there with all it has started, and takes the obstacle away.
fn killed(work: &Workdir, arguments: &[&str], fault: &str) {
    let log = work.write("hold", "");
    let mut command = work.command(arguments);
    command.env("SWATH_FAULTS", fault).env("SWATH_FAULTS_LOG", &log);
    let mut supervisor = command.spawn().unwrap();
    wait_until(|| !std::fs::read(&log).unwrap().is_empty());
    let workers = children(supervisor.id());
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    wait_until(|| workers.iter().all(|pid| !is_alive(*pid)));
    std::fs::remove_file(log).unwrap();
}

#[test]
fn a_host_that_is_lost_costs_what_it_had_not_published() {
    let (work, whole) = planned();
    killed(&work, &shard("0", "2", &[]), "device:hold@9");
    // What it left on its own disk is of no use to others.
    std::fs::remove_dir_all(work.path("scratch")).unwrap();
    work.swath(&MERGE).says(5, &["of 2 shards these are to run again: 0-1"]);
    // With another number of shards.
    for index in ["0", "1", "2"] {
        work.swath(&shard(index, "3", &[])).expect(0);
    }
    merged(&work, &whole);
}

#[test]
fn two_attempts_at_one_shard_are_normal() {
    let (work, whole) = planned();
    let log = work.write("hold", "");
    let mut first = work.command(&shard("0", "2", &[]));
    let mut first = first.env("SWATH_FAULTS", "device:hold@5").env("SWATH_FAULTS_LOG", &log).spawn().unwrap();
    wait_until(|| !std::fs::read(&log).unwrap().is_empty());
    for index in ["0", "1"] {
        work.swath(&shard(index, "2", &[])).expect(0);
    }
    merged(&work, &whole);
    // The other one goes on writing.
    std::fs::remove_file(&log).unwrap();
    assert!(first.wait().unwrap().success());
    merged(&work, &whole);
}

#[test]
fn a_shard_goes_on_from_what_others_have_published() {
    let (work, _) = planned();
    work.swath(&shard("0", "2", &[])).expect(0);
    let records = files(&work.path("out/records")).len();
    let again = work.swath(&shard("0", "2", &["--progress", "json"]));
    assert!(again.expect(0).contains("\"forwards\":0"), "{again:?}");
    assert!(files(&work.path("out/records")).len() > records);
}

#[test]
fn a_mask_that_comes_into_sight_late_is_waited_for() {
    let (work, whole) = planned();
    work.swath(&shard("0", "1", &[])).expect(0);
    let (mask, aside) = (work.path("out/masks/s3.png"), work.path("aside.png"));
    std::fs::rename(&mask, &aside).unwrap();
    let told = work.path("told.txt");
    let stderr = std::fs::File::create(&told).unwrap();
    let patient = ["merge", "out", "--pack-fake", "--patience", "10m"];
    let mut merge = work.command(&patient).stderr(stderr).spawn().unwrap();
    wait_until(|| std::fs::read_to_string(&told).unwrap().contains("masks/s3.png"));
    std::fs::rename(&aside, &mask).unwrap();
    assert!(merge.wait().unwrap().success());
    merged(&work, &whole);
    // One that never comes is done again, by whoever has networks.
    std::fs::remove_file(&mask).unwrap();
    work.swath(&MERGE).says(0, &["masks/s3.png", "waiting up to 1.0 s"]);
    assert_eq!(differing(&outputs(&work.path("out")), &whole), [""; 0]);
}

#[test]
fn a_damaged_record_costs_what_was_in_it_and_is_named() {
    let (work, whole) = planned();
    for index in ["0", "1"] {
        work.swath(&shard(index, "2", &[])).expect(0);
    }
    let records = files(&work.path("out/records"));
    let (name, bytes) = records.iter().find(|(name, _)| name.ends_with("/000000")).unwrap();
    work.write(&format!("out/records/{name}"), &bytes[..bytes.len() / 2]);
    work.swath(&MERGE).says(5, &["000000", "damaged", "to run again"]);
    let index = if name.starts_with("0000000-") { "0" } else { "1" };
    work.swath(&shard(index, "2", &[])).expect(0);
    merged(&work, &whole);
}

#[test]
fn two_hosts_that_differ_are_named() {
    let (work, _) = planned();
    work.swath(&shard("0", "1", &[])).expect(0);
    let before = files(&work.path("out/records"));
    // Another attempt that has seen nothing of the first one, and whose networks give something else.
    std::fs::rename(work.path("out"), work.path("first")).unwrap();
    work.swath(&shard("0", "1", &[])).expect(0);
    let other: Vec<String> = files(&work.path("out/records")).into_keys().collect();
    for (name, bytes) in &before {
        work.write(&format!("out/records/{name}"), bytes);
    }
    work.swath(&MERGE).expect(0);
    let record = other.iter().find(|name| name.ends_with("/000000")).unwrap();
    let record = work.path(&format!("out/records/{record}"));
    let sound = std::fs::read(&record).unwrap();
    // The first result of the giant's first row, and the mask of a scene that is read with others.
    rewrite(&record, "\"record\":\"artefact\"");
    let words = [
        "differ: unit ",
        " of the plan (of `s0`)",
        "two ways",
        "stage results",
        "class cpu",
        "gdal ",
        "run its shard again",
    ];
    work.swath(&MERGE).says(1, &words);
    std::fs::write(&record, sound).unwrap();
    rewrite(&record, "\"record\":\"scene\",\"name\":\"s1\"");
    work.swath(&MERGE).says(1, &["masks/s1.png", "of the plan (of `s1`)", "(cpu "]);
}

/// Changes the first digest behind a place in a record file, and what the file says of itself with it.
fn rewrite(path: &Path, place: &str) {
    use sha2::{Digest, Sha256};
    let text = std::fs::read_to_string(path).unwrap();
    let (body, _) = text.trim_end().rsplit_once('\n').unwrap();
    let place = body.find(place).unwrap();
    let at = place + body[place..].find("\"sha256\":\"").unwrap() + 10;
    let digit = if &body[at..=at] == "0" { "1" } else { "0" };
    let body = format!("{}{digit}{}\n", &body[..at], &body[at + 1..]);
    let end: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
    let last = text.trim_end().rsplit_once('\n').unwrap().1;
    let old = last.split(|c: char| !c.is_ascii_hexdigit()).find(|word| word.len() == 64).unwrap();
    std::fs::write(path, format!("{body}{}\n", last.replace(old, &end))).unwrap();
}

#[test]
fn records_that_are_not_seen_are_waited_for_aloud_and_then_named() {
    let (work, whole) = planned();
    work.swath(&["merge", "out", "--patience", "1s"]).says(2, &["no records that can be seen", "waiting up to 1.0 s"]);
    work.swath(&shard("0", "1", &[])).expect(0);
    let records = files(&work.path("out/records"));
    let (name, bytes) = records.iter().find(|(name, _)| name.ends_with("/000000")).unwrap();
    let lost = work.path(&format!("out/records/{name}"));
    std::fs::remove_file(&lost).unwrap();
    let words = ["1 file of records", "waiting up to 1.0 s", "/000000` should be there and is not", "to run again: 0"];
    work.swath(&MERGE).says(5, &words);
    work.write(&format!("out/records/{name}"), bytes);
    merged(&work, &whole);
}

#[test]
fn a_disk_without_room_for_records_ends_a_shard_for_now() {
    let (work, whole) = planned();
    // The first file of an attempt, one on the way, and the last one.
    for name in ["/head", "/000000", "/closed"] {
        let (fault, log) = (format!("records:full~{name}!"), work.path("struck"));
        let faults = [("SWATH_FAULTS", fault.as_str()), ("SWATH_FAULTS_LOG", log.to_str().unwrap())];
        let ran = work.swath_with(&shard("0", "1", &[]), &faults);
        ran.says(13, &["no room", name, "out/records/"]);
        assert!(log.exists());
        std::fs::remove_file(log).unwrap();
    }
    work.swath(&shard("0", "1", &[])).expect(0);
    merged(&work, &whole);
}

#[test]
fn labels_are_kept_for_others_where_the_pipeline_asks_for_none() {
    let work = with_scenes(&SIZES);
    let text = std::fs::read_to_string(work.path("p.toml")).unwrap();
    work.write("p.toml", format!("checkpoints = []\n{text}"));
    work.swath(&PLAN).expect(0);
    work.swath(&ALONE).expect(0);
    assert!(!work.path("alone/checkpoints").exists());
    for index in ["0", "1", "2"] {
        work.swath(&shard(index, "3", &[])).expect(0);
    }
    let plan = std::fs::read_to_string(work.path("plan.jsonl")).unwrap();
    let bands = |scene: &str| {
        plan.lines().filter(|line| line.starts_with(&format!("[{{\"band\":{{\"scene\":{scene},"))).count()
    };
    let of_several: usize = (0..SIZES.len()).map(|scene| bands(&scene.to_string())).filter(|n| *n > 1).sum();
    assert_eq!(files(&work.path("out/checkpoints")).len(), of_several, "a scene of one unit is done at once");
    work.swath(&MERGE).expect(0);
    let masks = |dir: &str| files(&work.path(&format!("{dir}/masks")));
    assert!(masks("out") == masks("alone"));
    assert_eq!(work.report("out")["totals"]["forwards"], 0);
    // What networks alone can make again is no matter of a merge.
    std::fs::remove_file(work.path("out/masks/s8.png")).unwrap();
    work.swath(&MERGE).says(5, &["masks/s8.png", "these are to run again: 2"]);
    work.swath(&shard("2", "3", &[])).expect(0);
    work.swath(&MERGE).expect(0);
    assert!(masks("out") == masks("alone"));
}

#[test]
fn a_scene_without_a_mask_is_told_by_the_merge_and_not_by_the_shard() {
    let work = with_scenes(&SIZES);
    work.write("in/broken.tif", "no TIFF");
    work.swath(&PLAN).expect(3);
    std::fs::remove_file(work.path("in/s2.tif")).unwrap();
    for index in ["0", "1"] {
        work.swath(&shard(index, "2", &[])).expect(0);
    }
    work.swath(&MERGE).says(3, &["broken.tif", "s2.tif"]);
    assert!(!work.path("out/submit.zip").exists());
    work.swath(&[&MERGE[..], &["--allow-partial"]].concat()).expect(3);
    assert!(work.path("out/submit.zip").exists());
    assert_eq!(work.report("out")["failed"].as_array().unwrap().len(), 2);
}

#[test]
fn a_device_without_memory_yields_to_one_that_had_it() {
    let (work, whole) = planned();
    let with = |fault: &str| -> Ran { work.swath_with(&shard("0", "1", &[]), &[("SWATH_FAULTS", fault)]) };
    with("device:oom~n2").expect(0);
    work.swath(&MERGE).says(0, &["ran tile by tile"]);
    std::fs::remove_dir_all(work.path("out")).unwrap();
    // A clean attempt is under way when the other one runs out of memory.
    let log = work.write("hold", "");
    let mut clean = work.command(&shard("0", "1", &[]));
    let mut clean = clean.env("SWATH_FAULTS", "device:hold@1").env("SWATH_FAULTS_LOG", &log).spawn().unwrap();
    wait_until(|| !std::fs::read(&log).unwrap().is_empty());
    with("device:oom~n2").expect(0);
    std::fs::remove_file(&log).unwrap();
    assert!(clean.wait().unwrap().success());
    let ran = work.swath(&MERGE);
    assert!(!ran.expect(0).contains("tile by tile"), "{ran:?}");
    assert_eq!(differing(&outputs(&work.path("out")), &whole), [""; 0]);
}

#[test]
fn weights_that_changed_on_one_host_are_refused_there() {
    let work = with_scenes(&SIZES[6..]);
    let text = std::fs::read_to_string(work.path("p.toml")).unwrap();
    let seed = text.lines().find(|line| line.starts_with("seed = ")).unwrap();
    work.write("p.toml", text.replacen(seed, "weights = \"w.safetensors\"", 1));
    own_weights(&work, "p.toml", "w.safetensors");
    let planned_bytes = std::fs::read(work.path("w.safetensors")).unwrap();
    let mut other = planned_bytes.clone();
    *other.last_mut().unwrap() ^= 1;
    work.swath(&PLAN).expect(0);
    work.swath(&shard("0", "2", &[])).expect(0);
    work.write("w.safetensors", other);
    work.swath(&shard("1", "2", &[])).says(2, &["member0", "are not those that the plan", "plan.jsonl"]);
    work.write("w.safetensors", planned_bytes);
    work.swath(&shard("1", "2", &[])).expect(0);
    // A merge needs none.
    std::fs::remove_file(work.path("w.safetensors")).unwrap();
    work.swath(&MERGE).expect(0);
}

#[test]
fn a_crash_on_the_way_is_survived_as_in_a_run_alone() {
    let (work, whole) = planned();
    let log = work.path("struck");
    let faults = [("SWATH_FAULTS", "device:abort@3!"), ("SWATH_FAULTS_LOG", log.to_str().unwrap())];
    work.swath_with(&shard("0", "1", &[]), &faults).says(0, &["restarted", "SIGABRT"]);
    assert!(log.exists());
    merged(&work, &whole);
}

#[test]
fn a_directory_is_shared_or_it_is_not() {
    let (work, _) = planned();
    work.swath(&shard("0", "2", &["-o", "alone"])).expect(2);
    let into_alone: Vec<&str> =
        shard("0", "2", &[]).into_iter().map(|word| if word == "out" { "alone" } else { word }).collect();
    work.swath(&into_alone).says(2, &["alone", "run of all of a plan"]);
    work.swath(&["merge", "alone"]).says(2, &["alone", "holds no records"]);
    work.swath(&shard("0", "2", &[])).expect(0);
    work.swath(&["run", "p.toml", "-i", "in", "-o", "out", "--backend", "fake"]).says(2, &["swath merge"]);
    // Another plan's records.
    work.swath(&[
        "plan",
        "p.toml",
        "-i",
        "in/s1.tif",
        "--backend",
        "fake",
        "--devices",
        "cpu",
        "--save",
        "other.jsonl",
    ])
    .expect(0);
    let other = shard("0", "2", &[]).into_iter().map(|word| if word == "plan.jsonl" { "other.jsonl" } else { word });
    work.swath(&other.collect::<Vec<_>>()).says(2, &["records of plan"]);
    // A file of somebody else is not written over.
    work.write("elsewhere/masks/s0.png", "mine");
    let elsewhere = shard("0", "1", &[]).into_iter().map(|word| if word == "out" { "elsewhere" } else { word });
    work.swath(&elsewhere.collect::<Vec<_>>()).says(2, &["s0.png", "--overwrite"]);
    work.swath(&shard("0", "2", &["--deadline", "1h"])).says(2, &["--deadline"]);
    work.swath(&shard("2", "2", &[])).says(2, &["no shard 2", "0 to 1"]);
}
