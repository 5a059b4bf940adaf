#!/usr/bin/env bash
# What isolated decoders cost: whole runs with the fake backend, and decoding alone, each with and without isolation in turn. Three
# inputs: one uncompressed scene and one compressed scene of SIDE x SIDE pixels, and COUNT scenes of 256 x 256. Takes some minutes.
#
#   bash tests/bench/decode.sh [DIR [ROUNDS [SIDE [COUNT]]]]      DIR keeps the scenes for the next time
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
dir="${1:-$(mktemp -d)}" rounds="${2:-5}" side="${3:-16000}" count="${4:-2000}"
if [ -n "${SWATH:-}" ]; then                    # a build of your own: the folder with swath and examples/
    bin="$SWATH"
else
    eval "$(bash run.sh env)"
    cargo build --release --locked --quiet --bins --examples
    bin="$CARGO_TARGET_DIR/release"
fi
[ -e "$dir/plain/large.tif" ] || "$bin/examples/bench_scenes" plain "$dir/plain" "$side"
[ -e "$dir/deflate/large.tif" ] || "$bin/examples/bench_scenes" large "$dir/deflate" "$side"
[ -e "$dir/small/s00000.tif" ] || "$bin/examples/bench_scenes" small "$dir/small" "$count"

# Prints "wall processor" in seconds.
run_once() {
    rm -rf "$dir/out"
    local TIMEFORMAT='%R %U %S'
    { time "$bin/swath" run pipelines/demo.toml -i "$dir/$1" -o "$dir/out" --backend fake --pack-fake --memory 512MiB --decode "$2" \
        >/dev/null 2>"$dir/log"; } 2>&1 | awk '{ print $1, $2 + $3 }'
}

median() { sort -g | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'; }

for kind in plain deflate small; do
    : >"$dir/isolated.txt"; : >"$dir/in-process.txt"
    run_once "$kind" isolated >/dev/null        # warms the file cache
    for _ in $(seq "$rounds"); do
        for mode in in-process isolated; do run_once "$kind" "$mode" >>"$dir/$mode.txt"; done
    done
    for column in 1 2; do
        inside=$(cut -d' ' -f$column "$dir/in-process.txt" | median)
        apart=$(cut -d' ' -f$column "$dir/isolated.txt" | median)
        what=$([ $column = 1 ] && echo "wall clock" || echo "processor")
        awk -v k="$kind" -v w="$what" -v a="$inside" -v b="$apart" \
            'BEGIN { printf "run     %-8s %-10s in-process %.2f s, isolated %.2f s: %.3f\n", k, w, a, b, b / a }'
    done
    printf 'decode  %-8s ' "$kind"
    "$bin/examples/bench_decode" "$bin/swath" "$rounds" "$dir/$kind"/*.tif
done
