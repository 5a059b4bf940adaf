//! `swath viz`: pictures pixel by pixel, of runs and of folders, and what cannot be drawn.
#![cfg(feature = "gdal")]

use std::path::Path;

use swath::geom::Size;

use crate::support::command::{Workdir, geotiff};
use crate::support::memory::{IDENTITY, pipeline, values};

const SIZE: Size = Size::new(70, 50);
const COLORS: [[u8; 3]; 3] = [[0, 0x20, 0x30], [1, 0x20, 0x30], [2, 0x20, 0x30]];

/// What is seen of values that are shares of 4.
const SEEN: [u8; 5] = [0, 64, 128, 191, 255];

/// A pipeline whose network gives each pixel the class that its value is; masks hold 10, 20 and 30, and nodata is 9.
fn prepared(more: &str) -> Workdir {
    let work = Workdir::new();
    let text = pipeline("strategy = \"fixed\"\ncentre = 64\ndilation = 16\nwhole_max = 60", IDENTITY, 3, Some(9));
    let text =
        (0..3).rev().fold(text, |text, id| text.replace(&format!("value = {id}\n"), &format!("value = {}0\n", id + 1)));
    work.write("p.toml", text.replace("divide = { u8 = 1,", "divide = { u8 = 4,") + more);
    work
}

fn run(work: &Workdir) {
    for name in ["a", "sub/b.v2"] {
        geotiff(&work.path(&format!("in/{name}.tif")), SIZE, &values(SIZE, 3, 4));
    }
    work.swath(&["run", "p.toml", "-i", "in", "-o", "out", "--backend=fake"]).expect(0);
}

fn grey(path: &Path, size: Size, values: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::save_buffer(path, values, size.width, size.height, image::ColorType::L8).unwrap();
}

/// A picture's pixels, by another decoder.
fn seen(work: &Workdir, file: &str) -> Vec<[u8; 3]> {
    let picture = image::open(work.path(file)).unwrap_or_else(|e| panic!("{file}: {e}")).to_rgb8();
    picture.pixels().map(|pixel| pixel.0).collect()
}

/// The mask of a run as class ids.
fn ids(work: &Workdir, name: &str) -> Vec<u8> {
    let mask = image::open(work.path(&format!("out/masks/{name}.png"))).unwrap().to_luma8();
    mask.into_raw().into_iter().map(|value| value / 10 - 1).collect()
}

#[test]
fn pictures_of_a_run_have_its_colours_over_its_scenes() {
    let work = prepared("");
    run(&work);
    std::fs::remove_file(work.path("p.toml")).unwrap();
    let ran = work.swath(&["viz", "out", "-o", "pics", "--overlay", "--alpha", "0.25"]);
    ran.says(0, &["2 pictures  pics/color\n", "2 pictures  pics/overlay\n"]);
    for name in ["a", "sub/b.v2"] {
        let ids = ids(&work, name);
        let color: Vec<[u8; 3]> = ids.iter().map(|id| COLORS[usize::from(*id)]).collect();
        assert_eq!(seen(&work, &format!("pics/color/{name}.png")), color);
        let (of_run, of_viz) = (format!("out/color/{name}.png"), format!("pics/color/{name}.png"));
        assert_eq!(std::fs::read(work.path(&of_run)).unwrap(), std::fs::read(work.path(&of_viz)).unwrap());
        // A quarter of the class, three of the scene.
        let scene = values(SIZE, 3, 4);
        let mixed = scene.iter().zip(&color).map(|(value, color)| {
            let shown = u16::from(SEEN[usize::from(*value)]);
            color.map(|c| u8::try_from((u16::from(c) * 64 + shown * 192) / 256).unwrap())
        });
        assert_eq!(seen(&work, &format!("pics/overlay/{name}.png")), mixed.collect::<Vec<_>>(), "{name}");
    }
    // At a half it is what the run writes itself.
    work.write("p.toml", std::fs::read(prepared("").path("p.toml")).unwrap());
    work.swath(&["run", "p.toml", "-i", "in", "-o", "out", "--backend=fake", "--set", "outputs.overlay=true"])
        .expect(0);
    work.swath(&["viz", "out", "-o", "half", "--overlay"]).expect(0);
    let file = |folder: &str| std::fs::read(work.path(folder).join("overlay/sub/b.v2.png")).unwrap();
    assert_eq!(file("half"), file("out"));
    // Nothing is replaced unasked.
    work.swath(&["viz", "out", "-o", "half"]).says(2, &["half/color/a.png` exists; add --overwrite"]);
    work.swath(&["viz", "out", "-o", "half", "--overwrite"]).says(0, &["2 pictures  half/color"]);
}

#[test]
fn an_error_map_shows_what_should_be_where_a_mask_is_wrong() {
    let work = prepared("[data]\nlabels = \"id\"\nremap = { 200 = \"ignore\" }\n");
    run(&work);
    let mut truth = ids(&work, "a");
    truth.iter_mut().step_by(7).for_each(|id| *id = (*id + 1) % 3);
    truth[70..80].fill(200);
    grey(&work.path("truth/a.png"), SIZE, &truth);
    let ran = work.swath(&["viz", "out", "-o", "pics", "--truth", "truth"]);
    ran.says(0, &["no truth    sub/b.v2\n", "1 picture   pics/errors\n", "2 pictures  pics/color\n"]);
    let check = |folder: &str, wrong: &dyn Fn(u8) -> [u8; 3]| {
        let errors = seen(&work, &format!("{folder}/errors/a.png"));
        for (at, (pixel, (truth, mask))) in errors.iter().zip(truth.iter().zip(ids(&work, "a"))).enumerate() {
            match (*truth, mask) {
                (200, _) => assert_eq!(*pixel, [128; 3], "pixel {at}"),
                // Hardly any lightness in these colours: the palest but for little.
                (truth, mask) if truth == mask => assert!(pixel.iter().all(|c| (205..=220).contains(c)), "{pixel:?}"),
                (truth, _) => assert_eq!(*pixel, wrong(truth), "pixel {at}"),
            }
        }
        assert!(errors.iter().filter(|pixel| pixel[0] < 128).count() > 400);
    };
    check("pics", &|truth| COLORS[usize::from(truth)]);
    work.swath(&["viz", "out", "-o", "pink", "--truth", "truth", "--wrong", "#7f00f0"]).expect(0);
    check("pink", &|_| [0x7f, 0, 0xf0]);
    let report = work.swath(&["viz", "out", "-o", "json", "--truth", "truth", "--json"]).expect(0);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["pictures"], serde_json::json!([["color", 2], ["errors", 1]]));
    assert_eq!((&report["without_truth"][0], &report["failed"]), (&"sub/b.v2".into(), &serde_json::json!([])));
}

#[test]
fn a_folder_of_masks_of_either_format_is_drawn_with_a_pipelines_classes() {
    let work = prepared("");
    let held: Vec<u8> = values(SIZE, 4, 8).into_iter().map(|v| if v == 3 { 9 } else { (v + 1) * 10 }).collect();
    grey(&work.path("masks/a.png"), SIZE, &held);
    geotiff(&work.path("masks/sub/b.tif"), SIZE, &held);
    let scene = values(SIZE, 5, 2);
    geotiff(&work.path("images/a.tif"), SIZE, &scene);
    grey(&work.path("images/sub/b.png"), SIZE, &scene);
    let arguments = ["viz", "masks", "-o", "pics", "--pipeline", "p.toml", "--overlay", "--images", "images"];
    work.swath(&arguments).says(0, &["2 pictures  pics/color\n", "2 pictures  pics/overlay\n"]);
    let color = |value: &u8| if *value == 9 { [0; 3] } else { COLORS[usize::from(value / 10 - 1)] };
    for name in ["a", "sub/b"] {
        assert_eq!(
            seen(&work, &format!("pics/color/{name}.png")),
            held.iter().map(color).collect::<Vec<_>>(),
            "{name}"
        );
        // Where there is no data the scene is seen alone.
        let mixed = held.iter().zip(&scene).map(|(value, scene)| {
            let shown = SEEN[usize::from(*scene)];
            if *value == 9 { [shown; 3] } else { color(value).map(|c| c.midpoint(shown)) }
        });
        assert_eq!(seen(&work, &format!("pics/overlay/{name}.png")), mixed.collect::<Vec<_>>(), "{name}");
    }
    work.swath(&["viz", "masks/a.png", "-o", "one", "--pipeline", "p.toml"]).says(0, &["1 picture   one/color"]);
    assert_eq!(seen(&work, "one/color/a.png"), held.iter().map(color).collect::<Vec<_>>());
}

#[test]
fn a_mask_that_cannot_be_drawn_costs_itself() {
    let work = prepared("");
    let held = vec![10; SIZE.len()];
    let mut odd = held.clone();
    odd[75] = 13;
    for name in ["good", "small", "blind", "odd", "cut"] {
        grey(&work.path(&format!("masks/{name}.png")), SIZE, if name == "odd" { &odd } else { &held });
        grey(&work.path(&format!("images/{name}.png")), SIZE, &held);
    }
    grey(&work.path("images/small.png"), Size::new(7, 5), &[1; 35]);
    std::fs::remove_file(work.path("images/blind.png")).unwrap();
    let whole = std::fs::read(work.path("masks/cut.png")).unwrap();
    work.write("masks/cut.png", &whole[..whole.len() - 20]);
    let arguments = ["viz", "masks", "-o", "pics", "--pipeline", "p.toml", "--overlay", "--images", "images"];
    let words = [
        "failed      small.png: the mask has 70 x 50 pixels and the scene 7 x 5\n",
        "failed      blind.png: `images` has no image of that name\n",
        "failed      odd.png: value 13 at column 5, row 1 of `masks/odd.png` has no entry in the class table\n",
        "failed      cut.png: cannot decode the mask `masks/cut.png` as PNG",
        "1 picture   pics/color\n",
    ];
    work.swath(&arguments).says(3, &words);
    let files = |folder: &str| std::fs::read_dir(work.path(folder)).unwrap().count();
    assert_eq!((files("pics/color"), files("pics/overlay")), (1, 1), "no file is left of what failed");
    work.swath(&["viz", "masks", "-o", "pics"])
        .says(2, &["`masks` is no run directory: give the class table with --pipeline"]);
    work.swath(&["viz", "none", "-o", "pics", "--pipeline", "p.toml"]).says(2, &["cannot list `none`"]);
    std::fs::create_dir(work.path("empty")).unwrap();
    work.swath(&["viz", "empty", "-o", "pics", "--pipeline", "p.toml"]).says(2, &["`empty` holds no masks"]);
    work.swath(&["viz", "masks", "-o", "x", "--pipeline=p.toml", "--overlay", "--alpha=1.5"]).says(2, &["from 0 to 1"]);
    work.swath(&["viz", "masks", "-o", "x", "--pipeline=p.toml", "--alpha=0.5"]).says(2, &["--overlay"]);
    work.swath(&["viz", "masks", "-o", "x", "--pipeline=p.toml", "--wrong=red"]).says(2, &["`red` is not a colour"]);
}
