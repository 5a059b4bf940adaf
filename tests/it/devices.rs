//! Devices that are out of memory, get lost, or return what is no number, in memory with the fake backend's faulty twin.

use std::collections::BTreeMap;
use std::path::Path;

use swath::app::{Ended, Error, Origin, Reuse, RunOptions};
use swath::faults::FaultPlan;
use swath::geom::Size;
use swath::plan::DeviceId;
use swath::raster::MemoryRaster;

use crate::support::memory::{Flow, TWO, pipeline, scene};
use crate::support::outputs;

const FIXED: &str = "strategy = \"fixed\"\ncentre = 24\ndilation = 5\nwhole_max = 20";
const GPUS: [DeviceId; 2] = [DeviceId::Cuda(0), DeviceId::Cuda(1)];

/// A scene of 3 x 4 tiles, one of 3 x 2, and five that are one tile each and share a unit.
fn scenes() -> Vec<(String, MemoryRaster)> {
    let sizes = [(50, 33), (64, 90), (18, 12), (18, 12), (18, 12), (18, 12), (18, 12)];
    (0..).zip(sizes).map(|(i, (w, h))| (format!("s{i}"), scene(Size::new(w, h), 7, i))).collect()
}

fn text() -> String {
    pipeline(FIXED, TWO, 7, Some(9)) + "[inference]\nbatch = 2\n"
}

fn flow() -> Flow {
    Flow::new(&text(), scenes())
}

fn with(faults: &str, out: &Path) -> RunOptions {
    RunOptions { faults: FaultPlan::of(faults), ..RunOptions::into(out) }
}

fn run(flow: &Flow, faults: &str, out: &Path) -> Ended {
    flow.run_with(with(faults, out)).unwrap()
}

type Outputs = BTreeMap<String, Vec<u8>>;

/// What a quiet run makes of a pipeline.
fn quiet(text: &str) -> Outputs {
    let dir = tempfile::tempdir().unwrap();
    Flow::new(text, scenes()).run(dir.path()).unwrap();
    outputs(dir.path())
}

/// Scenes that ran tile by tile, with the number of units that did.
fn tile_by_tile(ended: &Ended) -> Vec<(&str, usize)> {
    let mut scenes: Vec<_> =
        ended.report.reduced.iter().map(|c| (c.scene.trim_end_matches(".tif"), c.single_tiles.len())).collect();
    scenes.sort_unstable();
    scenes
}

#[test]
fn out_of_memory_that_passes_changes_no_byte() {
    let expected = quiet(&text());
    for faults in ["device:oom@1", "device:oom@4", "device:oom@7", "device:oom@2,device:oom@5"] {
        for checkpoints in ["", "checkpoints = [\"labels\", \"member-logits\"]\n"] {
            // A core has one batch in its hands, a GPU two: what fails gives both back.
            for gpus in [&[][..], &GPUS[..1]] {
                let dir = tempfile::tempdir().unwrap();
                let text = format!("{checkpoints}{}", text());
                let ended = run(&Flow { gpus: gpus.to_vec(), ..Flow::new(&text, scenes()) }, faults, dir.path());
                assert!(outputs(dir.path()) == expected, "{faults}, {gpus:?}");
                assert_eq!(tile_by_tile(&ended), [], "{faults}, {gpus:?}");
            }
        }
    }
}

/// Runs into out of memory, and again, and again after a mask is gone.
fn run_into(faults: &str, units: &[(&str, usize)], checkpoints: &str, devices: &[DeviceId], expected: &Outputs) {
    let (dir, what) = (tempfile::tempdir().unwrap(), format!("{faults}, {checkpoints}, {devices:?}"));
    let flow = Flow { gpus: devices.to_vec(), ..Flow::new(&format!("{checkpoints}{}", text()), scenes()) };
    let first = run(&flow, faults, dir.path());
    assert_eq!((tile_by_tile(&first).as_slice(), first.report.totals.done), (units, 7), "{what}");
    let planned = flow.plan().unwrap().0.plan.totals();
    let ran = &first.report.totals;
    assert_eq!(ran.tiles, planned.tiles, "{what}");
    // Logits that another device had kept before the unit was put off are brought back, and no network sees these tiles again.
    let are_kept = checkpoints.contains("member-logits");
    let (seen, planned) = (ran.network_pixels, planned.network_pixels);
    assert!(seen == planned || (are_kept && seen < planned), "{what}: {seen} of {planned}");
    assert!(outputs(dir.path()) == *expected, "{what}");

    // What was conceded is known: the same command reuses all of it, without a device that could fail.
    let again = run(&flow, "device:oom", dir.path());
    let totals = &again.report.totals;
    assert_eq!((totals.reused, totals.forwards, totals.decoded), (7, 0, 0), "{what}");
    assert_eq!(tile_by_tile(&again), units, "{what}");

    std::fs::remove_file(dir.path().join("masks/s1.png")).unwrap();
    let resumed = run(&flow, faults, dir.path());
    assert_eq!((resumed.report.totals.reused, tile_by_tile(&resumed).as_slice()), (6, units), "{what}");
    assert!(outputs(dir.path()) == *expected, "{what}");
}

#[test]
fn a_unit_that_does_not_fit_runs_tile_by_tile_from_then_on() {
    let group = [("s2", 1), ("s3", 1), ("s4", 1), ("s5", 1), ("s6", 1)];
    let all = [[("s0", 2), ("s1", 4)].as_slice(), &group].concat();
    // The fake device rounds the same way for every size of a batch, so its bytes are those of a quiet run.
    let expected = quiet(&text());
    let (logits, cpu) = ("checkpoints = [\"labels\", \"member-logits\"]\n", DeviceId::Cpu);
    for (checkpoints, devices) in
        [("", &[cpu][..]), ("checkpoints = []\n", &[cpu; 3]), (logits, &[cpu; 2]), ("", &GPUS[..1]), (logits, &GPUS)]
    {
        run_into("device:oom~n2 s1 y24", &[("s1", 1)], checkpoints, devices, &expected);
        run_into("device:oom~n2 s1", &[("s1", 4)], checkpoints, devices, &expected);
        run_into("device:oom~member1 n2 s4 s5", &group, checkpoints, devices, &expected);
        run_into("device:oom~n2", &all, checkpoints, devices, &expected);
    }
}

#[test]
fn what_was_conceded_holds_after_a_run_that_was_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    lost(flow().run_with(with("device:oom~n2 s1 y24,device:lost~n1 s1 y24", dir.path())));
    // Were the unit tried with two tiles again, the device would be lost again.
    let ended = run(&flow(), "device:lost~n2 s1 y24", dir.path());
    assert_eq!(tile_by_tile(&ended), [("s1", 1)]);
    assert!(outputs(dir.path()) == quiet(&text()));
}

#[test]
fn batches_of_one_tile_have_the_keys_of_a_plan_that_has_them() {
    let dir = tempfile::tempdir().unwrap();
    run(&flow(), "device:oom~n2", dir.path());
    // Whatever the first run had to run tile by tile is what this plan asks for; only the order of the scenes' files is the plan's.
    let single = Flow::new(&text().replace("batch = 2", "batch = 1"), scenes());
    let totals = single.run(dir.path()).unwrap().report.totals;
    assert_eq!((totals.reused, totals.forwards), (7, 0));
    // And what was not conceded to that plan is not taken for its own: another batch is another key.
    let totals = Flow::new(&text().replace("batch = 2", "batch = 3"), scenes()).run(dir.path()).unwrap().report.totals;
    assert!(totals.forwards > 0, "{totals:?}");
}

#[test]
fn fresh_forgets_what_was_conceded() {
    let dir = tempfile::tempdir().unwrap();
    run(&flow(), "device:oom~n2", dir.path());
    let options = RunOptions { reuse: Reuse::Nothing, ..with("", dir.path()) };
    assert_eq!(tile_by_tile(&flow().run_with(options).unwrap()), []);
}

#[test]
fn a_tile_that_does_not_fit_alone_costs_its_scene_and_no_other() {
    let expected = quiet(&text());
    for (faults, lost) in [("device:oom~n2 s1 y24,device:oom~s1 y24 x24", "s1"), ("device:oom~s4", "s4")] {
        let dir = tempfile::tempdir().unwrap();
        let ended = run(&flow(), faults, dir.path());
        let failed = &ended.report.failed;
        assert_eq!(failed.len(), 1, "{failed:?}");
        assert_eq!((failed[0].scene.as_str(), failed[0].stage.as_str()), (format!("{lost}.tif").as_str(), "infer"));
        for words in ["out of memory even with a batch of 1", "[tiler]", "Tried to allocate", "column"] {
            assert!(failed[0].cause.contains(words), "{}", failed[0].cause);
        }
        let masks = |all: Outputs| -> Outputs {
            let own = |name: &String| name.ends_with("png") && !name.contains(lost);
            all.into_iter().filter(|(name, _)| own(name)).collect()
        };
        assert!(masks(outputs(dir.path())) == masks(expected.clone()));
        assert!(!dir.path().join(format!("masks/{lost}.png")).exists());
        // With the device at ease again the scene is done, tile by tile as before.
        let ended = run(&flow(), "", dir.path());
        assert_eq!((ended.report.totals.done, ended.report.totals.failed), (7, 0));
        assert!(outputs(dir.path()) == expected);
    }
}

#[test]
fn members_spread_over_devices_are_put_off_together() {
    let expected = quiet(&text());
    let matrix = vec![vec![true, false], vec![false, true]];
    for faults in ["device:oom~member0 n2 s1 y24", "device:oom~member1 n2"] {
        let dir = tempfile::tempdir().unwrap();
        let flow = Flow { matrix: Some(matrix.clone()), devices: 2, ..flow() };
        let ended = run(&flow, faults, dir.path());
        assert!(!tile_by_tile(&ended).is_empty());
        assert!(outputs(dir.path()) == expected, "{faults}");
    }
}

fn lost(result: Result<Ended, Error>) -> Error {
    let error = result.unwrap_err();
    assert!(matches!(error, Error::DeviceLost { .. } | Error::NoDevice { .. }), "{error}");
    error
}

#[test]
fn a_lost_device_ends_the_run_and_the_same_command_goes_on() {
    let expected = quiet(&text());
    let dir = tempfile::tempdir().unwrap();
    let flow = Flow { gpus: GPUS[1..].to_vec(), ..flow() };
    let error = lost(flow.run_with(with("device:lost~cuda:1 member0 n2 s1 y48", dir.path())));
    assert!(matches!(error, Error::DeviceLost { .. }));
    for words in ["the device cuda:1 is lost", "illegal memory access", "the same command"] {
        assert!(error.to_string().contains(words), "{error}");
    }
    let ended = run(&flow, "", dir.path());
    assert_eq!(ended.report.totals.done, 7);
    assert!(outputs(dir.path()) == expected);
}

#[test]
fn a_device_lost_three_times_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    // A member each, so that both get every batch.
    let flow = Flow { gpus: GPUS.to_vec(), matrix: Some(vec![vec![true, false], vec![false, true]]), ..flow() };
    let options = |faults: &str, restarted| RunOptions {
        origin: Origin { restarted, ..Origin::default() },
        ..with(faults, dir.path())
    };
    let bad = "device:lost~cuda:1";
    for restarted in [false, true, true] {
        let text = lost(flow.run_with(options(bad, restarted))).to_string();
        assert!(text.contains("cuda:1"), "{text}");
    }
    let ended = flow.run_with(options(bad, true)).unwrap();
    assert_eq!(ended.report.totals.done, 7);

    std::fs::remove_file(dir.path().join("masks/s1.png")).unwrap();
    std::fs::remove_dir_all(dir.path().join("checkpoints")).unwrap();
    for (faults, restarted) in [("device:lost", false), ("device:lost", true)] {
        assert!(matches!(lost(flow.run_with(options(faults, restarted))), Error::DeviceLost { .. }));
    }
    let mut error = lost(flow.run_with(options("device:lost", true)));
    while matches!(error, Error::DeviceLost { .. }) {
        error = lost(flow.run_with(options("device:lost", true)));
    }
    for words in ["no device is left: cuda:0, cuda:1 were lost 3 times each", "illegal memory access", "goes on"] {
        assert!(error.to_string().contains(words), "{error}");
    }
    // A person has seen to it.
    assert_eq!(flow.run_with(options("", false)).unwrap().report.totals.done, 7);
}

#[test]
fn a_restarted_run_does_not_begin_anew() {
    let dir = tempfile::tempdir().unwrap();
    run(&flow(), "", dir.path());
    let options = RunOptions {
        reuse: Reuse::Nothing,
        origin: Origin { restarted: true, ..Origin::default() },
        ..with("", dir.path())
    };
    assert_eq!(flow().run_with(options).unwrap().report.totals.reused, 7);
}

#[test]
fn a_logit_that_is_no_number_is_computed_again_in_f32() {
    for gpus in [&[][..], &GPUS[..1]] {
        let dir = tempfile::tempdir().unwrap();
        let ended = run(&Flow { gpus: gpus.to_vec(), ..flow() }, "device:nan@3", dir.path());
        assert_eq!(ended.report.failed, []);
        assert!(outputs(dir.path()) == quiet(&text()));
    }
}

#[test]
fn a_member_that_returns_no_number_for_a_tile_costs_the_scene() {
    for checkpoints in ["checkpoints = []\n", "checkpoints = [\"labels\", \"member-logits\"]\n"] {
        let dir = tempfile::tempdir().unwrap();
        let flow = Flow::new(&format!("{checkpoints}{}", text()), scenes());
        let ended = run(&flow, "device:nan~member1 n2 s1 y24 x0", dir.path());
        let failed = &ended.report.failed;
        assert_eq!((failed.len(), failed[0].scene.as_str(), failed[0].stage.as_str()), (1, "s1.tif", "infer"));
        for words in ["`member1` returns non-finite logits", "column 0, row 24"] {
            assert!(failed[0].cause.contains(words), "{}", failed[0].cause);
        }
        assert_eq!(ended.report.totals.done, 6);
        assert!(!dir.path().join("masks/s1.png").exists());
        run(&flow, "", dir.path());
        assert!(outputs(dir.path()) == quiet(&text()));
    }
}

#[test]
fn a_pass_that_fails_costs_the_scenes_of_its_batch() {
    let dir = tempfile::tempdir().unwrap();
    let ended = run(&flow(), "device:error~member0 n2 s1 y24 x0", dir.path());
    let failed = &ended.report.failed;
    assert_eq!((failed.len(), failed[0].scene.as_str()), (1, "s1.tif"));
    assert!(failed[0].cause.contains("member `member0` cannot run: planted fault"), "{}", failed[0].cause);
}

#[test]
#[cfg(feature = "gdal")]
fn a_lost_device_is_an_exit_code_and_a_message() {
    use crate::support::command::{Workdir, geotiff};
    use crate::support::memory::values;
    let work = Workdir::new();
    work.write("p.toml", text());
    for (i, (w, h)) in (0..).zip([(50, 33), (64, 90)]) {
        geotiff(&work.path(&format!("in/s{i}.tif")), Size::new(w, h), &values(Size::new(w, h), 7, i));
    }
    let arguments = ["run", "p.toml", "-i", "in", "-o", "out", "--backend", "fake", "--devices", "cuda:0"];
    let mut command = work.command(&arguments);
    let output = command.env("SWATH_FAULTS", "device:oom~n2 s1 y24,device:lost~s0").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(14), "{said}");
    assert!(said.contains("the device cuda:0 is lost: CUDA error") && said.contains("the same command"), "{said}");
    work.swath(&arguments).says(0, &["2 done, 0 failed"]);
}
