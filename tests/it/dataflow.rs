//! The whole dataflow over scenes in memory, with the fake backend: what must hold for every scene, every tiling and every schedule.

use std::path::Path;

use swath::app::{RunOptions, execute};
use swath::geom::Size;
use swath::plan::{Assignment, DeviceId, Promise, admission_needs};
use swath::raster::{MemoryRaster, PixelBuf, PixelType};

use crate::support::memory::{Flow, IDENTITY, TWO, job, pipeline, scene, values};
use crate::support::{archive, outputs, png};

const FIXED: &str = "strategy = \"fixed\"\ncentre = 24\ndilation = 5\nwhole_max = 20";

/// A mixture of shapes: single pixels, slivers, odd and larger ones.
fn mixed() -> Vec<(String, MemoryRaster)> {
    let sizes = [(1, 1), (1, 97), (97, 1), (20, 20), (21, 3), (20, 20), (50, 33), (64, 90), (131, 77), (20, 20)];
    let name = |i: u32| format!("f{}/s{i}", i % 2);
    (0..).zip(sizes).map(|(i, (w, h))| (name(i), scene(Size::new(w, h), 7, i))).collect()
}

fn run(flow: &Flow, out: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let ended = flow.run(out).unwrap();
    assert_eq!(ended.report.failed, []);
    assert_eq!(ended.report.totals.done, flow.scenes.len() as u64);
    outputs(out)
}

#[test]
fn an_identity_network_gives_back_the_input() {
    let tilers = [
        "strategy = \"whole\"\nwhole_max = 500",
        "strategy = \"adaptive\"\nwhole_max = 20\ncentres = [32, 28, 24, 20, 16]\ndilation = 6",
        "strategy = \"adaptive\"\nwhole_max = 0\ncentres = [16, 15]\ndilation = 40\nborder = \"zero\"",
        "strategy = \"adaptive\"\nrule = \"least-waste\"\nwhole_max = 0\ncentres = [31, 16]\ndilation = [0, 9]",
        "strategy = \"adaptive\"\nrule = \"even\"\nwhole_max = 20\ncentres = [24]\ndilation = [7, 2]",
        FIXED,
        "strategy = \"fixed\"\ncentre = 1\ndilation = 0\nwhole_max = 64",
        "strategy = \"fixed\"\ncentre = 200\ndilation = 30\nwhole_max = 0\nborder = \"zero\"",
    ];
    for tiler in tilers {
        for batch in [1, 3] {
            let text = pipeline(tiler, IDENTITY, 7, None) + &format!("[inference]\nbatch = {batch}\n");
            let dir = tempfile::tempdir().unwrap();
            let flow = Flow::new(&text, mixed());
            run(&flow, dir.path());
            let packed = archive(&dir.path().join("submit.zip"));
            assert_eq!(packed.len(), flow.scenes.len());
            for (i, (name, raster)) in (0..).zip(&flow.scenes) {
                let mask = dir.path().join(format!("masks/{name}.png"));
                let (width, height, found) = png(&mask);
                let size = raster.header.size;
                assert_eq!((width, height), (size.width, size.height), "{name} {tiler}");
                let expected: Vec<u16> = values(size, 7, i).into_iter().map(u16::from).collect();
                assert!(found == expected, "{name} with {tiler}, batch {batch}");
                assert_eq!(packed[&format!("{name}.png")], std::fs::read(mask).unwrap());
            }
        }
    }
}

#[test]
fn bytes_do_not_depend_on_workers_readers_memory_or_the_day() {
    let text = pipeline(FIXED, TWO, 7, None) + "[inference]\nbatch = 2\nunit_max = \"4k\"\n";
    let all = |devices, readers, memory| {
        let dir = tempfile::tempdir().unwrap();
        let flow = Flow { devices, readers, memory, ..Flow::new(&text, mixed()) };
        run(&flow, dir.path())
    };
    let reference = all(1, 1, 64 << 20);
    assert!(reference.keys().any(|k| k == "submit.zip") && reference.len() == 2 * 10 + 1, "{:?}", reference.keys());
    for (devices, readers, memory) in [(1, 1, 64 << 20), (2, 1, 64 << 20), (3, 4, 64 << 20), (2, 3, 1 << 18)] {
        assert!(all(devices, readers, memory) == reference, "{devices} devices, {readers} readers, {memory} bytes");
    }
}

#[test]
fn members_spread_over_devices_give_the_same_bytes() {
    for rule in ["logits", "probabilities"] {
        let text = pipeline(FIXED, TWO, 7, None) + &format!("[inference]\ncombine = \"{rule}\"\n");
        let flow = Flow::new(&text, mixed());
        let together = tempfile::tempdir().unwrap();
        run(&flow, together.path());
        let spread = tempfile::tempdir().unwrap();
        let (planned, source) = flow.plan().unwrap();
        let schedule = swath::plan::Schedule {
            decode: swath::plan::Decode::InProcess,
            devices: vec![DeviceId::Cpu; 3],
            assignment: Assignment::from_matrix(vec![vec![true, false], vec![false, true], vec![true, false]]).unwrap(),
            readers: 2,
            encoders: 1,
            memory: 64 << 20,
        };
        execute(job(planned, schedule, source), &RunOptions { pack_fake: true, ..RunOptions::into(spread.path()) })
            .unwrap();
        assert!(outputs(together.path()) == outputs(spread.path()), "{rule}");
    }
}

#[test]
fn every_row_of_a_unit_is_read_once() {
    let flow = Flow::new(&pipeline(FIXED, IDENTITY, 7, None), mixed());
    let (planned, source) = flow.plan().unwrap();
    let windows = planned.plan.units.iter().flat_map(|u| u.geometry(&planned.plan).parts);
    let expected: u64 = windows.map(|p| u64::from(p.window.size.height)).sum();
    let schedule = swath::plan::Schedule {
        decode: swath::plan::Decode::InProcess,
        devices: vec![DeviceId::Cpu; 2],
        assignment: Assignment::replicate(2, 1),
        readers: 3,
        encoders: 1,
        memory: 64 << 20,
    };
    let counter = source.clone();
    let dir = tempfile::tempdir().unwrap();
    let job = job(planned, schedule, source);
    execute(job, &RunOptions { pack_fake: true, ..RunOptions::into(dir.path()) }).unwrap();
    assert_eq!(counter.rows_read(), expected);
}

#[test]
fn the_promise_covers_open_scenes_when_holes_are_filled() {
    let size = Size::new(200, 90);
    let scenes = (0..9).map(|i| (format!("s{i}"), scene(size, 7, i))).collect();
    let (planned, _) =
        Flow::new(&(pipeline(FIXED, IDENTITY, 7, None) + "[post]\nfill_holes = 9\n"), scenes).plan().unwrap();
    let post = |readers: usize, devices: usize| {
        let schedule = swath::plan::Schedule {
            decode: swath::plan::Decode::InProcess,
            devices: vec![DeviceId::Cpu; devices],
            assignment: Assignment::replicate(devices, 1),
            readers,
            encoders: 1,
            memory: 64 << 20,
        };
        Promise::new(&planned.plan, &schedule).post
    };
    let steps = planned.plan.steps_of(&planned.plan.scenes[0]);
    // The list of rows in the stage, and in it that of a row's planes.
    let held = steps.max_bytes() + steps.max_rows() * 3 * size_of::<Vec<u8>>() as u64;
    // Every reader and every device but one may keep a scene waiting while others overtake it.
    assert_eq!(post(2, 3) - post(1, 1), 3 * held);
    assert!(post(1, 1) >= 2 * held);
    assert_eq!(post(9, 9), post(20, 20), "there are only nine scenes");
}

#[test]
fn the_promise_counts_weights_once_and_what_devices_need_each() {
    let (mut planned, _) = Flow::new(&pipeline(FIXED, TWO, 7, None), mixed()).plan().unwrap();
    planned.plan.backend = swath::plan::BackendKind::Torch;
    let promise = |planned: &swath::plan::Planned, devices: &[DeviceId]| {
        let schedule = swath::plan::Schedule {
            decode: swath::plan::Decode::InProcess,
            devices: devices.to_vec(),
            assignment: Assignment::replicate(devices.len(), 2),
            readers: 1,
            encoders: 1,
            memory: 64 << 20,
        };
        Promise::new(&planned.plan, &schedule)
    };
    let plan = planned.plan.clone();
    let batch = plan.batch(plan.scenes[0].grid.crop());
    let (one, four) = (promise(&planned, &[DeviceId::Cpu]), promise(&planned, &[DeviceId::Cpu; 4]));
    assert_eq!(one.weights, plan.members.iter().map(|m| m.weights_bytes(false)).sum::<u64>());
    assert_eq!((four.weights, four.activations, four.staging), (one.weights, 4 * one.activations, 0));

    // Three f32 maps of all classes, of the largest crop as the networks see it.
    let crops =
        plan.scenes.iter().map(|scene| plan.members[0].member.spec.size_rule().padded(scene.grid.crop()).area());
    let maps = 3 * 4 * 7 * crops.max().unwrap();
    let tensors = promise(&planned, &[DeviceId::CpuTensors; 2]);
    assert_eq!(tensors.activations, 2 * (one.activations + maps));
    let labels = plan.scenes.iter().map(|scene| scene.grid.crop().area()).max().unwrap() * u64::from(batch);
    let on_the_way = plan.maxima.batch.next_power_of_two() + labels.next_power_of_two();
    assert_eq!((tensors.staging, tensors.gpu), (2 * 2 * on_the_way, None));

    // Two workers on the first GPU, which is the one that needs most.
    let gpus = [DeviceId::Cuda(0), DeviceId::Cuda(1), DeviceId::Cuda(0)];
    let parameters: Vec<u64> = plan.members.iter().map(|m| m.member.spec.parameters()).collect();
    let in_flight = 2 * (plan.maxima.batch + labels);
    let on_gpus = promise(&planned, &gpus);
    let context = 512 << 20;
    let f32_bytes = context + 4 * parameters.iter().sum::<u64>() + 2 * (one.activations + maps + in_flight);
    assert_eq!((on_gpus.gpu, on_gpus.activations), (Some(f32_bytes), 0));
    assert_eq!(on_gpus.staging, 3 * 2 * on_the_way);
    // In f16 with room for one member in f32, on one tile.
    planned.plan.members.iter_mut().for_each(|m| m.resolved_precision = swath::config::Precision::F16);
    let widened = 4 * parameters.iter().max().unwrap();
    let activations = (one.activations / 2).max(one.activations / u64::from(batch));
    let half_bytes = context + 2 * parameters.iter().sum::<u64>() + 2 * (widened + activations + maps + in_flight);
    assert_eq!(promise(&planned, &gpus).gpu, Some(half_bytes));
}

/// One scene so wide that its rows of tiles are cut into several units, as a tiled file.
fn wide() -> (String, MemoryRaster) {
    let size = Size::new(4096, 64);
    let mut raster = scene(size, 7, 1);
    raster.header.block = Size::new(64, 64);
    ("wide".into(), raster)
}

#[test]
fn a_row_of_many_units_runs_in_the_least_memory() {
    let text = pipeline("strategy = \"fixed\"\ncentre = 64\ndilation = 8\nwhole_max = 0", IDENTITY, 7, None)
        + "[inference]\nunit_max = \"32k\"\n";
    let flow = Flow::new(&text, vec![wide()]);
    let (planned, _) = flow.plan().unwrap();
    assert!(planned.plan.units.len() > 4);
    let need = admission_needs(&planned.plan).into_iter().max().unwrap();
    assert!(need > 4096 * 64, "the labels of a whole row are held together");
    let schedule = |memory| swath::plan::Schedule {
        decode: swath::plan::Decode::InProcess,
        devices: vec![DeviceId::Cpu; 1],
        assignment: Assignment::replicate(1, 1),
        readers: 1,
        encoders: 2,
        memory,
    };
    let batches = schedule(0).batches_in_flight() * planned.plan.maxima.batch;
    for readers in [1, 4] {
        let flow = Flow { memory: need + batches, readers, ..Flow::new(&text, vec![wide()]) };
        let dir = tempfile::tempdir().unwrap();
        let ended = flow.run(dir.path()).unwrap();
        assert_eq!(ended.report.totals.done, 1);
        assert!(ended.report.memory.peak_units <= need);
        assert!(
            png(&dir.path().join("masks/wide.png"))
                .2
                .iter()
                .copied()
                .eq(values(Size::new(4096, 64), 7, 1).into_iter().map(u16::from))
        );
    }
    let flow = Flow { memory: need + batches - 1, ..Flow::new(&text, vec![wide()]) };
    let (planned, _) = flow.plan().unwrap();
    assert_eq!(planned.plan.scenes.len(), 0);
    assert!(planned.refused[0].failure.cause.contains("need --memory 1MiB"), "{:?}", planned.refused);
}

#[test]
fn memory_stays_within_the_budget_for_any_number_of_scenes() {
    let scenes = (0..300).map(|i| (format!("s{i:03}"), scene(Size::new(61, 40), 7, i))).collect();
    let text = pipeline("strategy = \"whole\"\nwhole_max = 64", IDENTITY, 7, None) + "[inference]\nbatch = 4\n";
    let flow = Flow { memory: 1 << 20, readers: 2, devices: 2, ..Flow::new(&text, scenes) };
    let dir = tempfile::tempdir().unwrap();
    let ended = flow.run(dir.path()).unwrap();
    assert_eq!(ended.report.totals.done, 300);
    assert!(ended.report.memory.peak_units <= 1 << 20);
}

/// A float scene whose upper left corner is `hole`, and the same scene without it.
fn holed(hole: f32, nodata: Option<f64>) -> Vec<(String, MemoryRaster)> {
    let size = Size::new(70, 50);
    let whole: Vec<f32> = values(size, 7, 5).into_iter().map(f32::from).collect();
    let mut corner = whole.clone();
    for y in 0..10 {
        corner[y * 70..y * 70 + 12].fill(hole);
    }
    let raster = |values: &[f32]| {
        let mut raster = MemoryRaster::new(size, 1, PixelBuf::from_slice(PixelType::F32, values));
        raster.header.nodata = vec![nodata];
        raster
    };
    vec![("corner".into(), raster(&corner)), ("whole".into(), raster(&whole))]
}

#[test]
fn a_hole_changes_nothing_beyond_the_receptive_field() {
    for (hole, nodata) in [(f32::NAN, None), (f32::INFINITY, None), (-9999.0, Some(-9999.0))] {
        for tiler in ["strategy = \"whole\"\nwhole_max = 100", FIXED] {
            let dir = tempfile::tempdir().unwrap();
            run(&Flow::new(&pipeline(tiler, TWO, 7, Some(99)), holed(hole, nodata)), dir.path());
            let corner = png(&dir.path().join("masks/corner.png")).2;
            let whole = png(&dir.path().join("masks/whole.png")).2;
            // The fake networks look at cells of 4 x 4 pixels and blend neighbouring ones.
            for (i, (c, w)) in corner.iter().zip(&whole).enumerate() {
                let (x, y) = (i % 70, i / 70);
                if x < 12 && y < 10 {
                    assert_eq!(*c, 99, "{hole} at {x}, {y}");
                } else {
                    assert_ne!(*c, 99, "{hole} at {x}, {y}");
                    assert!(c == w || (x < 12 + 8 && y < 10 + 8), "{hole} reaches {x}, {y} with {tiler}");
                }
            }
        }
    }
}

#[test]
fn a_scene_of_nodata_alone_runs_no_network() {
    let size = Size::new(40, 40);
    let mut raster = MemoryRaster::new(size, 1, PixelBuf::from_slice(PixelType::I16, &vec![-1i16; size.len()]));
    raster.header.nodata = vec![Some(-1.0)];
    let dir = tempfile::tempdir().unwrap();
    let ended = Flow::new(&pipeline(FIXED, TWO, 7, Some(9)), vec![("a".into(), raster)]).run(dir.path()).unwrap();
    assert_eq!((ended.report.totals.forwards, ended.report.totals.done), (0, 1));
    assert!(png(&dir.path().join("masks/a.png")).2.iter().all(|v| *v == 9));
}

#[test]
fn sixteen_bit_masks_hold_the_tables_values() {
    let text =
        pipeline(FIXED, IDENTITY, 3, None).replace("value = 2", "value = 800").replace("value = 1", "value = 300");
    let text = text.replace("[outputs]", "[outputs]\nmask_bits = 16");
    let dir = tempfile::tempdir().unwrap();
    let size = Size::new(33, 20);
    run(&Flow::new(&text, vec![("a".into(), scene(size, 3, 4))]), dir.path());
    let expected: Vec<u16> = values(size, 3, 4).into_iter().map(|v| [0, 300, 800][usize::from(v)]).collect();
    assert_eq!(png(&dir.path().join("masks/a.png")).2, expected);
}

#[test]
fn the_colour_picture_has_the_tables_colours() {
    let dir = tempfile::tempdir().unwrap();
    let size = Size::new(33, 20);
    run(&Flow::new(&pipeline(FIXED, IDENTITY, 3, None), vec![("a".into(), scene(size, 3, 4))]), dir.path());
    let picture = image::open(dir.path().join("color/a.png")).unwrap().into_rgb8();
    let ids = values(size, 3, 4);
    assert!(picture.pixels().zip(ids).all(|(pixel, id)| pixel.0 == [id, 0x20, 0x30]));
}

#[test]
fn a_second_run_replaces_its_own_files_and_forgets_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let text = pipeline(FIXED, IDENTITY, 7, None);
    let scenes = |n: u32| (0..n).map(|i| (format!("s{i}"), scene(Size::new(30, 30), 7, i))).collect::<Vec<_>>();
    Flow::new(&text, scenes(3)).run(dir.path()).unwrap();
    let ended = Flow::new(&text, scenes(2)).run(dir.path()).unwrap();
    assert_eq!(ended.report.earlier, ["color/s2.png", "masks/s2.png"]);
    assert_eq!(archive(&dir.path().join("submit.zip")).len(), 2);
    // What was left over is still known to be ours.
    Flow::new(&text, scenes(3)).run(dir.path()).unwrap();
}

#[test]
fn post_processing_goes_across_bands_as_over_the_whole_map() {
    let size = Size::new(90, 70);
    // Mostly one class, with specks of others.
    let ids: Vec<u8> = values(size, 40, 3).into_iter().map(|v| if v < 5 { v } else { 6 }).collect();
    let wanted = "[post]\nfill_holes = 9\nmajority = 3\ndrop_islands = { c6 = 30, c2 = 4 }\nremap = { c4 = \"c2\" }\n";
    let text = pipeline(FIXED, IDENTITY, 7, None) + wanted;
    let dir = tempfile::tempdir().unwrap();
    let flow = Flow { memory: 1 << 20, ..Flow::new(&text, vec![("a".into(), MemoryRaster::u8(size, 1, &ids))]) };
    run(&flow, dir.path());
    let planned = flow.plan().unwrap().0.plan;
    assert_eq!(planned.scenes[0].islands, [0, 0, 4, 0, 0, 0, 30]);
    let mut chain = planned.steps_of(&planned.scenes[0]).open();
    let mut expected = Vec::new();
    ids.chunks_exact(90).for_each(|row| chain.push(row.to_vec(), &mut expected));
    chain.finish(&mut expected);
    let expected: Vec<u16> = expected.concat().into_iter().map(u16::from).collect();
    assert!(expected.iter().zip(&ids).any(|(e, i)| *e != u16::from(*i)));
    assert!(png(&dir.path().join("masks/a.png")).2 == expected);
}
