#!/usr/bin/env bash
# A long run with faults: 5 000 scenes of 256 x 256, about one fault in a hundred scenes (decoders that die, files that cannot be read,
# devices that are out of memory or return what is no number), the fake backend slowed down so that it takes ten minutes. Prints memory,
# open files and threads of the run and of its decoders as time goes on: they must not grow.
#
#   bash tests/bench/soak.sh [DIR [DELAY_MS]]      DIR keeps the scenes for the next time; the delay is that of a forward pass
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
dir="${1:-$(mktemp -d)}" delay="${2:-450}"
if [ -n "${SWATH:-}" ]; then                    # a build of your own: the folder with swath and examples/
    bin="$SWATH"
else
    eval "$(bash run.sh env)"
    cargo build --release --locked --quiet --bins --examples
    bin="$CARGO_TARGET_DIR/release"
fi
[ -e "$dir/soak/s04999.tif" ] || "$bin/examples/bench_scenes" small "$dir/soak" 5000
rm -rf "$dir/out" "$dir/faults.log"
export SWATH_FAKE_DELAY_MS="$delay" SWATH_FAULTS_LOG="$dir/faults.log"
export SWATH_FAULTS="decode:error%300,decode:abort%450,device:oom%90,device:nan%400,device:error%900"
"$bin/swath" run pipelines/demo.toml -i "$dir/soak" -o "$dir/out" --backend fake --memory 256MiB 2>"$dir/log" >"$dir/summary" &
parent=$!

kib() { awk -v name="$2:" '$1 == name { print $2 }' "/proc/$1/status" 2>/dev/null || true; }
children() { cat /proc/"$1"/task/*/children 2>/dev/null || true; }

printf '%8s %10s %6s %8s %10s %9s\n' seconds "run KiB" files threads "all KiB" decoders
start=$SECONDS
while kill -0 "$parent" 2>/dev/null; do
    sleep 15
    run=$(children "$parent" | tr -d ' ')
    [ -n "$run" ] || continue
    decoders=$(children "$run")
    all=$(kib "$run" VmRSS)
    for decoder in $decoders; do all=$((all + $(kib "$decoder" RssAnon || echo 0))); done
    printf '%8d %10s %6d %8s %10s %9d\n' $((SECONDS - start)) "$(kib "$run" VmRSS)" "$(find "/proc/$run/fd" 2>/dev/null | wc -l)" \
        "$(kib "$run" Threads)" "$all" "$(wc -w <<<"$decoders")"
done
wait "$parent" && code=0 || code=$?
printf 'exit code %d, %d faults\n' "$code" "$(wc -l <"$dir/faults.log")"
head -3 "$dir/summary"
grep -E 'memory' "$dir/summary"
