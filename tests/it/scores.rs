//! `swath eval` of a run directory and of labelled scenes: every score against a figure that is computed here, pixel by pixel.
#![cfg(feature = "gdal")]

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use swath::geom::Size;

use crate::support::command::{Workdir, geotiff};
use crate::support::memory::{IDENTITY, TWO, pipeline, values};
use crate::support::{png, shared};

const RUN: [&str; 7] = ["run", "p.toml", "-i", "data/images", "-o", "out", "--backend=fake"];
const VALUES: [u8; 4] = [10, 20, 30, 40];

/// A pipeline of four classes whose values are not their ids, and what `[data]` says.
fn classes(members: &str, data: &str) -> String {
    let text = pipeline("strategy = \"fixed\"\ncentre = 64\ndilation = 16\nwhole_max = 64", members, 4, Some(99));
    let text = (0..4)
        .rev()
        .fold(text, |text, id| text.replace(&format!("value = {id}\n"), &format!("value = {}\n", VALUES[id])));
    format!("{text}[data]\n{data}\n").replace("color = true", "color = true\nscores = true")
}

fn save(path: &Path, size: Size, bytes: &[u8], color: image::ColorType) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::save_buffer(path, bytes, size.width, size.height, color).unwrap();
}

fn json(work: &Workdir, arguments: &[&str], code: i32) -> Value {
    let ran = work.swath(&[arguments, &["--json"]].concat());
    ran.expect(code);
    serde_json::from_str(&ran.stdout).unwrap()
}

fn close(found: &Value, wanted: f64) {
    let found = found.as_f64().unwrap_or_else(|| panic!("{found} is no number"));
    assert!((found - wanted).abs() < 1e-9, "{found} is not {wanted}");
}

/// What the definitions of all scores give of truth and mask, pixels with truth 255 left out, mean boundary IoU at a distance included.
struct Definition {
    pixels: Vec<(u8, u8)>,
    boundary: BTreeMap<u8, [u64; 2]>,
}

impl Definition {
    fn of(truth: &[u8], mask: &[u8], size: Size, distance: i64) -> Self {
        let counted = |i: usize| truth[i] != 255;
        let pixels = (0..truth.len()).filter(|i| counted(*i)).map(|i| (truth[i], mask[i])).collect();
        let (w, h) = (i64::from(size.width), i64::from(size.height));
        let near = |side: &[u8], x: i64, y: i64| {
            let at = |x: i64, y: i64| usize::try_from(y * w + x).unwrap();
            let own = side[at(x, y)];
            (y - distance..=y + distance).any(|b| {
                (x - distance..=x + distance).any(|a| {
                    !(0..w).contains(&a) || !(0..h).contains(&b) || !counted(at(a, b)) || side[at(a, b)] != own
                })
            })
        };
        let mut boundary: BTreeMap<u8, [u64; 2]> = BTreeMap::new();
        for i in (0..truth.len()).filter(|i| counted(*i)) {
            let (x, y) = (i64::try_from(i).unwrap() % w, i64::try_from(i).unwrap() / w);
            let (is_near, is_near_mask) = (near(truth, x, y), near(mask, x, y));
            for value in VALUES {
                let [a, b] = [truth[i] == value && is_near, mask[i] == value && is_near_mask];
                let sums = boundary.entry(value).or_default();
                sums[0] += u64::from(a && b);
                sums[1] += u64::from(a || b);
            }
        }
        Self { pixels, boundary }
    }

    fn join(mut self, other: Self) -> Self {
        self.pixels.extend(other.pixels);
        for (value, sums) in other.boundary {
            self.boundary.entry(value).or_default().iter_mut().zip(sums).for_each(|(sum, n)| *sum += n);
        }
        self
    }

    #[expect(clippy::cast_precision_loss, reason = "few pixels")]
    fn check(&self, scores: &Value) {
        let n = |of: &dyn Fn(u8, u8) -> bool| self.pixels.iter().filter(|(t, m)| of(*t, *m)).count() as f64;
        let all = self.pixels.len() as f64;
        let occurs: Vec<u8> = VALUES.into_iter().filter(|v| n(&|t, m| t == *v || m == *v) > 0.0).collect();
        let (mut ious, mut f1s, mut weighted, mut by_chance, mut bounds) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (value, found) in occurs.iter().zip(scores["values"].as_array().unwrap()) {
            let (both, either) = (n(&|t, m| t == *value && m == *value), n(&|t, m| t == *value || m == *value));
            let (truth, mask) = (n(&|t, _| t == *value), n(&|_, m| m == *value));
            assert_eq!(found["value"], *value);
            close(&found["iou"], both / either);
            close(&found["f1"], 2.0 * both / (truth + mask));
            close(&found["precision"], both / mask);
            close(&found["recall"], both / truth);
            let [common, union] = self.boundary[value].map(|n| n as f64);
            close(&found["boundary_iou"], common / union);
            ious += both / either;
            f1s += 2.0 * both / (truth + mask);
            weighted += truth / all * both / either;
            by_chance += truth / all * mask / all;
            bounds += common / union;
        }
        let classes = occurs.len() as f64;
        let right = n(&|t, m| t == m) / all;
        assert_eq!(scores["counted"], self.pixels.len());
        close(&scores["miou"], ious / classes);
        close(&scores["macro_f1"], f1s / classes);
        close(&scores["fwiou"], weighted);
        close(&scores["accuracy"], right);
        close(&scores["kappa"], (right - by_chance) / (1.0 - by_chance));
        close(&scores["boundary_iou"], bounds / classes);
    }
}

/// Blobs of four values.
fn blobs(size: Size, shift: u32) -> Vec<u8> {
    let of = |x: u32, y: u32| {
        VALUES[usize::try_from(((x + shift) / 11 + (y + 2 * shift) / 8 * 2 + x * y / 900) % 4).unwrap()]
    };
    (0..size.height).flat_map(|y| (0..size.width).map(move |x| of(x, y))).collect()
}

#[test]
fn every_score_is_that_of_its_definition_by_scene_and_over_all() {
    let work = Workdir::new();
    let sizes = [Size::new(70, 50), Size::new(33, 41)];
    let mut definitions = Vec::new();
    for (name, size) in ["a", "b"].into_iter().zip(sizes) {
        let (mut truth, mask) = (blobs(size, 0), blobs(size, 3));
        truth.iter_mut().step_by(17).for_each(|value| *value = 255);
        truth[..size.width as usize * 4].fill(255);
        save(&work.path(&format!("masks/{name}.png")), size, &mask, image::ColorType::L8);
        save(&work.path(&format!("truth/{name}.png")), size, &truth, image::ColorType::L8);
        definitions.push((truth, mask, size));
    }
    for (option, distances) in [("2%", [2, 1]), ("10%", [9, 5]), ("3", [3, 3])] {
        let found = json(&work, &["eval", "masks", "--truth", "truth", "--ignore", "255", "--boundary", option], 0);
        let mut each = definitions.iter().zip(distances).map(|((t, m, size), d)| Definition::of(t, m, *size, d));
        let (a, b) = (each.next().unwrap(), each.next().unwrap());
        assert_eq!((&found["scenes"][0]["name"], &found["scenes"][1]["name"]), (&"a.png".into(), &"b.png".into()));
        a.check(&found["scenes"][0]);
        b.check(&found["scenes"][1]);
        a.join(b).check(&found["scores"]);
    }
    let text = ["FWIoU", "macro F1", "kappa", "distance   3 pixels, from the contours", "scene     mIoU"];
    work.swath(&["eval", "masks", "--truth", "truth", "--ignore=255", "--boundary=3"]).says(0, &text);
    let without = work.swath(&["eval", "masks", "--truth", "truth", "--ignore=255", "--no-boundary"]);
    assert!(!without.expect(0).contains("boundary"));
    work.swath(&["eval", "masks", "--truth", "truth", "--boundary=0"]).says(2, &["write a share of the diagonal (2%)"]);
}

/// Labelled scenes in `data`: images whose pixels are classes, which a network that copies them makes masks of; and masks in every form, each
/// with 30 pixels of what takes no part.
fn labelled(work: &Workdir, members: &str, data: &str) -> Size {
    let size = Size::new(60, 40);
    work.write("p.toml", classes(members, data));
    for (name, seed) in [("a", 1), ("b", 2), ("c", 3)] {
        let ids = values(size, 4, seed);
        geotiff(&work.path(&format!("data/images/{name}.tif")), size, &ids);
        // One pixel in eight is another class.
        let mut truth: Vec<u8> =
            ids.iter().enumerate().map(|(i, id)| if i % 8 == 0 { (id + 1) % 4 } else { *id }).collect();
        truth[100..130].fill(200);
        save(&work.path(&format!("data/masks/{name}.png")), size, &truth, image::ColorType::L8);
        let colors: Vec<u8> =
            truth.iter().flat_map(|id| if *id == 200 { [1, 2, 3] } else { [*id, 0x20, 0x30] }).collect();
        save(&work.path(&format!("colors/{name}.png")), size, &colors, image::ColorType::Rgb8);
        let own: Vec<u8> = truth.iter().map(|id| VALUES.get(usize::from(*id)).copied().unwrap_or(99)).collect();
        save(&work.path(&format!("values/{name}.png")), size, &own, image::ColorType::L8);
    }
    size
}

const IDS: &str = "labels = \"id\"\nremap = { 200 = \"ignore\", \"#010203\" = \"ignore\" }";

#[test]
fn a_run_directory_knows_its_masks_and_what_truth_holds() {
    let work = Workdir::new();
    let size = labelled(&work, IDENTITY, IDS);
    work.swath(&RUN).expect(0);
    // Its plan has the classes and [data]: the pipeline file may be gone.
    std::fs::remove_file(work.path("p.toml")).unwrap();
    let found = json(&work, &["eval", "out", "--truth", "data"], 0);
    let pixels = 3 * size.area();
    assert_eq!((&found["scores"]["counted"], &found["scores"]["ignored"]), (&(pixels - 90).into(), &90.into()));
    // 300 of 2400 pixels are wrong; 4 of them, at 104, 112, 120 and 128, are left out.
    close(&found["scores"]["accuracy"], 1.0 - 296.0 / 2370.0);
    assert!(
        found["unknown"].as_array().unwrap().is_empty() && found["hints"].as_array().unwrap().is_empty(),
        "{found}"
    );
    work.swath(&["eval", "out", "--truth", "data"]).says(0, &["   10  c0", "   40  c3", "pairs      3 compared"]);
    // Colours, and a list with parts, whose pairs are found by the images that the run has read.
    let colors = json(&work, &["eval", "out", "--truth", "colors"], 0);
    assert_eq!(colors["scores"], found["scores"]);
    std::fs::rename(work.path("data/masks"), work.path("data/labels")).unwrap();
    let line = |name: &str, mask: &str, part: &str| format!("data/images/{name}.tif\t{mask}\t{part}\n");
    std::fs::rename(work.path("data/labels/b.png"), work.path("data/labels/other.png")).unwrap();
    let list = line("a", "data/labels/a.png", "val")
        + &line("b", "data/labels/other.png", "val")
        + &line("c", "colors/c.png", "test");
    work.write("list.tsv", list);
    let listed = json(&work, &["eval", "out", "--truth", "list.tsv"], 0);
    assert_eq!(listed["scores"]["matrix"], found["scores"]["matrix"]);
    let one = json(&work, &["eval", "out", "--truth", "list.tsv", "--part", "test"], 0);
    assert_eq!((&one["pairs"], &one["extra"]), (&1.into(), &serde_json::json!(["a.png", "b.png"])));
    let said = ["none of the 0 labelled scenes", "--part chooses"];
    work.swath(&["eval", "out", "--truth", "list.tsv", "--part", "fold3"]).says(2, &said);
    work.swath(&["eval", "out", "--truth", "colors", "--part", "val"])
        .says(2, &["is a folder of masks, which has no parts"]);
}

#[test]
fn truth_of_another_form_than_the_pipeline_says_is_refused_with_values() {
    let work = Workdir::new();
    labelled(&work, IDENTITY, IDS);
    work.swath(&RUN).expect(0);
    // One pair whose truth holds values instead of ids.
    std::fs::copy(work.path("values/b.png"), work.path("data/masks/b.png")).unwrap();
    let ran = work.swath(&["eval", "out", "--truth", "data"]);
    ran.says(
        3,
        &[
            "1 pair that cannot be compared:",
            "b: the mask holds what is no class: 20 (",
            "--ignore VALUE leaves a value out",
        ],
    );
    assert!(ran.stdout.contains("pairs      2 compared"), "{}", ran.stdout);
    // Without the remap, 200 is no class either, unless it is left out.
    work.write("p.toml", classes(IDENTITY, "labels = \"id\""));
    let given = ["eval", "out", "--truth", "data", "--pipeline", "p.toml"];
    work.swath(&given).says(2, &["none of the 3 pairs can be compared; the first: `a`", "200 (30 pixels)"]);
    let found = json(&work, &[&given[..], &["--ignore", "200"]].concat(), 3);
    assert_eq!((&found["pairs"], &found["scores"]["ignored"]), (&2.into(), &60.into()));
    // A folder of masks with labelled scenes pairs by name, and a setting says what truth holds.
    work.write("p.toml", classes(IDENTITY, ""));
    let folder =
        ["eval", "values", "--truth", "data", "--pipeline", "p.toml", "--set", "data.labels=id", "--ignore=200"];
    let found = json(&work, &folder, 3);
    close(&found["scores"]["accuracy"], 1.0);
    work.swath(&["eval", "values", "--truth", "data", "--set", "data.labels=id"]).says(2, &["--pipeline"]);
    // A palette with the classes' colours elsewhere is none of truth.
    for name in ["a", "b", "c"] {
        let mut encoder =
            png::Encoder::new(std::fs::File::create(work.path(&format!("data/masks/{name}.png"))).unwrap(), 60, 40);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_palette([3, 0x20, 0x30, 2, 0x20, 0x30, 1, 0x20, 0x30, 0, 0x20, 0x30].as_slice());
        encoder.write_header().unwrap().write_image_data(&[1; 2400]).unwrap();
    }
    work.swath(&["eval", "out", "--truth", "data"]).says(2, &["is a picture of a mask: its palette has the colours"]);
}

#[test]
fn a_scene_of_the_run_without_a_mask_is_missing_and_one_of_no_run_is_not() {
    let work = Workdir::new();
    let size = labelled(&work, IDENTITY, IDS);
    work.swath(&RUN).expect(0);
    std::fs::remove_file(work.path("out/masks/c.png")).unwrap();
    geotiff(&work.path("data/images/new.tif"), size, &values(size, 4, 9));
    std::fs::copy(work.path("data/masks/a.png"), work.path("data/masks/new.png")).unwrap();
    let found = json(&work, &["eval", "out", "--truth", "data"], 3);
    assert_eq!(
        (&found["missing"], &found["elsewhere"], &found["pairs"]),
        (&serde_json::json!(["c"]), &1.into(), &2.into())
    );
    let words = ["elsewhere  1 pair of the data that the run has not seen", "1 true mask without a mask:\n  c\n"];
    work.swath(&["eval", "out", "--truth", "data"]).says(3, &words);
}

#[test]
fn calibration_is_that_of_the_planes_that_the_run_wrote() {
    let work = Workdir::new();
    labelled(&work, TWO, "");
    work.swath(&RUN).expect(0);
    let found = json(&work, &["eval", "out", "--truth", "values"], 0);
    // The same over again: (level, right) of each counted pixel, 15 bins of equal width, open below.
    let mut bins = vec![(0_u32, 0_u32, 0.0); 15];
    for name in ["a", "b", "c"] {
        let plane = gdal::Dataset::open(work.path(&format!("out/scores/{name}.tif"))).unwrap();
        let scores = plane.rasterband(1).unwrap().read_band_as::<u8>().unwrap();
        let (mask, truth) =
            (png(&work.path(&format!("out/masks/{name}.png"))).2, png(&work.path(&format!("values/{name}.png"))).2);
        for (score, (mask, truth)) in
            scores.data().iter().zip(mask.iter().zip(&truth)).filter(|(_, (_, truth))| **truth != 99)
        {
            let share = f64::from(score - 1) / 254.0;
            let bin = bins.iter_mut().enumerate().find(|(i, _)| share <= (*i as f64 + 1.0) / 15.0).unwrap().1;
            *bin = (bin.0 + 1, bin.1 + u32::from(mask == truth), bin.2 + share);
        }
    }
    let all: u32 = bins.iter().map(|bin| bin.0).sum();
    let ece = bins.iter().map(|(_, right, sum)| (f64::from(*right) - sum).abs()).sum::<f64>() / f64::from(all);
    let calibration = &found["scores"]["calibration"];
    close(&calibration["ece"], ece);
    assert_eq!((&calibration["pixels"], &calibration["unscored"]), (&all.into(), &0.into()));
    let counted: Vec<u64> =
        calibration["bins"].as_array().unwrap().iter().map(|bin| bin["pixels"].as_u64().unwrap()).collect();
    assert_eq!(counted, bins.iter().map(|bin| u64::from(bin.0)).collect::<Vec<_>>());
    assert!(counted.iter().filter(|n| **n > 0).count() > 1, "{counted:?}");
    assert!(found["scenes"][2]["calibration"]["ece"].is_number());
    work.swath(&["eval", "out", "--truth", "values"]).says(0, &["ECE", &format!("{all} pixels in")]);
    // A run without planes has none.
    work.swath(&[&RUN[..], &["--set", "outputs.scores=false"]].concat()).expect(0);
    assert!(json(&work, &["eval", "out", "--truth", "values"], 0)["scores"]["calibration"].is_null());
}

#[test]
fn the_page_has_the_scores_and_asks_for_nothing_else() {
    let work = Workdir::new();
    labelled(&work, TWO, "");
    let text = std::fs::read_to_string(work.path("p.toml"))
        .unwrap()
        .replace("name = \"c1\"", "name = \"<script>alert(1)</script>\"");
    work.write("p.toml", text);
    work.swath(&RUN).expect(0);
    let arguments = ["eval", "out", "--truth", "values", "--html", "scores.html"];
    let found = json(&work, &arguments, 0);
    let page = std::fs::read_to_string(work.path("scores.html")).unwrap();
    let percent = |value: &Value| format!("{:.2}%", value.as_f64().unwrap() * 100.0);
    let figures = [&found["scores"]["miou"], &found["scenes"][1]["fwiou"], &found["scores"]["calibration"]["ece"]];
    for word in figures.map(percent).iter().map(String::as_str).chain([
        "table class=\"sortable\"",
        "class=\"matrix\"",
        "<svg class=\"reliability\"",
    ]) {
        assert!(page.contains(word), "`{word}` is not there");
    }
    assert!(!page.contains("<script>alert") && page.contains("alert(1)"), "names are escaped");
    for word in ["http:", "https:", "src=", "@import", "url("] {
        assert!(!page.contains(word), "{word}");
    }
    work.swath(&arguments).says(2, &["`scores.html` exists; add --overwrite"]);
    work.swath(&[&arguments[..], &["--overwrite"]].concat()).expect(0);
}

#[test]
fn real_labelled_scenes_in_parts_are_scored_as_their_masks_alone() {
    let Some(folder) = shared("data/landcover/dubai-member") else { return };
    let work = Workdir::new();
    let named = ["water", "land", "road", "building", "vegetation"];
    let text = pipeline("strategy = \"whole\"\nwhole_max = 64", IDENTITY, 5, Some(255));
    let text =
        (0..5).fold(text, |text, id| text.replace(&format!("name = \"c{id}\""), &format!("name = \"{}\"", named[id])));
    work.write("p.toml", text);
    let mut list = String::new();
    for name in ["a", "b", "c", "d"] {
        let file = |folder_of: &str| {
            let files = std::fs::read_dir(folder.join(folder_of)).unwrap().map(|entry| entry.unwrap().path());
            files.into_iter().find(|path| path.file_stem().unwrap() == name).unwrap().display().to_string()
        };
        list += &format!("{}\t{}\ttest\n", file("images"), file("truth"));
    }
    work.write("list.tsv", list.clone());
    let masks = folder.join("masks");
    let masks = masks.to_str().unwrap();
    let alone = folder.join("truth");
    let of_values =
        json(&work, &["eval", masks, "--truth", alone.to_str().unwrap(), "--ignore=255", "--no-boundary"], 0);
    // Names of a list are paths: they pair where these end in the mask's.
    work.write("short.tsv", list.replace(&format!("{}/images/", folder.display()), ""));
    let ruled = json(&work, &["eval", masks, "--truth", "short.tsv", "--pipeline", "p.toml", "--no-boundary"], 0);
    assert_eq!(ruled["scores"], of_values["scores"]);
    assert_eq!(ruled["pairs"], 4);
}
