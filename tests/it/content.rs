//! `--hash-inputs`: scenes are known by all bytes of their files, wherever these lie and whenever they were written.
#![cfg(all(feature = "gdal", unix))]

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use swath::geom::{GeoTransform, Size};
use swath::raster::{GeoTiff, TiffLayout, write_geotiff};

use crate::support::command::{Workdir, with_scenes};
use crate::support::memory::values;
use crate::support::outputs;

const HASHED: [&str; 8] = ["run", "p.toml", "-i", "in", "-o", "out", "--backend=fake", "--hash-inputs"];
const PLAN: [&str; 6] = ["plan", "p.toml", "--backend=fake", "--json", "--hash-inputs", "-i"];

/// Two scenes of several rows of tiles, whose middle is in neither end of 64 KiB and is pixels, and two small ones.
fn prepared() -> Workdir {
    let work = with_scenes(&[(40, 30); 4]);
    for (name, width) in [("s0", 400), ("s1", 390)] {
        let (size, transform) = (Size::new(width, 300), GeoTransform::north_up(500_000.0, 5_400_000.0, 0.5));
        let layout = TiffLayout { compression: "NONE", tiled: false };
        let planes = values(size, 7, width);
        let raster = GeoTiff { size, texture: size, planes: &planes, layout, transform, epsg: 32632 };
        write_geotiff(&work.path(&format!("in/{name}.tif")), &raster).unwrap();
    }
    work
}

fn touch(file: &Path) {
    let later = SystemTime::now() + Duration::from_secs(60);
    File::options().write(true).open(file).unwrap().set_modified(later).unwrap();
}

/// Changes a byte in the middle of a file, which keeps its size, its time and its inode.
fn change_within(file: &Path) {
    let meta = file.metadata().unwrap();
    let opened = File::options().read(true).write(true).open(file).unwrap();
    let (mut byte, middle) = ([0], meta.len() / 2);
    opened.read_exact_at(&mut byte, middle).unwrap();
    opened.write_all_at(&[byte[0] ^ 0x80], middle).unwrap();
    opened.set_modified(meta.modified().unwrap()).unwrap();
}

/// What tells which masks were written again.
fn stamps(work: &Workdir) -> BTreeMap<String, (u64, i64, i64)> {
    let files = std::fs::read_dir(work.path("out/masks")).unwrap().map(Result::unwrap);
    let stamp = |meta: std::fs::Metadata| (meta.ino(), meta.mtime(), meta.mtime_nsec());
    files.map(|file| (file.file_name().into_string().unwrap(), stamp(file.metadata().unwrap()))).collect()
}

/// Runs with nothing left to do.
fn nothing_to_do(work: &Workdir, arguments: &[&str]) {
    let before = stamps(work);
    work.swath(arguments).says(0, &["4 done, 0 failed"]);
    assert_eq!(work.report("out")["totals"]["decoded"], 0, "{arguments:?}");
    assert_eq!(stamps(work), before, "{arguments:?}");
}

fn digest(work: &Workdir, input: &str) -> Value {
    let ran = work.swath(&[&PLAN[..], &[input]].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str::<Value>(&ran.stdout).unwrap()["plan"].clone()
}

fn copy(work: &Workdir, to: &str) {
    std::fs::create_dir_all(work.path(to)).unwrap();
    for file in ["s0.tif", "s1.tif", "s2.tif", "s3.tif"] {
        std::fs::copy(work.path("in").join(file), work.path(to).join(file)).unwrap();
    }
}

#[test]
fn copies_and_touched_files_are_the_same_scenes() {
    let work = prepared();
    work.swath(&HASHED).expect(0);
    touch(&work.path("in/s0.tif"));
    nothing_to_do(&work, &HASHED);
    // The directory goes on as it was begun.
    nothing_to_do(&work, &HASHED[..7]);
    work.swath(&["resume", "out"]).says(0, &["4 done"]);

    copy(&work, "else/where");
    assert_eq!(digest(&work, "in"), digest(&work, "else/where"));
    let elsewhere = HASHED.map(|word| if word == "in" { "else/where" } else { word });
    nothing_to_do(&work, &elsewhere);
    // What lies beside a scene and says which of its pixels are data belongs to it.
    let before = digest(&work, "in");
    work.write("in/s2.tif.aux.xml", "<PAMDataset></PAMDataset>");
    assert_ne!(digest(&work, "in"), before);
}

#[test]
fn a_byte_within_a_file_does_its_scene_again() {
    let work = prepared();
    work.swath(&HASHED).expect(0);
    let (before, plan) = (stamps(&work), digest(&work, "in"));
    change_within(&work.path("in/s1.tif"));
    assert_ne!(digest(&work, "in"), plan);
    work.swath(&HASHED).says(0, &["4 done, 0 failed"]);
    let again: Vec<String> =
        stamps(&work).into_iter().filter(|(name, stamp)| before[name] != *stamp).map(|(name, _)| name).collect();
    assert_eq!(again, ["s1.png"]);
}

/// What programs are told last of the hashing of inputs.
fn told_of_hashing(work: &Workdir) -> Option<Value> {
    let ran = work.swath(&[&HASHED[..], &["--progress", "json"]].concat());
    let mut events = ran.stderr.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.rfind(|event| event["event"] == "hashing")
}

#[test]
fn hashing_is_told_and_only_what_is_not_known() {
    let work = prepared();
    let bytes = |files: &[&str]| -> u64 { files.iter().map(|f| work.path(f).metadata().unwrap().len()).sum() };
    let all = bytes(&["in/s0.tif", "in/s1.tif", "in/s2.tif", "in/s3.tif"]);
    let told = told_of_hashing(&work).unwrap();
    assert_eq!((&told["bytes"], &told["of_bytes"]), (&all.into(), &all.into()));
    assert_eq!(told_of_hashing(&work), None);
    touch(&work.path("in/s1.tif"));
    assert_eq!(told_of_hashing(&work).unwrap()["of_bytes"], bytes(&["in/s1.tif"]));
}

#[test]
fn what_is_no_file_costs_its_scene() {
    let work = prepared();
    assert!(std::process::Command::new("mkfifo").arg(work.path("in/pipe.tif")).status().unwrap().success());
    std::os::unix::fs::symlink("nothing", work.path("in/link.tif")).unwrap();
    work.swath(&HASHED)
        .says(3, &["4 done, 2 failed", "pipe.tif", "not a regular file", "link.tif", "a link to nothing"]);
}

#[test]
fn a_saved_plan_takes_copies_and_no_other_bytes() {
    let work = prepared();
    work.swath(&HASHED).expect(0);
    let expected = outputs(&work.path("out"));
    work.swath(&[&PLAN[..3], &["--hash-inputs", "--save", "plan.jsonl", "-i", "in"]].concat()).expect(0);
    touch(&work.path("in/s0.tif"));
    touch(&work.path("in/s2.tif"));
    let run = |out| work.swath(&["run", "--plan", "plan.jsonl", "-o", out]);
    run("copy").expect(0);
    let copy = outputs(&work.path("copy"));
    let other = |name: &&String| copy.get(*name) != expected.get(*name);
    assert_eq!(copy.keys().chain(expected.keys()).filter(other).collect::<Vec<_>>(), [""; 0]);
    change_within(&work.path("in/s1.tif"));
    run("other").says(3, &["s1.tif", "changed", "3 done, 1 failed"]);
    work.swath(&["run", "--plan", "plan.jsonl", "-o", "x", "--hash-inputs"]).says(2, &["--hash-inputs"]);
}

#[test]
fn a_directory_that_was_begun_otherwise_says_so() {
    let work = prepared();
    work.swath(&HASHED[..7]).expect(0);
    let words = "begun without --hash-inputs";
    work.swath(&["plan", "p.toml", "-i", "in", "--backend=fake", "-o", "out", "--hash-inputs"]).says(0, &[words]);
    work.swath(&HASHED).says(0, &[words, "4 done, 0 failed"]);
    assert_ne!(work.report("out")["totals"]["decoded"], 0);
    let again = work.swath(&HASHED).expect(0);
    assert!(!again.contains(words), "{again}");
}
