//! A plan that is saved on one host and carried out on others: where the scenes lie, how they are known, and for which devices.
#![cfg(feature = "gdal")]

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use swath::app::{Job, RunOptions, execute};
use swath::geom::Size;
use swath::plan::{Assignment, Decode, DeviceId, Schedule};
use swath::raster::{Identity, MemorySource, OpenSource, RasterError, RasterSource};

use crate::support::command::{Workdir, with_scenes};
use crate::support::memory::{Flow, TWO, job, pipeline, scene};
use crate::support::outputs;

const SAVE: [&str; 8] = ["plan", "p.toml", "-i", "in", "--backend", "fake", "--save", "plan.jsonl"];

/// Copies the scenes to where another host has them, written an hour later.
fn other_host(work: &Workdir, folder: &str) {
    let later = SystemTime::now() + Duration::from_secs(3600);
    std::fs::create_dir_all(work.path(folder)).unwrap();
    for entry in std::fs::read_dir(work.path("in")).unwrap() {
        let from = entry.unwrap().path();
        let to = work.path(folder).join(from.file_name().unwrap());
        std::fs::copy(&from, &to).unwrap();
        touch(&to, later);
    }
}

fn touch(path: &Path, time: SystemTime) {
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn copies_at_another_place_and_time_are_the_planned_scenes() {
    let work = with_scenes(&[(300, 280), (130, 140), (40, 30), (40, 30)]);
    // What says which pixels are data is copied along.
    work.write("in/s1.tif.aux.xml", "<PAMDataset/>");
    other_host(&work, "mnt/b/in");
    let root = [&SAVE[..], &["--devices", "cpu", "--input-root", "."]].concat();
    work.swath(&root).expect(0);
    let here = ["run", "--plan", "plan.jsonl", "-o", "here", "--pack-fake", "--devices", "cpu"];
    work.swath(&here).expect(0);
    std::fs::remove_dir_all(work.path("in")).unwrap();
    let there =
        ["run", "--plan", "plan.jsonl", "-o", "there", "--pack-fake", "--devices", "cpu", "--input-root", "mnt/b"];
    work.swath(&there).expect(0);
    assert!(outputs(&work.path("here")) == outputs(&work.path("there")));
    // The keys are the plan's: nothing is done again.
    work.swath(&there).expect(0);
    assert_eq!(work.report("there")["totals"]["forwards"], 0);
    // What has other bytes costs itself, wherever they are.
    let mut bytes = std::fs::read(work.path("mnt/b/in/s0.tif")).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    work.write("mnt/b/in/s0.tif", &bytes);
    let longer = [std::fs::read(work.path("mnt/b/in/s2.tif")).unwrap(), vec![0]].concat();
    work.write("mnt/b/in/s2.tif", longer);
    work.write("mnt/b/in/s1.tif.aux.xml", "<PAMDataset />");
    let anew = [&there[..4], &["anew"], &there[5..]].concat();
    work.swath(&anew).says(3, &["s0.tif", "s1.tif", "s2.tif", "changed"]);
    assert!(work.path("anew/masks/s3.png").exists());
}

#[test]
fn scenes_outside_of_the_root_and_plans_without_one_are_told() {
    let work = with_scenes(&[(130, 140), (40, 30)]);
    let save = |more: &[&str]| work.swath(&[&SAVE[..], &["--devices", "cpu", "--overwrite"], more].concat());
    save(&["--input-root", "none"]).says(2, &["none"]);
    std::fs::create_dir(work.path("other")).unwrap();
    save(&["--input-root", "other"]).says(2, &["--input-root", "other", "s0.tif`, `", "s1.tif` lie outside"]);
    let list = |name: &str| {
        work.write("in/list.txt", format!("s0.tif\n{name}\n"));
        let list = ["plan", "p.toml", "-i", "in/list.txt", "--backend", "fake", "--devices", "cpu", "--overwrite"];
        work.swath(&[&list[..], &["--save", "plan.jsonl", "--input-root", "in"]].concat())
    };
    std::fs::copy(work.path("in/s1.tif"), work.path("other/far.tif")).unwrap();
    list("../other/far.tif").says(2, &["far.tif` lies outside", "holds all scenes"]);
    list("../in/s1.tif").expect(0);
    // Files as they were named lie where they lie.
    let named = ["plan", "p.toml", "-i", "in/s0.tif", "in/s1.tif", "--backend", "fake", "--devices", "cpu"];
    work.swath(&[&named[..], &["--overwrite", "--save", "plan.jsonl"]].concat()).expect(0);
    let run = ["run", "--plan", "plan.jsonl", "-o", "out", "--devices", "cpu", "--input-root", "other"];
    work.swath(&run).says(2, &["plan.jsonl", "as they were named", "--input-root"]);
    save(&[]).expect(0);
    let run = [&run[..7], &["--input-root", "nowhere"]].concat();
    work.swath(&run).says(2, &["nowhere", "no such folder"]);
}

#[test]
fn devices_of_another_class_have_an_exit_code_of_their_own() {
    let work = with_scenes(&[(130, 140), (40, 30)]);
    let class = "cuda sm_1, 1 SMs, cuDNN 1";
    // Networks of libtorch, on a host without any.
    let save = ["plan", "p.toml", "-i", "in", "--save", "plan.jsonl", "--overwrite"];
    let named = [&save[..], &["--device-class", class]].concat();
    work.swath(&named).expect(0);
    let head = std::fs::read_to_string(work.path("plan.jsonl")).unwrap();
    assert!(head.contains(&format!("\"device_class\":\"{class}\"")) && head.contains("\"resolved_precision\":\"f16\""));
    let run = ["run", "--plan", "plan.jsonl", "-o", "out", "--devices", "cpu"];
    work.swath(&run).says(15, &["cpu is of the class cpu", class, "plan again"]);
    assert!(!work.path("out").exists());
    // More of the same, and what does not say enough.
    work.swath(&[&named[..], &["--devices", "4xH100", "--gpu-memory", "80GB"]].concat()).expect(0);
    let unnamed = [&save[..], &["--devices", "4xH100", "--gpu-memory", "80GB"]].concat();
    work.swath(&unnamed).says(2, &["--save", "--device-class", "swath doctor"]);
    work.swath(&unnamed.iter().copied().filter(|word| !["--save", "plan.jsonl"].contains(word)).collect::<Vec<_>>())
        .expect(0);
    work.swath(&[&save[..], &["--device-class", "H100"]].concat()).says(2, &["`H100`", "swath doctor", "cuda sm_90"]);
    // The stand-in knows no more than kinds.
    work.swath(&[&SAVE[..], &["--overwrite", "--device-class", class]].concat()).expect(0);
    work.swath(&run).says(15, &["made for cuda"]);
    work.swath(&[&run[..6], &["cuda:0", "--pack-fake"]].concat()).expect(0);
}

/// Scenes that are written again at some look at them, with the same bytes.
struct Touched {
    scenes: MemorySource,
    looks: AtomicU64,
    at: u64,
}

impl OpenSource for Touched {
    fn open(&self) -> Box<dyn RasterSource> {
        self.scenes.open()
    }

    fn identify(&self, path: &Path) -> Result<Identity, RasterError> {
        let is_again = self.looks.fetch_add(1, Ordering::Relaxed) >= self.at;
        Ok(Identity { modified_ns: 5 + u128::from(is_again), ..self.scenes.identify(path)? })
    }
}

#[test]
fn what_is_written_again_behind_the_first_look_counts_as_changed() {
    let text = pipeline("strategy = \"fixed\"\ncentre = 24\ndilation = 5\nwhole_max = 20", TWO, 7, None);
    let failed = |is_fresh: bool, at: u64| {
        let (mut planned, scenes) =
            Flow::new(&text, vec![("s".into(), scene(Size::new(90, 80), 7, 1))]).plan().unwrap();
        planned.plan.is_fresh = is_fresh;
        let schedule = Schedule {
            assignment: Assignment::replicate(1, 2),
            devices: vec![DeviceId::Cpu],
            readers: 1,
            encoders: 1,
            memory: 64 << 20,
            decode: Decode::InProcess,
        };
        let source = Arc::new(Touched { scenes: scenes.clone(), looks: AtomicU64::new(0), at });
        let dir = tempfile::tempdir().unwrap();
        let options = RunOptions { pack_fake: true, ..RunOptions::into(dir.path()) };
        execute(Job { source, ..job(planned, schedule, scenes) }, &options).unwrap().report.failed.len()
    };
    // Another time than the plan's is that of a copy, and afterwards its own.
    assert_eq!([failed(false, u64::MAX), failed(false, 1)], [0, 1]);
    // Whoever has planned it knows when it was written.
    assert_eq!(failed(true, u64::MAX), 1);
}
