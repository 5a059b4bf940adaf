//! Other people's weights: every container gives the bits of the reference file, and no bytes make the readers panic or allocate
//! what the file does not have.
//!
//! The fixtures lie outside the repository (`../shared`, or where `SWATH_SHARED` says); without them the tests that need them pass
//! with a printed reason.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use safetensors::Dtype;
use swath::weights;
#[cfg(feature = "torch")]
use swath::weights::layout::{Layout, Role};
use swath::weights::{Format, Selection, WeightsFile, inspect};
#[cfg(feature = "torch")]
use swath::zoo::store;

use crate::support::{files, shared, within_bounded_memory};

type Contents = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// Every tensor of a file, bit for bit.
fn contents(file: &mut WeightsFile) -> Contents {
    let tensors = file.tensors().to_vec();
    tensors.into_iter().map(|t| (t.name.clone(), (t.dtype, t.shape.clone(), file.read_raw(&t).unwrap()))).collect()
}

/// The tensors of a fixture whose names begin with `prefix`, without it.
fn fixture(path: &Path, prefix: &str) -> Contents {
    let all = contents(&mut WeightsFile::open(path).unwrap());
    all.into_iter().filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor))).collect()
}

#[test]
fn every_checkpoint_has_the_bits_of_its_reference() {
    let Some(folder) = shared("parity/ckpt") else { return };
    let reference = folder.join("expected.safetensors");
    let without_counters = |mut tensors: Contents| {
        tensors.retain(|name, _| !name.ends_with("num_batches_tracked"));
        tensors
    };
    let network = fixture(&reference, "sd.");
    for (name, expected) in [
        ("legacy.pth", network.clone()),
        ("zip.pth", network.clone()),
        ("legacy_no_nbt.pth", without_counters(network.clone())),
        ("legacy_2017_style.pth", without_counters(network.clone())),
        ("legacy_wrapped_dataparallel.pth", network.clone()),
        ("zip_wrapped_dataparallel.pth", network),
        ("legacy_model_prefix.pth", fixture(&reference, "model_prefix.model.")),
        ("legacy_views.pth", fixture(&reference, "views.")),
        ("zip_views.pth", fixture(&reference, "views.")),
        ("legacy_dtypes.pth", fixture(&reference, "dtypes.")),
        ("zip_dtypes.pth", fixture(&reference, "dtypes.")),
    ] {
        let mut file = WeightsFile::open(&folder.join(name)).unwrap();
        assert!(!expected.is_empty());
        assert_eq!(contents(&mut file), expected, "{name}");
        let format = if name.starts_with("zip") { Format::PthZip } else { Format::PthLegacy };
        assert_eq!(file.format(), format, "{name}");
    }
}

#[test]
fn every_tensor_of_a_checkpoint_can_be_had_by_the_name_in_the_file() {
    let Some(folder) = shared("parity/ckpt") else { return };
    let path = folder.join("legacy_model_prefix.pth");
    let mut all = WeightsFile::open_selected(&path, Selection::Everything).unwrap();
    assert_eq!(contents(&mut all), fixture(&folder.join("expected.safetensors"), "model_prefix."));
}

#[test]
fn what_was_unwrapped_stripped_and_ignored_is_told() {
    let Some(folder) = shared("parity/ckpt") else { return };
    let notes = |name: &str| -> Vec<String> {
        let inspection = inspect(&folder.join(name), Selection::Network).unwrap();
        assert_eq!(inspection.digest, weights::digest(&folder.join(name)).unwrap());
        inspection.notes.iter().map(ToString::to_string).collect()
    };
    assert_eq!(notes("zip.pth"), [""; 0]);
    assert_eq!(
        notes("legacy_model_prefix.pth"),
        ["`model.` was cut from the names", "ignored: `loss.criterion.weight` (of the loss)"]
    );
    for container in ["zip", "legacy"] {
        let notes = notes(&format!("{container}_wrapped_dataparallel.pth"));
        assert_eq!(notes[0], "the tensors were found under `state_dict`");
        assert!(notes[1].starts_with("ignored: ") && notes[1].contains("`optimizer` (a dictionary of 2)"), "{notes:?}");
        assert_eq!(notes[2], "`module.` was cut from the names");
    }
}

#[test]
fn a_huffman_directory_has_the_bits_of_its_reference() {
    let Some(folder) = shared("parity") else { return };
    let expected = fixture(&folder.join("huffman.safetensors"), "shared.");
    let shapes: Vec<_> = expected.iter().map(|(name, (_, shape, _))| (name.clone(), shape.clone())).collect();
    let mut file = WeightsFile::open(&folder.join("huffman")).unwrap();
    assert_eq!(file.format(), Format::Huffman);
    assert_eq!(file.tensors().iter().filter(|tensor| tensor.is_shapeless()).count(), 5);
    file.adopt_shapes(&shapes).unwrap();
    assert_eq!(contents(&mut file), expected);
}

#[cfg(feature = "torch")]
#[test]
fn a_network_takes_its_variables_from_checkpoints_and_huffman_directories() {
    let Some(folder) = shared("parity") else { return };
    for (file, reference, prefix) in [
        ("ckpt/zip_wrapped_dataparallel.pth", "ckpt/expected.safetensors", "sd."),
        ("ckpt/legacy_2017_style.pth", "ckpt/expected.safetensors", "sd."),
        ("huffman", "huffman.safetensors", "shared."),
    ] {
        let expected = fixture(&folder.join(reference), prefix);
        let store = tch::nn::VarStore::new(tch::Device::Cpu);
        let mut layout = Layout::default();
        for (name, (_, shape, _)) in expected.iter().filter(|(_, (dtype, _, _))| *dtype == Dtype::F32) {
            let (module, variable) = name.split_once('.').unwrap();
            let sizes: Vec<i64> = shape.iter().map(|&n| i64::try_from(n).unwrap()).collect();
            let _variable = (store.root() / module).zeros(variable, &sizes);
            layout.declare(name.clone(), shape.clone(), Role::Parameter);
        }
        weights::check(&layout, &folder.join(file)).unwrap();
        store::load(&store, &layout, &folder.join(file)).unwrap();
        for (name, variable) in store.variables() {
            let values = Vec::<f32>::try_from(variable.flatten(0, -1)).unwrap();
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            assert_eq!(bytes, expected[&name].2, "{file}: {name}");
        }
    }
}

#[test]
fn damaged_fixtures_are_read_or_refused_within_bounded_memory() {
    if within_bounded_memory("checkpoints::damaged_fixtures_are_read_or_refused_within_bounded_memory") {
        return;
    }
    let Some(folder) = shared("parity") else { return };
    let checkpoints: Vec<Vec<u8>> = files(&folder.join("ckpt")).into_values().collect();
    let streams: Vec<(String, Vec<u8>)> = files(&folder.join("huffman")).into_iter().collect();
    let shapes: Vec<_> = WeightsFile::open(&folder.join("huffman.safetensors"))
        .unwrap()
        .tensors()
        .iter()
        .filter_map(|t| Some((t.name.strip_prefix("shared.")?.to_owned(), t.shape.clone())))
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let (path, directory) = (dir.path().join("file"), dir.path().join("directory"));
    std::fs::create_dir(&directory).unwrap();
    streams.iter().for_each(|(name, content)| std::fs::write(directory.join(name), content).unwrap());
    check(1500, (any::<prop::sample::Index>(), damage()), |(which, damage)| {
        let whole: &Vec<u8> = which.get(&checkpoints);
        std::fs::write(&path, damage.apply(whole)).unwrap();
        read_all(&path, &shapes);
    });
    check(500, (any::<prop::sample::Index>(), damage()), |(which, damage)| {
        let (name, content) = which.get(&streams);
        std::fs::write(directory.join(name), damage.apply(content)).unwrap();
        read_all(&directory, &shapes);
        std::fs::write(directory.join(name), content).unwrap();
    });
}

#[test]
fn any_bytes_behind_the_mark_of_a_format_are_refused_within_bounded_memory() {
    if within_bounded_memory("checkpoints::any_bytes_behind_the_mark_of_a_format_are_refused_within_bounded_memory") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let marks: Vec<&[u8]> =
        vec![b"", b"PK\x03\x04", b"\x80\x02", b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", b"\x20\0\0\0\0\0\0\0{"];
    let bytes = prop::collection::vec(any::<u8>(), 0..2000);
    check(1000, (prop::sample::select(marks), bytes), |(mark, bytes)| {
        std::fs::write(&path, [*mark, &bytes[..]].concat()).unwrap();
        assert!(WeightsFile::open(&path).is_err());
    });
}

#[test]
fn a_huge_file_is_listed_and_read_in_part_without_its_values_in_memory() {
    if within_bounded_memory("checkpoints::a_huge_file_is_listed_and_read_in_part_without_its_values_in_memory") {
        return;
    }
    let n_values = 1u64 << 34;
    let text = |text: &str| [b"X", &u32::try_from(text.len()).unwrap().to_le_bytes()[..], text.as_bytes()].concat();
    let int = |n: u64| [b"\x8a\x08", &n.to_le_bytes()[..]].concat();
    let storage = [b"(".to_vec(), text("storage"), b"ctorch\nFloatStorage\n".to_vec(), text("0"), text("cpu")].concat();
    let tensor = |offset: u64, n: u64| {
        let id = [&storage[..], &int(n_values), b"tQ"].concat();
        let call = [b"ctorch._utils\n_rebuild_tensor\n(".to_vec(), id, int(offset), int(n), b"\x85".to_vec()].concat();
        [call, int(1), b"\x85tR".to_vec()].concat()
    };
    let object = [text("all"), tensor(0, n_values), text("end"), tensor(n_values - 2, 2)].concat();
    let order = [text("little_endian"), b"\x88".to_vec()].concat();
    let head = [
        b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}(".to_vec(),
        [order, b"u.\x80\x02}(".to_vec(), object, b"u.\x80\x02](".to_vec(), text("0"), b"e.".to_vec()].concat(),
        n_values.to_le_bytes().to_vec(),
    ];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("huge.pth");
    std::fs::write(&path, head.concat()).unwrap();
    // A hole, which takes no room on disk.
    let file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() + n_values * 4).unwrap();

    let mut file = WeightsFile::open(&path).unwrap();
    assert_eq!(file.tensors()[0].shape, [1 << 34]);
    assert_eq!(file.read(&file.tensors()[1].clone()).unwrap(), [0.0, 0.0]);
}

/// Opens a file or directory and reads what it says that it has.
fn read_all(path: &Path, shapes: &[(String, Vec<usize>)]) {
    for selection in [Selection::Network, Selection::Average, Selection::Everything] {
        let Ok(mut file) = WeightsFile::open_selected(path, selection) else { continue };
        if file.adopt_shapes(shapes).is_ok() {
            for tensor in file.tensors().to_vec() {
                let _outcome = file.read_raw(&tensor);
            }
        }
    }
}

/// What happens to a file.
#[derive(Clone, Debug)]
struct Damage {
    bytes: Vec<(prop::sample::Index, u8)>,
    cut: Option<prop::sample::Index>,
}

fn damage() -> impl Strategy<Value = Damage> {
    let bytes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5);
    (bytes, prop::option::weighted(0.2, any::<prop::sample::Index>())).prop_map(|(bytes, cut)| Damage { bytes, cut })
}

impl Damage {
    fn apply(&self, content: &[u8]) -> Vec<u8> {
        let mut damaged = content.to_vec();
        for (at, value) in &self.bytes {
            let at = at.index(damaged.len());
            damaged[at] = *value;
        }
        let n_bytes = self.cut.map_or(damaged.len(), |cut| cut.index(damaged.len()));
        damaged.truncate(n_bytes);
        damaged
    }
}

fn check<S: Strategy>(cases: u32, strategy: S, test: impl Fn(&S::Value)) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let run = TestRunner::new(config).run(&strategy, |value| {
        test(&value);
        Ok(())
    });
    run.unwrap_or_else(|e| panic!("{e}"));
}
