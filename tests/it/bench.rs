//! `swath bench`: that every figure is there and that they agree with each other. How large they are, nobody asks here.
#![cfg(feature = "gdal")]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use swath::geom::Size;

use crate::support::command::{Workdir, geotiff, wait_until, with_scenes};
use crate::support::memory::{IDENTITY, pipeline, values};

/// The figures of a measurement that went well, and what was printed.
fn measured(work: &Workdir, line: &str) -> (Value, String) {
    let arguments: Vec<&str> = ["bench"].into_iter().chain(line.split(' ')).chain(["--json", "f.json"]).collect();
    // Whatever it needs for a while shall be gone.
    let tmp = work.path("tmp");
    std::fs::create_dir_all(&tmp).unwrap();
    let ran = work.swath_with(&arguments, &[("TMPDIR", tmp.to_str().unwrap())]);
    ran.expect(0);
    assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 0, "{line} leaves something behind");
    let figures: Value = serde_json::from_slice(&std::fs::read(work.path("f.json")).unwrap()).unwrap();
    std::fs::remove_file(work.path("f.json")).unwrap();
    assert_eq!(figures["bench"], line.split(' ').next().unwrap());
    let machine = &figures["machine"];
    assert!(machine["cores"].as_u64().unwrap() > 0 && machine["gpus"].is_array(), "{machine}");
    assert_eq!(machine["swath"], env!("CARGO_PKG_VERSION"));
    assert!(ran.stdout.contains(&format!("swath {}", env!("CARGO_PKG_VERSION"))), "{}", ran.stdout);
    (figures, ran.stdout)
}

fn rows(figures: &Value) -> &[Value] {
    figures["rows"].as_array().unwrap()
}

fn number(row: &Value, key: &str) -> f64 {
    row[key].as_f64().unwrap_or_else(|| panic!("no {key} in {row}"))
}

#[test]
fn forward_has_a_row_for_each_member_precision_and_batch() {
    let work = with_scenes(&[]);
    let line = "forward p.toml --backend fake --side 48 --batch 2,1 --precision f32,f16 --repeats 4 --devices cpu,cpu";
    let (figures, text) = measured(&work, line);
    let key = |row: &Value| {
        let text = |key: &str| row[key].as_str().unwrap().to_owned();
        (text("member"), text("precision"), row["batch"].as_u64().unwrap())
    };
    let members = ["member0", "member1"].map(str::to_owned);
    let wanted =
        members.iter().flat_map(|member| ["f32", "f16"].map(|precision| (member.clone(), precision.to_owned())));
    let wanted: Vec<_> = wanted.flat_map(|(m, p)| [1, 2].map(|batch| (m.clone(), p.clone(), batch))).collect();
    assert_eq!(rows(&figures).iter().map(key).collect::<Vec<_>>(), wanted);
    for row in rows(&figures) {
        assert!(number(row, "ms_min") <= number(row, "ms") && number(row, "ms") > 0.0, "{row}");
        // The stand-in is the same in every precision, and is no network: its rate says nothing.
        assert_eq!((&row["agreement"], &row["r"], &row["failure"]), (&1.0.into(), &Value::Null, &Value::Null));
        assert!(number(row, "peak_bytes") > 1e6 && row["device"] == "cpu");
    }
    assert_eq!((figures["repeats"].as_u64(), figures["side"].as_u64()), (Some(4), Some(48)));
    assert!(text.contains("ms/crop") && text.contains("the networks are fake"), "{text}");
}

#[test]
fn forward_takes_a_network_by_name() {
    let work = Workdir::new();
    let (figures, _) = measured(&work, "forward unet/resnet18 --backend fake --side 64");
    let [row] = rows(&figures) else { panic!("{figures}") };
    assert_eq!((&row["member"], &row["precision"]), (&"unet/resnet18".into(), &"f32".into()));
}

/// What `pipeline` and `feed` have in common.
fn check_run(figures: &Value, scenes: u64, pixels: u64) {
    assert_eq!((figures["scenes"].as_u64(), figures["pixels"].as_u64()), (Some(scenes), Some(pixels)), "{figures}");
    let speed = number(figures, "pixels") / 1e6 / number(figures, "seconds");
    assert!((number(figures, "mpx_per_second") / speed - 1.0).abs() < 1e-6, "{figures}");
    let start = &figures["start_up"];
    let steps = ["planned", "opened", "first_labels"].map(|step| number(start, step));
    assert!(steps.is_sorted() && number(start, "loaded") > 0.0, "{start}");
    let stages: Vec<&str> = figures["stages"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(stages, ["read", "tile", "infer", "keep", "average", "stitch", "encode", "commit"]);
    let cpu = figures["stages"].as_array().unwrap().iter().map(|stage| number(stage, "cpu_seconds")).sum::<f64>();
    assert!(0.0 < cpu && cpu <= number(figures, "cpu_seconds"), "{figures}");
    let bytes = &figures["bytes_per_pixel"];
    assert!(["file", "png", "zip"].iter().all(|what| number(bytes, what) > 0.0), "{bytes}");
    // One band; a ring around each tile is read and cut again.
    assert!(number(bytes, "decoded") >= 1.0 && number(bytes, "crops") >= number(bytes, "decoded"), "{bytes}");
    assert!((number(bytes, "planes") - 1.0).abs() < 1e-9, "{bytes}");
}

#[test]
fn pipeline_measures_a_run_over_drawn_scenes() {
    let work = with_scenes(&[]);
    let line = "pipeline p.toml --backend fake --scenes 3 --size 200x150 --devices cpu,cpu --readers 1 --encoders 2";
    let (figures, text) = measured(&work, line);
    check_run(&figures, 3, 3 * 200 * 150);
    assert_eq!(figures["backend"], "fake");
    let busy = number(&figures, "device_busy");
    assert!(0.0 < busy && busy <= 1.0, "{figures}");
    let idle: f64 = figures["device_idle"].as_array().unwrap().iter().map(|share| share.as_f64().unwrap()).sum();
    assert!((idle / 2.0 + busy - 1.0).abs() < 1e-9, "{figures}");
    let passes = figures["passes"].as_array().unwrap();
    let names: Vec<&str> = passes.iter().map(|pass| pass["member"].as_str().unwrap()).collect();
    assert_eq!(names, ["member0", "member1"]);
    assert!(passes.iter().all(|pass| pass["network_pixels"] == figures["network_pixels"]), "{figures}");
    let seconds = passes.iter().map(|pass| number(pass, "seconds")).sum::<f64>();
    assert!((seconds / 2.0 / number(&figures, "seconds") / busy - 1.0).abs() < 1e-6, "{figures}");
    let workers = |name: &str| {
        let stage = figures["stages"].as_array().unwrap().iter().find(|stage| stage["name"] == name).unwrap();
        stage["workers"].as_u64().unwrap()
    };
    assert_eq!(["read", "infer", "encode", "commit"].map(workers), [1, 2, 2, 1]);
    assert!(text.contains("start-up") && text.contains("bytes/pixel"), "{text}");
}

#[test]
fn scaling_runs_the_same_scenes_with_more_and_more_devices() {
    let work = with_scenes(&[]);
    let line = "scaling p.toml --backend fake --scenes 2 --size 200x150 --devices cpu,cpu,cpu,cpu,cpu --readers 1";
    let (figures, text) = measured(&work, line);
    assert_eq!((&figures["equal_outputs"], &figures["backend"]), (&true.into(), &"fake".into()));
    let n_devices = |row: &Value| row["devices"].as_array().unwrap().len();
    assert_eq!(rows(&figures).iter().map(n_devices).collect::<Vec<_>>(), [1, 2, 4, 5]);
    for row in rows(&figures) {
        let n = n_devices(row);
        let alone = number(&rows(&figures)[0], "seconds");
        assert!((number(row, "ratio") - alone / number(row, "seconds")).abs() < 1e-9, "{row}");
        // Twelve batches in six pairs: none comes out even on four devices, nor on five.
        let best = number(row, "ratio_at_best");
        assert!(best > n as f64 * 0.5 && best <= n as f64 * (1.0 + 1e-3), "{row}");
        let off = number(row, "predicted_seconds") / number(row, "seconds") - 1.0;
        assert!((number(row, "error") - off).abs() < 1e-9, "{row}");
        for idle in ["device_idle", "predicted_idle"] {
            let idle: Vec<f64> = row[idle].as_array().unwrap().iter().map(|share| share.as_f64().unwrap()).collect();
            assert!(idle.len() == n && idle.iter().all(|share| (0.0..=1.0).contains(share)), "{row}");
        }
    }
    assert!(text.contains("at best") && text.contains("all wrote the same files"), "{text}");
}

#[test]
fn workers_on_one_gpu_take_turns_and_give_the_same_files() {
    let work = with_scenes(&[(130, 140), (40, 30), (40, 30)]);
    let (figures, _) = measured(&work, "scaling p.toml --backend fake -i in --devices cuda:0,cuda:0");
    let devices: Vec<&Value> = rows(&figures).iter().map(|row| &row["devices"]).collect();
    assert_eq!(devices, [&serde_json::json!(["cuda:0"]), &serde_json::json!(["cuda:0", "cuda:0"])]);
    assert_eq!(figures["equal_outputs"], true);
    // A second worker makes no second GPU: with two of them it would be near 2. Passes of a stand-in take microseconds, and times are kept
    // in whole nanoseconds.
    assert!(rows(&figures).iter().all(|row| (number(row, "ratio_at_best") - 1.0).abs() < 1e-3), "{figures}");
}

#[test]
fn pipeline_takes_scenes_that_are_there_and_leaves_those_it_was_told_to_keep() {
    let work = with_scenes(&[(130, 140), (40, 30)]);
    let (figures, _) = measured(&work, "pipeline p.toml --backend fake -i in");
    check_run(&figures, 2, 130 * 140 + 40 * 30);
    let keep = "pipeline p.toml --backend fake --scenes 2 --size 64x64 --keep kept";
    let (figures, _) = measured(&work, keep);
    check_run(&figures, 2, 2 * 64 * 64);
    let written = |name: &str| std::fs::metadata(work.path(name)).unwrap().modified().unwrap();
    let before = written("kept/s00001.tif");
    measured(&work, keep);
    assert_eq!(written("kept/s00001.tif"), before);
}

#[test]
fn feed_needs_no_network_and_no_pipeline() {
    let work = Workdir::new();
    let (figures, _) = measured(&work, "feed --scenes 2 --size 300x280 --readers 1 --decode in-process");
    assert_eq!((&figures["backend"], &figures["device_busy"]), (&"null".into(), &0.0.into()));
    assert_eq!(figures["pixels"], 2 * 300 * 280);
    let bytes = &figures["bytes_per_pixel"];
    // Scenes of one tile: nothing is read or cut twice.
    assert!(["decoded", "crops"].iter().all(|what| (number(bytes, what) - 3.0).abs() < 1e-9), "{bytes}");
    assert!(number(bytes, "png") > 0.0 && number(bytes, "png") < 0.5, "patches are masks and no noise: {bytes}");
}

#[test]
fn decode_reads_every_layout_in_both_places() {
    let work = Workdir::new();
    let (figures, _) = measured(&work, "decode --size 300x200 --repeats 1");
    assert_eq!(rows(&figures).len(), 3 * 2 * 2);
    for row in rows(&figures) {
        assert_eq!((row["pixels"].as_u64(), row["pixel_bytes"].as_u64()), (Some(60_000), Some(180_000)));
        assert!(number(row, "mpx_per_second") > 0.0 && number(row, "file_bytes") > 1000.0, "{row}");
    }
    let bytes = |name: &str| {
        let row = rows(&figures).iter().find(|row| row["file"] == name).unwrap_or_else(|| panic!("no {name}"));
        number(row, "file_bytes")
    };
    assert!(bytes("NONE, strips") > 180_000.0 && bytes("DEFLATE, strips") < 180_000.0, "{figures}");
}

#[test]
fn encode_compares_settings_and_marks_the_one_of_runs() {
    let work = Workdir::new();
    let (figures, text) = measured(&work, "encode --side 96 --repeats 1");
    let of_mask = |mask: &str| -> Vec<&Value> { rows(&figures).iter().filter(|row| row["mask"] == mask).collect() };
    for mask in ["land", "speckled", "one class"] {
        let rows = of_mask(mask);
        assert!(rows.len() > 5 && rows.iter().filter(|row| row["used"] == true).count() == 1, "{mask}");
        let raw = rows.iter().find(|row| row["setting"] == "none").unwrap();
        let used = rows.iter().find(|row| row["used"] == true).unwrap();
        assert!(number(used, "bytes") < number(raw, "bytes"), "{used} {raw}");
    }
    assert!(text.contains("<- runs"), "{text}");
}

#[test]
fn a_signal_ends_a_measurement_and_nothing_stays_behind() {
    let work = with_scenes(&[]);
    let tmp = work.path("tmp");
    std::fs::create_dir_all(&tmp).unwrap();
    let line = "bench pipeline p.toml --backend fake --scenes 40 --size 100x100";
    let mut command = work.command(&line.split(' ').collect::<Vec<_>>());
    let mut child = command.env("TMPDIR", &tmp).env("SWATH_FAKE_DELAY_MS", "500").spawn().unwrap();
    let has_begun = || {
        let mut folders = std::fs::read_dir(&tmp).unwrap().filter_map(Result::ok);
        folders.any(|folder| folder.path().join("out/run.db").exists())
    };
    wait_until(has_begun);
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 0);
}

#[test]
fn samples_are_the_same_crops_whatever_is_kept() {
    let work = Workdir::new();
    let text = pipeline("strategy = \"whole\"\nwhole_max = 64", IDENTITY, 2, None);
    work.write("p.toml", text.replace("value = 0\n", "value = 10\n").replace("value = 1\n", "value = 20\n"));
    std::fs::create_dir_all(work.path("data/masks")).unwrap();
    for (name, width, height) in [("a", 70, 50), ("b", 1, 1), ("sub/c", 33, 90), ("d", 20, 20), ("e", 8, 8)] {
        let size = Size::new(width, height);
        let values = values(size, 200, width);
        geotiff(&work.path(&format!("data/images/{name}.tif")), size, &values);
        let mask: Vec<u8> = values.iter().map(|v| 10 + 10 * u8::from(*v > 150)).collect();
        let path = work.path(&format!("data/masks/{name}.png"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        image::save_buffer(path, &mask, width, height, image::ColorType::L8).unwrap();
    }
    // One is no use, and one is left out.
    image::save_buffer(work.path("data/masks/e.png"), &[3; 64], 8, 8, image::ColorType::L8).unwrap();
    work.write("without.txt", "d\n");
    for sampling in ["area", "class", "scene"] {
        let line = format!(
            "samples p.toml -i data --sampling {sampling} --side 32 --batch 3 --steps 4 --readers 2 --exclude without.txt"
        );
        let (figures, text) = measured(&work, &line);
        assert_eq!((&figures["pairs"], &figures["same_crops"]), (&3.into(), &true.into()), "{figures}");
        assert_eq!(rows(&figures).len(), 3);
        for row in rows(&figures) {
            let rate = number(row, "samples") / number(row, "seconds");
            assert!(row["samples"] == 12 && (number(row, "samples_per_second") / rate - 1.0).abs() < 1e-6, "{row}");
            assert!(number(row, "waited_seconds") <= number(row, "seconds"));
        }
        assert!(text.contains("refused  all/e: the mask holds what is no class: 3 (64 pixels)"), "{text}");
    }
    // The image of the largest pair is cut short behind its header: found when a crop is taken, and told by name.
    let whole = std::fs::read(work.path("data/images/a.tif")).unwrap();
    work.write("data/images/a.tif", &whole[..whole.len() - 1500]);
    let ran = work.swath(&["bench", "samples", "p.toml", "-i", "data", "--side", "32", "--steps", "20"]);
    ran.says(3, &["cannot read the pair `all/a`", "a.tif`", "--exclude"]);
    work.write("without.txt", "all/a\n# gone by then\nb\ndata/masks/sub/c.png\nd\n");
    let ran = work.swath(&["bench", "samples", "p.toml", "-i", "data", "--exclude", "without.txt"]);
    ran.says(2, &["no pair has a labelled pixel"]);
}
