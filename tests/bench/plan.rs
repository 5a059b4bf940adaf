//! How long a plan of many scenes takes to be written, and a part of it to be read, with the most memory that the process had; and what its
//! shards would have left, so that they can be merged without a network having run.
//!
//! `cargo run --release --no-default-features --example bench_plan write SAVED.jsonl MANY.jsonl 1000000`, then
//! `.. bench_plan read MANY.jsonl 7000 7016`, `.. bench_plan part MANY.jsonl 100 1000 500` (slots, shards, index) and
//! `.. bench_plan load MANY.jsonl`. `.. bench_plan records MANY.jsonl DONE OUT 100 1000` (slots, shards) writes into OUT what shards leave:
//! masks and records, all like the scene of the plan SAVED, of which DONE holds what one shard of one has left. Then `swath merge OUT --plan
//! MANY.jsonl` is to be timed.
#![expect(clippy::print_stdout, reason = "it prints a line")]

use std::error::Error;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use swath::geom::Span;
use swath::journal::ledger::{AttemptCounts, AttemptHead, Batcher, FolderStore, ShardName, Store, attempt_id, union};
use swath::journal::{FileRecord, Record, SceneRecord};
use swath::plan::{Concessions, Keys, Plan, PlanFile, Planned, Scene, ShardCut, Unit};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["write", saved, many, n] => write(Path::new(saved), Path::new(many), n.parse()?),
        ["read", many, start, end] => read(Path::new(many), start.parse()?..end.parse()?),
        ["part", many, slots, count, index] => {
            let cut = ShardCut { slots: Some(slots.parse()?), count: count.parse()? };
            part(Path::new(many), cut, index.parse()?)
        }
        ["load", many] => told("load", || Ok(Planned::load(Path::new(many))?.plan.scenes.len())),
        ["records", many, done, out, slots, count] => {
            let cut = ShardCut { slots: Some(slots.parse()?), count: count.parse()? };
            records(Path::new(many), Path::new(done), Path::new(out), cut)
        }
        _ => Err("write SAVED.jsonl MANY.jsonl N, read MANY.jsonl START END, part MANY.jsonl SLOTS N INDEX, load MANY.jsonl, or records \
                  MANY.jsonl DONE OUT SLOTS N"
            .into()),
    }
}

/// The last scene of a plan, so many times, in groups of 64.
fn write(saved: &Path, many: &Path, n: u32) -> Result<(), Box<dyn Error>> {
    let mut planned = Planned::load(saved)?;
    let scene = planned.plan.scenes.pop().ok_or("the plan has no scenes")?;
    planned.plan.scenes = (0..n).map(|i| Scene { name: format!("{}_{i}", scene.name), ..scene.clone() }).collect();
    let group = |start: u32| Unit::Group { scenes: Span::new(start, n.min(start + 64)) };
    planned.plan.units = (0..n).step_by(64).map(group).collect();
    told("write", || Ok(planned.save(many).map(|()| n as usize)?))
}

/// Some units, and the scenes that they are about.
fn read(many: &Path, units: Range<usize>) -> Result<(), Box<dyn Error>> {
    told("read", || {
        let mut file = PlanFile::open(many)?;
        let units = file.units(units)?;
        let scenes =
            units.first().map_or(0, |unit| unit.scenes().start)..units.last().map_or(0, |unit| unit.scenes().end);
        Ok(file.scenes(scenes)?.len())
    })
}

/// A shard, as the process that does it reads it.
fn part(many: &Path, cut: ShardCut, index: u32) -> Result<(), Box<dyn Error>> {
    told("part", || {
        let mut file = PlanFile::open(many)?;
        let units = file.shard(&cut, index)?;
        Ok(file.part(units)?.plan.scenes.len())
    })
}

/// What the shards of a cut leave.
fn records(many: &Path, done: &Path, out: &Path, cut: ShardCut) -> Result<(), Box<dyn Error>> {
    told("records", || {
        let (like, head) = template(done)?;
        let (mut file, store, mut n) = (PlanFile::open(many)?, FolderStore::of(out), 0);
        for file in like.files() {
            std::fs::create_dir_all(out.join(&file.path).parent().ok_or("no folder")?)?;
        }
        for index in 0..cut.count {
            let units = file.shard(&cut, index)?;
            let numbers = u32::try_from(units.start)?..u32::try_from(units.end)?;
            let plan = file.part(units)?.plan;
            let shard = Some(ShardName { index, count: cut.count, slots: cut.slots });
            let (attempt, whole) = (attempt_id(&head.host, head.pid), file.digest().to_owned());
            let head = AttemptHead { attempt, plan: whole, units: numbers, shard, ..head.clone() };
            let scenes = copies(&plan, &like, done, out)?;
            let mut batcher = Batcher::new(head);
            let first = batcher.begin();
            batcher.add(Duration::ZERO, &scenes);
            let counts = AttemptCounts { done: scenes.len() as u64, complete: true, ..AttemptCounts::default() };
            for file in [first].into_iter().chain(batcher.close(Duration::ZERO, counts)) {
                store.put(&file.name, &file.bytes)?;
            }
            n += scenes.len();
        }
        Ok(n)
    })
}

/// The scene that one shard of one has done, and who did it.
fn template(done: &Path) -> Result<(SceneRecord, AttemptHead), Box<dyn Error>> {
    let store = FolderStore::of(done);
    let heard = swath::journal::ledger::heard(&store, Duration::ZERO)?.pop().ok_or("no shard has run there")?;
    let found = union(&store, &heard.head.plan, heard.head.units.clone(), Duration::ZERO)?;
    let scene = found
        .records
        .into_iter()
        .rev()
        .find_map(|(_, record)| if let Record::Scene(scene) = record { Some(scene) } else { None });
    Ok((scene.ok_or("no scene is done there")?, heard.head))
}

/// Records of all scenes of a part, with their files.
fn copies(plan: &Plan, like: &SceneRecord, done: &Path, out: &Path) -> Result<Vec<Record>, Box<dyn Error>> {
    let keys = Keys::new(plan).outputs(plan, &Concessions::default());
    let mut first: Option<SceneRecord> = None;
    let mut records = Vec::new();
    for (scene, own) in plan.scenes.iter().zip(keys) {
        let mut record = SceneRecord { name: scene.name.clone(), ..like.clone() };
        for (output, key) in record.outputs.iter_mut().zip(own) {
            output.key = key;
            for FileRecord { path, .. } in &mut output.files {
                *path = path.replace(&like.name, &scene.name);
            }
        }
        for (at, file) in record.files().enumerate() {
            match first.as_ref().and_then(|first| first.files().nth(at)) {
                Some(first) => std::fs::hard_link(out.join(&first.path), out.join(&file.path))?,
                None => {
                    let from = like.files().nth(at).ok_or("the template has fewer files")?;
                    std::fs::copy(done.join(&from.path), out.join(&file.path))?;
                }
            }
        }
        first.get_or_insert_with(|| record.clone());
        records.push(Record::Scene(record));
    }
    Ok(records)
}

fn told(what: &str, work: impl FnOnce() -> Result<usize, Box<dyn Error>>) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let n = work()?;
    let seconds = began.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("?").trim();
    println!("{what}: {n} scenes, {seconds:.3} s, {peak} at most");
    Ok(())
}
