//! Networks against the numbers of their reference implementations.
//!
//! The fixtures lie outside the repository (`../shared`, or where `SWATH_SHARED` says); without them the tests pass with a printed
//! reason. `SWATH_PARITY=NAME` checks the fixtures whose names begin so.
#![cfg(feature = "torch")]
#![expect(clippy::print_stderr, reason = "the worst error of each case is worth seeing")]

use swath::zoo::check::{self, Verdict};

use crate::support::shared;

#[test]
fn every_network_is_its_reference() {
    let Some(path) = shared("parity") else { return };
    tch::set_num_threads(2);
    let folder = check::open(&path).unwrap();
    let chosen = std::env::var("SWATH_PARITY").unwrap_or_default();
    let mut failed = Vec::new();
    for name in folder.names().iter().filter(|name| name.starts_with(&chosen)) {
        let verdict = check::check(&folder, name);
        match &verdict {
            Verdict::Compared { plain, inference } => {
                eprintln!("{name}: {:.3} of the tolerance ({}), folded {:.3}", plain.error, plain.at, inference.error);
            }
            Verdict::Failed(reason) => eprintln!("{name}: {reason}"),
            Verdict::Skipped(kind) => eprintln!("{name}: skipped, {kind}"),
        }
        if !verdict.passes() {
            if let Ok(Some(first)) = check::first_divergence(&folder, name) {
                eprintln!("  first at {} ({})\n    expected {}\n    found    {}", first.layer, first.kind, first.expected, first.found);
            }
            failed.push(name.clone());
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}
