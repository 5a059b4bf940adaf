//! How long a plan of many scenes takes to be written, and a part of it to be read, with the most memory that the process had.
//!
//! `cargo run --release --no-default-features --example bench_plan write SAVED.jsonl MANY.jsonl 1000000`, then
//! `.. bench_plan read MANY.jsonl 7000 7016`, `.. bench_plan part MANY.jsonl 100 1000 500` (slots, shards, index) and
//! `.. bench_plan load MANY.jsonl`
#![expect(clippy::print_stdout, reason = "it prints a line")]

use std::error::Error;
use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use swath::geom::Span;
use swath::plan::{PlanFile, Planned, Scene, ShardCut, Unit};

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
        _ => Err("write SAVED.jsonl MANY.jsonl N, read MANY.jsonl START END, part MANY.jsonl SLOTS N INDEX, or load MANY.jsonl".into()),
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

fn told(what: &str, work: impl FnOnce() -> Result<usize, Box<dyn Error>>) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let n = work()?;
    let seconds = began.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("?").trim();
    println!("{what}: {n} scenes, {seconds:.3} s, {peak} at most");
    Ok(())
}
