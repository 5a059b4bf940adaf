//! Networks against the numbers of their reference implementations, through `swath models check`.
//!
//! The fixtures lie outside the repository (`../shared`, or where `SWATH_SHARED` says); without them the test passes with a printed
//! reason. `SWATH_PARITY="NAME NAME .."` checks those only.
#![cfg(all(feature = "torch", feature = "gdal"))]

use serde_json::Value;

use crate::support::command::Workdir;
use crate::support::shared;

#[test]
fn every_network_is_its_reference() {
    let Some(folder) = shared("parity") else { return };
    let chosen = std::env::var("SWATH_PARITY").unwrap_or_default();
    let mut arguments = vec!["models", "check", folder.to_str().unwrap()];
    arguments.extend(chosen.split_whitespace());
    let ran = Workdir::new().swath(&arguments);
    eprintln!("{}", ran.stdout);
    ran.expect(0);
}

#[test]
fn a_network_that_differs_is_told_with_its_first_layer() {
    let Some(folder) = shared("parity") else { return };
    let work = Workdir::new();
    let manifest: Value = serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).unwrap()).unwrap();
    let entry =
        |name: &str| manifest["fixtures"].as_array().unwrap().iter().find(|f| f["name"] == name).unwrap().clone();
    let name = "tv_resnet18";
    for ending in ["safetensors", "keys.json", "taps.json"] {
        std::fs::create_dir_all(work.path("odd")).unwrap();
        std::fs::copy(folder.join(format!("{name}.{ending}")), work.path(&format!("odd/{name}.{ending}"))).unwrap();
    }
    // Another seed: other weights, other numbers from the first layer on.
    let keys = std::fs::read_to_string(work.path("odd/tv_resnet18.keys.json")).unwrap();
    work.write("odd/tv_resnet18.keys.json", keys.replacen("\"seed\": 1000", "\"seed\": 1001", 1));
    let mut unknown = entry(name);
    unknown["name"] = "other".into();
    unknown["spec"]["backbone"] = "vgg16".into();
    let fixtures = serde_json::json!({ "fixtures": [entry(name), unknown, entry("schedules")] });
    work.write("odd/manifest.json", fixtures.to_string());
    let ran = work.swath(&["models", "check", "odd", "--trace"]);
    ran.says(
        1,
        &[
            "fail     tv_resnet18",
            "first at conv1 (Conv2d)",
            "fail     other",
            "vgg16",
            "skipped  schedules",
            "schedule",
        ],
    );
    work.swath(&["models", "check", "odd", "none"]).says(2, &["`odd` has no fixture `none`"]);
    work.swath(&["models", "check", "nowhere"]).says(2, &["nowhere/manifest.json"]);
}
