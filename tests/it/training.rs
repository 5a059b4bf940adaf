//! `swath train` through the command line, on small scenes and a small network: what comes of it runs, and nothing that happens to its
//! processes changes a byte of that.
//!
//! `SWATH_TRAIN_KILLS=50 cargo test --release --test it training::killed -- --nocapture` kills more often.
#![cfg(all(feature = "gdal", feature = "torch", target_os = "linux"))]

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use swath::zoo::seed;

use crate::support::command::{Ran, Workdir, children};
use crate::support::shared;

/// Everything but the recipe's numbers.
const PIPELINE: &str = r##"
[input]
bands = [1, 2, 3]
mean = [0.5, 0.5, 0.5]
std = [0.25, 0.25, 0.25]
[[members]]
network = "unet"
variant = "smp"
backbone = "resnet18"
depth = 3
decoder_channels = [16, 16, 8]
seed = 0
[[classes]]
id = 0
name = "sea"
value = 10
color = "#0000ff"
[[classes]]
id = 1
name = "land"
value = 20
color = "#00ff00"
[nodata]
value = 0
[tiler]
strategy = "fixed"
centre = 32
dilation = 16
whole_max = 32
"##;

const RECIPE: &str = r#"
[train]
epochs = 3
steps_per_epoch = 4
batch = 2
crop = 32
average = { ema = 0.9 }
[train.augment]
flips = true
noise = 0.05
"#;

const TRAIN: [&str; 8] = ["train", "p.toml", "-i", "data", "-o", "out", "--threads", "1"];

/// Sea is blue and land is red, with some noise; the border between them differs.
fn pair(work: &Workdir, part: &str, at: u32) {
    let (width, height) = (56, 40 + 8 * at);
    let n = (width * height) as usize;
    let is_land = |pixel: usize| pixel % 56 > 20 + 4 * at as usize;
    let color = |pixel: usize| if is_land(pixel) { [200, 60, 60] } else { [40, 90, 160] };
    // Something like noise, another in each picture.
    let noise = |i: usize| u8::try_from((i * 7919 + at as usize * 131) % 23).unwrap();
    let image: Vec<u8> = (0..3 * n).map(|i| color(i / 3)[i % 3] + noise(i)).collect();
    let mask: Vec<u8> = (0..n).map(|pixel| if is_land(pixel) { 20 } else { 10 }).collect();
    save(&work.path(&format!("data/{part}/images/s{at}.png")), &image, [width, height], image::ColorType::Rgb8);
    save(&work.path(&format!("data/{part}/masks/s{at}.png")), &mask, [width, height], image::ColorType::L8);
}

fn save(path: &Path, bytes: &[u8], [width, height]: [u32; 2], color: image::ColorType) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::save_buffer(path, bytes, width, height, color).unwrap();
}

fn prepared() -> Workdir {
    let work = Workdir::new();
    work.write("p.toml", format!("{PIPELINE}{RECIPE}"));
    (0..4).for_each(|at| pair(&work, "train", at));
    (0..2).for_each(|at| pair(&work, "val", at));
    work
}

fn bundles(work: &Workdir) -> [Vec<u8>; 2] {
    ["best", "last"].map(|name| std::fs::read(work.path(&format!("out/{name}.safetensors"))).unwrap())
}

/// What is recorded, without times.
fn records(work: &Workdir) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(work.path("out/metrics.jsonl")).unwrap();
    let record = |line: &str| {
        let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
        record.as_object_mut().unwrap().remove("time");
        record
    };
    text.lines().map(record).collect()
}

fn trained(work: &Workdir, more: &[&str]) -> Ran {
    work.swath(&[&TRAIN[..], more].concat())
}

/// What an undisturbed training leaves.
fn reference(work: &Workdir) -> ([Vec<u8>; 2], Vec<serde_json::Value>) {
    trained(work, &[]).expect(0);
    let left = (bundles(work), records(work));
    std::fs::remove_dir_all(work.path("out")).unwrap();
    left
}

#[test]
fn a_bundle_runs_alone_and_scores_what_validation_found() {
    let work = prepared();
    let ran = trained(&work, &["--json"]);
    ran.says(0, &["training on 4 scenes, validating with 2", "the best so far"]);
    let summary: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((summary["steps"].as_u64(), summary["goes_on"].as_bool()), (Some(12), Some(false)));
    let best = summary["best"]["value"].as_f64().unwrap();
    assert!(best > 0.4, "nothing was learnt: {best}");
    let records = records(&work);
    assert_eq!(records.iter().filter(|r| r["kind"] == "step").count(), 12);
    let losses: Vec<f64> = records.iter().filter_map(|r| r["loss"].as_f64()).collect();
    assert!(losses[11] < losses[0], "{losses:?}");
    work.swath(&["run", "out/best.safetensors", "-i", "data/val/images", "-o", "masks", "--include", "*.png"])
        .expect(0);
    let scored = work.swath(&["eval", "masks", "--truth", "data/val/masks", "--json"]);
    let scored: serde_json::Value = serde_json::from_str(&scored.expect(0)).unwrap();
    let eval = scored["scores"]["miou"].as_f64().unwrap();
    assert_eq!(eval.to_bits(), best.to_bits(), "eval says {eval}, validation {best}");
    // The same training again is the same to the byte; with more readers, too.
    let first = bundles(&work);
    trained(&work, &["--fresh", "--readers", "3"]).expect(0);
    assert!(bundles(&work) == first, "another number of readers has changed the weights");
    work.swath(&["status", "out"]).says(0, &["step        12, epoch", "best        mean-iou"]);
    work.swath(&["report", "out"]).says(2, &["`out` is the directory of a training", "out/validation/run"]);
    for command in ["status", "report"] {
        work.swath(&[command, "out/validation/run"]).expect(0);
    }
    // What is done is not done again, and a training that has ended says so.
    trained(&work, &[]).says(0, &["all steps are done", "12 steps"]);
    assert!(bundles(&work) == first);
}

fn begin(work: &Workdir, more: &[&str]) -> Child {
    let mut command = work.command(&[&TRAIN[..], more].concat());
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn killed_at_any_moment_it_ends_with_the_same_bytes() {
    let work = prepared();
    let began = Instant::now();
    let (expected, recorded) = reference(&work);
    let whole = began.elapsed();
    let kills: u32 = std::env::var("SWATH_TRAIN_KILLS").map_or(6, |n| n.parse().unwrap());
    let mut moments = seed::fill(3, "moments.weight", &[2 * kills as usize], 0).into_iter().map(|m| (m - 0.75) * 2.0);
    for n in 0..kills {
        let mut child = begin(&work, &["--keep-every", "3"]);
        let wait = whole.mul_f32(moments.next().unwrap().clamp(0.05, 1.0) * 0.7);
        std::thread::sleep(wait.max(Duration::from_millis(50)));
        let pid = i32::try_from(child.id()).unwrap();
        // In turn the one that watches, the one that trains, and one that reads.
        let workers = children(child.id());
        let readers: Vec<i32> = workers.iter().flat_map(|worker| children(u32::try_from(*worker).unwrap())).collect();
        let target = match n % 3 {
            0 => pid,
            1 => workers.first().copied().unwrap_or(pid),
            _ => readers.first().or(workers.first()).copied().unwrap_or(pid),
        };
        // It may have ended.
        kill(Pid::from_raw(target), Signal::SIGKILL).unwrap_or_default();
        if target == pid {
            child.wait().unwrap();
        } else {
            // It goes on by itself.
            std::thread::sleep(whole.mul_f32(0.3));
            kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap_or_default();
            child.wait().unwrap();
        }
        // Who watched over it is gone, and so is it soon.
        crate::support::command::wait_until(|| {
            workers.iter().all(|worker| !crate::support::command::is_alive(*worker))
        });
    }
    trained(&work, &[]).expect(0);
    assert!(bundles(&work) == expected, "the weights differ");
    assert_eq!(records(&work), recorded);
}

/// The weights at the end of each period are members of a pipeline file, whatever happens on the way.
#[test]
fn snapshots_are_kept_where_the_rate_starts_again() {
    let work = prepared();
    let restarts = |period: f64, stretch: u32| {
        format!("train.schedule={{ kind = \"warm-restarts\", period = {period}, stretch = {stretch} }}")
    };
    let of = |out: &str, schedule: &str, epochs: u32| {
        let epochs = format!("train.epochs={epochs}");
        let own =
            ["--set", "train.snapshots=true", "--set", schedule, "--set", &epochs, "--set", "train.steps_per_epoch=2"];
        work.swath(&[&["train", "p.toml", "-i", "data", "-o", out, "--threads", "1"], &own[..]].concat())
    };
    of("whole", &restarts(1.0, 2), 4).expect(0);
    let entries = std::fs::read_dir(work.path("whole/snapshots")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["epoch-0001.safetensors", "epoch-0003.safetensors"]);
    let bytes =
        |out: &str, epoch: u32| std::fs::read(work.path(&format!("{out}/snapshots/epoch-000{epoch}.safetensors")));
    assert!(bytes("whole", 1).unwrap() != bytes("whole", 3).unwrap());
    // The first is what a training of one epoch with the same rates ends with.
    of("first", &restarts(1.0, 1), 1).expect(0);
    let tensors = |bytes: Vec<u8>| {
        let head = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        bytes[8 + usize::try_from(head).unwrap()..].to_vec()
    };
    let last = std::fs::read(work.path("first/last.safetensors")).unwrap();
    assert!(tensors(bytes("whole", 1).unwrap()) == tensors(last));
    let run = ["run", "whole/snapshots.toml", "-i", "data/val/images", "-o", "masks", "-v"];
    work.swath(&run).says(0, &["2 scenes"]);
    let together = std::fs::read_to_string(work.path("whole/snapshots.toml")).unwrap();
    assert!(names.iter().all(|name| together.contains(&format!("weights = \"snapshots/{name}\""))), "{together}");
    // Forgotten with the training; never without restarts, nor within an epoch.
    of("whole", &restarts(2.0, 1), 2).says(2, &["holds another training"]);
    work.swath(&[
        "train",
        "p.toml",
        "-i",
        "data",
        "-o",
        "whole",
        "--threads",
        "1",
        "--fresh",
        "--set",
        "train.epochs=1",
    ])
    .expect(0);
    assert!(!work.path("whole/snapshots").exists() && !work.path("whole/snapshots.toml").exists());
    for schedule in [restarts(1.5, 1), restarts(9.0, 1), "train.schedule={ kind = \"poly\" }".to_owned()] {
        of("none", &schedule, 3).says(2, &["train.snapshots", "warm-restarts", "whole epochs"]);
    }
}

#[test]
fn told_to_stop_it_keeps_what_it_has_and_goes_on_from_there() {
    let work = prepared();
    let (expected, recorded) = reference(&work);
    let mut child = begin(&work, &["--keep-every", "1"]);
    let n_records = || std::fs::read_to_string(work.path("out/metrics.jsonl")).unwrap_or_default().lines().count();
    crate::support::command::wait_until(|| n_records() >= 2);
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(n_records() < 15, "it was not stopped");
    let text = std::fs::read_to_string(work.path("out/metrics.jsonl")).unwrap();
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    work.swath(&["status", "out"]).says(0, &["running     no", &format!("step        {}, epoch", last["step"])]);
    // Time is up before it begins, or after a step: either way the same command goes on.
    let ran = trained(&work, &["--deadline", "1s"]);
    assert!(matches!(ran.code, Some(0 | 4 | 5)), "{ran:?}");
    let out = trained(&work, &[]);
    out.says(0, &["all steps are done"]);
    assert!(bundles(&work) == expected);
    assert_eq!(records(&work), recorded);
}

#[test]
fn what_cannot_be_trained_on_is_told_before_it_starts() {
    let work = prepared();
    // Shifted ids, a size that differs, an image without a mask: left out and told, and the rest is trained on.
    let mask = work.path("data/train/masks/s3.png");
    let good = std::fs::read(&mask).unwrap();
    save(&mask, &[1; 56 * 64], [56, 64], image::ColorType::L8);
    save(&work.path("data/train/masks/s2.png"), &[10; 8], [4, 2], image::ColorType::L8);
    save(&work.path("data/train/images/alone.png"), &[0; 24], [4, 2], image::ColorType::Rgb8);
    let short = ["--set", "train.epochs=1", "--set", "train.steps_per_epoch=1"];
    trained(&work, &short).says(
        3,
        &[
            "`train/s3` is left out: the mask holds what is no class: 1 (3584 pixels)",
            "`train/s2` is left out: the image has 56 x 56 pixels and the mask 4 x 2",
            "alone.png` is left out: an image without a mask",
            "training on 2 scenes",
        ],
    );
    // What somebody else left is not overwritten.
    std::fs::create_dir(work.path("theirs")).unwrap();
    std::fs::copy(work.path("out/best.safetensors"), work.path("theirs/best.safetensors")).unwrap();
    let there = work.swath(&["train", "p.toml", "-i", "data", "-o", "theirs", "--threads", "1"]);
    there.says(2, &["`theirs` holds what no training there has written: best.safetensors"]);
    // Another recipe or other data in the same directory.
    trained(&work, &[]).says(2, &["`out` holds another training: the table [train]", "--fresh"]);
    std::fs::write(&mask, good).unwrap();
    trained(&work, &short).says(2, &["the scenes that are trained on are not what they were"]);
    let exclude = work.write("exclude.txt", "train/s2\ns3\n");
    trained(&work, &[&short[..], &["--exclude", exclude.to_str().unwrap(), "--fresh"]].concat())
        .says(3, &["training on 2 scenes"]);
    // A class that is nowhere.
    let text = std::fs::read_to_string(work.path("p.toml")).unwrap();
    let third = "[[classes]]\nid = 2\nname = \"ice\"\nvalue = 30\ncolor = \"#ffffff\"\n[nodata]";
    work.write("q.toml", text.replace("[nodata]", third));
    let of = |pipeline: &'static str, more: &[&'static str]| {
        work.swath(&[&["train", pipeline, "-i", "data", "-o", "other", "--threads", "1"], &short[..], more].concat())
    };
    of("q.toml", &[]).says(3, &["no pixel to train on is ice"]);
    // Nothing to validate with, nothing to train on, nothing at all.
    std::fs::remove_dir_all(work.path("data/val")).unwrap();
    of("p.toml", &[]).says(2, &["no pairs in the part val", "swath data split"]);
    of("p.toml", &["--fold", "0"]).says(2, &["no pairs in the folds other than fold0"]);
    work.write("r.toml", PIPELINE);
    let plain = work.swath(&["train", "r.toml", "-i", "data", "-o", "other"]);
    plain.says(2, &["no [train] table", "pipelines/train.toml"]);
    of("p.toml", &["--set", "train.epochs=9", "--set", "train.losses=[{ kind = \"dice\", until = 3 }]"])
        .says(2, &["none of them counts at epoch 3"]);
    of("p.toml", &["--set", "train.losses=[{ kind = \"cross-entropy\", gamma = 2.0 }]"])
        .says(2, &["it has keys that the kind `cross-entropy` does not take"]);
    pair(&work, "val", 0);
    of("p.toml", &["--fresh", "--set", "train.optimiser.freeze=[\"nothing\"]"])
        .says(2, &["no tensor's name begins with `nothing`"]);
}

/// Pixels that a decoder has made up are told of before and while something learns from them.
#[test]
fn what_a_decoder_warns_of_is_told_of_labelled_scenes() {
    let Some(scene) = shared("data/broken/open/made_real_cog_jpeg_bitflips.tif") else { return };
    let work = prepared();
    std::fs::copy(scene, work.path("data/train/images/flipped.tif")).unwrap();
    let side = 1024;
    save(&work.path("data/train/masks/flipped.png"), &vec![10; side * side], [1024, 1024], image::ColorType::L8);
    let check = ["data", "check", "p.toml", "-i", "data", "--part", "train"];
    work.swath(&check).says(3, &["doubtful data/train/images/flipped.tif: its decoder warns: Corrupt JPEG data"]);
    let short = ["--set", "train.epochs=1", "--set", "train.steps_per_epoch=2"];
    let told = trained(&work, &short).expect(0);
    let warning = "flipped.tif`: its decoder warns: Corrupt JPEG data";
    assert_eq!(told.matches(warning).count(), 1, "{told}");
}

#[test]
fn folds_validate_in_turn_and_a_loss_that_is_no_number_goes_back() {
    let work = prepared();
    let split = ["data", "split", "p.toml", "-i", "data/train", "-o", "pairs.tsv", "--folds", "2"];
    work.swath(&split).expect(0);
    let short = ["--threads", "1", "--set", "train.epochs=1", "--set", "train.steps_per_epoch=2"];
    for fold in ["0", "1"] {
        let ran = work.swath(
            &[&["train", "p.toml", "-i", "pairs.tsv", "-o", &format!("fold{fold}"), "--fold", fold], &short[..]]
                .concat(),
        );
        ran.says(0, &["training on 2 scenes, validating with 2"]);
    }
    let ran = trained(&work, &["--set", "train.optimiser.rate=1000", "--set", "train.optimiser.rule=sgd"]);
    ran.says(1, &["back to step", "with other crops", "after going back 3 times", "a lower train.optimiser.rate"]);
    let notes = records(&work).iter().filter(|record| record["kind"] == "note").count();
    assert!(notes >= 1);
    // Two devices take the steps of one, but for rounding; another number than divides a batch is refused.
    let losses = |out: &str, devices: &str| -> Vec<f64> {
        let ran =
            work.swath(&[&["train", "p.toml", "-i", "data", "-o", out, "--devices", devices], &short[..]].concat());
        ran.expect(0);
        let text = std::fs::read_to_string(work.path(&format!("{out}/metrics.jsonl"))).unwrap();
        let loss = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["loss"].as_f64();
        text.lines().filter_map(loss).collect()
    };
    let (one, two) = (losses("one", "cpu"), losses("two", "cpu,cpu"));
    assert!(one.len() == 2 && one.iter().zip(&two).all(|(a, b)| (a - b).abs() < 1e-3), "{one:?} {two:?}");
    let three = work.swath(&["train", "p.toml", "-i", "data", "-o", "three", "--devices", "cpu,cpu,cpu"]);
    three.says(2, &["2 crops cannot be shared out among 3 devices"]);
    // Weights of the same network are where it starts from.
    let start = "train.start=fold0/best.safetensors";
    let ran = work.swath(&[&["train", "p.toml", "-i", "data", "-o", "fine", "--set", start], &short[..]].concat());
    ran.says(0, &["tensors from `fold0/best.safetensors`\n"]);
    let text = std::fs::read_to_string(work.path("p.toml")).unwrap();
    work.write(
        "third.toml",
        text.replace("[nodata]", "[[classes]]\nid = 2\nname = \"ice\"\nvalue = 30\ncolor = \"#ffffff\"\n[nodata]"),
    );
    let ran = work.swath(&[&["train", "third.toml", "-i", "data", "-o", "third", "--set", start], &short[..]].concat());
    ran.says(0, &["; fresh: segmentation_head.0.bias, segmentation_head.0.weight"]);
}

const SHORT: [&str; 6] = ["--threads", "1", "--set", "train.epochs=1", "--set", "train.steps_per_epoch=6"];

/// What the ensemble is sure of is trained on.
fn sure_of(work: &Workdir) {
    // What the ensemble is sure of of other scenes is trained on with what is known.
    let pseudo = ["pseudo-label", "masks", "-o", "pseudo", "--keep", "0.5", "--weight", "0.25", "--with", "data"];
    work.swath(&pseudo).says(0, &["2 scenes with labels of networks, 8 pairs"]);
    let union = [&["train", "p.toml", "-i", "pseudo/pairs.tsv", "-o", "union"], &SHORT[..]].concat();
    work.swath(&union).says(0, &["training on 6 scenes, validating with 2"]);
}

/// A network of another kind learns from the ensemble.
fn taught(work: &Workdir) {
    let student = std::fs::read_to_string(work.path("p.toml"))
        .unwrap()
        .replace("variant = \"smp\"", "variant = \"smp\"\nattention = \"scse\"");
    work.write("student.toml", &student);
    let learn = |out: &str, teacher: &str| {
        let teacher = format!("train.distill={{ teacher = \"{teacher}\", weight = 0.7 }}");
        let train = ["train", "student.toml", "-i", "data", "-o", out, "--set", &teacher];
        work.swath(&[&train[..], &SHORT[..]].concat())
    };
    learn("student", "out/ensemble.toml").expect(0);
    let text = std::fs::read_to_string(work.path("student/metrics.jsonl")).unwrap();
    let steps: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for step in steps.iter().filter(|step| step["kind"] == "step") {
        let [loss, hard, soft] = [&step["loss"], &step["parts"]["cross-entropy"], &step["parts"]["distillation"]]
            .map(|of| of.as_f64().unwrap());
        assert!(soft > 0.0 && (loss - 0.3 * hard - 0.7 * soft).abs() < 1e-5, "{step}");
    }
    learn("student", "out/fold0/best.safetensors").says(2, &["the table [train]", "not what they were"]);
    work.write("random.toml", PIPELINE);
    learn("x", "random.toml").says(2, &["random.toml", "nothing can be learnt from random numbers"]);
    work.write("ice.toml", PIPELINE.replace("\"land\"", "\"ice\""));
    learn("x", "ice.toml").says(2, &["knows the classes sea, ice, and the network in training sea, land"]);
}

/// Labels that were spoilt are found.
fn doubted(work: &Workdir) {
    // Labels that it does not believe: those of the scene that were spoilt after the training.
    let labels = work.path("data/train/masks/s2.png");
    let (good, size) = (image::open(&labels).unwrap().to_luma8(), [56, 56]);
    save(&labels, &good.iter().map(|value| 30 - value).collect::<Vec<u8>>(), size, image::ColorType::L8);
    let clean = ["data", "clean", "out", "-i", "data", "-o", "suspects.txt", "--sheet", "suspects.html"];
    // No mask is missing of what folds leave to the end.
    pair(work, "test", 9);
    let told = work.swath(&clean);
    told.says(0, &["1 suspect among 6 scenes", "  s2\n", "list: suspects.txt"]);
    assert!(!format!("{told:?}").contains("without a mask"), "{told:?}");
    let sheet = std::fs::read_to_string(work.path("suspects.html")).unwrap();
    assert!(sheet.matches("<img ").count() == 3 && sheet.contains("s2 <small>1"));
    work.swath(&clean).says(2, &["`suspects.txt` exists; add --overwrite"]);
    let short_of = [&["train", "p.toml", "-i", "data", "-o", "less", "--exclude", "suspects.txt"], &SHORT[..]].concat();
    work.swath(&short_of).says(0, &["training on 3 scenes"]);
    save(&labels, &good, size, image::ColorType::L8);
}

#[test]
fn folds_in_one_command_leave_an_ensemble_and_masks_of_unseen_scenes() {
    let work = prepared();
    let folds = |out: &str, more: &[&str]| {
        work.swath(&[&["train", "p.toml", "-i", "data", "-o", out, "--folds", "2"], &SHORT[..], more].concat())
    };
    let late = folds("out", &["--deadline", "1s"]);
    assert!(matches!(late.code, Some(0 | 4 | 5)), "{late:?}");
    assert_eq!(late.code == Some(4), late.stdout.contains("time is up; the same command goes on"), "{late:?}");
    let ran = folds("out", &["--json"]);
    ran.says(0, &["fold1: 2 of 2 folds", "training on 3 scenes, validating with 3", "without"]);
    let summary: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let post = &summary["post"];
    let [without, with] = ["without", "with"].map(|key| post[key].as_f64().unwrap());
    assert!(with >= without && summary["folds"].as_array().unwrap().len() == 2, "{summary}");
    // The masks are those of the post-processing that was chosen, of every scene.
    let scored = work.swath(&["eval", "out/out-of-fold/masks", "--truth", "data", "--pipeline", "p.toml", "--json"]);
    let scored: serde_json::Value = serde_json::from_str(&scored.expect(0)).unwrap();
    assert_eq!((scored["pairs"].as_u64(), scored["scores"]["miou"].as_f64()), (Some(6), Some(with)), "{scored}");
    let text = std::fs::read_to_string(work.path("out/ensemble.toml")).unwrap();
    let is_chosen = post["words"].as_array().is_some_and(|words| !words.is_empty());
    assert_eq!(is_chosen, with > without, "{summary}");
    assert_eq!(is_chosen, !text.contains("fill_holes = 0\nmajority = 0\n[") && text.contains("[post]"), "{text}");
    let scored = ["--include", "*.png", "--set", "outputs.scores=true"];
    work.swath(&[&["run", "out/ensemble.toml", "-i", "data/val/images", "-o", "masks"], &scored[..]].concat())
        .expect(0);
    sure_of(&work);
    taught(&work);
    doubted(&work);
    // One fold alone is what it is among the others.
    let best = |of: &str| std::fs::read(work.path(&format!("{of}/best.safetensors"))).unwrap();
    let alone = folds("alone", &["--fold", "1", "--quiet"]);
    assert_eq!((alone.code, alone.stderr.as_str()), (Some(0), ""), "{alone:?}");
    assert!(best("alone") == best("out/fold1"));
    // What cannot be.
    folds("out", &["--fold", "2"]).says(2, &["no pairs in fold2"]);
    folds("alone", &[]).says(2, &["`alone` holds the training of one network"]);
    work.write("theirs/ensemble.toml", "");
    folds("theirs", &[]).says(2, &["`theirs/ensemble.toml` was not written by --folds"]);
    work.swath(&["train", "p.toml", "-i", "data", "-o", "many", "--folds", "7"])
        .says(2, &["`data`: 6 pairs cannot be shared out into 7 folds"]);
}

#[test]
fn without_a_pipeline_file_one_is_written_that_follows_from_the_data() {
    let work = prepared();
    let train = ["train", "--auto", "-i", "data", "-o", "out", "--threads", "1", "--budget", "3s"];
    let ran = work.swath(&train);
    ran.says(0, &["decided by the data and the device: 2 classes, crops of 32, 32 a step", "training on 4 scenes"]);
    let text = std::fs::read_to_string(work.path("out/pipeline.toml")).unwrap();
    for line in ["bands = [1, 2, 3]", "value = 10", "value = 20", "name = \"class 20\"", "divide = { u8 = 255 }"] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
    // It is a pipeline file like any other; the same command goes on with it.
    work.swath(&["data", "check", "out/pipeline.toml", "-i", "data"]).says(0, &["6 pairs"]);
    work.swath(&train).says(0, &["all steps are done"]);
    work.swath(&["run", "out/best.safetensors", "-i", "data/val/images", "-o", "masks", "--include", "*.png"])
        .expect(0);
    // A file of somebody else is neither taken for it nor replaced.
    let theirs = work.write("theirs/pipeline.toml", PIPELINE);
    for more in [&[][..], &["--fresh"]] {
        let ran = work.swath(&[&["train", "--auto", "-i", "data", "-o", "theirs"], more].concat());
        ran.says(2, &["`theirs/pipeline.toml` was not written by --auto"]);
    }
    assert_eq!(std::fs::read_to_string(theirs).unwrap(), PIPELINE);
    // Pairs without parts are shared out.
    std::fs::rename(work.path("data/train"), work.path("pairs")).unwrap();
    let ran = work.swath(&["train", "--auto", "-i", "pairs", "-o", "all", "--threads", "1", "--budget", "1s"]);
    ran.says(0, &["training on 3 scenes, validating with 1"]);
    // Masks in colours say nothing of classes by themselves.
    save(&work.path("photo/images/a.png"), &[9; 3072], [32, 32], image::ColorType::Rgb8);
    save(&work.path("photo/masks/a.png"), &[9; 3072], [32, 32], image::ColorType::Rgb8);
    save(&work.path("photo/images/b.png"), &[9; 3072], [32, 32], image::ColorType::Rgb8);
    save(&work.path("photo/masks/b.png"), &[9; 3072], [32, 32], image::ColorType::Rgb8);
    let ran = work.swath(&["train", "--auto", "-i", "photo", "-o", "none"]);
    ran.says(2, &["--auto reads masks of one band of 8 bits and finds 0 values in them", "pipelines/train.toml"]);
    work.swath(&["train", "-i", "data", "-o", "x"]).says(2, &["PIPELINE"]);
}

/// Puts each image behind a mosaic of two halves of it.
fn behind_mosaics(work: &Workdir, part: &str, n: u32) {
    for at in 0..n {
        let image = image::open(work.path(&format!("data/{part}/images/s{at}.png"))).unwrap().to_rgb8();
        std::fs::remove_file(work.path(&format!("data/{part}/images/s{at}.png"))).unwrap();
        let (width, height) = image.dimensions();
        let half = |x: u32| image::imageops::crop_imm(&image, x, 0, width / 2, height).to_image();
        for (name, x) in [("l", 0), ("r", width / 2)] {
            let bytes = half(x).into_raw();
            let file = work.path(&format!("data/{part}/images/tiles/s{at}{name}.png"));
            save(&file, &bytes, [width / 2, height], image::ColorType::Rgb8);
        }
        let piece = |band: u32, name: &str, x: u32| {
            format!(
                "<SimpleSource><SourceFilename relativeToVRT=\"1\">tiles/s{at}{name}.png</SourceFilename><SourceBand>{band}</SourceBand>\
                 <SrcRect xOff=\"0\" yOff=\"0\" xSize=\"{0}\" ySize=\"{height}\"/>\
                 <DstRect xOff=\"{x}\" yOff=\"0\" xSize=\"{0}\" ySize=\"{height}\"/></SimpleSource>",
                width / 2
            )
        };
        let band = |band: u32| {
            let pieces = piece(band, "l", 0) + &piece(band, "r", width / 2);
            format!("<VRTRasterBand dataType=\"Byte\" band=\"{band}\">{pieces}</VRTRasterBand>")
        };
        let bands: String = (1..=3).map(band).collect();
        let text = format!("<VRTDataset rasterXSize=\"{width}\" rasterYSize=\"{height}\">{bands}</VRTDataset>");
        work.write(&format!("data/{part}/images/s{at}.vrt"), text);
    }
}

#[test]
fn mosaics_are_learnt_from_as_the_one_file() {
    let work = prepared();
    let (of_files, _) = reference(&work);
    behind_mosaics(&work, "train", 4);
    behind_mosaics(&work, "val", 2);
    trained(&work, &[]).says(2, &["input.drivers = [\"GTiff\", \"VRT\"]"]);
    let drivers = ["--set", "input.drivers=[\"PNG\", \"VRT\"]"];
    trained(&work, &[&drivers[..], &["--fresh"]].concat()).says(0, &["training on 4 scenes, validating with 2"]);
    assert!(bundles(&work) == of_files, "other weights come of the same pixels");
    // A validation scene is its tiles as well.
    let plan = std::fs::read_to_string(work.path("out/validation/run/plan.jsonl")).unwrap();
    assert!(plan.contains("tiles/s0l.png"), "{plan}");
    work.swath(&["report", "out/validation/run"]).expect(0);
    // Where there is no pipeline file yet, the command line says what may be opened, and the file then does.
    let auto = ["train", "--auto", "-i", "data", "-o", "auto", "--threads", "1", "--budget", "1s"];
    work.swath(&auto).says(2, &["it is said by --set", "input.drivers = [\"GTiff\", \"VRT\"]"]);
    work.swath(&[&auto[..], &drivers].concat()).says(0, &["training on 4 scenes, validating with 2"]);
    let text = std::fs::read_to_string(work.path("auto/pipeline.toml")).unwrap();
    assert!(text.contains("drivers = [\"PNG\", \"VRT\"]"), "{text}");
    work.swath(&auto).says(0, &["all steps are done"]);
}
