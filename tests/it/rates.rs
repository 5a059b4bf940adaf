//! What a run tells of its own work: what earlier ones left is no work of it, and what it cannot use is not said to be of use. And what a
//! plan tells of machines that are not here.
#![cfg(feature = "gdal")]

use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::support::command::{Workdir, geotiff, with_scenes};
use crate::support::memory::values;

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

const FORWARD: [&str; 9] =
    ["bench", "forward", "p.toml", "--backend", "fake", "--side", "64", "--json", "forward.json"];

/// Figures of the fake networks, as fast as one says: milliseconds per crop of 64 x 64.
fn figures(work: &Workdir, ms: f64, machine: &[(&str, Value)]) {
    work.swath(&[&FORWARD[..], &["--batch", "1,2", "--overwrite"]].concat()).expect(0);
    let file = work.path("forward.json");
    let mut document: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    for row in document["rows"].as_array_mut().unwrap() {
        (row["ms"], row["ms_wall"]) = (ms.into(), ms.into());
        if !machine.is_empty() {
            row["device"] = "cuda:0".into();
        }
    }
    for (key, value) in machine {
        document["machine"][*key] = value.clone();
    }
    std::fs::write(file, document.to_string()).unwrap();
}

/// The document of a plan.
fn planned(work: &Workdir, line: &str) -> Value {
    let arguments: Vec<&str> = ["plan", "p.toml", "-i", "in", "--json"].into_iter().chain(line.split(' ')).collect();
    let ran = work.swath(&arguments);
    ran.expect(0);
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn a_plan_predicts_what_devices_would_take_that_are_not_here() {
    let work = with_scenes(&[(1000, 980), (300, 280), (40, 30), (40, 30)]);
    figures(&work, 10.0, &[]);
    let forecast = |devices: &str| {
        let line = format!("--backend fake --devices {devices} --throughput forward.json");
        let plan = planned(&work, &line);
        let network_pixels = plan["network_pixels"].as_f64().unwrap();
        // Two members.
        let alone = network_pixels / (64.0 * 64.0) * 2.0 * 0.010;
        (plan["forecast"].clone(), plan["forecast"]["seconds"].as_f64().unwrap(), alone)
    };
    let (said, seconds, alone) = forecast("1xCPU");
    assert!((seconds / alone - 1.0).abs() < 1e-9 && said["idle"] == serde_json::json!([0.0]), "{said} {alone}");
    assert_eq!((&said["knows_host"], &said["files"]), (&false.into(), &serde_json::json!(["forward.json"])));
    let (said, seconds, _) = forecast("4xcpu");
    // The most that a batch takes.
    let tail = 2.0 * (96.0 * 96.0) / (64.0 * 64.0) * 2.0 * 0.010;
    assert!(alone / 4.0 <= seconds && seconds <= alone / 4.0 + tail, "{said} {alone}");
    let idle: Vec<f64> = said["idle"].as_array().unwrap().iter().map(|share| share.as_f64().unwrap()).collect();
    let busy = (4.0 - idle.iter().sum::<f64>()) * seconds;
    assert!((busy / alone - 1.0).abs() < 1e-9, "{said} {alone}");
    // The same devices here.
    assert_eq!(forecast("cpu,cpu,cpu,cpu").0["idle"], said["idle"]);

    // With what a host takes it cannot be less.
    let feed = "bench feed p.toml --scenes 2 --size 300x280 --json feed.json";
    work.swath(&feed.split(' ').collect::<Vec<_>>()).expect(0);
    let both = planned(&work, "--backend fake --devices 4xcpu --throughput forward.json,feed.json");
    assert_eq!(both["forecast"]["knows_host"], true);
    assert!(both["forecast"]["seconds"].as_f64().unwrap() > seconds, "{both}");
}

#[test]
fn a_profile_predicts_as_well() {
    let work = with_scenes(&[(300, 280), (40, 30)]);
    for line in ["tune p.toml --backend fake --crops 96x96 --batch 1 --repeats 1", "profiles save cpu -o f.json"] {
        work.swath(&line.split(' ').collect::<Vec<_>>()).expect(0);
    }
    let file = work.path("f.json");
    let mut profile: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    profile["timings"].as_array_mut().unwrap().iter_mut().for_each(|timing| timing["ms"] = 10.0.into());
    std::fs::write(file, profile.to_string()).unwrap();
    let plan = planned(&work, "--backend fake --devices 1xcpu --throughput f.json");
    let alone = plan["network_pixels"].as_f64().unwrap() / (96.0 * 96.0) * 2.0 * 0.010;
    assert!((plan["forecast"]["seconds"].as_f64().unwrap() / alone - 1.0).abs() < 1e-6, "{plan}");
    assert_eq!(plan["forecast"]["hardware"], "1 x cpu");
}

#[test]
fn a_measured_run_predicts_the_plan_of_its_own_scenes() {
    let work = with_scenes(&[(300, 280), (130, 140), (40, 30)]);
    let bench = "bench pipeline p.toml --backend fake -i in --devices cpu --json run.json";
    work.swath(&bench.split(' ').collect::<Vec<_>>()).expect(0);
    let run: Value = serde_json::from_slice(&std::fs::read(work.path("run.json")).unwrap()).unwrap();
    let plan = planned(&work, "--backend fake --devices cpu --throughput run.json");
    let passes: f64 = run["passes"].as_array().unwrap().iter().map(|pass| pass["seconds"].as_f64().unwrap()).sum();
    let [seconds, opening] = ["seconds", "opening"].map(|key| plan["forecast"][key].as_f64().unwrap());
    assert!(seconds - opening >= passes * (1.0 - 1e-3), "{plan} {passes}");
    assert_eq!(plan["forecast"]["knows_host"], true);
}

#[test]
fn a_plan_for_gpus_says_whether_it_fits_and_what_would() {
    let work = with_scenes(&[]);
    let size = swath::geom::Size::new(1280, 1280);
    geotiff(&work.path("in/s.tif"), size, &values(swath::geom::Size::new(1280, 3 * 1280), 200, 1));
    let pipeline = concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines/naic2020-semifinal.toml");
    std::fs::copy(pipeline, work.path("p.toml")).unwrap();
    let fit = |line: &str| {
        let plan = planned(&work, line);
        let [fits, change] = ["fits", "change"].map(|key| plan["gpu_fit"][key].clone());
        (fits, change, plan["gpu_memory"].as_u64().unwrap(), plan)
    };
    let cards = "--devices 4x2080Ti --gpu-memory 11GB";
    let (fits, change, small, plan) = fit(cards);
    assert_eq!((&fits, &change, &plan["devices"][3]), (&true.into(), &Value::Null, &"cuda:3".into()));
    // Half precision, as on any GPU.
    assert!(plan["members"].as_array().unwrap().iter().all(|member| member["precision"] == "f16"), "{plan}");
    let (fits, change, large, plan) = fit(&format!("{cards} --set inference.batch=16"));
    let batch: u32 = change.as_str().unwrap().strip_prefix("--set inference.batch=").unwrap().parse().unwrap();
    assert!(fits == false && (1..16).contains(&batch) && large > 11_000_000_000, "{plan}");
    // What it names fits, and one crop more does not.
    let with = |batch: u32| fit(&format!("{cards} --set inference.batch={batch}"));
    let (fits, _, bytes, _) = with(batch);
    assert_eq!((fits, Some(bytes)), (true.into(), plan["gpu_fit"]["change_bytes"].as_u64()));
    assert_eq!(with(batch + 1).0, false);
    // Where not even one crop does, members are spread; where that does not help either, nothing is named.
    let (_, change, _, plan) = fit(&format!("--devices 4x2080Ti --gpu-memory {}", small - 1));
    assert_eq!(change, "--assign partition", "{plan}");
    let (fits, ..) = fit(&format!("--devices 4x2080Ti --assign partition --gpu-memory {}", small - 1));
    assert_eq!(fits, true);
    let (fits, change, ..) = fit("--devices 4x2080Ti --gpu-memory 1GB");
    assert_eq!((fits, change), (false.into(), Value::Null));
}

#[test]
fn the_figures_of_a_gpu_say_what_it_is() {
    let work = with_scenes(&[(300, 280)]);
    let gpus = [
        ("gpus", serde_json::json!(["NVIDIA H100 PCIe (cuda sm_90, 114 SMs, cuDNN 91002)"])),
        ("gpu_memory", serde_json::json!([85_000_000_000_u64])),
        ("cores", 64.into()),
    ];
    figures(&work, 1.0, &gpus);
    let plan = planned(&work, "--backend fake --devices 4xh100 --throughput forward.json");
    assert_eq!(plan["forecast"]["hardware"], "4 x NVIDIA H100 PCIe (cuda sm_90, 114 SMs, cuDNN 91002)");
    assert_eq!((&plan["gpu_fit"]["memory"], &plan["gpu_fit"]["fits"]), (&85_000_000_000_u64.into(), &true.into()));
    assert_eq!((&plan["readers"], &plan["devices"][3]), (&10.into(), &"cuda:3".into()));
    let refused = |line: &str, words: &[&str]| {
        work.swath(&["plan p.toml -i in", line].join(" ").split(' ').collect::<Vec<_>>()).says(2, words);
    };
    refused("--backend fake --devices 4xA100 --throughput forward.json", &["no device of that name", "H100 PCIe"]);
    // What was measured of the stand-in says nothing of networks.
    refused("--devices 4xH100 --throughput forward.json", &["no figures of `member0`", "f16", "swath bench forward"]);
}
