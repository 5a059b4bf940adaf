//! What every network of the registry promises, whatever it computes: sizes, gradients, modes, weights. And a few numbers of each, so that a
//! clone alone sees when one changes: `UPDATE_GOLDEN=1` writes them anew, after `swath models check` has passed.
#![cfg(feature = "torch")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};
use swath::weights::WeightsFile;
use swath::weights::layout::{Layout, Role};
use swath::zoo::census::census;
use swath::zoo::identify::identify;
use swath::zoo::layers::kernels::{Kernels, MemoryFormat};
use swath::zoo::layers::scope::Purpose;
use swath::zoo::registry::{self, Built};
use swath::zoo::segmenter::{Segmented, Segmenter, run};
use swath::zoo::spec::{
    ARCHITECTURES, Architecture, Attention, Backbone, Choice, KernelSet, Network, NetworkSpec, SpecTable, presets,
};
use swath::zoo::{seed, store};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);
const CLASSES: u32 = 5;

/// Every definition on its smallest backbone, at every stride, and once with all that can be chosen; and the small presets.
fn specs() -> Vec<NetworkSpec> {
    let real = ARCHITECTURES.iter().filter(|a| a.is_known());
    let all = real.flat_map(|a| {
        let plain = a.output_strides.iter().map(move |&stride| table(a, stride));
        plain.chain(chosen(a))
    });
    all.chain(small()).map(|table| table.resolve(4, Some(CLASSES)).unwrap()).collect()
}

fn small() -> impl Iterator<Item = SpecTable> {
    presets().into_iter().filter(|p| p.name.starts_with("small/")).map(|p| p.table)
}

fn segmenters() -> impl Iterator<Item = NetworkSpec> {
    specs().into_iter().filter(|s| s.network != Network::Backbone)
}

fn table(a: &Architecture, stride: u32) -> SpecTable {
    let small = [Backbone::ResNet18, Backbone::ResNet50, Backbone::ResNeSt50, Backbone::HrNetW18];
    let backbone = small.into_iter().find(|b| a.backbones.contains(b)).or(a.backbones.first().copied());
    SpecTable { variant: Some(a.variant), backbone, output_stride: Some(stride), ..SpecTable::new(a.network) }
}

fn chosen(a: &Architecture) -> Option<SpecTable> {
    let offers = |choice| a.options.contains(&choice);
    let table = SpecTable {
        depth: a.depths.get(1).copied(),
        attention: offers(Choice::Attention).then_some(Attention::Scse),
        deep_supervision: offers(Choice::DeepSupervision).then_some(true),
        ..table(a, a.output_strides[0])
    };
    (table != self::table(a, a.output_strides[0])).then_some(table)
}

fn built(spec: &NetworkSpec, purpose: Purpose) -> Built<dyn Segmenter> {
    tch::set_num_threads(1);
    let built = registry::build(spec, purpose, Device::Cpu).unwrap();
    fill(&built.store, &built.layout, 3);
    built
}

/// Seeded weights under which activations stay in bounds: what is added again and again is smaller.
fn fill(store: &VarStore, layout: &Layout, seed: u64) {
    let repeated = ["layer", "stage", "block", "encoder", "features", "mflow", "adapt", "resb", "branches"];
    let exponent = |name: &str| if repeated.iter().any(|part| name.contains(part)) { -1 } else { 0 };
    store::assign(store, layout, |name, shape| seed::fill(seed, name, shape, exponent(name))).unwrap();
}

/// An image that depends on nothing but its shape.
fn image(n: i64, bands: u32, height: i64, width: i64) -> Tensor {
    let shape = [n, i64::from(bands), height, width];
    let values = seed::fill(7, "image", &shape.map(|n| usize::try_from(n).unwrap()), 0);
    // The rule scales by the number of values per output; images have about unit variance.
    let values = Tensor::from_slice(&values).reshape(shape);
    &values / values.std(true)
}

#[test]
fn logits_are_finite_and_of_the_size_that_the_spec_says() {
    for spec in segmenters() {
        let net = built(&spec, Purpose::Inference);
        let multiple = i64::from(spec.size_rule().multiple);
        let sizes = if multiple > 1 { vec![(2 * multiple, 3 * multiple)] } else { vec![(65, 49), (64, 96)] };
        for (height, width) in sizes {
            let out = run(&*net.network, &image(1, spec.bands, height, width)).unwrap();
            let stride = i64::from(spec.logit_stride());
            let native = [1, i64::from(CLASSES), (height + stride - 1) / stride, (width + stride - 1) / stride];
            assert_eq!(out.values.size(), native, "{spec} {height} x {width}");
            assert_eq!(out.upsample, spec.upsample(), "{spec}");
            assert!(out.values.isfinite().all().int64_value(&[]) == 1, "{spec}");
            assert!(!out.values.requires_grad());
        }
    }
}

#[test]
fn gradients_reach_every_parameter() {
    for spec in segmenters() {
        let net = built(&spec, Purpose::Training);
        tch::manual_seed(1);
        let side = i64::from(spec.size_rule().multiple).max(64);
        let input = image(2, spec.bands, side, side);
        let statistic = net.layout.tensors.iter().find(|(_, d)| d.role == Role::Statistic).unwrap().0.clone();
        let before = net.store.variables()[&statistic].copy();
        let still = run(&*net.network, &input).unwrap().values;
        assert!(still.equal(&run(&*net.network, &input).unwrap().values), "{spec}: two passes differ");
        assert!(net.store.variables()[&statistic].equal(&before), "{spec}: inference changes statistics");

        let out = net.network.forward(&input, true);
        let mut without = without_gradient(&net, &out);
        // Where a layer has two units, both may be silent for one draw of weights.
        for seed in 4..7 {
            if !without.is_empty() {
                fill(&net.store, &net.layout, seed);
                let again = without_gradient(&net, &net.network.forward(&input, true));
                without.retain(|name| again.contains(name));
            }
        }
        assert!(without.is_empty(), "{spec}: {without:?}");
        assert!(!net.store.variables()[&statistic].equal(&before), "{spec}: training leaves statistics alone");
        assert!(out.values.size() != still.size() || !out.values.allclose(&still, 1e-3, 1e-3, false), "{spec}");
    }
}

/// Names of the parameters that a loss on everything that `out` holds does not depend on.
fn without_gradient(net: &Built<dyn Segmenter>, out: &Segmented) -> Vec<String> {
    let maps = std::iter::once(&out.values).chain(out.side.iter().map(|s| &s.values));
    let loss = maps.filter(|m| m.requires_grad()).map(|m| (m * m.randn_like()).sum(Kind::Float));
    loss.reduce(|sum, part| sum + part).unwrap().backward();
    let is_reached = |v: &Tensor| v.grad().defined() && v.grad().abs().sum(Kind::Float).double_value(&[]) != 0.0;
    let variables = net.store.variables().into_iter().filter(|(_, v)| v.requires_grad());
    let mut names: Vec<String> = variables.filter(|(_, v)| !is_reached(v)).map(|(name, _)| name).collect();
    names.sort();
    names
}

#[test]
fn training_starts_with_neutral_normalisation() {
    for spec in segmenters() {
        let net = registry::build(&spec, Purpose::Training, Device::Cpu).unwrap();
        for (name, tensor) in net.store.variables() {
            let is_norm = tensor.dim() == 1 && name.ends_with(".weight");
            if is_norm || name.ends_with("running_var") {
                assert!(tensor.eq(1.0).all().int64_value(&[]) == 1, "{spec}: {name}");
            }
        }
    }
}

#[test]
fn backbones_are_told_from_the_rest_by_name() {
    for spec in specs() {
        let names = spec.architecture().backbone_names;
        let tensors = registry::outline(&spec).unwrap().tensors;
        let of_backbone = |name: &&String| names.iter().any(|prefix| name.starts_with(prefix));
        let n = tensors.keys().filter(of_backbone).count();
        let has_one = spec.backbone.is_some() || [Network::BasNet, Network::ScseUnet].contains(&spec.network);
        assert_eq!(n > 0, has_one, "{spec}");
        let is_all = spec.network == Network::Backbone;
        assert_eq!(n == tensors.len(), is_all, "{spec}");
        for prefix in names {
            assert!(tensors.keys().any(|name| name.starts_with(prefix)), "{spec}: {prefix}");
        }
    }
}

#[test]
fn every_name_is_declared_once_and_has_its_variable() {
    for spec in specs() {
        let layout = registry::outline(&spec).unwrap();
        assert!(layout.duplicates.is_empty(), "{spec}: {:?}", layout.duplicates);
        if spec.network == Network::Backbone {
            continue;
        }
        let net = registry::build(&spec, Purpose::Training, Device::Cpu).unwrap();
        assert_eq!(net.layout.shapes(), layout.shapes(), "{spec}");
        let mut used: Vec<_> = layout.tensors.iter().filter(|(_, d)| d.role != Role::Unused).map(|(n, _)| n).collect();
        let variables = net.store.variables();
        let mut names: Vec<_> = variables.keys().collect();
        used.sort();
        names.sort();
        assert_eq!(used, names, "{spec}");
    }
}

#[test]
fn saved_and_folded_weights_compute_the_same() {
    let dir = tempfile::tempdir().unwrap();
    for spec in segmenters() {
        let net = built(&spec, Purpose::Training);
        let path = dir.path().join("w.safetensors");
        store::save(&net.store, &net.layout, &path).unwrap();
        let side = i64::from(spec.size_rule().multiple).max(64);
        let input = image(1, spec.bands, side, side);
        let expected = run(&*net.network, &input).unwrap().values;

        let again = registry::build(&spec, Purpose::Training, Device::Cpu).unwrap();
        store::load(&again.store, &again.layout, &path).unwrap();
        assert!(run(&*again.network, &input).unwrap().values.equal(&expected), "{spec}");

        let folded = registry::build(&spec, Purpose::Inference, Device::Cpu).unwrap();
        store::load(&folded.store, &folded.layout, &path).unwrap();
        let names = folded.store.variables();
        assert!(names.keys().all(|n| !n.contains("running_")), "{spec} is not folded");
        let out = run(&*folded.network, &input).unwrap().values;
        let is_uncertain = matches!(spec.network, Network::RendDaNet | Network::RendUnet);
        assert!(share_off(&out, &expected, 1e-4) <= if is_uncertain { 0.005 } else { 0.0 }, "{spec}");
    }
}

#[test]
fn weights_of_small_presets_are_known_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.safetensors");
    for table in small() {
        let spec = table.resolve(4, Some(CLASSES)).unwrap();
        let net = built(&spec, Purpose::Training);
        store::save(&net.store, &net.layout, &path).unwrap();
        let found = identify(WeightsFile::open(&path).unwrap().tensors());
        assert!(found.contains(&spec), "{spec}: {found:?}");
    }
}

#[test]
fn prepared_networks_compute_the_same_whatever_is_beside_an_image() {
    let fused = Kernels::named(KernelSet::Fused, Device::Cpu);
    let scaled = Kernels::named(KernelSet::FusedSdpa, Device::Cpu);
    let last = Kernels { format: MemoryFormat::ChannelsLast, ..Kernels::PLAIN };
    for spec in segmenters() {
        let side = i64::from(spec.size_rule().multiple).max(64);
        let input = image(2, spec.bands, side, side);
        let plain = built(&spec, Purpose::Inference);
        let expected = run(&*plain.network, &input).unwrap().values;
        // A matrix times one vector is another kernel than times two: `Linear` on pooled maps.
        let second = run(&*plain.network, &input.narrow(0, 1, 1)).unwrap().values;
        let is_independent = second.equal(&expected.narrow(0, 1, 1));
        // Only these have a map of all positions.
        let has_positions = matches!(spec.network, Network::DaNet | Network::RendDaNet);
        for kernels in [fused, last].into_iter().chain(has_positions.then_some(scaled)) {
            let net = built(&spec, Purpose::Inference);
            net.prepare(kernels).unwrap();
            let both = run(&*net.network, &input).unwrap().values;
            let is_uncertain = matches!(spec.network, Network::RendDaNet | Network::RendUnet);
            let off = share_off(&both, &expected, 1e-4);
            assert!(off <= if is_uncertain { 0.005 } else { 0.0 }, "{spec} {kernels:?}: {off}");
            assert!(both.equal(&run(&*net.network, &input).unwrap().values), "{spec} {kernels:?}: two passes differ");
            if kernels == fused && is_independent {
                let alone = run(&*net.network, &input.narrow(0, 1, 1)).unwrap().values;
                assert!(alone.equal(&both.narrow(0, 1, 1)), "{spec}: an image depends on the one beside it");
            }
        }
    }
}

/// Share of the values that are farther apart than `tolerance` times the root mean square.
fn share_off(a: &Tensor, b: &Tensor, tolerance: f64) -> f64 {
    let rms = (b * b).mean(Kind::Double).sqrt().double_value(&[]);
    (a - b).abs().gt(tolerance * rms).to_kind(Kind::Double).mean(Kind::Double).double_value(&[])
}

#[test]
fn double_precision_agrees_with_single() {
    for spec in segmenters() {
        let mut net = built(&spec, Purpose::Training);
        let side = i64::from(spec.size_rule().multiple).max(64);
        let input = image(1, spec.bands, side, side);
        let single = run(&*net.network, &input).unwrap().values;
        net.store.double();
        let double = run(&*net.network, &input.to_kind(Kind::Double)).unwrap().values;
        assert_eq!(double.kind(), Kind::Double, "{spec}");
        let is_uncertain = matches!(spec.network, Network::RendDaNet | Network::RendUnet);
        let off = share_off(&double.to_kind(Kind::Float), &single, 1e-3);
        assert!(off <= if is_uncertain { 0.005 } else { 0.0 }, "{spec}: {off}");
    }
}

#[test]
fn the_tables_figures_are_those_of_the_networks() {
    for spec in specs() {
        if spec.network == Network::Backbone {
            // The table is for 15 classes.
            continue;
        }
        let spec = NetworkSpec { classes: 15, bands: 3, ..spec };
        let defaults = SpecTable {
            variant: Some(spec.variant),
            backbone: spec.backbone,
            output_stride: Some(spec.output_stride),
            ..SpecTable::new(spec.network)
        };
        let is_small = small().any(|table| table.resolve(3, Some(15)).unwrap() == spec);
        if !is_small && defaults.resolve(3, Some(15)).unwrap() != spec {
            continue;
        }
        assert_eq!(registry::outline(&spec).unwrap().n_parameters(), spec.parameters(), "{spec}");
        let more = NetworkSpec { classes: 19, bands: 5, ..spec.clone() };
        assert_eq!(registry::outline(&more).unwrap().n_parameters(), more.parameters(), "{spec} with other planes");
        let counted = census(&spec).unwrap();
        for (side, table) in [512, 1024].into_iter().zip(spec.macs()) {
            let error = (counted.macs(side) - table as f64).abs() / counted.macs(side);
            assert!(error < 1e-3, "{spec} {side}: {} for {table}", counted.macs(side));
        }
    }
}

/// Mean, root mean square and some values of what each network makes of one image.
fn summary(values: &Tensor) -> Value {
    let flat = values.flatten(0, -1).to_kind(Kind::Double);
    let step = (flat.numel() / 6).max(1);
    let some: Vec<f64> = (0..6).map(|idx| flat.double_value(&[(idx * step) as i64])).collect();
    let rms = (&flat * &flat).mean(Kind::Double).sqrt().double_value(&[]);
    json!({ "mean": flat.mean(Kind::Double).double_value(&[]), "rms": rms, "values": some })
}

#[test]
fn every_network_returns_what_it_did_when_compared() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/networks.json");
    let mut found: BTreeMap<String, Value> = BTreeMap::new();
    for spec in specs() {
        let input = image(1, spec.bands, 96, 64);
        let options = (spec.depth, spec.attention.is_some(), spec.deep_supervision);
        let name = format!("{spec} stride {} options {options:?}", spec.output_stride);
        let values = if spec.network == Network::Backbone {
            let net = registry::build_backbone(&spec, Purpose::Training).unwrap();
            fill(&net.store, &net.layout, 3);
            let _no_grad = tch::no_grad_guard();
            net.network.features(&input, false).deepest().shallow_clone()
        } else {
            run(&*built(&spec, Purpose::Training).network, &input).unwrap().values
        };
        found.insert(name, summary(&values));
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let lines: Vec<String> = found.iter().map(|(name, v)| format!("  {}: {v}", json!(name))).collect();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("{{\n{}\n}}\n", lines.join(",\n"))).unwrap();
    }
    let expected: BTreeMap<String, Value> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, expected) in expected {
        let rms = expected["rms"].as_f64().unwrap();
        let close = |a: &Value, b: &Value| (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() <= 1e-3 * rms;
        let found = &found[&name];
        assert!(close(&found["mean"], &expected["mean"]) && close(&found["rms"], &expected["rms"]), "{name}: {found}");
        let values = |v: &Value| v["values"].as_array().unwrap().clone();
        // A point that falls the other way is one value, not several.
        let off = values(found).iter().zip(&values(&expected)).filter(|(a, b)| !close(a, b)).count();
        assert!(off <= usize::from(name.contains("/rend")), "{name}: {found}");
    }
}

#[test]
fn two_kinds_of_input_are_refused_without_a_panic() {
    let spec = SpecTable::new(Network::DeepLabV3Plus).resolve(4, Some(CLASSES)).unwrap();
    let net = built(&spec, Purpose::Inference);
    let error = run(&*net.network, &Tensor::zeros([1, 3, 32, 32], CPU)).unwrap_err();
    assert!(error.to_string().contains("4 channels, but got 3"), "{error}");
    assert!(run(&*net.network, &Tensor::zeros([4, 32, 32], CPU)).is_err());
}
