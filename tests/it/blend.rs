//! Blended tiles: what they come to, and that it comes to the same however the work is cut, spread, stored or broken off.
#![cfg(feature = "gdal")]

use std::collections::BTreeMap;

use gdal::Dataset;
use swath::geom::Size;
use swath::plan::{PlanFile, ShardCut};

use crate::support::command::{Workdir, fresh, geotiff};
use crate::support::memory::{IDENTITY, TWO, pipeline, values};
use crate::support::{files, outputs, png};

const RUN: [&str; 7] = ["run", "p.toml", "-i", "in", "-o", "out", "--backend=fake"];
const LABELS: [&str; 2] = ["--set", "checkpoints=[\"labels\"]"];
const LOGITS: [&str; 2] = ["--set", "checkpoints=[\"labels\", \"member-logits\"]"];

/// A scene of several rows and columns of tiles, a strip of one row, one that is a tile of its own, and two small ones of a group.
const SIZES: [(u32, u32); 5] = [(300, 270), (210, 50), (60, 60), (40, 30), (40, 30)];

/// With a value that is no data, which has a patch of its own, larger than a crop, in the first scene.
fn work(members: &str, nodata: bool) -> Workdir {
    let work = Workdir::new();
    let tiles = "strategy = \"fixed\"\ncentre = 64\ndilation = 16\nwhole_max = 60\nblend = \"gaussian\"";
    let text = pipeline(tiles, members, 7, nodata.then_some(99));
    work.write("p.toml", text + "[inference]\nbatch = 2\n");
    for (i, (width, height)) in (0..).zip(SIZES) {
        let size = Size::new(width, height);
        let mut pixels = values(size, 7, i);
        if nodata && i == 0 {
            for y in 100..250 {
                pixels[y * 300 + 20..y * 300 + 230].fill(9);
            }
        }
        geotiff(&work.path(&format!("in/s{i}.tif")), size, &pixels);
    }
    work
}

#[test]
fn where_tiles_agree_nothing_changes_and_where_they_do_not_seams_go() {
    for nodata in [false, true] {
        let lacking: &[&str] = if nodata { &["--set", "input.nodata_value=9"] } else { &[] };
        let same = work(IDENTITY, nodata);
        let plain = fresh(&same, &RUN, &[lacking, &["--set", "tiler.blend=none"]].concat());
        assert!(fresh(&same, &RUN, lacking) == plain, "a network that sees pixels alone says the same in every tile");
        let other = work(TWO, nodata);
        let plain = fresh(&other, &RUN, &[lacking, &["--set", "tiler.blend=none"]].concat());
        let blended = fresh(&other, &RUN, lacking);
        let changed: Vec<&str> =
            blended.iter().filter(|(name, bytes)| plain[*name] != **bytes).map(|(name, _)| name.as_str()).collect();
        // What is one tile is what it was.
        let cut = ["color/s0.png", "color/s1.png", "masks/s0.png", "masks/s1.png"];
        assert_eq!(changed.into_iter().filter(|name| name.ends_with("png")).collect::<Vec<_>>(), cut);
    }
}

/// A raster of the probability of each class, of u8.
fn probabilities(work: &Workdir, name: &str) -> Vec<Vec<u8>> {
    let data = Dataset::open(work.path("out/probabilities").join(name)).unwrap();
    let read = |band| data.rasterband(band).unwrap().read_band_as::<u8>().unwrap().data().to_vec();
    (1..=data.raster_count()).map(read).collect()
}

#[test]
fn a_pixel_is_the_mean_of_the_crops_that_see_it() {
    let (width, height) = (300_i64, 270_i64);
    let work = work(TWO, false);
    let options = ["--set", "inference.combine=probabilities", "--set", "outputs.probabilities=true"];
    work.swath(&[&RUN[..], &options].concat()).expect(0);
    let blended = probabilities(&work, "s0.tif");
    // Each crop as a scene of its own, mirrored at the edges.
    let scene = values(Size::new(300, 270), 7, 0);
    let crops = Workdir::new();
    std::fs::copy(work.path("p.toml"), crops.path("p.toml")).unwrap();
    let mirrored = |at: i64, length: i64| {
        if at < 0 {
            -at
        } else if at >= length {
            2 * length - 2 - at
        } else {
            at
        }
    };
    for (row, col) in (0..5).flat_map(|row| (0..5).map(move |col| (row, col))) {
        let at = |x: i64, y: i64| {
            let (x, y) = (mirrored(64 * col - 16 + x, width), mirrored(64 * row - 16 + y, height));
            scene[usize::try_from(y * width + x).unwrap()]
        };
        let pixels: Vec<u8> = (0..96).flat_map(|y| (0..96).map(move |x| (x, y))).map(|(x, y)| at(x, y)).collect();
        geotiff(&crops.path(&format!("in/c{row}{col}.tif")), Size::new(96, 96), &pixels);
    }
    crops.swath(&[&RUN[..], &options, &["--set", "tiler.whole_max=96"]].concat()).expect(0);
    let of_crop: Vec<Vec<Vec<Vec<u8>>>> =
        (0..5).map(|row| (0..5).map(|col| probabilities(&crops, &format!("c{row}{col}.tif"))).collect()).collect();
    let bell = |at: i64| (-((at as f64 - 47.5) / 12.0).powi(2) / 2.0).exp();
    let mut seen = [0; 5];
    for (x, y) in (0..270).step_by(3).flat_map(|y| (0..300).map(move |x| (x, y))) {
        let (mut sums, mut total, mut n) = ([0.0; 7], 0.0, 0);
        for (row, col) in (0..5).flat_map(|row| (0..5).map(move |col| (row, col))) {
            let (in_x, in_y) = (x - (64 * col - 16), y - (64 * row - 16));
            if !(0..96).contains(&in_x) || !(0..96).contains(&in_y) {
                continue;
            }
            let weight = bell(in_x) * bell(in_y);
            let at = usize::try_from(in_y * 96 + in_x).unwrap();
            let own = &of_crop[usize::try_from(row).unwrap()][usize::try_from(col).unwrap()];
            sums.iter_mut().zip(own).for_each(|(sum, own)| *sum += weight * f64::from(own[at]));
            (total, n) = (total + weight, n + 1);
        }
        seen[n] += 1;
        for (class, sum) in sums.iter().enumerate() {
            let got = f64::from(blended[class][usize::try_from(y * width + x).unwrap()]);
            assert!((got - sum / total).abs() <= 1.0, "({x}, {y}) {class}: {got} is not {}", sum / total);
        }
    }
    assert!(seen[1] > 0 && seen[2] > 0 && seen[4] > 0 && seen[3] == 0, "{seen:?}");
}

#[test]
fn the_bytes_depend_on_nothing_but_the_plan() {
    let work = work(TWO, true);
    let lacking = ["--set", "input.nodata_value=9"];
    let expected = fresh(&work, &RUN, &lacking);
    let all = work.forwards("out");
    let small = ["--set", "inference.unit_max=12kB"];
    for more in [
        &["--devices", "cpu,cpu,cpu", "--readers", "3"][..],
        &["--devices", "cpu,cpu", "--assign", "partition"],
        &["--devices", "cuda:0,cuda:1"],
        &["--memory", "4MiB"],
        &LOGITS,
    ] {
        assert!(fresh(&work, &RUN, &[more, &lacking].concat()) == expected, "{more:?}");
    }
    // Stored logits are blended anew: another weight runs nothing.
    let weight = ["--set", "members.1.weight=3.0"];
    work.swath(&[&RUN[..], &LOGITS, &lacking, &weight].concat()).expect(0);
    assert_eq!(work.forwards("out"), 0);
    let reweighted = outputs(&work.path("out"));
    assert!(reweighted != expected && fresh(&work, &RUN, &[&lacking[..], &weight].concat()) == reweighted);
    // Rows of tiles in pieces, and scenes as whole strips.
    assert!(fresh(&work, &RUN, &[&small[..], &lacking].concat()) == expected);
    assert!(work.forwards("out") > all, "batches are of one unit");
}

#[test]
fn what_is_broken_off_goes_on_to_the_same_bytes() {
    let work = work(TWO, false);
    let expected = fresh(&work, &RUN, &[]);
    let all = work.forwards("out");
    for (out, checkpoints) in [("labels", &LABELS), ("logits", &LOGITS)] {
        let run = ["run", "p.toml", "-i", "in", "-o", out, "--backend=fake", "--readers=1"];
        let run = [&run[..], checkpoints].concat();
        work.swath_with(&run, &[("SWATH_FAULTS", "read:drain@4")]).expect(5);
        let before = work.forwards(out);
        assert!((1..all).contains(&before), "{before} of {all}");
        work.swath(&run).expect(0);
        assert!(outputs(&work.path(out)) == expected, "{out}");
        // The row above what is missing runs again for its logits, unless these are stored.
        let after = work.forwards(out);
        assert!(
            if out == "labels" { (all - before + 1..all).contains(&after) } else { before + after == all },
            "{before} {after} {all}"
        );
    }
    work.swath(&[&RUN[..], &["--fresh"], &LABELS[..]].concat()).expect(0);
    std::fs::remove_file(work.path("out/masks/s0.png")).unwrap();
    work.swath(&[&RUN[..], &LABELS].concat()).expect(0);
    assert_eq!(work.forwards("out"), 0, "all planes are stored");
    assert!(outputs(&work.path("out")) == expected);
}

#[test]
fn a_process_that_dies_is_begun_anew_and_leaves_the_same_bytes() {
    let work = work(TWO, false);
    let expected = fresh(&work, &RUN, &[]);
    for (at, checkpoints) in [("average:abort@7!", &LABELS), ("infer:abort@12!", &LOGITS)] {
        let log = work.path(&at.replace(':', "-"));
        let log = log.to_str().unwrap();
        let run = [&RUN[..], &["--fresh", "--readers=1"], &checkpoints[..]].concat();
        work.swath_with(&run, &[("SWATH_FAULTS", at), ("SWATH_FAULTS_LOG", log)]).expect(0);
        assert!(std::fs::read_to_string(log).is_ok_and(|strikes| strikes.lines().count() == 1), "{at}");
        assert!(outputs(&work.path("out")) == expected, "{at}");
    }
}

#[test]
fn a_scene_that_fails_behind_stored_rows_costs_itself_alone() {
    let work = work(TWO, false);
    let expected = fresh(&work, &RUN, &[]);
    let run = [&RUN[..], &["--readers=1"], &LABELS[..]].concat();
    // Where some of its rows are stored, and reading it kills the process again and again.
    work.swath_with(&[&run[..], &["--fresh"]].concat(), &[("SWATH_FAULTS", "read:drain@4")]).expect(5);
    work.swath_with(&run, &[("SWATH_FAULTS", "scene:abort~s0")]).says(3, &["s0", "4 done, 1 failed"]);
    let others = outputs(&work.path("out"));
    assert!(!others.contains_key("masks/s0.png") && others["masks/s1.png"] == expected["masks/s1.png"]);
    work.swath(&run).expect(0);
    assert!(outputs(&work.path("out")) == expected);
    // Where what is stored of it is damaged, nothing of that is used.
    std::fs::remove_file(work.path("out/masks/s0.png")).unwrap();
    for (name, mut bytes) in files(&work.path("out/checkpoints")) {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(work.path("out/checkpoints").join(name), bytes).unwrap();
    }
    work.swath(&run).says(0, &["0 checkpoints usable"]);
    assert!(outputs(&work.path("out")) == expected);
}

#[test]
fn inside_an_area_pixels_are_what_they_are_without_one() {
    let work = work(TWO, true);
    let lacking = ["--set", "input.nodata_value=9"];
    work.swath(&[&RUN[..], &lacking].concat()).expect(0);
    let whole = png(&work.path("out/masks/s0.png"));
    let tiles = work.report("out")["totals"]["tiles"].as_u64().unwrap();
    // Columns 100 to 200 and rows 90 to 150: across borders of tiles, and across data and none.
    let area = ["--bbox", "500050,5399925,500100,5399955", "--fresh"];
    work.swath(&[&RUN[..], &lacking, &area].concat()).expect(0);
    assert!(work.report("out")["totals"]["tiles"].as_u64().unwrap() < tiles);
    let (width, height, mask) = png(&work.path("out/masks/s0.png"));
    for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
        let at = (y * width + x) as usize;
        let is_inside = (100..200).contains(&x) && (90..150).contains(&y);
        assert_eq!(mask[at], if is_inside { whole.2[at] } else { 99 }, "({x}, {y})");
    }
}

#[test]
fn a_device_without_the_memory_does_it_again_in_smaller_batches() {
    let work = work(TWO, false);
    let expected = fresh(&work, &RUN, &[]);
    for faults in ["device:oom~n2 s0 y48", "device:oom~n2"] {
        for checkpoints in [&[][..], &LABELS] {
            let run = [&RUN[..], &["--fresh"], checkpoints].concat();
            work.swath_with(&run, &[("SWATH_FAULTS", faults)]).expect(0);
            assert!(outputs(&work.path("out")) == expected, "{faults} {checkpoints:?}");
        }
    }
    // What is no number costs the scene and nothing else.
    work.swath_with(&[&RUN[..], &["--fresh"]].concat(), &[("SWATH_FAULTS", "device:nan~s0 y48")])
        .says(3, &["member", "non-finite", "s0"]);
    let partial = outputs(&work.path("out"));
    assert!(!partial.contains_key("masks/s0.png") && partial["masks/s1.png"] == expected["masks/s1.png"]);
}

#[test]
fn parts_of_a_plan_are_cut_between_scenes_only() {
    let work = work(TWO, false);
    let plan = ["plan", "p.toml", "-i", "in", "--backend=fake", "--devices=cpu", "--save", "plan.jsonl"];
    work.swath(&plan).expect(0);
    work.swath(&["run", "--plan", "plan.jsonl", "-o", "alone", "--devices=cpu", "--pack-fake"]).expect(0);
    let plain = [&plan[..7], &["plain.jsonl", "--set", "tiler.blend=none"]].concat();
    work.swath(&plain).expect(0);
    let cut = |file: &str, count: &str| -> usize {
        let (mut file, count) = (PlanFile::open(&work.path(file)).unwrap(), count.parse().unwrap());
        let units: Vec<_> =
            (0..count).map(|index| file.shard(&ShardCut { slots: None, count }, index).unwrap()).collect();
        units.into_iter().map(|units| file.stretch(units).unwrap().cut.len()).sum()
    };
    for count in ["2", "5"] {
        assert_eq!((cut("plan.jsonl", count), cut("plain.jsonl", count) > 0), (0, true), "{count}");
        for index in 0..count.parse().unwrap() {
            let index = i32::to_string(&index);
            let run =
                ["run", "--plan", "plan.jsonl", "-o", "out", "--devices=cpu", "--shard", &index, "--shards", count];
            work.swath(&run).expect(0);
        }
        work.swath(&["merge", "out", "--pack-fake", "--patience", "1s"]).expect(0);
        let made = |folder| {
            let all = outputs(&work.path(folder)).into_iter();
            all.filter(|(name, _)| !name.starts_with("records/")).collect::<BTreeMap<_, _>>()
        };
        assert!(made("out") == made("alone"));
        std::fs::remove_dir_all(work.path("out")).unwrap();
    }
}

#[test]
fn overlap_that_cannot_be_is_refused_and_the_plan_says_that_tiles_are_blended() {
    let work = work(TWO, false);
    let plan = ["plan", "p.toml", "-i", "in", "--backend=fake"];
    for dilation in ["0", "33", "[16, 40]"] {
        let set = format!("tiler.dilation={dilation}");
        work.swath(&[&plan[..], &["--set", &set]].concat()).says(2, &["tiler.dilation", "1 to 32", "blended"]);
    }
    work.swath(&[&plan[..], &["--set", "tiler.blend=gauss"]].concat()).says(2, &["tiler.blend", "gaussian"]);
    work.swath(&plan).says(0, &["blended"]);
    work.swath(&[&plan[..], &["--set", "tiler.dilation=32"]].concat()).expect(0);
    let none = work.swath(&[&plan[..], &["--set", "tiler.blend=none"]].concat()).expect(0);
    assert!(!none.contains("blended"), "{none}");
}
