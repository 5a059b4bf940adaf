//! Checkpoints in both containers, written here instruction by instruction.

use std::io::{Cursor, Write};
use std::path::PathBuf;

use proptest::prelude::*;
use safetensors::Dtype;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::super::pickle::assemble::Assembler;
use super::super::{Mismatch, Selection, WeightsFile};
use crate::atomic;

/// A file in a folder of its own.
struct Written {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Written {
    fn new(content: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("net.pth");
        atomic::write(&path, content).unwrap();
        Self { _dir: dir, path }
    }

    fn open(&self) -> Result<WeightsFile, String> {
        WeightsFile::open(&self.path).map_err(|e| e.to_string())
    }
}

/// A zip checkpoint of these entries.
fn zip(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        zip.start_file(format!("net/{name}"), SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn stored(object: Assembler, storages: &[(&str, &[u8])]) -> Vec<u8> {
    let pickle = object.stop();
    let names: Vec<String> = storages.iter().map(|(key, _)| format!("data/{key}")).collect();
    let mut entries: Vec<(&str, &[u8])> = vec![("data.pkl", &pickle), ("byteorder", b"little")];
    entries.extend(names.iter().map(String::as_str).zip(storages.iter().map(|(_, content)| *content)));
    zip(&entries, CompressionMethod::Stored)
}

/// A legacy checkpoint of these storages of f32.
fn legacy(object: Assembler, storages: &[(&str, &[f32])], little_endian: bool) -> Vec<u8> {
    let magic = Assembler::new().op(b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19");
    let order = Assembler::new().op(if little_endian { b"\x88" } else { b"\x89" });
    let system = Assembler::new().dict(&[("little_endian", order)]);
    let keys = storages.iter().fold(Assembler::new().op(b"]("), |asm, (key, _)| asm.text(key)).op(b"e");
    let mut bytes: Vec<u8> =
        [magic, Assembler::new().int(1001), system, object, keys].into_iter().flat_map(Assembler::stop).collect();
    for (_, values) in storages {
        bytes.extend((values.len() as u64).to_le_bytes());
        bytes.extend(floats(values));
    }
    bytes
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn tensor(key: &str, n: i64, view: (i64, &[i64], &[i64])) -> Assembler {
    Assembler::new().tensor("FloatStorage", key, n, view)
}

/// A tensor of three values, all of the storage `0`.
fn three() -> Assembler {
    tensor("0", 3, (0, &[3], &[1]))
}

fn names(file: &WeightsFile) -> Vec<&str> {
    file.tensors().iter().map(|t| t.name.as_str()).collect()
}

fn notes(file: &WeightsFile) -> Vec<String> {
    file.notes().iter().map(ToString::to_string).collect()
}

/// Why the object is refused in the zip container, beside one storage of three values.
fn refusal(object: Assembler) -> String {
    let file = Written::new(&stored(object, &[("0", &floats(&[1., 2., 3.]))]));
    let text = file.open().unwrap_err();
    assert!(text.contains("net.pth"), "{text}");
    text
}

fn opened(object: Assembler) -> (Written, WeightsFile) {
    let written = Written::new(&stored(object, &[("0", &floats(&[1., 2., 3.]))]));
    let file = written.open().unwrap();
    (written, file)
}

#[test]
fn views_of_one_storage_are_read_in_both_containers() {
    let values: Vec<f32> = (0..12u8).map(f32::from).collect();
    let views = Assembler::new().dict(&[
        ("transposed", tensor("0", 12, (0, &[3, 2], &[1, 3]))),
        ("row", tensor("0", 12, (6, &[3], &[1]))),
        ("all", tensor("0", 12, (0, &[12], &[1]))),
    ]);
    let pickle = views.clone().stop();
    let entries: [(&str, &[u8]); 2] = [("data.pkl", &pickle), ("data/0", &floats(&values))];
    let containers = [
        zip(&entries, CompressionMethod::Stored),
        zip(&entries, CompressionMethod::Deflated),
        legacy(views, &[("0", &values)], true),
    ];
    for bytes in containers {
        let written = Written::new(&bytes);
        let mut file = written.open().unwrap();
        assert_eq!(names(&file), ["transposed", "row", "all"]);
        let read: Vec<Vec<f32>> = file.tensors().to_vec().iter().map(|t| file.read(t).unwrap()).collect();
        assert_eq!(read, [vec![0., 3., 1., 4., 2., 5.], vec![6., 7., 8.], values.clone()]);
        assert_eq!(file.tensors()[0].shape, [3, 2]);
    }
}

#[test]
fn parameters_rebuilt_tensors_and_untyped_storages_are_tensors() {
    let untyped = Assembler::new()
        .global("torch._utils", "_rebuild_tensor_v3")
        .op(b"((")
        .text("storage")
        .global("torch.storage", "UntypedStorage")
        .text("0")
        .text("cpu")
        .int(12)
        .op(b"tQ")
        .int(4)
        .ints(&[2])
        .ints(&[1])
        .op(b"\x89}")
        .global("torch", "int16")
        .op(b"}tR");
    let parameter = Assembler::new().global("torch.nn.parameter", "Parameter").then(&three()).op(b"\x85R");
    let (_written, mut file) = opened(Assembler::new().dict(&[("a", untyped.clone())]));
    let tensor = file.tensors()[0].clone();
    assert_eq!((tensor.dtype, &tensor.shape[..]), (Dtype::I16, &[2][..]));
    assert_eq!(file.read_raw(&tensor).unwrap(), &floats(&[1., 2., 3.])[8..]);
    let (_written, mut file) = opened(Assembler::new().dict(&[("b", parameter.op(b"}b"))]));
    assert_eq!(file.read(&file.tensors()[0].clone()).unwrap(), [1., 2., 3.]);
}

#[test]
fn state_dicts_are_found_under_the_usual_keys_and_the_rest_is_told() {
    let inner = Assembler::new().dict(&[("module.a", three())]);
    for key in ["state_dict", "model", "model_state_dict", "net", "module"] {
        let top = Assembler::new().dict(&[("epoch", Assembler::new().int(3)), (key, inner.clone())]);
        let (_written, file) = opened(top);
        assert_eq!(names(&file), ["a"], "{key}");
        let expected = [
            format!("the tensors were found under `{key}`"),
            "ignored: `epoch` (a number)".into(),
            "`module.` was cut from the names".into(),
        ];
        assert_eq!(notes(&file), expected);
    }
    let (_written, file) = opened(Assembler::new().dict(&[("module", Assembler::new().dict(&[("net", inner)]))]));
    assert_eq!(notes(&file)[0], "the tensors were found under `module/net`");
}

#[test]
fn averaged_weights_are_taken_when_asked_for_or_alone() {
    let of = |name| Assembler::new().dict(&[(name, three())]);
    let both = Assembler::new().dict(&[("state_dict", of("plain")), ("state_dict_ema", of("smooth"))]);
    let (written, file) = opened(both);
    assert_eq!(names(&file), ["plain"]);
    let left = "`state_dict_ema` holds averaged weights, which were not asked for";
    assert_eq!(notes(&file), ["the tensors were found under `state_dict`", left]);
    let average = WeightsFile::open_selected(&written.path, Selection::Average).unwrap();
    assert_eq!(names(&average), ["smooth"]);

    let (_written, file) = opened(Assembler::new().dict(&[("ema", of("smooth"))]));
    assert_eq!(names(&file), ["smooth"]);
    assert!(notes(&file).contains(&"`ema` was taken: averaged weights".into()));

    let (written, _file) = opened(of("plain"));
    let text = WeightsFile::open_selected(&written.path, Selection::Average).unwrap_err().to_string();
    assert!(text.contains("no averaged weights"), "{text}");
}

#[test]
fn everything_is_listed_by_path_when_asked_for() {
    let list = Assembler::new().op(b"](").then(&three()).int(1).op(b"e");
    let top = [("state_dict", Assembler::new().dict(&[("module.a", three())])), ("optimizer", list)];
    let (written, _file) = opened(Assembler::new().dict(&top));
    let all = WeightsFile::open_selected(&written.path, Selection::Everything).unwrap();
    assert_eq!(names(&all), ["state_dict/module.a", "optimizer/0"]);
}

#[test]
fn objects_in_the_place_of_tensors_are_refused_by_name() {
    let foreign = Assembler::new().global("os", "system").op(b"(").text("true").op(b"tR");
    let text = refusal(Assembler::new().dict(&[("a", three()), ("b", foreign.clone())]));
    assert!(text.contains("`b`") && text.contains("`os.system`") && text.contains("state_dict()"), "{text}");
    let module = Assembler::new().global("torch.nn.parallel.data_parallel", "DataParallel").op(b")\x81}b");
    let text = refusal(module.clone());
    assert!(
        text.contains("whole pickled object of the class `torch.nn.parallel.data_parallel.DataParallel`"),
        "{text}"
    );
    assert!(text.contains("torch.save(model.state_dict(), path)"), "{text}");
    let text = refusal(Assembler::new().dict(&[("model", module)]));
    assert!(text.contains("under `model`") && text.contains("DataParallel"), "{text}");
    let complex = Assembler::new().tensor("ComplexFloatStorage", "0", 1, (0, &[1], &[1]));
    assert!(refusal(Assembler::new().dict(&[("a", complex)])).contains("`torch.ComplexFloatStorage`"));

    // Beside the network's tensors they do not matter.
    let top = [("state_dict", Assembler::new().dict(&[("a", three())])), ("args", foreign)];
    let (_written, file) = opened(Assembler::new().dict(&top));
    assert_eq!(notes(&file)[1], "ignored: `args` (an object of `os.system`)");
}

#[test]
fn files_without_tensors_are_refused_with_what_they_have() {
    assert!(refusal(three()).contains("a tensor of [3], not a dictionary of tensors"));
    let text = refusal(Assembler::new().dict(&[("epoch", Assembler::new().int(1))]));
    assert!(text.contains("its keys are `epoch`"), "{text}");
    assert!(refusal(Assembler::new().op(b"}")).contains("it is empty"));
}

#[test]
fn tensors_that_leave_their_storage_are_refused() {
    for view in [
        (1, &[3][..], &[1][..]),
        (0, &[2, 2], &[2, 1]),
        (0, &[3], &[i64::MAX]),
        (0, &[i64::MAX, i64::MAX], &[1, 1]),
        (0, &[1 << 40], &[0]),
    ] {
        let text = refusal(Assembler::new().dict(&[("a", tensor("0", 3, view))]));
        assert!(text.contains("a tensor of the storage `0`"), "{text}");
    }
    for view in [(-1, &[3][..], &[1][..]), (0, &[-3], &[1]), (0, &[3], &[-1])] {
        assert!(refusal(Assembler::new().dict(&[("a", tensor("0", 3, view))])).contains("no sizes"));
    }
}

#[test]
fn storages_are_as_long_as_they_say() {
    for n in [2, 4, 1 << 50, i64::MAX] {
        let object = Assembler::new().dict(&[("a", tensor("0", n, (0, &[2], &[1])))]);
        let text = refusal(object.clone());
        assert!(text.contains("storage `0`"), "{text}");
        let text = Written::new(&legacy(object, &[("0", &[1., 2., 3.])], true)).open().unwrap_err();
        assert!(text.contains("storage `0`"), "{text}");
    }
    assert!(
        refusal(Assembler::new().dict(&[("a", tensor("7", 3, (0, &[3], &[1])))])).contains("storage `7` is missing")
    );
    let two = Assembler::new()
        .dict(&[("a", three()), ("b", Assembler::new().tensor("HalfStorage", "0", 6, (0, &[6], &[1])))]);
    assert!(refusal(two).contains("two types"));
}

#[test]
fn truncated_and_padded_files_are_refused_at_every_byte() {
    let object = Assembler::new().dict(&[("a", three())]);
    for whole in
        [stored(object.clone(), &[("0", &floats(&[1., 2., 3.]))]), legacy(object, &[("0", &[1., 2., 3.])], true)]
    {
        assert!(Written::new(&whole).open().is_ok());
        for n in (0..whole.len()).step_by(3).chain([whole.len() - 1]) {
            assert!(Written::new(&whole[..n]).open().is_err(), "cut at {n}");
        }
    }
    let whole = legacy(Assembler::new().dict(&[("a", three())]), &[("0", &[1., 2., 3.])], true);
    assert!(Written::new(&[whole, vec![0]].concat()).open().unwrap_err().contains("1 bytes follow"));
}

#[test]
fn flipped_bits_in_a_zip_are_found_by_its_checksums() {
    let views = [("whole", three()), ("part", tensor("0", 3, (1, &[2], &[1])))];
    let mut bytes = stored(Assembler::new().dict(&views), &[("0", &floats(&[1., 2., 3.]))]);
    let at = bytes.windows(12).position(|w| w == floats(&[1., 2., 3.])).unwrap();
    bytes[at] ^= 1;
    let written = Written::new(&bytes);
    let mut file = written.open().unwrap();
    for tensor in file.tensors().to_vec() {
        let text = file.read(&tensor).unwrap_err().to_string();
        assert!(text.contains("storage `0`") && text.contains("net.pth"), "{text}");
    }
}

#[test]
fn other_byte_orders_programs_and_archives_are_refused_with_what_they_are() {
    let pickle = Assembler::new().dict(&[("a", three())]).stop();
    let values = floats(&[1., 2., 3.]);
    let base: [(&str, &[u8]); 2] = [("data.pkl", &pickle), ("data/0", &values)];
    let refused = |more: (&str, &[u8])| {
        let entries = [base[0], base[1], more];
        Written::new(&zip(&entries, CompressionMethod::Stored)).open().unwrap_err()
    };
    assert!(refused(("byteorder", b"big")).contains("big-endian"));
    assert!(refused(("constants.pkl", &pickle)).contains("TorchScript"));
    assert!(refused(("code/__torch__.py", b"")).contains("TorchScript"));
    let other = zip(&[("weight.npy", b"")], CompressionMethod::Stored);
    assert!(Written::new(&other).open().unwrap_err().contains("without a data.pkl"));
    let big = legacy(Assembler::new().dict(&[("a", three())]), &[("0", &[1., 2., 3.])], false);
    assert!(Written::new(&big).open().unwrap_err().contains("big-endian"));
    assert!(Written::new(&Assembler::new().int(7).stop()).open().unwrap_err().contains("none that torch.save wrote"));
}

#[test]
fn a_name_that_stands_twice_is_seen() {
    let (_written, file) = opened(Assembler::new().dict(&[("a", three()), ("b", three()), ("a", three())]));
    assert_eq!(file.duplicates(), [Mismatch::Duplicate { name: "a".to_owned() }]);
}

#[test]
fn storages_of_a_legacy_file_are_those_of_its_tensors() {
    let refused = |storages: &[(&str, &[f32])]| {
        Written::new(&legacy(Assembler::new().dict(&[("a", three())]), storages, true)).open().unwrap_err()
    };
    assert!(refused(&[]).contains("storage `0` is missing"));
    assert!(refused(&[("0", &[1., 2., 3.]), ("1", &[1.])]).contains("storage `1` belongs to no tensor"));
    assert!(refused(&[("0", &[1., 2., 3.]), ("0", &[1., 2., 3.])]).contains("listed twice"));
    assert!(refused(&[("0", &[1., 2., 3., 4.])]).contains("another number of values"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damaged_files_are_read_or_refused(
        is_zip: bool,
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let object = Assembler::new().dict(&[("a", three()), ("b", tensor("0", 3, (1, &[2], &[1])))]);
        let mut bytes = if is_zip {
            stored(object, &[("0", &floats(&[1., 2., 3.]))])
        } else {
            legacy(object, &[("0", &[1., 2., 3.])], true)
        };
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(mut file) = Written::new(&bytes).open() {
            for tensor in file.tensors().to_vec() {
                if let Ok(values) = file.read(&tensor) {
                    prop_assert!(values.len() <= 1 << 20);
                }
            }
        }
    }
}
