//! A saved plan in shards: how it is cut, what a part of it is, and how a process knows which one is its own.
#![cfg(feature = "gdal")]

use serde_json::Value;
use swath::plan::{PlanFile, Planned, ShardCut, Unit};

use crate::support::command::{Ran, Workdir, with_scenes};

/// What batch engines call an index.
const VARIABLES: [&str; 7] = [
    "SLURM_ARRAY_TASK_ID",
    "JOB_COMPLETION_INDEX",
    "AWS_BATCH_JOB_ARRAY_INDEX",
    "HQ_TASK_ID",
    "PBS_ARRAY_INDEX",
    "SGE_TASK_ID",
    "LSB_JOBINDEX",
];

/// A large scene, middling ones, and chips, one that is refused among them, as a saved plan.
fn saved() -> Workdir {
    let mut sizes = vec![(1400, 1300), (300, 280), (300, 280), (130, 140)];
    sizes.extend([(40, 30); 30]);
    let work = with_scenes(&sizes);
    work.write("in/broken.tif", "no TIFF");
    work.swath(&["plan", "p.toml", "-i", "in", "--backend", "fake", "--devices", "cpu", "--save", "plan.jsonl"])
        .expect(3);
    work
}

fn cut(slots: Option<u32>, count: u32) -> ShardCut {
    ShardCut { slots, count }
}

/// `swath shard` where no batch engine but this one is at work.
fn shard(work: &Workdir, arguments: &str, engine: &[(&str, &str)]) -> Ran {
    let words: Vec<&str> = ["shard", "plan.jsonl"].into_iter().chain(arguments.split(' ')).collect();
    let mut command = work.command(&words);
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    let output = command.envs(engine.iter().copied()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn document(work: &Workdir, arguments: &str, engine: &[(&str, &str)]) -> Value {
    let ran = shard(work, &format!("{arguments} --json"), engine);
    ran.expect(0);
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn shards_are_runs_of_units_that_hold_all_and_go_by_their_cost() {
    let work = saved();
    let mut file = PlanFile::open(&work.path("plan.jsonl")).unwrap();
    let n_units = file.n_units();
    assert!(n_units > 25, "{n_units}");
    let mut cuts: Vec<ShardCut> = (1..40).map(|count| cut(None, count)).collect();
    cuts.extend((1..40).flat_map(|count| [1, 2, 3, 8].map(|slots| cut(Some(slots), count))));
    for cut in cuts {
        let all: Vec<_> = (0..cut.count).map(|index| file.shard(&cut, index).unwrap()).collect();
        assert_eq!((all[0].start, all.last().unwrap().end), (0, n_units), "{cut:?}");
        assert!(all.windows(2).all(|pair| pair[0].end == pair[1].start), "{cut:?} {all:?}");
        assert!(!all[0].is_empty() && all.iter().all(|units| units.start <= units.end), "{cut:?} {all:?}");
        // Another process finds the same, in any order.
        let mut other = PlanFile::open(&work.path("plan.jsonl")).unwrap();
        let backwards: Vec<_> = (0..cut.count).rev().map(|index| other.shard(&cut, index).unwrap()).collect();
        assert!(backwards.iter().rev().eq(&all), "{cut:?}");
    }
    // Each has its share, up to a unit and what a border moves to spare a scene.
    let largest = (0..n_units).map(|unit| file.stretch(unit..unit + 1).unwrap().cost).max().unwrap();
    for index in 0..4 {
        let units = file.shard(&cut(None, 4), index).unwrap();
        let (own, share) = (file.stretch(units).unwrap().cost, file.cost() / 4);
        assert!(own.abs_diff(share) <= largest + share * 6 / 100, "{index}: {own} of {share}");
    }
    let own_cost = |index| {
        let units = file.shard(&cut(Some(2), 8), index).unwrap();
        file.stretch(units).unwrap().cost
    };
    let costs: Vec<u64> = (0..8).map(own_cost).collect();
    assert!(costs[0] > costs[3] && costs[2] > costs[7] && costs.iter().sum::<u64>() == file.cost(), "{costs:?}");
    let error = file.shard(&cut(Some(2), 8), 8).unwrap_err().to_string();
    assert!(error.contains("no shard 8") && error.contains("cut into 8, counted from 0 to 7"), "{error}");
}

#[test]
fn a_border_spares_a_scene_that_ends_near_it() {
    let work = with_scenes(&[(640, 640), (640, 640), (640, 640), (640, 660)]);
    work.swath(&["plan", "p.toml", "-i", "in", "--backend", "fake", "--devices", "cpu", "--save", "plan.jsonl"])
        .expect(0);
    let mut file = PlanFile::open(&work.path("plan.jsonl")).unwrap();
    let second = file.shard(&cut(None, 2), 1).unwrap();
    let half = file.stretch(second).unwrap();
    assert_eq!((half.scenes, half.cut), (2..4, vec![]), "the half lies a row behind the end of the second scene");
    // A third lies within a scene, far from its ends.
    let middle = file.shard(&cut(None, 3), 1).unwrap();
    let third = file.stretch(middle).unwrap();
    assert_eq!((third.scenes, third.cut), (1..3, vec![1, 2]));
}

#[test]
fn a_part_is_a_plan_of_its_scenes_alone() {
    let work = saved();
    let whole = Planned::load(&work.path("plan.jsonl")).unwrap();
    let mut file = PlanFile::open(&work.path("plan.jsonl")).unwrap();
    let (mut n_units, mut n_refused) = (0, 0);
    for index in 0..7 {
        let units = file.shard(&cut(Some(2), 7), index).unwrap();
        let part = file.part(units.clone()).unwrap();
        let own = part.plan.part.clone().unwrap();
        assert_eq!(
            (own.whole, own.n_units, &own.units),
            (whole.plan.digest().unwrap(), whole.plan.units.len(), &units)
        );
        let of_whole = &whole.plan.scenes[own.first_scene..own.first_scene + part.plan.scenes.len()];
        assert!(part.plan.scenes == of_whole, "{index}");
        // The same work on the same pixels.
        let moved = |unit: &Unit| unit.scenes().start + own.first_scene..unit.scenes().end + own.first_scene;
        for (own, of_whole) in part.plan.units.iter().zip(&whole.plan.units[units.clone()]) {
            assert_eq!(moved(own), of_whole.scenes());
            assert_eq!(own.geometry(&part.plan).tiles, of_whole.geometry(&whole.plan).tiles);
        }
        let is_cut = |scene: &usize| {
            let all = whole.plan.units_of(scene + own.first_scene);
            all.start < units.start || all.end > units.end
        };
        assert_eq!(own.cut, (0..part.plan.scenes.len()).filter(is_cut).collect::<Vec<_>>(), "{index}");
        (n_units, n_refused) = (n_units + part.plan.units.len(), n_refused + part.refused.len());
    }
    assert_eq!((n_units, n_refused), (whole.plan.units.len(), 1));
    let all = file.part(0..file.n_units()).unwrap();
    assert!(all.plan.scenes == whole.plan.scenes && all.plan.units == whole.plan.units && all.refused == whole.refused);
    assert!(file.part(3..3).unwrap().plan.scenes.is_empty());
    assert!(file.part(0..file.n_units() + 1).unwrap_err().to_string().contains("units"));
}

#[test]
fn a_person_sees_how_a_plan_is_cut_and_what_to_type() {
    let work = saved();
    let plan = document(&work, "--slots 2 --count 8", &[]);
    let shards = plan["shards"].as_array().unwrap();
    assert_eq!((shards.len(), plan["count"].as_u64(), plan["empty"].as_u64()), (8, Some(8), Some(0)));
    assert!(shards.windows(2).all(|pair| pair[0]["units"][1] == pair[1]["units"][0]), "{plan}");
    let shares: f64 = shards.iter().map(|row| row["share"].as_f64().unwrap()).sum();
    assert!((shares - 1.0).abs() < 1e-9 && plan["over_ideal"].as_f64().unwrap() > 1.0, "{plan}");
    // Without figures there is a rate that is said to be assumed, and no times.
    assert!(plan["is_measured"] == false && shards[0]["seconds"].is_null(), "{plan}");
    let words = [
        "34 scenes",
        "8 for 2 slots",
        "start-up  30.0 s (assumed",
        "assumed: nothing is measured of cpu",
        "swath run --plan plan.jsonl -o DIR --shard I --shards 8 --slots 2",
    ];
    shard(&work, "--slots 2 --count 8", &[]).says(0, &words);
    shard(&work, "--slots 2 --uniform 3", &[]).says(0, &["equal cost", "--shard I --shards 3\n"]);
    shard(&work, "--slots 2 --count 999", &[]).says(0, &["999 shards are empty", "of the work is starting"]);
    // A start that takes no time allows for shards of any size; one that takes long, for a few.
    let count =
        |startup: &str| document(&work, &format!("--slots 2 --startup {startup}"), &[])["count"].as_u64().unwrap();
    assert_eq!((count("0"), count("10h")), (24, 1));
}

#[test]
fn times_come_from_the_profile_of_the_plan_or_from_files() {
    let work = with_scenes(&[(300, 280), (130, 140), (40, 30)]);
    for line in ["tune p.toml --backend fake --crops 96x96 --batch 1 --repeats 1", "profiles save cpu -o f.json"] {
        work.swath(&line.split(' ').collect::<Vec<_>>()).expect(0);
    }
    let mut profile: Value = serde_json::from_slice(&std::fs::read(work.path("f.json")).unwrap()).unwrap();
    profile["timings"].as_array_mut().unwrap().iter_mut().for_each(|timing| timing["ms"] = 5000.0.into());
    assert!(profile["start_up"].as_f64() > Some(0.0), "{profile}");
    profile["start_up"] = 11.5.into();
    work.write("slow.json", profile.to_string());
    work.swath(&["profiles", "add", "slow.json"]).expect(0);
    let plan =
        ["plan", "p.toml", "-i", "in", "--backend", "fake", "--devices", "cpu", "--json", "--save", "plan.jsonl"];
    let planned: Value = serde_json::from_str(&work.swath(&plan).stdout).unwrap();
    let alone = planned["network_pixels"].as_f64().unwrap() / (96.0 * 96.0) * 2.0 * 5.0;
    let cut = |arguments: &str| document(&work, arguments, &[]);
    let seconds = |plan: &Value| plan["seconds"].as_f64().unwrap();
    let of_plan = &cut("--slots 1")["start_up"];
    assert_eq!(
        (of_plan["value"].as_f64(), of_plan["from"].as_str()),
        (Some(11.5), Some("the profile of cpu in the plan"))
    );
    let of_file = &cut("--slots 1 --throughput slow.json")["start_up"];
    assert_eq!((of_file["value"].as_f64(), of_file["from"].as_str()), (Some(11.5), Some("slow.json")));
    let one = cut("--slots 1 --uniform 1 --startup 7");
    // A crop of another size costs as many operations per pixel, and a chip is padded.
    assert!((seconds(&one) - 7.0) / alone > 0.9 && (seconds(&one) - 7.0) / alone < 1.3, "{one} {alone}");
    assert!(one["rate"]["from"].as_str().unwrap().contains("profile of cpu"), "{one}");
    let two = cut("--slots 1 --uniform 1 --startup 7 --per-slot 2");
    assert!(((seconds(&one) - 7.0) / (seconds(&two) - 7.0) - 2.0).abs() < 1e-6, "{one} {two}");
    let bench = "bench pipeline p.toml --backend fake -i in --devices cpu --json run.json";
    work.swath(&bench.split(' ').collect::<Vec<_>>()).expect(0);
    let of_run = cut("--slots 1 --throughput run.json");
    assert_eq!([&of_run["start_up"]["from"], &of_run["rate"]["from"]], ["run.json", "run.json"]);
    assert!(of_run["start_up"]["value"].as_f64().unwrap() > 0.0);
    profile["device_class"] = "cuda sm_90".into();
    work.write("other.json", profile.to_string());
    shard(&work, "--slots 1 --throughput other.json", &[]).says(2, &["other.json", "no figures", "cpu"]);
}

#[test]
fn a_process_knows_its_shard_from_its_engine_or_says_why_not() {
    let work = saved();
    let own = |arguments: &str, engine: &[(&str, &str)]| {
        let plan = document(&work, &format!("--slots 2 --count 8 --shard {arguments}"), engine);
        assert_eq!(plan["shards"].as_array().unwrap().len(), 1, "{plan}");
        plan["shards"][0]["index"].as_u64().unwrap()
    };
    for (variable, index) in VARIABLES.iter().zip([5, 5, 5, 5, 5, 4, 4]) {
        assert_eq!(own("auto", &[(variable, "5")]), index, "{variable}");
    }
    assert_eq!((own("3", &[("HQ_TASK_ID", "5")]), own("auto --shard-list 1,6-7", &[("HQ_TASK_ID", "2")])), (3, 7));
    let refused = |arguments: &str, engine: &[(&str, &str)], words: &[&str]| {
        shard(&work, &format!("--slots 2 --count 8 {arguments}"), engine).says(2, words);
    };
    refused("--shard auto", &[], &["no batch engine", "SLURM_ARRAY_TASK_ID (Slurm)", "--shard I"]);
    let two = [("SLURM_ARRAY_TASK_ID", "1"), ("HQ_TASK_ID", "1")];
    refused("--shard auto", &two, &["SLURM_ARRAY_TASK_ID=1 and HQ_TASK_ID=1"]);
    refused("--shard auto", &[("SGE_TASK_ID", "0")], &["SGE_TASK_ID=0", "from 1 on"]);
    refused("--shard 8", &[], &["no shard 8", "cut into 8", "0 to 7"]);
    refused("--shard auto --shard-list 3,5", &[("HQ_TASK_ID", "2")], &["names 2 shards", "no index 2"]);
    refused("--shard 0 --shard-list 5-3", &[], &["`5-3`", "3,17-19"]);
    refused("--shard first", &[], &["auto"]);
    refused("--uniform 4", &[], &["cannot be used with"]);
    refused("--slots 0", &[], &["--slots"]);
}

#[test]
fn a_plan_that_is_not_whole_or_of_another_version_is_refused() {
    let work = saved();
    let text = std::fs::read_to_string(work.path("plan.jsonl")).unwrap();
    let refused = |text: &str, words: &[&str]| {
        work.write("plan.jsonl", text);
        shard(&work, "--slots 2", &[]).says(2, words);
    };
    refused(&text[..text.len() / 2], &["plan.jsonl", "its end is missing"]);
    refused(&text.replacen("\"swath_plan\":5", "\"swath_plan\":6", 1), &["format 6", "this version reads 5"]);
    refused(&text.replacen("\"costs\":[", "\"costs\":[1", 1), &["not as it was written"]);
    refused("", &["it is empty"]);
    // What a unit costs is held against its digest when it is read.
    let mut lines: Vec<String> = text.lines().map(|line| format!("{line}\n")).collect();
    let unit = lines.iter_mut().find(|line| line.starts_with("[{\"band\"")).unwrap();
    let last = unit.trim_end().len() - 2;
    let digit = if unit.as_bytes()[last] == b'1' { "2" } else { "1" };
    unit.replace_range(last..=last, digit);
    refused(&lines.concat(), &["not as it was written"]);
}
