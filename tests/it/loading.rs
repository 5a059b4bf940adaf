//! How members' weights come into a run: several at once, shared by all workers, and never others than were planned with.
#![cfg(all(feature = "torch", feature = "gdal"))]

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use swath::zoo::spec::{Backbone, Network, NetworkSpec, SpecTable, Variant};

use crate::support::command::{Workdir, geotiff};
use crate::support::memory::{pipeline, values};
use crate::support::{outputs, save_weights, skipped};

const RUN: [&str; 6] = ["run", "p.toml", "-i", "in", "-o", "out"];
const N_MEMBERS: usize = 3;

fn spec(member: usize) -> NetworkSpec {
    let network = [Network::DeepLabV3Plus, Network::Unet, Network::PspNet][member];
    let table =
        SpecTable { variant: Some(Variant::Smp), backbone: Some(Backbone::ResNet18), ..SpecTable::new(network) };
    table.resolve(1, Some(5)).unwrap()
}

/// Three networks with the weights of a seed, in files or not, over two scenes.
fn work(in_files: bool) -> Workdir {
    let work = Workdir::new();
    let mut members = String::new();
    for (idx, network) in ["deeplabv3plus", "unet", "pspnet"].iter().enumerate() {
        let file = work.path(&format!("w{idx}.safetensors"));
        let weights = match in_files {
            true => {
                save_weights(&spec(idx), &file);
                format!("weights = \"w{idx}.safetensors\"")
            }
            false => "seed = 5".to_owned(),
        };
        members +=
            &format!("[[members]]\nname = \"m{idx}\"\nnetwork = \"{network}\"\nbackbone = \"resnet18\"\n{weights}\n");
    }
    let tiler = "strategy = \"fixed\"\ncentre = 48\ndilation = 8\nwhole_max = 0";
    work.write("p.toml", pipeline(tiler, &members, 5, None));
    for (seed, (width, height)) in [(150, 110), (60, 70)].into_iter().enumerate() {
        let (size, seed) = (swath::geom::Size::new(width, height), u32::try_from(seed).unwrap());
        geotiff(&work.path(&format!("in/s{seed}.tif")), size, &values(size, 7, seed));
    }
    work
}

/// Changes a value in the middle of a file, which keeps its size, its time and its inode.
fn tamper(file: &Path) {
    let modified = file.metadata().unwrap().modified().unwrap();
    let mut opened = File::options().read(true).write(true).open(file).unwrap();
    opened.seek(SeekFrom::Start(file.metadata().unwrap().len() / 2 / 4 * 4)).unwrap();
    opened.write_all(&[1, 2, 3, 4]).unwrap();
    opened.set_modified(modified).unwrap();
}

#[test]
fn masks_do_not_depend_on_who_loads_what_for_whom() {
    let seeded = work(false);
    seeded.swath(&[&RUN[..], &["--devices", "cpu"]].concat()).expect(0);
    let expected = outputs(&seeded.path("out"));
    let work = work(true);
    for more in
        [&["--devices", "cpu"][..], &["--devices", "cpu,cpu,cpu"], &["--devices", "cpu,cpu", "--assign", "partition"]]
    {
        work.swath(&[&RUN[..], &["--fresh"], more].concat()).expect(0);
        assert!(outputs(&work.path("out")) == expected, "{more:?}");
        let first = &work.report("out")["totals"]["first_labels"];
        assert!(first.as_f64().is_some_and(|seconds| seconds > 0.0), "{first}");
    }
}

#[test]
fn a_file_that_is_not_as_it_is_known_is_refused_once_and_hashed_anew() {
    let work = work(true);
    work.swath(&RUN).expect(0);
    let known = || std::fs::read_to_string(work.path("cache/swath/digests.json")).unwrap();
    assert_eq!(known().matches("sha256").count(), N_MEMBERS, "{}", known());
    let file = work.path("w2.safetensors");
    let (before, wrong) = (swath::weights::digest(&file).unwrap(), "0".repeat(64));
    work.write("cache/swath/digests.json", known().replace(&before, &wrong));
    // The last of the members, which comes when others are at work.
    let ran = work.swath(&[&RUN[..], &["--fresh"]].concat());
    ran.says(12, &["w2.safetensors", &before, &wrong, "digests.json", "run the same command again"]);
    assert!(!known().contains(&wrong) && known().matches("sha256").count() == N_MEMBERS - 1, "{}", known());
    work.swath(&[&RUN[..], &["--fresh"]].concat()).expect(0);
    // Nobody sets the time of a change.
    tamper(&file);
    work.swath(&RUN).expect(0);
    assert!(known().contains(&swath::weights::digest(&file).unwrap()), "{}", known());
}

#[test]
fn a_later_member_without_numbers_is_refused_by_name() {
    let work = work(true);
    let file = work.path("w1.safetensors");
    let mut opened = File::options().write(true).open(&file).unwrap();
    opened.seek(SeekFrom::End(-4)).unwrap();
    opened.write_all(&f32::NAN.to_le_bytes()).unwrap();
    work.swath(&RUN).says(12, &["`m1`", "w1.safetensors", "1 not finite"]);
    assert!(!work.path("out/submit.zip").exists());
}

#[test]
fn half_precision_is_for_cpus_that_have_it() {
    let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let work = work(false);
    for (precision, needed) in [("f16", ["avx512_fp16", "amx_fp16"]), ("bf16", ["avx512_bf16", "amx_bf16"])] {
        if needed.iter().any(|flag| flags.contains(flag)) {
            skipped(&format!("this CPU has {precision}"));
            continue;
        }
        let set = format!("members.1.precision={precision}");
        for devices in ["cpu", "cpu-tensors"] {
            let ran = work.swath(&[&RUN[..], &["--devices", devices, "--set", &set]].concat());
            ran.says(2, &["`m1`", needed[0], needed[1], "precision = \"auto\""]);
        }
        assert!(!work.path("out").exists());
    }
}

#[test]
fn memory_stays_within_the_promise_on_devices_that_share_weights() {
    let work = work(true);
    for devices in ["cpu,cpu,cpu", "cpu-tensors,cpu-tensors"] {
        work.swath(&[&RUN[..], &["--fresh", "--devices", devices, "--memory", "16MiB"]].concat()).expect(0);
        let memory = &work.report("out")["memory"];
        assert!(memory["peak_rss"].as_u64() <= memory["reserved"].as_u64(), "{devices}: {memory}");
        assert_eq!(memory["staging"].as_u64() > Some(0), devices.starts_with("cpu-"), "{devices}: {memory}");
    }
}
