//! Test-time augmentation: each member sees a tile in several views, through the command line.
#![cfg(feature = "gdal")]

use swath::geom::Size;

use crate::support::command::{Workdir, fresh, geotiff};
use crate::support::memory::{IDENTITY, TWO, pipeline, values};
use crate::support::outputs;

const ALL: &str = "inference.views=[\"identity\",\"hflip\",\"vflip\",\"rot90\",\"rot180\",\"rot270\"]";
const RUN: [&str; 8] = ["run", "p.toml", "-i", "in", "-o", "out", "--backend", "fake"];
const LOGITS: [&str; 2] = ["--set", "checkpoints=[\"labels\", \"member-logits\"]"];

/// Crops that are neither square nor multiples of what networks ask for: at the scenes' ends, and of whole small scenes.
fn work(members: &str) -> Workdir {
    let work = Workdir::new();
    let text = pipeline("strategy = \"fixed\"\ncentre = 41\ndilation = 6\nwhole_max = 60", members, 7, None);
    work.write("p.toml", text + "[inference]\nbatch = 2\n");
    for (i, (width, height)) in (0..).zip([(70, 130), (33, 59), (33, 59), (1, 7)]) {
        let size = Size::new(width, height);
        geotiff(&work.path(&format!("in/s{i}.tif")), size, &values(size, 7, i));
    }
    work
}

#[test]
fn a_network_without_a_sense_of_direction_gives_the_same_in_all_views() {
    let work = work(IDENTITY);
    let plain = fresh(&work, &RUN, &[]);
    let once = work.forwards("out");
    for devices in ["cpu", "cuda:0"] {
        assert!(fresh(&work, &RUN, &["--devices", devices, "--set", ALL]) == plain, "{devices}");
        assert_eq!(work.forwards("out"), 6 * once);
    }
}

#[test]
fn views_go_through_the_same_sum_however_they_are_spread_and_stored() {
    let work = work(TWO);
    let views = ["--set", ALL];
    let expected = fresh(&work, &RUN, &views);
    for more in [&["--devices", "cpu,cpu", "--assign", "partition"][..], &["--devices", "cuda:0,cuda:1"], &LOGITS] {
        assert!(fresh(&work, &RUN, &[more, &views].concat()) == expected, "{more:?}");
    }
    let stored = work.forwards("out");
    // Stored one by one: another weight runs nothing, one more view runs only that.
    let weight = ["--set", "members.1.weight=3.0"];
    work.swath(&[&RUN[..], &LOGITS, &views, &weight].concat()).expect(0);
    assert_eq!(work.forwards("out"), 0);
    let reweighted = outputs(&work.path("out"));
    assert!(fresh(&work, &RUN, &[&views[..], &weight].concat()) == reweighted);
    fresh(&work, &RUN, &[&LOGITS[..], &["--set", "inference.views=[\"identity\",\"hflip\"]"]].concat());
    work.swath(&[&RUN[..], &LOGITS, &views].concat()).expect(0);
    assert_eq!(work.forwards("out"), stored / 6 * 4);
    assert!(outputs(&work.path("out")) == expected);
}

#[test]
fn a_plan_says_what_views_cost_and_wrong_ones_are_refused() {
    let work = work(TWO);
    let plan = ["plan", "p.toml", "-i", "in", "--backend", "fake"];
    work.swath(&[&plan[..], &["--set", ALL]].concat()).says(0, &["each tile goes 6 times through each network"]);
    let refused = |views: &str, words: &[&str]| {
        let set = format!("inference.views={views}");
        work.swath(&[&plan[..], &["--set", &set]].concat()).says(2, words);
    };
    refused("[\"hflip\"]", &["inference.views", "`identity` is missing"]);
    refused("[\"identity\", \"rot90\", \"rot90\"]", &["`rot90` is there twice", "each once"]);
    refused("[\"identity\", \"flip\"]", &["flip", "hflip"]);
}

#[test]
fn a_deadline_gives_up_turned_views_before_members() {
    let work = work(TWO);
    let scenes: Vec<(u32, u32)> = vec![(50, 41); 40];
    for (i, (width, height)) in (10..).zip(scenes) {
        let size = Size::new(width, height);
        geotiff(&work.path(&format!("in/t{i}.tif")), size, &values(size, 7, i));
    }
    let mut command = work.command(&[&RUN[..], &["--devices", "cpu", "--set", ALL, "--deadline", "4s"]].concat());
    let output = command.env("SWATH_FAKE_DELAY_MS", "25").output().unwrap();
    assert!(output.status.code().is_some_and(|code| [4, 5].contains(&code)), "{output:?}");
    let report = work.report("out");
    for step in report["deadline"]["steps"].as_array().unwrap() {
        let kept: Vec<&str> = step["members"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        // However short time was: as long as a turned view is left, every member is.
        let is_turned = |name: &&str| name.contains(' ');
        assert!(!kept.iter().any(is_turned) || (kept.contains(&"member0") && kept.contains(&"member1")), "{kept:?}");
    }
}
