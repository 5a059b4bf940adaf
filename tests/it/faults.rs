//! What goes wrong costs what it must and no more: scenes that break in the middle, and disks, in memory with the fake backend.
//!
//! Every fault that this program answers for, what must follow from it, and the tests that show it. Where a file is named it is a file
//! beside this one; `src/...` holds the tests of the part itself.
//!
//! **Scenes**
//! - Unreadable, cut off, damaged, in another format, a type or a number of bands that the pipeline does not take: the scene fails, named
//!   with stage, place and GDAL's words, and no other does. `cli::bad_scenes_are_named_and_cost_only_themselves`,
//!   `cli::every_broken_tiff_costs_itself_and_is_named`,
//!   `cli::too_few_bands_or_another_type_are_refused`, `faults::one_bad_file_costs_itself_and_no_other`.
//! - An error that GDAL raises although the call says that all went well: as if it had failed. Every read asks for it in the same place;
//!   there is no test, for no file at hand makes GDAL 3.6 do so.
//! - Blocks that are not stored, nodata alone, numbers that are not finite: nodata where the class table has it; without, zeros are data
//!   and what is not finite costs the scene, named with its place.
//!   `reader::a_sparse_file_of_forty_gigapixels_has_blank_holes`, `dataflow::a_scene_of_nodata_alone_runs_no_network`,
//!   `faults::a_non_finite_pixel_costs_a_scene_without_nodata_class`. A scene of one value is data like any other, and no
//!   warning is given.
//! - A header that lies, a text that names other files, a pipe, a dangling link: refused before anything is allocated or waited for.
//!   `cli::bad_scenes_are_named_and_cost_only_themselves`, `cli::a_pipe_among_the_scenes_is_refused_and_nobody_waits_for_it`,
//!   `reader::no_broken_file_crashes_the_header_check_or_claims_memory`.
//! - A file that kills its decoder, loops in it or fills its memory: the scene fails, named with how it went; somebody else's kill costs
//!   nothing. `isolated::a_file_that_breaks_its_decoder_costs_itself_and_is_named`,
//!   `isolated::a_decoder_killed_once_is_replaced_and_costs_nothing`.
//! - A file that changes while the run is at work: the scene fails, and the next run does it anew.
//!   `named::a_scene_that_changes_while_the_run_is_at_work_is_named_and_gets_no_mask`, `resume::a_replaced_input_costs_itself`.
//! - Two scenes of one output: all of them are listed, nothing runs. `cli::two_inputs_of_one_output_are_all_listed_and_nothing_runs`.
//! - A name that an archive or another system cannot hold, a folder that cannot be listed: costs itself.
//!   `inputs::a_name_that_no_archive_can_hold_costs_its_scene_alone`, `inputs::a_folder_that_cannot_be_listed_costs_itself`.
//!
//! **Networks and devices**
//! - Out of memory on a device: another try, then tile by tile, recorded and repeated. `devices::*`,
//!   `named::a_device_that_is_out_of_memory_for_a_batch_runs_its_tiles_one_by_one_and_the_report_names_the_scene`.
//! - A device that is lost: another process, the device left out after the third time, exit code 14 when none is left.
//!   `supervisor::a_run_that_loses_its_device_is_started_again_until_the_device_is_left_out`,
//!   `devices::a_lost_device_is_an_exit_code_and_a_message`.
//! - Logits that are no numbers: once more in f32, then the scene fails, named with member and tile; none is ever argmaxed.
//!   `named::logits_that_are_no_numbers_cost_their_scene_and_name_the_member_and_the_tile`,
//!   `devices::a_logit_that_is_no_number_is_computed_again_in_f32`.
//! - A forward pass that fails: its scenes do. `named::a_pass_that_fails_costs_its_scenes_and_names_them_with_what_the_library_said`.
//! - Weights that do not fit, that are damaged or hold a name twice: refused before the first scene with all differences.
//!   `member::weights_that_do_not_fit_are_refused_before_work_starts`,
//!   `weights::every_way_in_which_a_file_does_not_fit_is_told_with_what_to_do`, `fuzzed::*`, `src/weights`.
//! - A program that nobody trusts, another one than is meant, one that returns something else: refused before the first scene. `script::*`.
//! - A class table that is none, a value that no class has: refused, naming it.
//!   `pipelines::a_wrong_pipeline_file_is_refused_with_the_remedy`, `src/config/classes.rs`; no archive holds another value:
//!   `src/package/write.rs`.
//!
//! **The run itself**
//! - A panic: the run ends with the stage and the message, the next one goes on.
//!   `named::a_panic_of_a_stage_ends_the_run_with_the_stage_and_its_message_and_the_next_run_goes_on`,
//!   `disturbed::a_disturbed_stage_loses_and_doubles_nothing`.
//! - Death by a library, the out-of-memory killer, somebody: started again, and a scene that it dies of alone is left out by name.
//!   `supervisor::a_run_that_dies_once_is_started_again_and_ends_with_the_same_bytes`,
//!   `supervisor::a_scene_that_kills_the_run_alone_is_left_out_by_name_and_costs_no_other`, `kill::*`.
//! - A stage that does not come back: the stage table, then a new start; also behind another stage's error, and when the run is to end.
//!   `supervisor::every_stage_that_does_not_come_back_is_told_with_the_stage_table_and_the_run_started_again`,
//!   `supervisor::a_stage_that_does_not_come_back_does_not_keep_another_ones_error_from_ending_the_run`,
//!   `supervisor::an_archive_that_is_not_finished_is_a_stall_like_any_other`. All stages waiting for each other:
//!   `src/flow/watchdog.rs`, for the links leave no way to plan it.
//! - Signals: the pass under way ends and what is queued is dropped, or all is left when the grace is over; a second one ends it at once;
//!   nothing starts it again; no process stays behind.
//!   `supervisor::a_signal_reaches_the_run_twice_and_counts_once_and_the_second_one_ends_it_at_once`,
//!   `supervisor::a_signal_leaves_what_no_network_has_begun_and_finishes_the_pass_under_way`,
//!   `supervisor::when_the_grace_is_over_what_does_not_come_back_is_left`,
//!   `supervisor::a_run_that_was_told_to_end_is_not_started_again_whatever_it_dies_of_on_the_way`,
//!   `isolated::a_killed_run_leaves_no_decoder_behind`.
//! - SIGKILL and power: what is recorded is verified and kept, the rest made again, to the same bytes.
//!   `kill::killed_at_any_change_the_next_run_gives_the_same_bytes`. That a disk keeps what it says it has synced is
//!   taken for granted.
//! - Another pipeline, other weights, another version: what depends on the change is done again. `resume::*`. A journal that cannot be
//!   understood is left alone: `named::a_run_directory_that_cannot_be_understood_is_left_alone_and_named`.
//! - A second run in the same folder: refused with the holder. `cli::a_folder_in_use_is_refused_with_the_holder`.
//! - Time that is short: fewer members, then scenes left over, each step told and repeated. `deadline::*`.
//!
//! **The system**
//! - A disk that is full, broken or read-only, a quota, at any call, once or for ever: no wrong done, exit code 13 with the path; where it is
//!   about room, or nobody tells, the bytes that are needed and those that are free. What can be seen before any work is refused then, by
//!   `plan` too: `preconditions::*`. `kill::a_change_that_fails_never_makes_a_wrong_done`,
//!   `faults::an_unwritable_output_folder_ends_the_run_with_its_path`. A sync that fails is not tried again (the rows are not
//!   kept, and the system may have dropped them): the run ends, and the next one makes the file anew.
//! - A write that takes only a part: the rest is written too. `kill::a_write_that_takes_only_half_of_the_bytes_loses_none`.
//! - Too few open files: raised where that is allowed, otherwise the end of the run and of no scene.
//!   `named::too_few_files_are_raised_where_that_is_allowed_and_otherwise_end_the_run_and_cost_no_scene`.
//! - A terminal that is gone, a log on a full disk: nothing. `cli::a_closed_standard_output_does_not_stop_a_run`,
//!   `named::output_that_goes_nowhere_does_not_stop_a_run`.
//! - A clock that jumps, a machine that sleeps: all time is measured by the monotonic clock, and a stop counts no longer than a look at it
//!   takes; there is no test, for the clock of a machine is not a test's to set.

use swath::app::{Error, PartialArchive, RunOptions};
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

fn flow(partial: PartialArchive) -> Flow {
    let text = pipeline(FIXED, IDENTITY, 7, None) + "[inference]\nbatch = 3\n";
    Flow { partial, devices: 2, readers: 2, ..Flow::new(&text, some_broken()) }
}

#[test]
fn one_bad_file_costs_itself_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let ended = flow(PartialArchive::Withhold).run(dir.path()).unwrap();
    let mut failed: Vec<_> =
        ended.report.failed.iter().map(|f| (f.scene.as_str(), f.stage.as_str(), f.action.as_str())).collect();
    failed.sort_unstable();
    assert_eq!(
        failed,
        [
            ("s2.tif", "read", "not in submit.zip"),
            ("s5.tif", "read", "not in submit.zip"),
            ("s8.tif", "read", "not in submit.zip")
        ]
    );
    assert!(ended.report.failed.iter().all(|f| f.cause.contains("planted fault")));
    assert_eq!(ended.report.totals.done, 7);
    let left = outputs(dir.path());
    assert_eq!(left.len(), 2 * 7, "{:?}", left.keys());
    assert!(files(dir.path()).keys().all(|name| !name.contains("tmp")));
    assert!(left.keys().all(|name| !name.contains("tmp") && !name.contains("s5")));

    let alone = tempfile::tempdir().unwrap();
    let mut clean = flow(PartialArchive::Withhold);
    clean.scenes.iter_mut().for_each(|(_, s)| s.fault = None);
    clean.run(alone.path()).unwrap();
    let whole = files(alone.path());
    assert!(left.iter().filter(|(name, _)| name.ends_with("png")).all(|(name, bytes)| whole[name] == *bytes));
}

#[test]
fn with_omit_the_archive_lacks_the_failed_scenes() {
    let dir = tempfile::tempdir().unwrap();
    let ended = flow(PartialArchive::Omit).run(dir.path()).unwrap();
    assert!(ended.report.failed.iter().all(|f| f.action == "left out of submit.zip"));
    let names: Vec<_> = archive(&dir.path().join("submit.zip")).into_keys().collect();
    assert_eq!(names, ["s0.png", "s1.png", "s3.png", "s4.png", "s6.png", "s7.png", "s9.png"]);
}

#[test]
fn with_blank_the_archive_holds_a_constant_mask_in_their_place() {
    let dir = tempfile::tempdir().unwrap();
    let ended = flow(PartialArchive::Blank(6)).run(dir.path()).unwrap();
    assert!(ended.report.failed.iter().all(|f| f.action == "blank mask of 6"));
    let packed = archive(&dir.path().join("submit.zip"));
    assert_eq!(packed.len(), 10);
    let blank = dir.path().join("blank.png");
    std::fs::write(&blank, &packed["s5.png"]).unwrap();
    assert_eq!(png(&blank), (50, 80, vec![6; 4000]));
    assert!(!dir.path().join("masks/s5.png").exists());
}

#[test]
fn a_blank_value_of_no_class_is_refused_before_work() {
    let dir = tempfile::tempdir().unwrap();
    let error = flow(PartialArchive::Blank(77)).run(dir.path()).unwrap_err();
    assert!(matches!(&error, Error::Usage(text) if text.contains("blank:77")), "{error}");
    assert!(files(dir.path()).is_empty());
}

#[test]
fn a_scene_that_fails_now_keeps_no_mask_of_an_earlier_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = flow(PartialArchive::Withhold);
    first.scenes.iter_mut().for_each(|(_, s)| s.fault = None);
    // What was there before was another scene of that name: what has not changed would not even be read again.
    first.scenes[5].1 = scene(Size::new(50, 80), 7, 99);
    first.run(dir.path()).unwrap();
    assert!(dir.path().join("masks/s5.png").exists() && dir.path().join("submit.zip").exists());
    flow(PartialArchive::Withhold).run(dir.path()).unwrap();
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
fn a_non_finite_pixel_costs_a_scene_without_nodata_class() {
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
fn foreign_files_at_output_names_stop_the_run_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let foreign = dir.path().join("masks/s0.png");
    swath::atomic::write(&foreign, b"precious").unwrap();
    let before = files(dir.path());
    let error = flow(PartialArchive::Omit).run(dir.path()).unwrap_err();
    assert!(matches!(&error, Error::Foreign(paths) if *paths == [foreign]), "{error}");
    assert!(error.to_string().contains("--overwrite"));
    assert_eq!(files(dir.path()), before);
}

#[test]
fn an_unwritable_output_folder_ends_the_run_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    // A folder where a mask should be: refused to root too.
    std::fs::create_dir_all(dir.path().join("masks/s3.png")).unwrap();
    let options = RunOptions { overwrite: true, partial: PartialArchive::Omit, ..RunOptions::into(dir.path()) };
    let error = flow(PartialArchive::Omit).run_with(options).unwrap_err();
    let text = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source()).map(ToString::to_string);
    let text = text.collect::<Vec<_>>().join(": ");
    assert!(text.contains("masks/s"), "{text}");
    let report = swath::report::RunReport::read(&dir.path().join("report.json")).unwrap();
    assert_eq!(report.state, swath::report::RunState::Stopped);
    assert!(!dir.path().join("submit.zip").exists());
}

#[test]
fn every_test_that_the_list_of_faults_names_is_there() {
    let list = include_str!("faults.rs").lines().filter_map(|line| line.strip_prefix("//!")).collect::<String>();
    let named: Vec<(&str, &str)> = list.split('`').filter_map(|word| word.split_once("::")).collect();
    assert!(named.len() > 30);
    for (file, test) in named {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/{file}.rs"));
        let text = std::fs::read_to_string(path).unwrap();
        assert!(test == "*" || text.contains(&format!("fn {test}()")), "{file}::{test}");
    }
}
