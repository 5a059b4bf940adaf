//! The device on which everything from raw pixels to planes happens, on a core: `--devices cpu-tensors`.
#![cfg(all(feature = "torch", feature = "gdal"))]

use std::collections::BTreeMap;
use std::path::Path;

use gdal::raster::{Buffer, GdalType};
use swath::geom::Size;

use crate::support::command::Workdir;
use crate::support::memory::{pipeline, values};
use crate::support::{outputs, png};

/// Networks whose logits lie on three grids, two of them on the same.
const MEMBERS: &str = "[[members]]\nnetwork = \"deeplabv3plus\"\nbackbone = \"resnet18\"\nseed = 1\n\
                       [[members]]\nnetwork = \"pspnet\"\nbackbone = \"resnet18\"\nseed = 2\nweight = 0.5\n\
                       [[members]]\nnetwork = \"unet\"\nbackbone = \"resnet18\"\nseed = 3\n\
                       [[members]]\nnetwork = \"deeplabv3plus\"\nbackbone = \"resnet18\"\nseed = 4\n";
const TILER: &str = "strategy = \"fixed\"\ncentre = 48\ndilation = 8\nwhole_max = 40";
const RUN: [&str; 6] = ["run", "p.toml", "-i", "in", "-o", "out"];
const LOGITS: [&str; 2] = ["--set", "checkpoints=[\"labels\", \"member-logits\"]"];

/// A scene of some type, of which the pixels that are `nodata` are none.
fn write<T: GdalType + Copy>(path: &Path, size: Size, pixels: Vec<T>, nodata: Option<f64>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let (width, height) = (size.width as usize, size.height as usize);
    let driver = gdal::DriverManager::get_driver_by_name("GTiff").unwrap();
    let dataset = driver.create_with_band_type::<T, _>(path, width, height, 1).unwrap();
    let mut band = dataset.rasterband(1).unwrap();
    band.set_no_data_value(nodata).unwrap();
    band.write((0, 0), (width, height), &mut Buffer::new((width, height), pixels)).unwrap();
}

/// Scenes of each type, and small ones that share a unit; some pixels of most are no data.
fn work(border: &str) -> Workdir {
    let work = Workdir::new();
    let tiler = format!("{TILER}\nborder = \"{border}\"");
    work.write("p.toml", pipeline(&tiler, MEMBERS, 5, Some(9)) + "[inference]\nbatch = 2\n");
    let scene = |name: &str, width, height, seed| {
        let size = Size::new(width, height);
        (work.path(&format!("in/{name}.tif")), size, values(size, 7, seed))
    };
    let (path, size, pixels) = scene("u8", 110, 70, 1);
    write(&path, size, pixels, Some(6.0));
    let (path, size, pixels) = scene("u16", 70, 50, 2);
    let bits = |v: u8| [0u16, 3, 255, 32_767, 32_768, 65_534, 65_535][usize::from(v)];
    write(&path, size, pixels.into_iter().map(bits).collect(), Some(3.0));
    let (path, size, pixels) = scene("i16", 50, 48, 3);
    let signed = |v: u8| [-32_768i16, -9999, -1, 0, 5, 300, 32_767][usize::from(v)];
    write(&path, size, pixels.into_iter().map(signed).collect(), Some(-9999.0));
    let (path, size, pixels) = scene("f32", 50, 60, 4);
    let real = |v: u8| [f32::NAN, 0.25, -3.5, 1e3, 4.0, -9999.0, 2.0][usize::from(v)];
    write(&path, size, pixels.into_iter().map(real).collect(), Some(-9999.0));
    for name in ["a", "b", "c"] {
        let (path, size, pixels) = scene(name, 40, 30, u32::from(name.as_bytes()[0]));
        write(&path, size, pixels, None);
    }
    work
}

/// What a run into a new folder makes.
fn fresh(work: &Workdir, more: &[&str]) -> BTreeMap<String, Vec<u8>> {
    work.swath(&[&RUN[..], &["--fresh"], more].concat()).expect(0);
    outputs(&work.path("out"))
}

#[test]
fn masks_are_those_of_the_other_path_but_for_near_ties() {
    let views = "[\"identity\",\"hflip\",\"rot90\"]";
    for (border, combine, views) in [("reflect", "logits", views), ("zero", "probabilities", "[\"identity\"]")] {
        let work = work(border);
        let (combine, views) = (format!("inference.combine=\"{combine}\""), format!("inference.views={views}"));
        let masks = |devices: &str| {
            fresh(&work, &["--devices", devices, "--set", &combine, "--set", &views]);
            ["u8", "u16", "i16", "f32", "a", "b", "c"].map(|name| png(&work.path(&format!("out/masks/{name}.png"))).2)
        };
        let (host, tensors) = (masks("cpu"), masks("cpu-tensors"));
        assert!(host.iter().flatten().any(|v| *v == 9) && host.iter().flatten().any(|v| *v != host[0][0]));
        let differ = host.iter().flatten().zip(tensors.iter().flatten()).filter(|(a, b)| a != b).count();
        let n = host.iter().flatten().count();
        assert!(differ * 2000 <= n, "{border}: {differ} of {n} pixels differ");
    }
}

#[test]
fn equal_bytes_from_stored_logits_and_spread_members() {
    let work = work("reflect");
    let one = ["--devices", "cpu-tensors"];
    let expected = fresh(&work, &one);
    assert!(fresh(&work, &["--devices", "cpu-tensors,cpu-tensors"]) == expected, "two workers");
    let spread = ["--devices", "cpu-tensors,cpu-tensors", "--assign", "partition"];
    assert!(fresh(&work, &spread) == expected, "spread members");
    assert!(fresh(&work, &[&one[..], &LOGITS].concat()) == expected, "logits are stored");
    // Other shares of the members: averaged anew from what is stored.
    let shares = ["--set", "members.1.weight=2.0"];
    work.swath(&[&RUN[..], &one, &LOGITS, &shares].concat()).expect(0);
    assert_eq!(work.report("out")["totals"]["forwards"], 0);
    let averaged = outputs(&work.path("out"));
    assert!(averaged != expected);
    assert!(fresh(&work, &[&one[..], &shares].concat()) == averaged, "other shares");
}

#[test]
fn faults_with_two_batches_in_flight_change_no_byte() {
    let work = work("reflect");
    let expected = fresh(&work, &["--devices", "cpu-tensors"]);
    for faults in ["device:oom@2", "device:oom@5", "device:nan@3", "device:nan@2,device:nan@7", "device:lost@6!"] {
        let log = work.path("faults.log");
        let environment = [("SWATH_FAULTS", faults), ("SWATH_FAULTS_LOG", log.to_str().unwrap())];
        let ran = work.swath_with(&[&RUN[..], &["--fresh", "--devices", "cpu-tensors"]].concat(), &environment);
        ran.expect(0);
        assert!(std::fs::read_to_string(&log).unwrap().lines().count() >= faults.split(',').count(), "{faults}");
        assert!(outputs(&work.path("out")) == expected, "{faults}");
        std::fs::remove_file(log).unwrap();
    }
}

#[test]
fn logits_that_stay_no_numbers_cost_their_scene_alone() {
    let work = work("reflect");
    let expected = fresh(&work, &["--devices", "cpu-tensors"]);
    let faults = [("SWATH_FAULTS", "device:nan~u16")];
    let ran = work.swath_with(&[&RUN[..], &["--fresh", "--devices", "cpu-tensors"]].concat(), &faults);
    ran.says(3, &["u16.tif", "non-finite logits"]);
    for name in ["u8", "i16", "f32", "a"] {
        let name = format!("masks/{name}.png");
        assert!(outputs(&work.path("out"))[&name] == expected[&name], "{name}");
    }
}

#[test]
fn kinds_of_devices_do_not_mix() {
    let work = work("reflect");
    let ran = work.swath(&[&RUN[..], &["--devices", "cpu,cpu-tensors"]].concat());
    ran.says(2, &["--devices mixes cpu and cpu-tensors, which do not give the same bytes"]);
}
