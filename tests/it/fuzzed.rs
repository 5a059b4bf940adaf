//! What fuzzing has found worth keeping, through the functions that the fuzz targets call (`tests/fuzz`): sound files are read, and nothing
//! else does worse than to be refused.

#[path = "../fuzz/targets/read/folder.rs"]
mod folder;
#[path = "../fuzz/targets/read/huffman.rs"]
mod huffman;
#[path = "../fuzz/targets/read/pipeline.rs"]
mod pipeline;
#[path = "../fuzz/targets/read/sealed.rs"]
mod sealed;
#[path = "../fuzz/targets/read/weights.rs"]
mod weights;

use std::path::Path;

use swath::weights::Format;

use crate::support::within_bounded_memory;

/// Runs every input of a target's corpus; those called `sound-..` must be.
fn replay(target: &str, test: &str, is_sound: impl Fn(&[u8]) -> bool) {
    if within_bounded_memory(&format!("fuzzed::{test}")) {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let (mut sound, mut others) = (0, 0);
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let outcome = is_sound(&std::fs::read(&path).unwrap());
        if path.file_name().unwrap().to_str().unwrap().starts_with("sound-") {
            assert!(outcome, "{}", path.display());
            sound += 1;
        } else {
            others += 1;
        }
    }
    assert!(sound > 0 && others > 0, "{}: {sound} sound, {others} others", folder.display());
}

#[test]
fn the_corpus_of_checkpoints_is_read_or_refused() {
    let formats = [Format::PthZip, Format::PthLegacy];
    replay("pth", "the_corpus_of_checkpoints_is_read_or_refused", |data| weights::weights(data, &formats));
}

#[test]
fn the_corpus_of_safetensors_files_is_read_or_refused() {
    let test = "the_corpus_of_safetensors_files_is_read_or_refused";
    replay("safetensors", test, |data| weights::weights(data, &[Format::Safetensors]));
}

#[test]
fn the_corpus_of_compressed_weights_is_read_or_refused() {
    replay("swz", "the_corpus_of_compressed_weights_is_read_or_refused", sealed::swz);
}

#[test]
fn the_corpus_of_huffman_directories_is_read_or_refused() {
    replay("huffman", "the_corpus_of_huffman_directories_is_read_or_refused", huffman::huffman);
}

#[test]
fn the_corpus_of_pipeline_files_is_understood_or_refused() {
    replay("pipeline", "the_corpus_of_pipeline_files_is_understood_or_refused", pipeline::pipeline);
}
