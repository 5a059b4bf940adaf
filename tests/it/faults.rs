//! What goes wrong costs what it must and no more: scenes that break in the middle, and disks, in memory with the fake backend.

use swath::app::{Error, Partial};
use swath::geom::Size;
use swath::raster::{MemoryRaster, PixelBuf, PixelType, ReadFault};

use crate::support::memory::{Flow, IDENTITY, TWO, pipeline, scene};
use crate::support::{archive, files, outputs, png};

const FIXED: &str = "strategy = \"fixed\"\ncentre = 16\ndilation = 4\nwhole_max = 20";

/// Ten scenes, three of which break: one at once, one late, one inside a group of equals.
fn some_broken() -> Vec<(String, MemoryRaster)> {
    let fault = |i: u32| match i {
        2 => Some(ReadFault::Row(0)),
        5 => Some(ReadFault::Row(79)),
        8 => Some(ReadFault::Row(3)),
        _ => None,
    };
    let size = |i: u32| if i < 6 { Size::new(50, 80) } else { Size::new(12, 9) };
    let broken = |i: u32| MemoryRaster { fault: fault(i), ..scene(size(i), 7, i) };
    (0..10).map(|i| (format!("s{i}"), broken(i))).collect()
}

fn flow(partial: Partial) -> Flow {
    let text = pipeline(FIXED, IDENTITY, 7, None) + "[inference]\nbatch = 3\n";
    Flow { partial, devices: 2, readers: 2, ..Flow::new(&text, some_broken()) }
}

#[test]
fn one_bad_file_costs_itself_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let ended = flow(Partial::Withhold).run(dir.path()).unwrap();
    let mut failed: Vec<_> =
        ended.report.failed.iter().map(|f| (f.scene.as_str(), f.stage.as_str(), f.action.as_str())).collect();
    failed.sort_unstable();
    assert_eq!(
        failed,
        [("s2.tif", "read", "withheld"), ("s5.tif", "read", "withheld"), ("s8.tif", "read", "withheld")]
    );
    assert!(ended.report.failed.iter().all(|f| f.cause.contains("planted fault")));
    assert_eq!(ended.report.totals.done, 7);
    let left = outputs(dir.path());
    assert_eq!(left.len(), 2 * 7, "{:?}", left.keys());
    assert!(files(dir.path()).keys().all(|name| !name.contains("tmp")));
    assert!(left.keys().all(|name| !name.contains("tmp") && !name.contains("s5")));

    let alone = tempfile::tempdir().unwrap();
    let mut clean = flow(Partial::Withhold);
    clean.scenes.iter_mut().for_each(|(_, s)| s.fault = None);
    clean.run(alone.path()).unwrap();
    let whole = files(alone.path());
    assert!(left.iter().filter(|(name, _)| name.ends_with("png")).all(|(name, bytes)| whole[name] == *bytes));
}

#[test]
fn with_omit_the_archive_lacks_the_failed_scenes() {
    let dir = tempfile::tempdir().unwrap();
    let ended = flow(Partial::Omit).run(dir.path()).unwrap();
    assert!(ended.report.failed.iter().all(|f| f.action == "omitted"));
    let names: Vec<_> = archive(&dir.path().join("submit.zip")).into_keys().collect();
    assert_eq!(names, ["s0.png", "s1.png", "s3.png", "s4.png", "s6.png", "s7.png", "s9.png"]);
}

#[test]
fn with_blank_the_archive_holds_a_constant_mask_in_their_place() {
    let dir = tempfile::tempdir().unwrap();
    let ended = flow(Partial::Blank(6)).run(dir.path()).unwrap();
    assert!(ended.report.failed.iter().all(|f| f.action == "blank mask of 6"));
    let packed = archive(&dir.path().join("submit.zip"));
    assert_eq!(packed.len(), 10);
    let blank = dir.path().join("blank.png");
    std::fs::write(&blank, &packed["s5.png"]).unwrap();
    assert_eq!(png(&blank), (50, 80, vec![6; 4000]));
    assert!(!dir.path().join("masks/s5.png").exists());
}

#[test]
fn a_blank_value_that_no_class_has_is_refused_before_work_starts() {
    let dir = tempfile::tempdir().unwrap();
    let error = flow(Partial::Blank(77)).run(dir.path()).unwrap_err();
    assert!(matches!(&error, Error::Usage(text) if text.contains("blank:77")), "{error}");
    assert!(files(dir.path()).is_empty());
}

#[test]
fn a_scene_that_fails_now_keeps_no_mask_of_an_earlier_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = flow(Partial::Withhold);
    first.scenes.iter_mut().for_each(|(_, s)| s.fault = None);
    // What was there before was another scene of that name: what has not changed would not even be read again.
    first.scenes[5].1 = scene(Size::new(50, 80), 7, 99);
    first.run(dir.path()).unwrap();
    assert!(dir.path().join("masks/s5.png").exists() && dir.path().join("submit.zip").exists());
    flow(Partial::Withhold).run(dir.path()).unwrap();
    assert!(!dir.path().join("masks/s5.png").exists() && !dir.path().join("submit.zip").exists());
    assert!(dir.path().join("masks/s4.png").exists());
}

#[test]
fn logits_that_are_not_finite_are_never_argmaxed() {
    let size = Size::new(30, 30);
    let mut values = vec![1.0f32; size.len()];
    values[29 * 30 + 29] = 3e38;
    values[29 * 30 + 28] = 3e38;
    let huge = MemoryRaster::new(size, 1, PixelBuf::from_slice(PixelType::F32, &values));
    let fine = MemoryRaster::new(size, 1, PixelBuf::from_slice(PixelType::F32, &vec![1.0f32; size.len()]));
    let dir = tempfile::tempdir().unwrap();
    let scenes = vec![("huge".to_owned(), huge), ("fine".to_owned(), fine)];
    let ended = Flow::new(&pipeline(FIXED, TWO, 7, None), scenes).run(dir.path()).unwrap();
    assert_eq!(ended.report.totals.done, 1);
    let failed = &ended.report.failed[0];
    assert_eq!((failed.scene.as_str(), failed.stage.as_str()), ("huge.tif", "infer"));
    assert!(
        failed.cause.contains("`member0` returns non-finite logits") && failed.cause.contains("column 16, row 16"),
        "{}",
        failed.cause
    );
    assert!(!dir.path().join("masks/huge.png").exists());
}

#[test]
fn a_pixel_that_is_not_finite_costs_the_scene_where_no_nodata_value_is_set() {
    let size = Size::new(30, 30);
    let mut values = vec![1.0f32; size.len()];
    values[17 * 30 + 4] = f32::NAN;
    let raster = MemoryRaster::new(size, 1, PixelBuf::from_slice(PixelType::F32, &values));
    let dir = tempfile::tempdir().unwrap();
    let ended = Flow::new(&pipeline(FIXED, TWO, 7, None), vec![("a".into(), raster)]).run(dir.path()).unwrap();
    let cause = &ended.report.failed[0].cause;
    assert!(cause.contains("column 4, row 17") && cause.contains("[nodata]"), "{cause}");
    assert!(!dir.path().join("submit.zip").exists());
}

#[test]
fn foreign_files_at_output_names_stop_the_run_before_it_touches_anything() {
    let dir = tempfile::tempdir().unwrap();
    let foreign = dir.path().join("masks/s0.png");
    swath::atomic::write(&foreign, b"precious").unwrap();
    let before = files(dir.path());
    let error = flow(Partial::Omit).run(dir.path()).unwrap_err();
    assert!(matches!(&error, Error::Foreign(paths) if *paths == [foreign]), "{error}");
    assert!(error.to_string().contains("--overwrite"));
    assert_eq!(files(dir.path()), before);
}

#[test]
fn an_output_folder_that_cannot_be_written_ends_the_run_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    // A file where the folder of masks should be: refused to root too.
    let in_the_way = dir.path().join("masks");
    std::fs::write(&in_the_way, b"").unwrap();
    let error = flow(Partial::Omit).run(dir.path()).unwrap_err();
    let text = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source()).map(ToString::to_string);
    let text = text.collect::<Vec<_>>().join(": ");
    assert!(text.contains("masks/s"), "{text}");
    let report = swath::report::RunReport::read(&dir.path().join("report.json")).unwrap();
    assert_eq!(report.state, swath::report::RunState::Stopped);
    assert!(!dir.path().join("submit.zip").exists());
}
