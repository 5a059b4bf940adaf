//! Through the front door: the program as a person runs it, on files, with the fake backend.
#![cfg(feature = "gdal")]

use swath::geom::Size;

use crate::support::command::{Ran, Workdir, geotiff};
use crate::support::memory::{IDENTITY, TWO, pipeline, values};
use crate::support::{archive, files, outputs, png, shared};

const FIXED: &str = "strategy = \"fixed\"\ncentre = 64\ndilation = 16\nwhole_max = 60";

/// A folder with a pipeline, three good scenes and things that are no scenes.
fn prepared(members: &str) -> Workdir {
    let work = Workdir::new();
    work.write("p.toml", pipeline(FIXED, members, 7, None));
    for (i, (name, size)) in (0..).zip([("a", (50, 40)), ("sub/b.1", (200, 130)), ("sub/b.2", (1, 1))]) {
        let size = Size::new(size.0, size.1);
        geotiff(&work.path(&format!("in/{name}.tif")), size, &values(size, 7, i));
    }
    work.write("in/notes.txt", "no scene");
    work.write("in/.hidden.tif", "no scene");
    work.write("in/a.tif.aux.xml", "no scene");
    work
}

fn run(work: &Workdir, more: &[&str]) -> Ran {
    let mut arguments = vec!["run", "p.toml", "-i", "in", "-o", "out", "--backend", "fake"];
    arguments.extend(more);
    work.swath(&arguments)
}

#[test]
fn a_folder_becomes_masks_pictures_an_archive_and_a_report() {
    let work = prepared(IDENTITY);
    run(&work, &[])
        .says(0, &["3 done, 0 failed, 3 other files ignored", "sets the pace", "reserved", "out/submit.zip"]);
    let is_kept = |name: &String| !name.starts_with("checkpoints/") && !name.starts_with("run.db");
    let names: Vec<String> = files(&work.path("out")).into_keys().filter(is_kept).collect();
    let expected = ["color/a.png", "color/sub/b.1.png", "color/sub/b.2.png", "masks/a.png", "masks/sub/b.1.png"];
    let told = ["masks/sub/b.2.png", "plan.jsonl", "report.html", "report.json", "submit.zip"];
    assert_eq!(names, [&expected[..], &told].concat());
    let packed = archive(&work.path("out/submit.zip"));
    assert_eq!(packed.keys().collect::<Vec<_>>(), ["a.png", "sub/b.1.png", "sub/b.2.png"]);
    let expected: Vec<u16> = values(Size::new(200, 130), 7, 1).into_iter().map(u16::from).collect();
    assert_eq!(png(&work.path("out/masks/sub/b.1.png")), (200, 130, expected));
    let report = work.report("out");
    assert_eq!(report["state"], "finished");
    assert_eq!(report["totals"]["done"], 3);
    assert_eq!(report["package"]["entries"], 3);
    assert_eq!(report["stages"].as_array().unwrap().len(), 8);
}

#[test]
fn plan_says_what_run_will_do_and_touches_nothing() {
    let work = prepared(TWO);
    let before = files(&work.path("."));
    let arguments = ["plan", "p.toml", "-i", "in", "-o", "out", "--backend", "fake"];
    work.swath(&arguments).says(0, &["3 to segment", "RAM", "VRAM        none", "disk", "unknown", "swath run"]);
    let ran = work.swath(&[&arguments[..], &["--json"]].concat());
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(files(&work.path(".")), before);
    assert_eq!((document["tiles"].as_u64(), document["seconds"].is_null()), (Some(1 + 4 * 3 + 1), true));
    run(&work, &[]).expect(0);
    let report = work.report("out");
    assert_eq!(report["plan"], document["plan"]);
    assert_eq!(report["totals"]["tiles"], document["tiles"]);
    assert_eq!(report["totals"]["network_pixels"], document["network_pixels"]);
}

#[test]
fn bytes_do_not_depend_on_devices_readers_or_memory() {
    let work = prepared(TWO);
    run(&work, &["--devices", "cpu"]).expect(0);
    let reference = outputs(&work.path("out"));
    for more in [&["--devices", "cpu"][..], &["--devices", "cpu,cpu,cpu", "--readers", "3"], &["--memory", "2MiB"]] {
        run(&work, more).expect(0);
        assert!(outputs(&work.path("out")) == reference, "{more:?}");
    }
}

#[test]
#[cfg(feature = "torch")]
fn real_networks_give_the_same_bytes_on_any_devices() {
    let work = prepared(TWO);
    let run = |more: &[&str]| {
        let arguments = [&["run", "p.toml", "-i", "in", "-o", "out"], more].concat();
        work.swath(&arguments).says(0, &["3 done", "random weights"]);
        outputs(&work.path("out"))
    };
    let reference = run(&["--devices", "cpu"]);
    for more in [&["--devices", "cpu,cpu"][..], &["--devices", "cpu,cpu,cpu", "--readers", "3", "--memory", "2MiB"]] {
        assert!(run(more) == reference, "{more:?}");
    }
}

#[test]
fn a_scene_of_forty_gigapixels_is_planned_within_little_memory() {
    let Some(path) = shared("data/geotiffs/made__sparse_huge_200k.tif") else { return };
    let work = prepared(IDENTITY);
    let text = pipeline("strategy = \"fixed\"\ncentre = 1024\ndilation = 128\nwhole_max = 0", IDENTITY, 7, Some(9));
    work.write("p.toml", text + "[inference]\nunit_max = \"64MiB\"\n");
    let scene = path.to_str().unwrap();
    let arguments = ["plan", "p.toml", "-i", scene, "-o", "out", "--backend", "fake", "--memory", "512MiB", "--json"];
    let ran = work.swath(&arguments);
    ran.expect(0);
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["pixels"], 40_000_000_000_u64);
    assert_eq!(document["tiles"], 196 * 196);
    // The rest is the program and its decoders, whatever the scene.
    let memory = |part: &str| document["memory"][part].as_u64().unwrap();
    let of_the_scene = memory("reserved") - memory("base") - memory("decoders");
    assert!(of_the_scene < 992 << 20, "{}", document["memory"]);
}

#[test]
fn lists_and_single_files_are_inputs_too() {
    let work = prepared(IDENTITY);
    work.write("in/list.txt", "# some\na.tif\nsub/b.1.tif\n");
    let names = |input: &[&str]| {
        let arguments = [&["run", "p.toml", "-o", "out", "--backend", "fake", "-i"], input].concat();
        work.swath(&arguments).expect(0);
        archive(&work.path("out/submit.zip")).into_keys().collect::<Vec<_>>()
    };
    assert_eq!(names(&["in/list.txt"]), ["a.png", "sub/b.1.png"]);
    assert_eq!(names(&["in/sub/b.1.tif", "in/a.tif"]), ["a.png", "b.1.png"]);
    assert_eq!(names(&["in", "--exclude", "**/b.*"]), ["a.png"]);
}

#[test]
fn bad_scenes_are_named_and_cost_only_themselves() {
    let work = prepared(IDENTITY);
    let good = std::fs::read(work.path("in/sub/b.1.tif")).unwrap();
    work.write("in/empty.tif", "");
    work.write("in/html.tif", "<html>not found</html>");
    work.write("in/vrt.tif", "<VRTDataset rasterXSize=\"5\" rasterYSize=\"5\"></VRTDataset>");
    work.write("in/cut.tif", &good[..good.len() / 2]);
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle..middle + 64].iter_mut().for_each(|b| *b = !*b);
    work.write("in/flipped.tif", flipped);
    std::os::unix::fs::symlink("nowhere.tif", work.path("in/dangling.tif")).unwrap();
    std::fs::create_dir(work.path("in/folder.tif")).unwrap();
    let text = run(&work, &["-v"]).expect(3);
    for (name, words) in [
        ("empty.tif", "the file is empty"),
        ("html.tif", "it is a web page and no raster"),
        ("vrt.tif", "it is a VRT, a mosaic of other files; input.drivers"),
        ("cut.tif", "cannot"),
        ("flipped.tif", "cannot read band 1, rows"),
        ("dangling.tif", "a link to nothing"),
    ] {
        let line = text.lines().find(|l| l.starts_with("failed: ") && l.contains(name));
        assert!(line.is_some_and(|l| l.contains(words)), "{name}: {words} is not in\n{text}");
    }
    assert!(text.contains("3 done, 6 failed") && text.contains("--allow-partial"), "{text}");
    assert!(!work.path("out/submit.zip").exists());
    assert_eq!(work.report("out")["failed"].as_array().unwrap().len(), 6);

    run(&work, &["--allow-partial"]).says(3, &["(3 entries"]);
    run(&work, &["--allow-partial=blank:4"])
        .says(3, &["blank mask of 4", "left out of submit.zip: its size is unknown"]);
    assert!(archive(&work.path("out/submit.zip")).contains_key("flipped.png"));
    run(&work, &["--allow-partial=blank:9"]).says(2, &["no class of the pipeline has the value 9"]);
}

#[test]
fn too_few_bands_or_another_type_are_refused() {
    let work = prepared(IDENTITY);
    let text = pipeline(FIXED, IDENTITY, 7, None);
    work.write("p.toml", text.replace("bands = [1]\n", "bands = [3]\n"));
    run(&work, &[])
        .says(3, &["the pipeline reads band 3 and the scene has 1 band; change input.bands", "0 done, 3 failed"]);
    work.write("p.toml", text.replace("u8 = 1, ", ""));
    run(&work, &[]).says(3, &["the scene is u8 and the pipeline says how to scale", "add u8 to input.divide"]);
}

#[test]
fn a_pipe_among_the_scenes_is_refused_and_nobody_waits_for_it() {
    let work = prepared(IDENTITY);
    let fifo = work.path("in/pipe.tif");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    run(&work, &[]).says(3, &["pipe.tif", "not a regular file"]);
}

#[test]
fn two_inputs_of_one_output_are_all_listed_and_nothing_runs() {
    let work = prepared(IDENTITY);
    for name in ["a.tiff", "sub/B.1.tif"] {
        geotiff(&work.path(&format!("in/{name}")), Size::new(9, 9), &[1; 81]);
    }
    let words = ["`a.tif` and `a.tiff`", "`sub/B.1.tif` and `sub/b.1.tif`"];
    run(&work, &[]).says(2, &words);
    work.swath(&["plan", "p.toml", "-i", "in", "-o", "out", "--backend", "fake"]).says(2, &words);
    assert!(!work.path("out").exists());
}

#[test]
fn foreign_files_need_overwrite_and_own_files_do_not() {
    let work = prepared(IDENTITY);
    work.write("out/masks/a.png", "precious");
    run(&work, &[]).says(2, &["out/masks/a.png", "--overwrite"]);
    assert_eq!(std::fs::read(work.path("out/masks/a.png")).unwrap(), b"precious");
    run(&work, &["--overwrite"]).expect(0);
    run(&work, &[]).expect(0);
}

#[test]
fn too_little_memory_names_what_would_do() {
    let work = prepared(IDENTITY);
    let text = run(&work, &["--memory", "10k"]).expect(3);
    let needed = text.split("need --memory ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    run(&work, &["--memory", &needed]).expect(0);
}

#[test]
fn a_closed_standard_output_does_not_stop_a_run() {
    let work = prepared(IDENTITY);
    let mut command = work.command(&["run", "p.toml", "-i", "in", "-o", "out", "--backend", "fake"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = command.stdout(writer.try_clone().unwrap()).stderr(writer).status().unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(work.path("out/submit.zip").exists());
}

#[test]
fn the_sample_scenes_run_and_are_scored() {
    let work = Workdir::new();
    work.swath(&["synth", "--seed", "3", "-o", "data"]).says(0, &["data/images/"]);
    let demo = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/demo.toml");
    let arguments = ["run", demo.to_str().unwrap(), "-i", "data/images", "-o", "out", "--backend", "fake"];
    work.swath(&arguments).says(0, &["6 done, 0 failed"]);
    work.swath(&["eval", "out/masks", "--truth", "data/masks"]).says(0, &["mIoU"]);
    let ran = work.swath(&["eval", "data/masks", "--truth", "data/masks", "--json"]);
    let scores: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(scores["scores"]["miou"], 1.0);
    std::fs::remove_file(
        work.path("out/masks")
            .join(std::fs::read_dir(work.path("out/masks")).unwrap().next().unwrap().unwrap().file_name()),
    )
    .unwrap();
    work.swath(&["eval", "out/masks", "--truth", "data/masks"]).says(3, &["1 true mask without a mask"]);
}

#[test]
fn doctor_names_versions_formats_and_codecs() {
    let work = Workdir::new();
    let ran = work.swath(&["doctor"]);
    for word in ["swath", "GDAL", "GTiff", "DEFLATE", "libtorch", "memory"] {
        assert!(ran.stdout.contains(word), "{}", ran.stdout);
    }
    // It says of mosaics what a run does with them.
    let work = prepared(IDENTITY);
    std::fs::rename(work.path("in/a.tif"), work.path("in/tile.tif")).unwrap();
    let size = gdal::Dataset::open(work.path("in/tile.tif")).unwrap().raster_size();
    let (width, height) = size;
    let source = "<SimpleSource><SourceFilename relativeToVRT=\"1\">tile.tif</SourceFilename></SimpleSource>";
    let band = format!("<VRTRasterBand dataType=\"Byte\" band=\"1\">{source}</VRTRasterBand>");
    let text = format!("<VRTDataset rasterXSize=\"{width}\" rasterYSize=\"{height}\">{band}</VRTDataset>");
    work.write("in/a.vrt", text);
    let drivers = ["--set", "input.drivers=[\"GTiff\", \"VRT\"]", "--include", "a.vrt"];
    let is_read = run(&work, &drivers).code == Some(0);
    assert_eq!(ran.stdout.contains("read where a pipeline allows them; Landlock "), is_read, "{}", ran.stdout);
    assert_eq!(ran.stdout.contains("not read: "), !is_read, "{}", ran.stdout);
}

#[test]
fn every_broken_tiff_costs_itself_and_is_named() {
    let Some(broken) = shared("data/broken/open") else { return };
    let work = prepared(IDENTITY);
    for entry in std::fs::read_dir(broken).unwrap().map(Result::unwrap) {
        let name = entry.file_name();
        std::os::unix::fs::symlink(entry.path(), work.path("in").join(name)).unwrap();
    }
    let text = run(&work, &["--memory", "256MiB"]).expect(3);
    let report = work.report("out");
    let (done, failed) = (report["totals"]["done"].as_u64().unwrap(), report["totals"]["failed"].as_u64().unwrap());
    assert!(done >= 3 && failed > 60, "{done} done, {failed} failed\n{text}");
    assert!(["a", "sub/b.1", "sub/b.2"].iter().all(|n| work.path(&format!("out/masks/{n}.png")).exists()));
    let memory = &report["memory"];
    assert!(memory["peak_rss"].as_u64() <= memory["reserved"].as_u64(), "{memory}");
}

#[test]
fn what_is_done_stays_done_and_is_told_and_tidied() {
    let work = prepared(TWO);
    let good = std::fs::read(work.path("in/sub/b.1.tif")).unwrap();
    work.write("in/late.tif", &good[..good.len() / 2]);
    run(&work, &[]).says(3, &["3 done, 1 failed"]);
    work.swath(&["status", "out"])
        .says(0, &["4 in all: 3 done, 1 failed, 0 outstanding", "late.tif", "no submit.zip yet", "swath run p.toml"]);
    work.swath(&["verify", "out"]).says(0, &["0 do not"]);
    work.write("in/late.tif", &good);
    work.swath(&["resume", "out"]).says(0, &["3 of 4 scenes are done and verified", "4 done, 0 failed"]);
    run(&work, &[]).says(0, &["4 of 4 scenes are done and verified", "4 done, 0 failed"]);
    assert_eq!(work.report("out")["totals"]["forwards"], 0);
    work.swath(&["status", "out", "--json"]).says(0, &["\"done\": 4", "\"archive\": true"]);

    std::fs::write(work.path("out/masks/a.png"), b"not what was recorded").unwrap();
    work.swath(&["verify", "out"]).says(3, &["1 do not", "out/masks/a.png", "makes them anew"]);
    run(&work, &[]).says(0, &["1 scene has files that are gone or not as recorded"]);
    work.swath(&["verify", "out"]).says(0, &["0 do not"]);

    // Another tiling leaves the checkpoints of the first one behind.
    run(&work, &["--set", "tiler.dilation=20"]).expect(0);
    let before = files(&work.path("out/checkpoints")).len();
    work.swath(&["gc", "out"]).says(0, &["removed ("]);
    let after = files(&work.path("out/checkpoints")).len();
    assert!(0 < after && after < before, "{before} {after}");
    run(&work, &["--set", "tiler.dilation=20", "--from", "encode"]).expect(0);
    work.swath(&["gc", "out", "--all"]).expect(0);
    assert!(files(&work.path("out/checkpoints")).is_empty());
    work.swath(&["verify", "out"]).says(0, &["0 do not"]);
    work.swath(&["status", "in"]).says(2, &["is no run directory"]);
}

#[test]
fn a_folder_in_use_is_refused_with_the_holder() {
    let work = prepared(IDENTITY);
    run(&work, &[]).expect(0);
    let lock = work.write("out/.lock", r#"{"pid":1,"host":"elsewhere"}"#);
    run(&work, &[]).says(11, &["process 1 on elsewhere", "--break-lock"]);
    run(&work, &["--break-lock"]).expect(0);
    let held = std::fs::File::create(&lock).unwrap();
    held.lock().unwrap();
    run(&work, &["--break-lock"]).says(11, &["is in use by another run"]);
}

#[test]
fn the_next_run_goes_on_where_one_was_interrupted() {
    let work = prepared(TWO);
    for i in 0..400u32 {
        let size = Size::new(150, 150 + i % 3);
        geotiff(&work.path(&format!("in/many/s{i:03}.tif")), size, &values(size, 7, i));
    }
    let arguments = ["run", "p.toml", "-i", "in", "-o", "alone", "--backend", "fake"];
    work.swath(&arguments).expect(0);
    let mut child = work.command(&["run", "p.toml", "-i", "in", "-o", "out", "--backend", "fake"]).spawn().unwrap();
    let start = std::time::Instant::now();
    while !work.path("out/masks").exists() && start.elapsed().as_secs() < 60 {
        std::thread::yield_now();
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let code = child.wait().unwrap().code();
    assert!(code == Some(143) || code == Some(0), "{code:?}");
    assert!(!files(&work.path("out")).keys().any(|name| name.contains("tmp") || name.contains(".lock")));
    run(&work, &[]).expect(0);
    assert!(outputs(&work.path("out")) == outputs(&work.path("alone")));
}

#[test]
fn resume_goes_on_even_where_the_command_began_afresh() {
    let work = prepared(TWO);
    let good = std::fs::read(work.path("in/sub/b.1.tif")).unwrap();
    work.write("in/late.tif", &good[..good.len() / 2]);
    run(&work, &["--fresh"]).says(3, &["3 done, 1 failed"]);
    work.write("in/late.tif", &good);
    work.swath(&["resume", "out"]).says(0, &["3 of 4 scenes are done and verified", "4 done, 0 failed"]);
}

#[test]
fn a_sidecar_that_appears_makes_its_scene_anew() {
    let work = prepared(IDENTITY);
    run(&work, &[]).expect(0);
    let band = "<PAMDataset><PAMRasterBand band=\"1\"><NoDataValue>3</NoDataValue></PAMRasterBand></PAMDataset>";
    work.write("in/sub/b.1.tif.aux.xml", band);
    run(&work, &[]).says(0, &["2 of 3 scenes are done and verified"]);
}

#[test]
fn memory_for_each_scene_but_no_batch_fails_the_plan() {
    let work = Workdir::new();
    let tiler = "strategy = \"whole\"\nwhole_max = 400";
    work.write("p.toml", pipeline(tiler, IDENTITY, 7, None) + "[inference]\nbatch = 16\n");
    for i in 0..16 {
        let size = Size::new(400, 400);
        geotiff(&work.path(&format!("in/s{i:02}.tif")), size, &values(size, 7, i));
    }
    let text = run(&work, &["--memory", "4MiB", "--devices", "cpu"]).expect(2);
    let needed = text.split("it needs --memory ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    assert!(!work.path("out").exists());
    run(&work, &["--memory", &needed, "--devices", "cpu"]).says(0, &["16 done, 0 failed"]);
}
