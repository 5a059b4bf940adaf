#!/usr/bin/env bash
# Peak memory against the promise, and throughput of everything but the networks (fake backend), on one scene of 60 000 x 60 000
# pixels and on 10 000 scenes of 256 x 256. Needs about 15 GB of disk; takes some minutes.
#
#   bash tests/bench/scale.sh [DIR]      DIR keeps the scenes for the next time
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
dir="${1:-$(mktemp -d)}"
eval "$(bash run.sh env)"
cargo build --release --locked --quiet
[ -e "$dir/large/large.tif" ] || cargo run --release --locked --quiet --example bench_scenes -- large "$dir/large"
[ -e "$dir/small/s09999.tif" ] || cargo run --release --locked --quiet --example bench_scenes -- small "$dir/small"
for kind in large small; do
    printf '\n== %s\n' "$kind"
    rm -rf "$dir/out"
    "$CARGO_TARGET_DIR/release/swath" run pipelines/demo.toml -i "$dir/$kind" -o "$dir/out" --backend fake --pack-fake --memory 512MiB
done
