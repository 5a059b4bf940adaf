//! Each fault on its own; all of them together in `simulation`.

mod faulty;
mod host;
mod plan;
mod simulation;

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::atomic::Fingerprint;
use crate::journal::{
    ArtefactRecord, Conceded, ConcessionRecord, EntryRecord, FailureRecord, FileRecord, Journal, KeyHasher,
    OutputRecord, Record, SceneFacts, SceneRecord,
};
use faulty::{Fate, LATE, World};

const PLAN: &str = "aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11";
const OTHER: &str = "bb22bb22bb22bb22bb22bb22bb22bb22bb22bb22bb22bb22bb22bb22bb22bb22";
const COMPLETE: AttemptCounts = AttemptCounts { done: 1, failed: 0, kept_units: 2, complete: true };

fn head(attempt: &str, units: std::ops::Range<u32>) -> AttemptHead {
    AttemptHead {
        attempt: attempt.to_owned(),
        plan: PLAN.to_owned(),
        plan_file: String::new(),
        units,
        shard: None,
        host: format!("host-of-{attempt}"),
        pid: 7,
        started: 1_800_000_000,
        swath: "0.1.0".to_owned(),
        devices: vec!["GPU zero".to_owned()],
        device_class: "gpu-class".to_owned(),
        drivers: vec!["driver 570.1".to_owned()],
    }
}

fn file(path: &str, content: &str) -> FileRecord {
    let sha256 = KeyHasher::new("content").text(content).finish().to_string();
    FileRecord { path: path.to_owned(), content: Fingerprint { bytes: content.len() as u64, sha256 } }
}

fn artefact(path: &str, content: &str) -> Record {
    let key = KeyHasher::new("labels").text(path).finish();
    Record::Artefact(ArtefactRecord {
        file: file(path, content),
        entries: vec![EntryRecord { key, offset: 8, bytes: 10 }],
    })
}

fn scene(name: &str, key: &str, content: &str) -> SceneRecord {
    let key = KeyHasher::new("mask").text(key).finish();
    let files = vec![file(&format!("masks/{name}.png"), content)];
    let outputs = vec![OutputRecord { kind: "mask".to_owned(), key, files }];
    SceneRecord { name: name.to_owned(), complete: true, attempt: 1, outputs, facts: SceneFacts::default() }
}

fn failure(name: &str) -> Record {
    Record::Failure(FailureRecord {
        name: name.to_owned(),
        file: format!("{name}.tif"),
        stage: "read".to_owned(),
        unit: None,
        attempt: 1,
        cause: "the disk is gone".to_owned(),
    })
}

/// Publishes one file for each of these groups; returns its folder.
fn publish(world: &World, head: AttemptHead, groups: &[Vec<Record>], closing: Option<AttemptCounts>) -> String {
    let mut batcher = Batcher::new(head);
    let folder = batcher.folder();
    let put = |file: RecordFile| {
        world.put(0, &file.name, &file.bytes);
    };
    put(batcher.begin());
    for group in groups {
        batcher.add(Duration::ZERO, group);
        put(batcher.take(Duration::from_secs(5)).unwrap());
    }
    if let Some(counts) = closing {
        batcher.close(Duration::from_secs(9), counts).into_iter().for_each(put);
    }
    folder
}

fn read(world: &World) -> Union {
    union(&world.view(9), PLAN, 0..100, Duration::ZERO).unwrap()
}

fn covered_by(union: &Union) -> Vec<(u32, u32)> {
    union.covered().into_iter().map(|units| (units.start, units.end)).collect()
}

fn records(union: &Union) -> Vec<Record> {
    union.records.iter().map(|(_, record)| record.clone()).collect()
}

fn three() -> Vec<Vec<Record>> {
    (0..3).map(|n| vec![artefact(&format!("checkpoints/{n}"), "x")]).collect()
}

#[test]
fn what_was_published_is_read() {
    let world = World::default();
    let mut shard = head("a", 10..20);
    shard.shard = Some(ShardName { index: 1, count: 3, slots: Some(2) });
    let scene = Record::Scene(scene("s", "k", "mask"));
    let unit = Conceded::SingleTiles { unit: 12 };
    let concession = Record::Concession(ConcessionRecord { plan: PLAN.to_owned(), what: unit });
    publish(&world, shard.clone(), &[vec![scene.clone(), failure("t")], vec![concession.clone()]], Some(COMPLETE));
    publish(&world, head("b", 20..30), &[], None);
    let union = read(&world);
    assert_eq!(records(&union), [failure("t"), concession, scene]);
    let [a, b] = &union.attempts[..] else { panic!("{:?}", union.attempts) };
    assert_eq!((&a.head, a.closed, a.is_complete(), a.last_seen), (&shard, Some(COMPLETE), true, 1_800_000_009));
    assert_eq!((b.closed, b.is_whole, b.problems.len()), (None, false, 0));
    assert_eq!((union.missing_shards(3, Some(2)), union.missing_shards(3, None)), (vec![0, 2], vec![0, 1, 2]));
    assert_eq!(covered_by(&union), [(10, 20)]);
}

#[test]
fn a_bad_file_costs_itself() {
    for (fate, says) in [
        (Fate::Truncated, "its end is missing"),
        (Fate::Flipped, "its checksum is wrong"),
        (Fate::Doubled, "its checksum is wrong"),
        (Fate::Lost, "should be there and is not"),
    ] {
        let world = World::default();
        // The head is the first, so this is the second file of records.
        world.next(&[fate, Fate::Good, Fate::Good]);
        publish(&world, head("a", 0..9), &three(), Some(COMPLETE));
        let union = read(&world);
        let there = records(&union);
        assert!(there.len() == 2 && three()[0] == there[..1] || three()[2] == there[..1], "{fate:?}: {there:?}");
        let attempt = &union.attempts[0];
        assert!(!attempt.is_whole && attempt.closed.is_some(), "{fate:?}");
        let [problem] = &attempt.problems[..] else { panic!("{fate:?}: {:?}", attempt.problems) };
        assert!(problem.contains("/000001`") && problem.contains(says), "{problem}");
        assert!(union.covered().is_empty() && union.conflicts.is_empty());
    }
}

#[test]
fn every_byte_of_a_file_is_checked() {
    let world = World::default();
    let folder = publish(&world, head("a", 0..9), &three()[..1], None);
    let name = format!("{folder}/000000");
    let whole = world.view(0).get(&name).unwrap().unwrap();
    for at in 0..whole.len() {
        for bad in [whole[..at].to_vec(), [&whole[..at], &[whole[at] ^ 1], &whole[at + 1..]].concat()] {
            world.alter(&name, |bytes| *bytes = bad);
            let union = read(&world);
            assert_eq!((union.records.len(), union.attempts[0].problems.len()), (0, 1), "at {at}");
        }
    }
    world.alter(&name, |bytes| *bytes = whole);
    assert_eq!(read(&world).records.len(), 1);
}

#[test]
fn a_copy_counts_for_nothing() {
    let world = World::default();
    world.next(&[Fate::Copied, Fate::Good]);
    let folder = publish(&world, head("a", 0..9), &three(), Some(COMPLETE));
    let bytes = world.view(0).get(&format!("{folder}/000000")).unwrap().unwrap();
    world.put(0, &format!("{folder}x/000000"), &bytes);
    world.put(0, "records/notes.txt", b"mine");
    let union = read(&world);
    assert_eq!((union.records.len(), union.attempts.len(), union.attempts[0].is_complete()), (3, 1, true));
    assert!(union.attempts[0].problems[0].contains("/900000` is damaged: it is a copy of"), "{union:?}");
    assert!(union.problems[0].contains("records/notes.txt` is no attempt's"), "{:?}", union.problems);
    assert!(union.problems[1].contains("x/000000` is damaged: it is a copy of"), "{:?}", union.problems);
}

#[test]
fn a_head_that_is_gone_costs_nothing() {
    let world = World::default();
    let folder = publish(&world, head("a", 0..9), &three(), Some(COMPLETE));
    world.remove(&format!("{folder}/head"));
    let union = read(&world);
    assert!(union.attempts[0].is_complete() && union.attempts[0].head == head("a", 0..9));
}

#[test]
fn another_plan_is_refused_by_both_digests() {
    let world = World::default();
    let folder = publish(&world, AttemptHead { plan: OTHER.to_owned(), ..head("b", 50..60) }, &three(), None);
    // Whatever units somebody is about: a directory has one plan.
    let error = union(&world.view(9), PLAN, 0..1, Duration::ZERO).unwrap_err();
    let LedgerError::OtherPlan { folder: named, found, expected } = &error else { panic!("{error}") };
    assert_eq!((named, found.as_str(), expected.as_str()), (&folder, OTHER, PLAN));
    assert!(error.to_string().contains("a run directory of its own"));
    world.remove(&format!("{folder}/head"));
    let error = union(&world.view(9), PLAN, 0..1, Duration::ZERO).unwrap_err().to_string();
    assert!(error.contains(&format!("plan {}", &OTHER[..12])), "{error}");
}

#[test]
fn a_newer_format_is_refused_and_a_damaged_digit_is_not_taken_for_one() {
    let world = World::default();
    let name = format!("{}/000001", publish(&world, head("a", 0..9), &three(), Some(COMPLETE)));
    let resealed = |bytes: &[u8], from: &str, to: &str| {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let body = text[..text.rfind("sha256 ").unwrap()].replacen(from, to, 1);
        let sum = crate::hex(&<sha2::Sha256 as sha2::Digest>::digest(&body));
        format!("{body}sha256 {sum}\n").into_bytes()
    };
    let whole = world.view(0).get(&name).unwrap().unwrap();
    for (from, to, says) in [
        ("swath-records 1", "swath-records 2", "format 2, this version reads 1"),
        (r#""record":"artefact""#, r#""record":"novelty""#, "a record cannot be read"),
    ] {
        world.alter(&name, |bytes| *bytes = resealed(&whole, from, to));
        let error = union(&world.view(9), PLAN, 0..9, Duration::ZERO).unwrap_err().to_string();
        assert!(error.contains(&name) && error.contains(says) && error.contains("one version"), "{error}");
    }
    world.alter(&name, |bytes| *bytes = [b"swath-records 2", &whole[15..]].concat());
    assert_eq!(read(&world).records.len(), 2);
}

#[test]
fn a_file_that_is_late_is_waited_for() {
    for late in 0..5 {
        let world = World::default();
        let mut fates = [Fate::Good; 5];
        fates[4 - late] = Fate::Late;
        world.next(&fates);
        publish(&world, head("a", 0..9), &three(), Some(COMPLETE));
        let (view, mut survey, mut got) = (world.view(9), Survey::of(PLAN, 0..9), Vec::new());
        let early = survey.look(&view, |_, record| got.push(record)).unwrap();
        // Of the head and the closing file nobody knows that they should be there.
        assert_eq!(early.len(), usize::from((1..4).contains(&late)), "{late}: {early:?}");
        assert_eq!(got.len(), if early.is_empty() { 3 } else { 2 });
        world.at(LATE);
        assert!(survey.look(&view, |_, record| got.push(record)).unwrap().is_empty());
        let union = Union::from_survey(&survey, got.into_iter().map(|record| (0, record)).collect());
        assert!(union.attempts[0].is_complete() && union.attempts[0].problems.is_empty());
        assert_eq!(union.records.len(), 3);
    }
}

#[test]
fn names_are_asked_for_beyond_an_old_listing() {
    let world = World::default();
    let mut batcher = Batcher::new(head("a", 0..9));
    let put = |file: RecordFile| world.put(0, &file.name, &file.bytes);
    put(batcher.begin());
    world.at(30_000);
    for group in three() {
        batcher.add(Duration::ZERO, &group);
        put(batcher.take(Duration::ZERO).unwrap());
    }
    let view = world.stale_view(9, 30_000);
    assert_eq!(view.list(&batcher.folder()).unwrap(), ["head"]);
    assert_eq!(union(&view, PLAN, 0..9, Duration::ZERO).unwrap().records.len(), 3);
}

#[test]
fn clocks_decide_nothing() {
    let mut answers = Vec::new();
    for (early, order) in [("a", [0, 1]), ("b", [1, 0])] {
        let world = World::default();
        for i in order {
            let name = ["a", "b"][i];
            let mut who = head(name, 0..9);
            who.started = if name == early { 0 } else { who.started + 3600 };
            let done = SceneRecord { attempt: i as u64, ..scene("s", "k", "mask") };
            publish(&world, who, &[vec![failure("s"), Record::Scene(done), artefact("checkpoints/0", "x")]], None);
        }
        let mut union = read(&world);
        union.attempts.iter_mut().for_each(|attempt| (attempt.head.started, attempt.last_seen) = (0, 0));
        assert!(union.conflicts.is_empty());
        answers.push((union.attempts, union.records.into_iter().map(|(_, record)| record).collect::<Vec<_>>()));
    }
    assert_eq!(answers[0], answers[1]);
    // What is equal to the last letter, once.
    assert_eq!(answers[0].1.len(), 4);
}

#[test]
fn what_one_host_could_not_do_and_another_could_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::default();
    let done = scene("s", "k", "mask");
    let part = SceneRecord { complete: false, outputs: Vec::new(), ..done.clone() };
    publish(&world, head("a", 0..9), &[vec![Record::Scene(done.clone())]], None);
    publish(&world, head("b", 0..9), &[vec![failure("s"), failure("t"), Record::Scene(part)]], None);
    let mut journal = Journal::open(dir.path()).unwrap();
    journal.append(&records(&read(&world))).unwrap();
    let state = journal.state().unwrap();
    assert_eq!(state.scenes.into_values().collect::<Vec<_>>(), [done]);
    assert_eq!(state.failures.into_keys().collect::<Vec<_>>(), ["t"]);
}

#[test]
fn different_bytes_for_one_thing_name_both_sides() {
    let world = World::default();
    publish(&world, head("a", 0..9), &[vec![artefact("checkpoints/0", "x"), artefact("checkpoints/1", "x")]], None);
    let b = AttemptHead { drivers: vec!["driver 580.2".to_owned()], ..head("b", 5..9) };
    let other_scene = Record::Scene(scene("s", "k", "other mask"));
    publish(&world, b, &[vec![artefact("checkpoints/0", "yy"), artefact("checkpoints/1", "x"), other_scene]], None);
    publish(&world, head("c", 0..9), &[vec![Record::Scene(scene("s", "k", "mask"))]], None);
    // Out of memory: another key.
    publish(&world, head("d", 0..9), &[vec![Record::Scene(scene("s", "k-single", "third mask"))]], None);
    let conflicts: Vec<String> = read(&world).conflicts.iter().map(ToString::to_string).collect();
    let [labels, mask] = &conflicts[..] else { panic!("{conflicts:?}") };
    for word in ["checkpoints/0", "1 bytes", "2 bytes", "host-of-a", "host-of-b", "GPU zero", "570.1", "580.2"] {
        assert!(labels.contains(word), "{word}: {labels}");
    }
    for word in ["scene `s`", "masks/s.png", "host-of-b", "host-of-c", "gpu-class"] {
        assert!(mask.contains(word), "{word}: {mask}");
    }
}

#[test]
fn a_host_that_comes_back_goes_on_writing_beside_the_one_that_took_over() {
    let world = World::default();
    let (cut_off, took_over) = (head("a", 0..9), head("b", 0..9));
    let mut a = Batcher::new(cut_off);
    world.put(1, &a.begin().name, &a.begin().bytes);
    a.add(Duration::ZERO, &three()[0]);
    let kept = a.take(Duration::ZERO).unwrap();
    world.put(1, &kept.name, &kept.bytes);
    a.add(Duration::ZERO, &three()[1]);
    publish(&world, took_over, &three()[1..], Some(COMPLETE));
    let before = read(&world);
    for file in a.close(Duration::from_secs(600), COMPLETE) {
        world.put(1, &file.name, &file.bytes);
    }
    let after = read(&world);
    assert_eq!(records(&before), records(&after));
    assert!(after.conflicts.is_empty() && after.attempts.iter().all(AttemptState::is_complete));
    assert!(!before.attempts[0].is_whole && before.covered() == after.covered());
}

#[test]
fn only_attempts_at_the_same_units_are_read() {
    let world = World::default();
    for n in 0..10 {
        let name = format!("checkpoints/{n}");
        publish(&world, head(&format!("a{n}"), n * 10..n * 10 + 10), &[vec![artefact(&name, "x")]], Some(COMPLETE));
    }
    let union = union(&world.view(9), PLAN, 25..41, Duration::ZERO).unwrap();
    assert_eq!((union.attempts.len(), union.records.len(), covered_by(&union)), (3, 3, vec![(20, 50)]));
}

#[test]
fn a_publisher_flushes_closes_and_dies() {
    let dir = tempfile::tempdir().unwrap();
    let store: Arc<FolderStore> = Arc::new(FolderStore::of(dir.path()));
    let publisher = Publisher::begin(store.clone(), head("a", 0..9)).unwrap();
    let look = || union(&*store, PLAN, 0..9, Duration::ZERO).unwrap();
    assert_eq!((look().attempts.len(), look().records.len()), (1, 0));
    publisher.append(&three()[0]).unwrap();
    publisher.flush().unwrap();
    publisher.append(&[]).unwrap();
    publisher.flush().unwrap();
    publisher.append(&three()[1]).unwrap();
    assert_eq!((look().records.len(), look().attempts[0].closed), (1, None));
    publisher.close(COMPLETE).unwrap();
    assert_eq!((look().records.len(), look().attempts[0].is_complete()), (2, true));
    // Died: what it had is written, that it ended is not.
    let publisher = Publisher::begin(store.clone(), head("b", 0..9)).unwrap();
    publisher.append(&three()[2]).unwrap();
    drop(publisher);
    assert_eq!((look().records.len(), look().attempts[1].closed), (3, None));
    let folder = dir.path().join("records").join(head("a", 0..9).folder());
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 4);
}

#[test]
fn a_publisher_writes_without_being_asked() {
    let world = World::default();
    let batcher = Batcher::with_pace(head("a", 0..9), Duration::from_millis(1));
    let publisher = Publisher::start(Arc::new(world.view(1)), batcher).unwrap();
    publisher.append(&three()[0]).unwrap();
    let limit = std::time::Instant::now() + Duration::from_secs(60);
    while read(&world).records.is_empty() {
        assert!(std::time::Instant::now() < limit, "nothing was written");
        std::thread::yield_now();
    }
    drop(publisher);
}

#[test]
fn a_full_disk_is_told_to_who_records_next_and_who_closes() {
    let world = World::default();
    let publisher = Publisher::begin(Arc::new(world.view(1)), head("a", 0..9)).unwrap();
    world.next(&[Fate::Full]);
    publisher.append(&three()[0]).unwrap();
    let error = publisher.flush().unwrap_err();
    let LedgerError::Store(StoreError::Write(write)) = &error else { panic!("{error}") };
    assert!(write.path.ends_with("000000") && write.source.kind() == std::io::ErrorKind::StorageFull, "{error}");
    let again = publisher.append(&three()[1]).unwrap_err().to_string();
    assert!(again.contains(&head("a", 0..9).folder()), "{again}");
    assert!(publisher.close(COMPLETE).is_err());
    let union = read(&world);
    assert_eq!((union.records.len(), union.attempts[0].closed), (0, None));
    world.next(&[Fate::Full]);
    assert!(Publisher::begin(Arc::new(world.view(1)), head("b", 0..9)).is_err());
}

#[test]
fn a_record_waits_no_longer_than_it_may() {
    let mut batcher = Batcher::new(head("a", 0..9));
    let at = Duration::from_secs;
    assert_eq!((batcher.due(), batcher.take(at(1))), (None, None));
    batcher.add(at(2), &three()[0]);
    batcher.add(at(4), &three()[1]);
    assert_eq!(batcher.due(), Some(at(2) + PACE));
    assert!(PACE * 2 <= at(10));
    assert!(batcher.take(at(7)).is_some() && batcher.due().is_none());
    let long = Record::Scene(SceneRecord {
        facts: SceneFacts { warnings: vec!["w".repeat(5 << 20)], ..SceneFacts::default() },
        ..scene("s", "k", "mask")
    });
    batcher.add(at(20), &[long]);
    assert_eq!(batcher.due(), Some(at(20)));
    assert_eq!(batcher.close(at(21), COMPLETE).len(), 2);
}
