//! Whole files: what goes in comes out, and what has changed is refused.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use proptest::prelude::*;
use safetensors::Dtype;
use sha2::{Digest, Sha256};

use super::testing::gaussian;
use super::*;
use crate::weights::{Metadata, WeightsError};

const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// A file in a folder of its own.
struct Saved {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

fn saved(bytes: &[u8]) -> Saved {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("member.swz");
    crate::atomic::write(&path, bytes).unwrap();
    Saved { _dir: dir, path }
}

/// Everything that can be read of a file: its tensors as f32, by name.
fn read(bytes: &[u8]) -> Result<Vec<(String, Vec<f32>)>, WeightsError> {
    let saved = saved(bytes);
    let mut file = SwzFile::open(&saved.path)?;
    let values = file.read_all(TWO)?;
    let tensors = file.tensors().to_vec();
    for (tensor, values) in tensors.iter().zip(&values) {
        let alone = file.read(tensor)?;
        assert!(alone.iter().zip(values).all(|(a, b)| a.to_bits() == b.to_bits()) && alone.len() == values.len());
    }
    Ok(tensors.into_iter().map(|t| t.name).zip(values).collect())
}

/// A kernel, a bias and a normalisation's scale.
fn network() -> Vec<SourceTensor<'static>> {
    let tensor = |name: &str, dtype, shape: &[usize], seed| {
        let values: Vec<f32> = gaussian(seed, shape.iter().product()).iter().map(|v| 0.05 * v).collect();
        SourceTensor::new(name, dtype, shape, source::narrow(dtype, &values)).unwrap()
    };
    vec![
        tensor("encoder.conv.weight", Dtype::F32, &[32, 32, 3, 3], 1),
        tensor("encoder.bn.weight", Dtype::F32, &[32], 2),
        tensor("head.weight", Dtype::F16, &[100, 64], 3),
        tensor("head.bias", Dtype::BF16, &[100], 4),
        tensor("nothing", Dtype::F32, &[0, 5], 5),
        tensor("temperature", Dtype::F32, &[], 6),
    ]
}

const CODINGS: [Coding; 5] = [
    Coding::Trellis { step: 0.015_625 },
    Coding::Trellis { step: 0.03125 },
    Coding::Trellis { step: 0.5 },
    Coding::Trellis { step: 4.0 },
    Coding::Exact,
];

/// Without metadata, on two threads.
fn encoded(tensors: &[SourceTensor<'_>], plan: &Plan) -> Result<Vec<u8>, WeightsError> {
    encode(tensors, &Metadata::new(), plan, TWO)
}

/// The file with a digest that fits its content.
fn sealed(mut content: Vec<u8>) -> Vec<u8> {
    let digest = Sha256::digest(&content);
    content.extend(digest);
    content
}

#[test]
fn every_coding_of_every_type_comes_back_within_its_error() {
    let network = network();
    for coding in CODINGS {
        let file = encoded(&network, &Plan::uniform(&network, coding)).unwrap();
        let values = read(&file).unwrap();
        assert_eq!(values.len(), network.len());
        for (tensor, (name, values)) in network.iter().zip(values) {
            assert_eq!((tensor.name(), tensor.n_values()), (name.as_str(), values.len()));
            let coding = if is_kept_exact(tensor.shape()) { Coding::Exact } else { coding };
            let cost = measure(tensor, &[coding]).unwrap()[0];
            let squared: f64 = tensor.values().iter().zip(&values).map(|(a, b)| f64::from(a - b).powi(2)).sum();
            assert!((squared - cost.squared_error).abs() <= 0.05 * squared, "{name} {coding:?}: {squared} {cost:?}");
        }
    }
}

#[test]
fn exact_tensors_come_back_bit_for_bit() {
    for (dtype, width) in [(Dtype::F32, 4), (Dtype::F16, 2), (Dtype::BF16, 2)] {
        let mut bytes: Vec<u8> = (0..40_000u32).flat_map(|i| i.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect();
        // Among them -0, infinities, numbers that are none with payloads, subnormal ones.
        bytes.extend([0x8000_0000, 0x7f80_0000, 0x7f80_0001, 0xffc1_2345, 1u32].iter().flat_map(|b| b.to_le_bytes()));
        let tensor = SourceTensor::new("a", dtype, &[bytes.len() / width], bytes.clone()).unwrap();
        let saved = saved(&encoded(&[tensor], &Plan::default()).unwrap());
        let mut file = SwzFile::open(&saved.path).unwrap();
        let tensor = file.tensors()[0].clone();
        assert_eq!(tensor.dtype, dtype);
        assert!(file.read_bytes(&tensor).unwrap() == bytes, "{dtype:?}");
    }
}

#[test]
fn equal_tensors_and_plans_give_equal_bytes_on_any_number_of_threads() {
    let network = network();
    for coding in CODINGS {
        let plan = Plan::uniform(&network, coding);
        let on = |threads| encode(&network, &Metadata::new(), &plan, NonZeroUsize::new(threads).unwrap()).unwrap();
        assert!(on(1) == on(5));
    }
}

#[test]
fn finer_codings_have_smaller_errors() {
    let network = network();
    let costs = measure(&network[0], &(1..=8).map(Coding::of_bits).collect::<Vec<_>>()).unwrap();
    assert!(costs.is_sorted_by(|a, b| a.squared_error > b.squared_error && a.bytes < b.bytes), "{costs:?}");
    for (bits, cost) in (2u8..=6).zip(&costs[1..]) {
        let found = cost.bytes as f64 * 8.0 / network[0].n_values() as f64;
        assert!((found - f64::from(bits)).abs() < 0.4, "{bits}: {found}");
    }
}

#[test]
fn what_cannot_be_quantised_is_refused_by_name() {
    let refusal = |tensors: &[SourceTensor<'_>], coding| {
        let mut plan = Plan::default();
        plan.set("a", coding);
        encoded(tensors, &plan).unwrap_err().to_string()
    };
    let values = [1.0, f32::NAN, f32::INFINITY];
    let odd = SourceTensor::from_f32("a", &[3], &values).unwrap();
    let steps = Coding::Trellis { step: 0.5 };
    let expected = "cannot compress the tensor `a`: 2 of its values are not finite; keep it exact";
    assert_eq!(refusal(&[odd], steps), expected);
    let one = || SourceTensor::from_f32("a", &[3], &[1.0, 2.0, 3.0]).unwrap();
    for step in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let text = refusal(&[one()], Coding::Trellis { step });
        assert!(text.contains("steps are positive"), "{text}");
    }
    assert!(refusal(&[one(), one()], steps).ends_with("there are two of this name"));
}

#[test]
fn a_flipped_bit_is_refused_with_the_file_and_the_tensor() {
    let network = network();
    let plan = Plan::uniform(&network, Coding::Trellis { step: 0.5 });
    let whole = encoded(&network, &plan).unwrap();
    let refusal = |idx: usize| {
        let mut changed = whole.clone();
        changed[idx] ^= 0x10;
        let text = read(&changed).unwrap_err().to_string();
        assert!(text.contains("member.swz") && text.contains("is not a whole swz file"), "{text}");
        text
    };
    let starts: Vec<usize> = {
        let saved = saved(&whole);
        SwzFile::open(&saved.path).unwrap().starts
    };
    for (idx, tensor) in starts.iter().zip(&network).filter(|(_, t)| t.n_values() > 0) {
        assert!(refusal(*idx).contains(tensor.name()));
        assert!(refusal(*idx + 3).contains("copy the file again"));
    }
    (0..whole.len()).step_by(97).chain(whole.len() - 32..whole.len()).for_each(|idx| drop(refusal(idx)));
}

#[test]
fn a_file_that_is_too_short_or_too_long_is_refused() {
    let network = network();
    let whole = encoded(&network, &Plan::default()).unwrap();
    for n in (0..200).chain([whole.len() / 2, whole.len() - 1]) {
        assert!(read(&whole[..n]).is_err(), "{n} bytes");
    }
    let longer = [&whole[..], &[0]].concat();
    assert!(read(&longer).unwrap_err().to_string().contains("its header says"));
    assert!(read(b"PK\x03\x04 and so on, a zip file, a zip file, a zip file, a zip file").is_err());
}

#[test]
fn exchanged_tensors_are_found_by_the_digest() {
    let file = |values: [f32; 2]| {
        let tensors = [("a", &values[..1]), ("b", &values[1..])];
        encoded(&tensors.map(|(name, v)| SourceTensor::from_f32(name, &[1], v).unwrap()), &Plan::default()).unwrap()
    };
    let (one, other) = (file([1.0, 2.0]), file([2.0, 1.0]));
    let content = other.len() - 32;
    assert!(read(&[&other[..content], &one[content..]].concat()).unwrap_err().to_string().contains("another SHA-256"));
}

#[test]
fn a_budget_is_kept_and_a_larger_one_never_does_more_damage() {
    let network = network();
    let allocator = Allocator::new(&network, TWO, |_| 1.0).unwrap();
    let WeightsError::Budget { least, .. } = allocator.plan(10).unwrap_err() else { panic!("another error") };
    let mut damage = f64::INFINITY;
    for budget in (0..20).map(|i| least + 100 + i * 1200) {
        let (files, allocated) = allocator.within(budget, |plan| Ok(vec![encoded(&network, plan)?])).unwrap();
        let file = &files[0];
        assert!(file.len() as u64 <= budget, "{} {budget}", file.len());
        assert!(allocator.plan(budget).unwrap().damage <= damage);
        damage = allocator.plan(budget).unwrap().damage;
        let values = read(file).unwrap();
        let error = |(a, b): (&f32, &f32)| f64::from(a - b).powi(2);
        let found: f64 =
            network.iter().zip(&values).map(|(t, (_, v))| t.values().iter().zip(v).map(error).sum::<f64>()).sum();
        assert!((found / allocated.damage - 1.0).abs() < 0.05, "{found} {}", allocated.damage);
    }
    let all = allocator.plan(1 << 30).unwrap();
    assert!(network.iter().all(|t| all.plan.coding(t.name()) == Coding::Exact) && all.damage == 0.0);
}

#[test]
fn a_sensitive_tensor_gets_the_bits() {
    let network = network();
    let error = |favourite: &str| {
        let sensitivity = |name: &str| if name == favourite { 100.0 } else { 1.0 };
        let plan = Allocator::new(&network, TWO, sensitivity).unwrap().plan(12_000).unwrap().plan;
        let of = |idx: usize| measure(&network[idx], &[plan.coding(network[idx].name())]).unwrap()[0].squared_error;
        [of(0) / network[0].energy(), of(2) / network[2].energy()]
    };
    let (first, second) = (error("encoder.conv.weight"), error("head.weight"));
    assert!(first[0] < second[0] && first[1] > second[1], "{first:?} {second:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_values_survive_any_coding(
        bits in prop::collection::vec(any::<u32>(), 1..6000),
        n_rows in 1usize..5,
        choice in 0usize..5,
    ) {
        let coding = CODINGS[choice];
        let n = bits.len() / n_rows * n_rows;
        let values: Vec<f32> =
            bits[..n].iter().map(|b| f32::from_bits(*b)).map(|v| if v.is_finite() { v } else { 0.0 }).collect();
        let tensor = SourceTensor::from_f32("a", &[n_rows, n / n_rows], &values).unwrap();
        let mut plan = Plan::default();
        plan.set("a", coding);
        let (_, decoded) = read(&encoded(std::slice::from_ref(&tensor), &plan).unwrap()).unwrap().remove(0);
        let max = measure(&tensor, &[coding]).unwrap()[0].max_error;
        for (a, b) in values.iter().zip(&decoded) {
            prop_assert!(b.is_finite());
            // Scaling rounds, and what has no normal scale becomes 0.
            let rounding = f64::from(a.abs()) * 2e-7 + 1e-37;
            prop_assert!((f64::from(*a) - f64::from(*b)).abs() <= max + rounding, "{} {} {}", a, b, max);
        }
    }

    /// Bytes of a tensor are changed and its checksums made to fit, so that the decoders themselves are met.
    #[test]
    fn forged_bytes_never_panic(
        at in any::<prop::sample::Index>(),
        replacement in prop::collection::vec(any::<u8>(), 1..6),
        layout in 0u8..3,
        choice in 0usize..5,
    ) {
        let tensor = &network()[2];
        let mut plan = Plan::default();
        plan.set(tensor.name(), CODINGS[choice]);
        let whole = encoded(std::slice::from_ref(tensor), &plan).unwrap();
        let start = 20 + 4 + 2 + tensor.name().len() + 3 + 8 + 8;
        let mut content = whole[..whole.len() - 32].to_vec();
        let at = start + at.index(content.len() - start);
        content.iter_mut().skip(at).zip(replacement).for_each(|(to, from)| *to = from);
        content[20 + 4 + 2 + tensor.name().len() + 1] = layout;
        let crc = crc32fast::hash(&content[start..]);
        content[start - 4..start].copy_from_slice(&crc.to_le_bytes());
        let crc = crc32fast::hash(&content[20..start]);
        content[16..20].copy_from_slice(&crc.to_le_bytes());
        if let Ok(values) = read(&sealed(content)) {
            prop_assert_eq!(values[0].1.len(), tensor.n_values());
        }
    }

    /// The same of the table of contents.
    #[test]
    fn forged_headers_never_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let tensors = network();
        let whole = encoded(&tensors, &Plan::default()).unwrap();
        let mut content = whole[..whole.len() - 32].to_vec();
        let end = 20 + usize::try_from(u32::from_le_bytes(content[12..16].try_into().unwrap())).unwrap();
        content[20 + at.index(end - 20)] = byte;
        let crc = crc32fast::hash(&content[20..end]);
        content[16..20].copy_from_slice(&crc.to_le_bytes());
        let content = sealed(content);
        if let Ok(values) = read(&content) {
            let n_values: usize = values.iter().map(|(_, v)| v.len()).sum();
            prop_assert!(n_values <= 8 * content.len());
        }
    }

    #[test]
    fn random_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400), is_marked in any::<bool>()) {
        if is_marked {
            bytes.splice(..bytes.len().min(12), [&header::MAGIC[..], &header::VERSION.to_le_bytes()].concat());
        }
        prop_assert!(read(&bytes).is_err());
    }
}
