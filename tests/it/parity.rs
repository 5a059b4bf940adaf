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
    let other = serde_json::json!({ "name": "sounds", "kind": "waves" });
    let fixtures = serde_json::json!({ "fixtures": [entry(name), unknown, other] });
    work.write("odd/manifest.json", fixtures.to_string());
    let ran = work.swath(&["models", "check", "odd", "--trace"]);
    ran.says(
        1,
        &["fail     tv_resnet18", "first at conv1 (Conv2d)", "fail     other", "vgg16", "skipped  sounds", "waves"],
    );
    work.swath(&["models", "check", "odd", "none"]).says(2, &["`odd` has no fixture `none`"]);
    work.swath(&["models", "check", "nowhere"]).says(2, &["nowhere/manifest.json"]);
}

#[test]
fn what_trains_networks_is_its_reference_or_is_told() {
    let Some(folder) = shared("parity") else { return };
    let work = Workdir::new();
    let manifest: Value = serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).unwrap()).unwrap();
    let names = ["losses", "schedules", "edge_smooth", "train_unet_resnet18"];
    let all = manifest["fixtures"].as_array().unwrap();
    let chosen: Vec<&Value> = names.iter().map(|name| all.iter().find(|f| f["name"] == *name).unwrap()).collect();
    work.write("odd/manifest.json", serde_json::json!({ "fixtures": chosen }).to_string());
    let copy = |file: &str| std::fs::copy(folder.join(file), work.path(&format!("odd/{file}"))).unwrap();
    for file in ["losses.safetensors", "edge_smooth.safetensors", "train_unet_resnet18.safetensors"] {
        copy(file);
    }
    let changed = |file: &str, edit: &dyn Fn(&mut Value)| {
        let mut facts: Value = serde_json::from_slice(&std::fs::read(folder.join(file)).unwrap()).unwrap();
        edit(&mut facts);
        work.write(&format!("odd/{file}"), facts.to_string());
    };
    let scaled = |value: &mut Value, by: f64| *value = (value.as_f64().unwrap() * by).into();
    // A tenth of a thousandth, the rate of one step, another radius, the norm of one gradient.
    changed("losses.json", &|facts| scaled(&mut facts["records"][7]["grad_l2"], 1.001));
    changed("schedules.json", &|facts| scaled(&mut facts[1]["lrs"][9], 1.000_001));
    changed("train_unet_resnet18.json", &|facts| {
        scaled(&mut facts["steps"][0]["grad_l2"]["segmentation_head.0.bias"], 1.000_01);
    });
    let mut wide: Value = serde_json::from_slice(&std::fs::read(work.path("odd/manifest.json")).unwrap()).unwrap();
    wide["fixtures"][2]["cases"][1]["radius"] = 3.into();
    work.write("odd/manifest.json", wide.to_string());
    let ran = work.swath(&["models", "check", "odd"]);
    ran.says(
        1,
        &[
            "fail     losses",
            "smp.Lovasz multiclass ignore_index=255, norm of the gradient",
            "fail     schedules",
            "step(epoch + i/4), step 9",
            "fail     edge_smooth",
            "case 1 soft",
            "fail     train_unet_resnet18",
            "step 0, gradient of segmentation_head.0.bias",
        ],
    );
    changed("losses.json", &|facts| facts["records"][0]["name"] = "smp.Wasserstein".into());
    work.swath(&["models", "check", "odd", "losses"]).says(1, &["unknown loss: smp.Wasserstein"]);
}
