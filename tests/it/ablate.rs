//! `swath eval --ablate`: each row against a run with that setting, as a person would make it.
#![cfg(feature = "gdal")]

use serde_json::Value;
use swath::geom::Size;

use crate::support::command::{Workdir, geotiff};
use crate::support::memory::{TWO, pipeline, values};

const RUN: [&str; 8] = ["run", "p.toml", "-i", "data/images", "--backend=fake", "--devices=cpu", "--readers=1", "-o"];
const TILER: &str = "strategy = \"adaptive\"\ncentres = [64, 40]\ndilation = 15\nblend = \"gaussian\"\nwhole_max = 60";

/// A labelled scene, and a run over it with everything that can be left out.
fn prepared() -> Workdir {
    let work = Workdir::new();
    let members = format!("{TWO}precision = \"bf16\"\n");
    let text = pipeline(TILER, &members, 7, None);
    work.write(
        "p.toml",
        text + "[inference]\nviews = [\"identity\", \"hflip\", \"rot90\"]\ncombine = \"probabilities\"\n",
    );
    let size = Size::new(160, 110);
    geotiff(&work.path("data/images/a.tif"), size, &patches(size, 5));
    std::fs::create_dir_all(work.path("data/masks")).unwrap();
    let mask = patches(size, 9);
    image::save_buffer(work.path("data/masks/a.png"), &mask, size.width, size.height, image::ColorType::L8).unwrap();
    work.swath(&[&RUN[..], &["out"]].concat()).expect(0);
    work
}

/// Values in patches, so that networks that see little of a scene see more than noise.
fn patches(size: Size, seed: u32) -> Vec<u8> {
    let of_patch = values(Size::new(40, 40), 7, seed);
    let at = |x: u32, y: u32| of_patch[usize::try_from(y / 7 * 40 + x / 9).unwrap()];
    (0..size.height).flat_map(|y| (0..size.width).map(move |x| (x, y))).map(|(x, y)| at(x, y)).collect()
}

fn json(work: &Workdir, arguments: &[&str]) -> Value {
    let ran = work.swath(&[arguments, &["--json"]].concat());
    ran.expect(0);
    serde_json::from_str(&ran.stdout).unwrap()
}

/// The mIoU of a run with settings of its own, and the members that it keeps.
fn miou(work: &Workdir, settings: &[&str], drop_member: Option<usize>) -> f64 {
    let own = std::fs::read_to_string(work.path("p.toml")).unwrap();
    if let Some(member) = drop_member {
        let mut parts: Vec<&str> = own.split("[[members]]\n").collect();
        // The last one ends where the outputs begin.
        let (last, rest) = parts.pop().unwrap().split_once("\n[outputs]").unwrap();
        parts.push(last);
        parts.remove(1 + member);
        work.write("p.toml", format!("{}\n[outputs]{rest}", parts.join("[[members]]\n")));
    }
    let settings: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    work.swath(&[&RUN[..], &["other", "--fresh"], &settings].concat()).expect(0);
    work.write("p.toml", own);
    json(work, &["eval", "other", "--truth", "data"])["scores"]["miou"].as_f64().unwrap()
}

#[test]
fn each_part_of_a_pipeline_has_a_row_that_a_run_without_it_confirms() {
    let work = prepared();
    let found = json(&work, &["eval", "out", "--truth", "data", "--ablate", "parts"]);
    let whole = found["whole"]["miou"].as_f64().unwrap();
    assert_eq!(whole, miou(&work, &[], None));
    let expected: [(&str, &str, &[&str], Option<usize>); 11] = [
        ("view hflip", "without it", &["inference.views=[\"identity\", \"rot90\"]"], None),
        ("view rot90", "without it", &["inference.views=[\"identity\", \"hflip\"]"], None),
        ("all views", "the scene as it is", &["inference.views=[\"identity\"]"], None),
        ("dilation 15", "without it, so not blended", &["tiler.dilation=0", "tiler.blend=none"], None),
        ("blended tiles", "centres alone", &["tiler.blend=none"], None),
        ("tiler rule max-last", "least-waste", &["tiler.rule=least-waste"], None),
        ("tiler rule max-last", "even", &["tiler.rule=even"], None),
        ("precision", "f32", &["members.1.precision=f32"], None),
        ("mean of probabilities", "logits", &["inference.combine=logits"], None),
        ("member deeplabv3plus", "without it", &[], Some(0)),
        ("member deeplabv3plus-2", "without it", &[], Some(1)),
    ];
    let rows = found["rows"].as_array().unwrap();
    let names: Vec<[&str; 2]> =
        rows.iter().map(|row| ["part", "instead"].map(|key| row[key].as_str().unwrap())).collect();
    assert_eq!(names.len(), expected.len(), "{names:?}");
    for (row, (part, instead, settings, member)) in rows.iter().zip(expected) {
        assert_eq!(row["instead"], instead, "{row}");
        assert!(row["part"] == part || part.starts_with("member"), "{row}");
        let own = row["run"]["miou"].as_f64().unwrap_or_else(|| panic!("{row}"));
        assert_eq!(own, miou(&work, settings, member), "{row}");
        assert!((row["adds"].as_f64().unwrap() - (whole - own)).abs() < 1e-12, "{row}");
        assert!(row["costs"].is_number() && row["run"]["seconds"].as_f64().unwrap() > 0.0, "{row}");
    }
    let moved = rows.iter().filter(|row| row["adds"].as_f64().unwrap() != 0.0).count();
    assert!(moved >= 6, "what is left out changes masks: {rows:?}");
    // A pipeline that has none of it has no rows, and a folder that is there is not touched unasked.
    work.swath(&["eval", "out", "--truth", "data", "--ablate", "parts"]).says(2, &["parts` exists; add --overwrite"]);
    let plain = [
        "inference.views=[\"identity\"]",
        "tiler={strategy=\"fixed\", centre=64, dilation=0}",
        "members=[{network=\"identity\"}]",
    ];
    let plain: Vec<&str> = plain.iter().flat_map(|setting| ["--set", setting]).collect();
    work.swath(&[&RUN[..], &["plain"], &plain].concat()).expect(0);
    let ran = work.swath(&["eval", "plain", "--truth", "data", "--ablate", "parts", "--overwrite"]);
    ran.says(0, &["part      instead  mIoU", "as it is"]);
    assert_eq!(ran.stdout.lines().count(), 2, "{}", ran.stdout);
    work.swath(&["eval", "data/masks", "--truth", "data", "--ablate", "x"]).says(2, &["is no run directory"]);
}

#[test]
fn members_are_selected_by_what_each_adds_and_the_selection_runs() {
    let work = prepared();
    let alone = [miou(&work, &[], Some(1)), miou(&work, &[], Some(0))];
    let select = ["eval", "out", "--truth", "data", "--select", "parts"];
    let found = json(&work, &select);
    let members = found["members"].as_array().unwrap();
    let (names, of): (Vec<&str>, Vec<f64>) =
        members.iter().map(|own| (own["name"].as_str().unwrap(), own["miou"].as_f64().unwrap())).unzip();
    assert_eq!(of, alone, "{found}");
    assert_eq!(found["all"]["miou"].as_f64(), Some(miou(&work, &["members.0.weight=1", "members.1.weight=1"], None)));
    let steps: Vec<f64> =
        found["steps"].as_array().unwrap().iter().map(|step| step["miou"].as_f64().unwrap()).collect();
    // It begins with the best one, and every step helps.
    assert_eq!(steps[0], alone[0].max(alone[1]));
    assert!(steps.windows(2).all(|pair| pair[1] > pair[0]), "{found}");
    let best = names[usize::from(alone[1] > alone[0])];
    assert_eq!(found["steps"][0]["added"].as_str(), Some(best));
    // The file is the selection.
    let file = work.path("parts/selected.toml");
    work.swath(&[
        "run",
        file.to_str().unwrap(),
        "-i",
        "data/images",
        "--backend=fake",
        "--devices=cpu",
        "-o",
        "selected",
    ])
    .expect(0);
    let again = json(&work, &["eval", "selected", "--truth", "data"]);
    assert_eq!(again["scores"]["miou"].as_f64(), steps.last().copied());
    work.swath(&select).says(2, &["parts` exists; add --overwrite"]);
    work.swath(&["eval", "selected", "--truth", "data", "--select", "again"]).says(
        if steps.len() == 1 { 2 } else { 0 },
        &[if steps.len() == 1 { "nothing to select from" } else { "alone" }],
    );
}
