#!/usr/bin/env bash
# Makes an archive of what swath needs on a machine without network, without root and without GDAL: the program with GDAL inside, and
# gpu/gpu.sh, which checks and measures it there, with the masks that a CPU gives. libtorch stays where it is (README.md, "Take it along").
#
#   bash tests/bench/gpu-bundle.sh [ARCHIVE]           default: target-bundle/swath-gpu.tar.gz, which git ignores
#   bash tests/bench/gpu-bundle.sh --small FOLDER      the folder itself, not packed, with the masks of the small checks alone
#
# SWATH names a folder with a built program to take instead of building one. On the machine with the GPU:
#
#   tar xf target-bundle/swath-gpu.tar.gz -C /tmp && OUT="${OUT:-/tmp/out}" bash /tmp/swath-gpu/gpu.sh
#
# is one command of at most seven minutes; its end is the table, and "$OUT"/results.tar.gz is what to bring back. The first build takes
# cmake, the headers and the program of sqlite3, and 40 minutes on two cores; the masks take some minutes more.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
die() { printf 'gpu-bundle.sh: error: %s\n' "$*" >&2; exit 1; }
MOST=$((55 * 1000 * 1000))

small=()
if [ "${1:-}" = --small ]; then
    small=(--small)
    bundle="${2:?gpu-bundle.sh: --small takes the folder to make}"
else
    archive="${1:-target-bundle/swath-gpu.tar.gz}"
    mkdir -p "$(dirname "$archive")"
    bundle="$(mktemp -d)/swath-gpu"
    trap 'rm -rf "$(dirname "$bundle")"' EXIT
fi

if [ -n "${SWATH:-}" ]; then
    bin="$SWATH"
else
    bin="$(bash run.sh static)"
fi

mkdir -p "$bundle/peers" "$bundle/licenses"
for program in swath swath-torch; do strip -o "$bundle/$program" "$bin/$program"; done
cp -r tests/bench/gpu/*.{sh,py,toml} pipelines README.md "$bundle"
cp LICENSE-* "$bundle/licenses"
[ ! -d tests/bench/peers ] || cp tests/bench/peers/*.py "$bundle/peers"
[ ! -d "$bin/licenses" ] || cp "$bin"/licenses/* "$bundle/licenses"
# The newest version of glibc that either program asks for.
objdump -T "$bundle/swath" "$bundle/swath-torch" | grep -o 'GLIBC_[0-9.]*' | cut -d _ -f 2 | sort -uV | tail -n 1 >"$bundle/glibc"
commit="$(git describe --always --dirty 2>/dev/null || echo unknown)"
printf '{"commit": "%s", "built": "%s"}\n' "$commit" "$(date -u +%F)" >"$bundle/bundle.json"
OUT="$bundle/drawn" bash "$bundle/gpu.sh" --expect "${small[@]}"
rm -r "$bundle/drawn"
[ ${#small[@]} -eq 0 ] || exit 0

tar -C "$(dirname "$bundle")" --owner=0 --group=0 --sort=name -cf - swath-gpu | gzip -9 >"$archive"
size="$(stat -c %s "$archive")"
printf '%s: %d bytes\n' "$archive" "$size"
[ "$size" -le "$MOST" ] || die "that is more than the $MOST bytes that travel"
