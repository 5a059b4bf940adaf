//! Small directories, written here bit by bit.

use std::fs;
use std::path::Path;

use super::super::pickle::assemble::Assembler;
use super::super::{Mismatch, WeightsFile, compare, digest};
use super::*;
use crate::atomic;

/// Bits as a file: the filling's length, then the bits.
fn bits(bits: &str) -> Vec<u8> {
    let padding = (8 - bits.len() % 8) % 8;
    let padded = format!("{bits}{}", "0".repeat(padding));
    let bytes = padded.as_bytes().chunks(8).map(|c| u8::from_str_radix(std::str::from_utf8(c).unwrap(), 2).unwrap());
    std::iter::once(u8::try_from(padding).unwrap()).chain(bytes).collect()
}

fn leaf(symbol: u32) -> String {
    format!("1{symbol:032b}")
}

/// A 2x3 matrix with 1.5 at (0, 1) and 2.5 at (1, 1), by rows; and a bias of two values.
fn write(path: &Path) {
    let tree = |left, right| bits(&format!("0{}{}", leaf(left), leaf(right)));
    let files: [(&str, Vec<u8>); 7] = [
        ("a.weight_csr_data.bin", bits("01")),
        ("a.weight_csr_data_codebook.bin", tree(1.5f32.to_bits(), 2.5f32.to_bits())),
        ("a.weight_csr_indices.bin", bits("00")),
        ("a.weight_csr_indices_codebook.bin", bits(&leaf(1))),
        ("a.weight_csr_indptr.bin", bits("00")),
        ("a.weight_csr_indptr_codebook.bin", bits(&leaf(1))),
        ("a.bias", array("f4", "<", &[2], &[0, 0, 128, 63, 0, 0, 0, 64])),
    ];
    for (name, content) in files {
        atomic::write(&path.join(name), &content).unwrap();
    }
}

/// What `ndarray.dump` writes.
fn array(code: &str, order: &str, shape: &[i64], content: &[u8]) -> Vec<u8> {
    let latin1: String = content.iter().map(|&b| char::from(b)).collect();
    let encoded = Assembler::new().global("_codecs", "encode").op(b"(").text(&latin1).text("latin1").op(b"tR");
    let dtype = Assembler::new().global("numpy", "dtype").op(b"(").text(code).op(b"\x89\x88tR(");
    let dtype = dtype.int(3).text(order).op(b"NNN").int(-1).int(-1).int(0).op(b"tb");
    let empty = Assembler::new().global("numpy.core.multiarray", "_reconstruct").op(b"(");
    let empty = empty.global("numpy", "ndarray").ints(&[0]).text("b").op(b"tR(").int(1);
    empty.ints(shape).then(&dtype).op(b"\x89").then(&encoded).op(b"tb").stop()
}

fn directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path());
    dir
}

fn expected(shape: &[usize]) -> Vec<(String, Vec<usize>)> {
    vec![("a.bias".to_owned(), vec![2]), ("a.weight".to_owned(), shape.to_vec())]
}

/// Opens the directory, gives the weight this shape, and reads both tensors.
fn read(path: &Path, shape: &[usize]) -> Result<Vec<Vec<f32>>, String> {
    let read = || {
        let mut file = WeightsFile::open(path)?;
        file.adopt_shapes(&expected(shape))?;
        file.tensors().to_vec().iter().map(|tensor| file.read(tensor)).collect::<Result<_, WeightsError>>()
    };
    read().map_err(|e| e.to_string())
}

#[test]
fn matrices_and_arrays_are_decoded() {
    let dir = directory();
    let both = read(dir.path(), &[2, 3]).unwrap();
    assert_eq!(both, [vec![1., 2.], vec![0., 1.5, 0., 0., 2.5, 0.]]);
    assert_eq!(read(dir.path(), &[1, 3, 2]).unwrap_err().matches("not stored").count(), 1, "by columns");
}

#[test]
fn a_shape_comes_from_the_network_or_is_a_mismatch() {
    let dir = directory();
    let mut file = WeightsFile::open(dir.path()).unwrap();
    assert!(file.tensors()[1].is_shapeless() && file.tensors()[1].known_shape().is_none());
    assert!(file.read(&file.tensors()[1].clone()).unwrap_err().to_string().contains("takes a network"));
    let other = expected(&[3, 4]);
    file.adopt_shapes(&other).unwrap();
    let mismatch = Mismatch::Size { name: "a.weight".into(), expected: vec![3, 4] };
    assert_eq!(compare(&other, file.tensors()), [mismatch]);
    let fitting = expected(&[2, 3]);
    file.adopt_shapes(&fitting).unwrap();
    assert_eq!(compare(&fitting, file.tensors()), []);
    // As many rows, so only the values could tell.
    assert_eq!(read(dir.path(), &[2, 5]).unwrap()[1].len(), 10);
}

#[test]
fn missing_streams_and_foreign_files_are_named() {
    let dir = directory();
    atomic::write(&dir.path().join("README.md"), b"about").unwrap();
    fs::create_dir(dir.path().join("old")).unwrap();
    let file = WeightsFile::open(dir.path()).unwrap();
    let notes: Vec<String> = file.notes().iter().map(ToString::to_string).collect();
    assert_eq!(notes, ["ignored: `old` (no file), `README.md` (no numpy array)"]);
    fs::remove_file(dir.path().join("a.weight_csr_indices_codebook.bin")).unwrap();
    let text = WeightsFile::open(dir.path()).unwrap_err().to_string();
    assert!(text.contains("`a.weight_csr_indices_codebook.bin` is missing"), "{text}");
}

#[test]
fn a_tensor_in_two_forms_is_listed_twice() {
    let dir = directory();
    atomic::write(&dir.path().join("a.weight"), &array("f4", "<", &[1], &[0; 4])).unwrap();
    let file = WeightsFile::open(dir.path()).unwrap();
    assert_eq!(file.duplicates(), [Mismatch::Duplicate { name: "a.weight".into() }]);
}

#[test]
fn arrays_that_are_none_are_refused_by_file() {
    let refused = |content: &[u8]| {
        let dir = directory();
        atomic::write(&dir.path().join("a.bias"), content).unwrap();
        let text = WeightsFile::open(dir.path()).unwrap_err().to_string();
        assert!(text.contains("`a.bias`"), "{text}");
        text
    };
    assert!(refused(&array("f4", ">", &[1], &[0; 4])).contains("big-endian"));
    assert!(refused(&array("c8", "<", &[1], &[0; 8])).contains("type `c8`"));
    assert!(refused(&array("f4", "<", &[2], &[0; 4])).contains("leaves"));
    assert!(refused(&array("f4", "<", &[1], &[0; 8])).contains("8 bytes for the shape"));
    assert!(refused(&array("f4", "<", &[i64::MAX, i64::MAX], &[])).contains("leaves"));
    assert!(refused(&array("f4", "<", &[-1], &[])).contains("without a shape"));
    assert!(refused(&[array("f4", "<", &[1], &[0; 4]), vec![0]].concat()).contains("1 bytes follow"));
    let called = Assembler::new().global("os", "system").op(b")R").stop();
    assert!(refused(&called).contains("an object of `os.system`"));
    assert!(refused(&array("f4", "<", &[1], &[0; 4])[..30]).contains("too early"));
}

#[test]
fn every_damaged_byte_of_a_stream_is_refused_or_changes_values_only() {
    let dir = directory();
    let names = file_names(dir.path()).unwrap().0;
    for name in names.iter().filter(|name| name.ends_with(".bin")) {
        let path = dir.path().join(name);
        let whole = fs::read(&path).unwrap();
        for n in 0..whole.len() {
            atomic::write(&path, &whole[..n]).unwrap();
            let text = read(dir.path(), &[2, 3]).unwrap_err();
            assert!(text.contains("a.weight"), "{name} cut at {n}: {text}");
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[n] ^= 1 << bit;
                atomic::write(&path, &bytes).unwrap();
                if let Ok(values) = read(dir.path(), &[2, 3]) {
                    assert_eq!(values[1].len(), 6, "{name} bit {bit} of {n}");
                }
            }
        }
        atomic::write(&path, &[&whole[..], &[0]].concat()).unwrap();
        assert!(read(dir.path(), &[2, 3]).is_err(), "{name} with a byte more");
        atomic::write(&path, &whole).unwrap();
    }
}

#[test]
fn the_digest_of_a_directory_follows_names_and_contents() {
    let dir = tempfile::tempdir().unwrap();
    atomic::write(&dir.path().join("a"), b"abc").unwrap();
    // printf abc > a; sha256sum * | sha256sum
    let first = digest(dir.path()).unwrap();
    assert_eq!(first, "60eb527cba799edb93b30ea27633d72a197c248cd40cf6f7647c93f98b8f9a32");
    atomic::write(&dir.path().join("b"), b"").unwrap();
    assert_ne!(digest(dir.path()).unwrap(), first);
}
