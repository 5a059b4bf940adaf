//! A Huffman directory: it is read or refused.

use swath::weights::WeightsFile;

use super::folder::folder;

/// The files that one weight and one bias have in a Huffman directory.
const STREAMS: [&str; 7] = [
    "a.weight_csr_data.bin",
    "a.weight_csr_data_codebook.bin",
    "a.weight_csr_indices.bin",
    "a.weight_csr_indices_codebook.bin",
    "a.weight_csr_indptr.bin",
    "a.weight_csr_indptr_codebook.bin",
    "a.bias",
];

/// The bytes as the streams of a Huffman directory: each record (length as u16, bytes) becomes one of its files. Returns whether they
/// were sound.
pub(crate) fn huffman(data: &[u8]) -> bool {
    let dir = folder();
    let mut rest = data;
    for name in STREAMS {
        let Some((length, after)) = rest.split_first_chunk::<2>() else { break };
        let (content, after) = after.split_at(after.len().min(usize::from(u16::from_le_bytes(*length))));
        std::fs::write(dir.path().join(name), content).unwrap();
        rest = after;
    }
    let Ok(mut file) = WeightsFile::open(dir.path()) else { return false };
    let shapes = [("a.weight".to_owned(), vec![6, 8]), ("a.bias".to_owned(), vec![8])];
    file.adopt_shapes(&shapes).is_ok() && file.tensors().to_vec().iter().all(|tensor| file.read(tensor).is_ok())
}
