#!/usr/bin/env bash
# A long run with faults: 5 000 scenes of 256 x 256, about one fault in a hundred scenes (decoders that die, files that cannot be read,
# devices that are out of memory or return what is no number), the fake backend slowed down so that it takes ten minutes on two cores.
# Prints memory of the run, its parent and its decoders, and open files and threads of the run, as time goes on. Ends with 1 when
# something has grown between the second minute and the last one by more than the report's lines of so many scenes, or when the run
# ends with anything but its due: code 3, for the scenes that faults cost.
#
#   bash tests/bench/soak.sh [DIR [DELAY_MS]]      DIR keeps the scenes for the next time; the delay is that of a forward pass
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
dir="${1:-$(mktemp -d)}" delay="${2:-110}"
if [ -n "${SWATH:-}" ]; then                    # a build of your own: the folder with swath
    bin="$SWATH"
else
    eval "$(bash run.sh env)"
    cargo build --release --locked --quiet --bins
    bin="$CARGO_TARGET_DIR/release"
fi
[ -e "$dir/soak/s04999.tif" ] || "$bin/swath" bench pipeline --backend fake --scenes 5000 --size 256x256 --keep "$dir/soak"
rm -rf "$dir/out" "$dir/faults.log"
export SWATH_FAKE_DELAY_MS="$delay" SWATH_FAULTS_LOG="$dir/faults.log"
export SWATH_FAULTS="decode:error%300,decode:abort%450,device:oom%90,device:nan%400,device:error%907"
"$bin/swath" run src/app/bench/two.toml -i "$dir/soak" -o "$dir/out" --backend fake --pack-fake --memory 256MiB 2>"$dir/log" >"$dir/summary" &
parent=$!

# What has ended meanwhile counts as nothing.
kib() { awk -v name="$2:" '$1 == name { n = $2 } END { print n + 0 }' "/proc/$1/status" 2>/dev/null || echo 0; }
children() { cat "/proc/$1/task"/*/children 2>/dev/null || true; }
files() { find "/proc/$1/fd" -mindepth 1 2>/dev/null | wc -l || true; }

printf '%8s %12s %12s %14s %6s %8s %9s\n' seconds "parent KiB" "run KiB" "decoders KiB" files threads decoders
samples="$dir/samples"
: >"$samples"
start=$SECONDS
while kill -0 "$parent" 2>/dev/null; do
    sleep 15
    read -r run _ <<<"$(children "$parent")"
    [ -n "$run" ] || continue
    read -ra decoders <<<"$(children "$run" | tr '\n' ' ')"
    all=0
    for decoder in "${decoders[@]}"; do all=$((all + $(kib "$decoder" RssAnon))); done
    sample="$((SECONDS - start)) $(kib "$parent" VmRSS) $(kib "$run" VmRSS) $all $(files "$run") $(kib "$run" Threads) ${#decoders[@]}"
    [[ $sample == *" 0 "* ]] && continue        # the run, or its decoders for a moment, are not there
    echo "$sample" >>"$samples"
    # shellcheck disable=SC2086
    printf '%8d %12d %12d %14d %6d %8d %9d\n' $sample
done
wait "$parent" && code=0 || code=$?
printf 'exit code %d, %d faults\n' "$code" "$(wc -l <"$dir/faults.log")"
head -3 "$dir/summary"
grep -E 'memory' "$dir/summary"
# The largest of the second minute against the largest of the last one; a decoder more or less is no growth of files.
awk -v code="$code" '
    function largest(from, to, column,    i, n) { for (i = from; i <= to; i++) if (row[i, column] > n) n = row[i, column]; return n }
    { for (i = 1; i <= NF; i++) row[NR, i] = $i }
    END {
        if (NR < 12) { print "too short to tell anything"; exit 1 }
        split("seconds parent run decoders files threads", name, " ")
        for (c = 2; c <= 6; c++) {
            before = largest(5, 8, c); after = largest(NR - 3, NR, c)
            printf "%-9s %d -> %d\n", name[c], before, after
            if (after > before * 1.05 + (c <= 4 ? 4096 : 4)) grown = grown " " name[c]
        }
        if (grown) print "grown:" grown
        exit grown != "" || code != 3
    }' "$samples"
