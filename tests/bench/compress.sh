#!/usr/bin/env bash
# What compression costs a trained network: a member compressed to 2 to 8 bits per weight, and within budgets (the bits where they avoid
# most damage). Prints size, error of the weights, agreement of the masks with those of the uncompressed
# network, and mIoU. Each row is a whole `swath run` and two `swath eval`.
#
#   bash tests/bench/compress.sh PIPELINE SCENES TRUTH [OUT [BYTES ..]]      PIPELINE has one member, with a weights file
#
# With DATA=SCENES (others than those that are scored) each budget is also spent by what is measured there, and BITS="8 4" chooses rows.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
pipeline="$1" scenes="$2" truth="$3" out="${4:-$(mktemp -d)}"
budgets=("${@:5}")
if [ -n "${SWATH:-}" ]; then                    # a build of your own
    swath="$SWATH"
else
    eval "$(bash "$here/run.sh" env)"
    (cd "$here" && cargo build --release --locked --quiet --bins)
    swath="$CARGO_TARGET_DIR/release/swath"
fi
weights="$(python3 -c 'import pathlib, sys, tomllib
path = pathlib.Path(sys.argv[1])
print(path.parent / tomllib.loads(path.read_text())["members"][0]["weights"])' "$pipeline")"
mkdir -p "$out"
"$swath" run "$pipeline" -i "$scenes" -o "$out/plain" >/dev/null 2>&1
field() { python3 -c 'import json, sys; d = json.load(sys.stdin); print(eval(sys.argv[1], {"d": d}))' "$1"; }
miou() { "$swath" eval "$1/masks" --truth "$truth" --ignore 255 --json | field '"{:.4f}".format(d["scores"]["miou"])'; }

printf '%-14s %10s %8s %10s %12s %8s\n' coding bytes bits error agreement mIoU
printf '%-14s %10d %8s %10s %12s %8s\n' uncompressed "$(stat -c %s "$weights")" - 0 1 "$(miou "$out/plain")"
row() {                                         # name, arguments of compress
    local name="$1" dir="$out/$1"
    shift
    rm -rf "$dir"
    "$swath" weights compress "$weights" -o "$dir/weights" --json "$@" >"$dir.json"
    "$swath" run "$pipeline" -i "$scenes" -o "$dir" --set "members.0.weights=$(readlink -f "$dir"/weights/*.swz)" >/dev/null 2>&1
    local agreement
    agreement="$("$swath" eval "$dir/masks" --truth "$out/plain/masks" --json | field '"{:.4f}".format(d["scores"]["accuracy"])')"
    read -r bytes bits error <<<"$(field '"{} {:.2f} {:.4f}".format(d["files"][0]["bytes"], d["files"][0]["bytes"] * 8 / d["files"][0]["values"], d["files"][0]["relative_error"])' <"$dir.json")"
    printf '%-14s %10d %8s %10s %12s %8s\n' "$name" "$bytes" "$bits" "$error" "$agreement" "$(miou "$dir")"
}
row lossless --lossless
for bits in ${BITS-8 7 6 5 4 3 2}; do row "bits-$bits" --bits "$bits"; done
for budget in "${budgets[@]}"; do
    row "budget-$budget" --budget "$budget"
    if [ -n "${DATA:-}" ]; then
        row "data-$budget" --budget "$budget" --data "$DATA" --pipeline "$pipeline" --tiles "${TILES:-8}"
    fi
done
