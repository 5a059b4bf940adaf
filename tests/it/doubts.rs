//! What can hardly be meant is told by `plan` and by `run`, and refused by neither.
#![cfg(all(feature = "gdal", target_os = "linux"))]

use crate::support::command::{Ran, Workdir, with_scenes};

const JOB: [&str; 9] = ["p.toml", "-i", "in", "-o", "out", "--backend", "fake", "--devices", "cpu"];

/// What `plan` and `run` say; both must end well.
fn said(work: &Workdir, settings: &[&str]) -> [String; 2] {
    ["plan", "run"].map(|command| {
        let settings = settings.iter().flat_map(|setting| ["--set", setting]);
        let arguments: Vec<&str> = [command].into_iter().chain(JOB).chain(settings).collect();
        work.swath(&arguments).expect(0)
    })
}

fn both_say(work: &Workdir, settings: &[&str], words: &[&str]) {
    for text in said(work, settings) {
        assert!(words.iter().all(|word| text.contains(word)), "{words:?} are not in:\n{text}");
    }
}

#[test]
fn a_mean_in_another_unit_is_told_with_the_divisor_that_fits() {
    let work = with_scenes(&[(40, 30), (20, 10)]);
    both_say(
        &work,
        &["input.divide={u8=255}", "input.mean=[138]", "input.std=[58]"],
        &["the mean 138 of band 1", "u8 values divided by 255 (0 to 1)", "divide = { u8 = 1 } would fit"],
    );
    both_say(
        &work,
        &["input.divide={u8=1,u16=1}", "input.mean=[0.485]", "input.std=[0.229]"],
        &["the std 0.229 of band 1", "divide = { u8 = 255 } would fit"],
    );
    // Of one member alone, and not of types that no scene has.
    let own = "members.1.input={divide={u8=1,u16=255},mean=[0.4],std=[0.2]}";
    both_say(&work, &["input.divide={u8=255}", "input.mean=[0.4]", "input.std=[0.2]", own], &["input of `member1`: "]);
    for text in said(&work, &["input.divide={u8=255,u16=1}", "input.mean=[0.4]", "input.std=[0.2]"]) {
        assert!(!text.contains("would fit"), "{text}");
    }
}

/// Lets a scene say that a value stands for no data.
fn declare(work: &Workdir, scene: &str, value: &str) {
    let band = format!("<PAMRasterBand band=\"1\"><NoDataValue>{value}</NoDataValue></PAMRasterBand>");
    work.write(&format!("in/{scene}.tif.aux.xml"), format!("<PAMDataset>{band}</PAMDataset>"));
}

#[test]
fn nodata_without_a_class_is_told_with_the_number_of_scenes() {
    let work = with_scenes(&[(40, 30), (20, 10), (20, 10)]);
    declare(&work, "s0", "3");
    both_say(&work, &[], &["1 scene declares nodata (3) and the pipeline has no [nodata] class", "add [nodata]"]);
    declare(&work, "s1", "4");
    both_say(&work, &[], &["2 scenes declare nodata (", " and others)"]);
    for text in said(&work, &["nodata.value=9"]) {
        assert!(!text.contains("[nodata]"), "{text}");
    }
}

#[test]
fn non_finite_logits_are_put_down_to_nodata_taken_for_data() {
    let work = with_scenes(&[(130, 140), (40, 30)]);
    declare(&work, "s0", "3");
    let nan = |more: &[&str]| -> Ran {
        let arguments = [&["run"], &JOB[..], &["--fresh"], more].concat();
        work.swath_with(&arguments, &[("SWATH_FAULTS", "device:nan~member1 n2 s0")])
    };
    nan(&[]).says(
        3,
        &[
            "returns non-finite logits (the tile at column 0, row",
            "the scene declares nodata (3) and the pipeline has no [nodata]",
        ],
    );
    let ran = nan(&["--set", "nodata.value=9"]);
    ran.says(3, &["returns non-finite logits (the tile"]);
    assert!(!ran.expect(3).contains("[nodata]"), "{ran:?}");
}

#[test]
fn a_tiler_that_is_left_out_overlaps_and_plan_says_by_how_much() {
    let work = with_scenes(&[(1500, 1300), (40, 30)]);
    let text = std::fs::read_to_string(work.path("p.toml")).unwrap();
    let (head, rest) = text.split_once("[tiler]\n").unwrap();
    let rest = &rest[rest.find("[[members]]").unwrap()..];
    work.write("p.toml", format!("{head}{rest}"));
    let plan = |more: &[&str]| work.swath(&[&["plan"], &JOB[..], more].concat());
    plan(&[]).says(
        0,
        &["1 scene whole, each one tile", "with an overlap of 128 pixels on each side", "overlap and padding"],
    );
    let single = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/single.toml");
    let single: toml::Table = std::fs::read_to_string(single).unwrap().parse().unwrap();
    let written = format!("tiler={}", single["tiler"]);
    let digest = |ran: Ran| ran.expect(0).lines().next().unwrap().to_owned();
    assert_eq!(digest(plan(&[])), digest(plan(&["--set", &written])), "the defaults are those of single.toml");
    plan(&["--set", "tiler.strategy=fixed", "--set", "tiler.centre=512"])
        .says(0, &["1 scene in centres of 512 x 512 with an overlap of 128 pixels on each side"]);
    plan(&["--set", "tiler.strategy=fixed"]).says(2, &["the strategy `fixed` needs the key `centre`"]);
}
