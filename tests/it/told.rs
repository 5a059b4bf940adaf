//! What a run tells: the summary, progress, report.json.
#![cfg(feature = "gdal")]

use serde_json::Value;
use swath::geom::Size;

use crate::support::command::{Ran, UNPACKED, Workdir, geotiff};
use crate::support::memory::{IDENTITY, TWO, pipeline, values};
use crate::support::{archive, shared};

const FIXED: &str = "strategy = \"fixed\"\ncentre = 64\ndilation = 16\nwhole_max = 60";

fn prepared(members: &str) -> Workdir {
    let work = Workdir::new();
    work.write("p.toml", pipeline(FIXED, members, 7, None));
    for (i, (name, size)) in (0..).zip([("a", (50, 40)), ("sub/b", (200, 130))]) {
        let size = Size::new(size.0, size.1);
        geotiff(&work.path(&format!("in/{name}.tif")), size, &values(size, 7, i));
    }
    work
}

fn run(work: &Workdir, more: &[&str]) -> Ran {
    work.swath(&[&["run", "p.toml", "-i", "in", "-o", "out", "--backend", "fake"], more].concat())
}

#[test]
fn a_default_run_is_told_in_a_few_lines() {
    let work = prepared(IDENTITY);
    let ran = run(&work, &[]);
    ran.expect(0);
    assert!(ran.stdout.lines().count() <= 12, "{}", ran.stdout);
    for label in ["scenes ", "speed ", "memory ", "masks ", "pictures ", "archive ", "report "] {
        assert_eq!(ran.stdout.lines().filter(|l| l.starts_with(label)).count(), 1, "{label}\n{}", ran.stdout);
    }
    assert!(!ran.stdout.contains("waiting for input") && !ran.stdout.contains('\u{1b}'), "{}", ran.stdout);
    run(&work, &["-v", "--fresh"]).says(0, &["waiting for input", "waiting for output", "decoder cache"]);
}

#[test]
fn failures_are_told_once_by_cause_with_the_first_names() {
    let work = prepared(IDENTITY);
    for i in 0..5 {
        work.write(&format!("in/cut{i}.tif"), "");
    }
    work.write("in/odd.tif", "no raster");
    let ran = run(&work, &[]);
    let text = ran.expect(3);
    assert_eq!(text.matches("cut0.tif").count(), 1, "{text}");
    assert!(ran.stdout.contains("5 scenes (plan): refused: the file is empty; "), "{text}");
    assert!(ran.stdout.contains("in/cut0.tif, in/cut1.tif, in/cut2.tif and 2 more (not in submit.zip)\n"), "{text}");
    assert!(ran.stdout.contains("2 done, 6 failed") && ran.stdout.contains("1 scene (plan"), "{text}");
    let text = run(&work, &["-v"]).expect(3);
    assert_eq!(text.matches("cut4.tif").count(), 1, "{text}");
    assert_eq!(text.lines().filter(|l| l.starts_with("failed: ")).count(), 6, "{text}");
}

#[test]
fn a_narrow_page_wraps_and_cuts_nothing() {
    let work = prepared(IDENTITY);
    let wide = run(&work, &[]);
    let narrow = work
        .swath_with(&["run", "p.toml", "-i", "in", "-o", "out", "--backend", "fake", "--fresh"], &[("COLUMNS", "60")]);
    narrow.expect(0);
    assert!(narrow.stdout.lines().all(|line| line.chars().count() <= 60), "{}", narrow.stdout);
    let words = |text: &str| text.split_whitespace().filter(|w| !w.contains(|c: char| c.is_ascii_digit())).count();
    assert_eq!(words(&narrow.stdout), words(&wide.stdout));
}

#[test]
fn quiet_is_quiet_and_the_exit_code_tells() {
    let work = prepared(IDENTITY);
    work.write("in/cut.tif", "");
    let ran = run(&work, &["-q"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(3), "", ""));
    let ran = work.swath(&["run", "gone.toml", "-i", "in", "-o", "out", "-q"]);
    assert!(ran.code == Some(2) && ran.stderr.starts_with("error: "), "{ran:?}");
}

#[test]
fn programs_are_told_one_json_object_per_line() {
    let work = prepared(IDENTITY);
    work.write("in/cut.tif", "");
    let ran = run(&work, &["--progress", "json"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), ""));
    let events: Vec<Value> = ran.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| events.iter().find(|e| e["event"] == name).unwrap_or_else(|| panic!("{name} in {events:?}"));
    assert_eq!((of("started")["scenes"].as_u64(), of("started")["backend"].as_str()), (Some(2), Some("fake")));
    assert_eq!(
        (of("failed")["stage"].as_str(), of("failed")["cause"].as_str()),
        (Some("plan"), Some("refused: the file is empty; fetch or write it again"))
    );
    assert_eq!(of("finished")["totals"]["done"], 2);
    let ran = work.swath(&["run", "gone.toml", "-i", "in", "-o", "out", "--progress", "json"]);
    let event: Value = serde_json::from_str(ran.stderr.trim()).unwrap();
    assert!(event["event"] == "error" && event["text"].as_str().unwrap().contains("gone.toml"), "{event}");
}

#[test]
fn a_fake_run_says_so_and_packs_nothing_unless_asked() {
    let work = prepared(TWO);
    let ran = run(&work, &[UNPACKED]);
    ran.expect(0);
    let words = "the networks are fake (--backend fake): these masks mean nothing";
    assert!(ran.stderr.lines().next().unwrap().contains(words), "{}", ran.stderr);
    assert!(ran.stdout.lines().last().unwrap().contains(words), "{}", ran.stdout);
    assert!(ran.stdout.contains("--pack-fake") && !work.path("out/submit.zip").exists(), "{}", ran.stdout);
    assert_eq!(work.report("out")["run"]["backend"], "fake");
    run(&work, &[]).says(0, &["2 done, 0 failed; all were done before", "out/submit.zip (2 entries"]);
    assert_eq!(archive(&work.path("out/submit.zip")).len(), 2);
    // An archive of an earlier run is not this one's.
    run(&work, &[UNPACKED]).expect(0);
    assert!(!work.path("out/submit.zip").exists());
}

#[test]
#[cfg(feature = "torch")]
fn a_fake_run_refuses_the_weights_that_a_real_one_would() {
    let work = prepared(IDENTITY);
    let member = "[[members]]\nnetwork = \"deeplabv3plus\"\nbackbone = \"resnet18\"\nweights = \"w.safetensors\"\n";
    work.write("p.toml", pipeline(FIXED, member, 7, None));
    let header = br#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header);
    file.extend_from_slice(&1.0f32.to_le_bytes());
    work.write("w.safetensors", file);
    run(&work, &[]).says(12, &["w.safetensors", "extra: x [1]"]);
    assert!(!work.path("out/masks").exists());
}

#[test]
fn tiles_that_ran_again_in_f32_are_counted_by_member() {
    let work = prepared(TWO);
    let arguments = ["run", "p.toml", "-i", "in", "-o", "out", "--backend", "fake", "--devices", "cpu"];
    let ran = work.swath_with(&arguments, &[("SWATH_FAULTS", "device:nan@2")]);
    ran.says(0, &["1 tile ran again in f32", "precision = \"bf16\""]);
    let reruns = work.report("out")["reruns"].clone();
    assert_eq!(reruns.as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum::<u64>(), 1, "{reruns}");
    // Logits that are kept for later runs go another way through the devices.
    work.write(
        "k.toml",
        pipeline(FIXED, TWO, 7, None).replacen("[input]", "checkpoints = [\"member-logits\"]\n[input]", 1),
    );
    let arguments = ["run", "k.toml", "-i", "in", "-o", "kept", "--backend", "fake", "--devices", "cpu"];
    work.swath_with(&arguments, &[("SWATH_FAULTS", "device:nan@2")]).says(0, &["1 tile ran again in f32"]);
}

#[test]
fn the_report_tells_of_each_scene_and_how_the_run_was_made() {
    let work = prepared(IDENTITY);
    let size = Size::new(80, 10);
    let planes: Vec<u8> = (0..800).map(|i| if i < 200 { 3 } else { 5 }).collect();
    geotiff(&work.path("in/c.tif"), size, &planes);
    run(&work, &[]).expect(0);
    let check = |report: &Value, done_before: bool| {
        let scene = &report["scenes"]["c"];
        assert_eq!((&scene["size"], &scene["bands"]), (&serde_json::json!([80, 10]), &Value::from(1)), "{scene}");
        assert_eq!((&scene["pixel_type"], &scene["done_before"]), (&Value::from("u8"), &Value::from(done_before)));
        assert_eq!(
            (&scene["classes"], &scene["nodata"]),
            (&serde_json::json!({"c3": 0.25, "c5": 0.75}), &Value::from(0.0))
        );
        assert!(scene["nodata"].as_f64().unwrap().is_sign_positive(), "{scene}");
        assert!(
            scene["seconds"].as_f64().is_some() && scene["scene"].as_str().unwrap().ends_with("in/c.tif"),
            "{scene}"
        );
    };
    let report = work.report("out");
    check(&report, false);
    let made = &report["run"];
    assert_eq!((&made["command"][0], &made["command"][1]), (&Value::from("run"), &Value::from("p.toml")), "{made}");
    assert!(
        made["started"].as_str().unwrap().ends_with('Z') && made["started"].as_str() <= made["ended"].as_str(),
        "{made}"
    );
    assert!(made["versions"]["gdal"].as_str().unwrap().contains("GDAL") && made["device_class"] == "cpu", "{made}");
    run(&work, &[]).expect(0);
    check(&work.report("out"), true);
}

#[test]
fn a_run_of_one_class_ends_with_a_warning() {
    let work = prepared(IDENTITY);
    let size = Size::new(600, 600);
    geotiff(&work.path("in/one.tif"), size, &[4; 360_000]);
    let words = "of all pixels are `c4`; if that cannot be, check divide, mean and std";
    let text = run(&work, &["--exclude", "sub/*"]).expect(0);
    assert!(text.contains(words), "{text}");
    let text = run(&work, &[]).expect(0);
    assert!(!text.contains(words), "{text}");
}

#[test]
fn old_layers_are_told_and_removed_on_request() {
    let work = prepared(IDENTITY);
    run(&work, &[]).expect(0);
    let plain = pipeline(FIXED, IDENTITY, 7, None).replace("color = true", "color = false");
    work.write("p.toml", plain);
    let words = ["3 files of earlier runs are still there", "swath gc out --outputs"];
    run(&work, &["--exclude", "a.tif"]).says(0, &words);
    // Whatever the report names, nothing outside of the run directory is touched.
    let mut report = work.report("out");
    let outside = [work.write("precious", "x"), work.write("also", "x")];
    report["earlier"].as_array_mut().unwrap().extend([Value::from("../precious"), outside[1].to_str().unwrap().into()]);
    work.write("out/report.json", report.to_string());
    work.swath(&["gc", "out", "--outputs"]).says(0, &["3 old outputs removed"]);
    assert!(outside.iter().all(|path| path.exists()));
    assert!(!work.path("out/color").exists() && !work.path("out/masks/a.png").exists());
    assert!(work.path("out/masks/sub/b.png").exists());
    work.swath(&["gc", "out", "--outputs"]).says(0, &["0 old outputs removed"]);
    let text = run(&work, &["--exclude", "a.tif"]).expect(0);
    assert!(!text.contains("earlier runs are still there"), "{text}");
    work.swath(&["verify", "out"]).says(0, &["0 do not"]);
}

#[test]
fn what_the_decoder_warns_of_is_told_with_its_scene() {
    let Some(scene) = shared("data/broken/open/made_real_cog_jpeg_bitflips.tif") else { return };
    let work = prepared(IDENTITY);
    let scene = scene.to_str().unwrap();
    let arguments = ["run", "p.toml", "-i", scene, "-o", "out", "--backend", "fake"];
    let words = ["1 scene is done, with warnings of the decoder", "bitflips.tif: Corrupt JPEG data", "--strict"];
    work.swath(&arguments).says(0, &words);
    let name = "made_real_cog_jpeg_bitflips";
    let told =
        |report: &Value| report["scenes"][name]["warnings"][0].as_str().unwrap().starts_with("Corrupt JPEG data");
    assert!(told(&work.report("out")));
    // A run that has nothing to do tells it all the same.
    work.swath(&arguments).says(0, &words);
    assert!(told(&work.report("out")));
}
