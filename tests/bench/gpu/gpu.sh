#!/usr/bin/env bash
# Checks and measures swath on this machine, in at most seven minutes, without network: what must be there, then whether the masks are
# right, then how fast they come, then what PyTorch needs for the same. Nothing is installed and nothing outside $OUT is written.
#
#   bash gpu.sh                          on the first GPU
#   bash gpu.sh --devices cpu --small    on a CPU, small networks and scenes alone: about a minute
#   bash gpu.sh --only NAME              those checks alone whose name contains NAME (`workers`, `speed/`, ...)
#   bash gpu.sh --budget SECONDS         in so many seconds instead; what there is no time for is named
#
# OUT (default: `results` beside this script) gets table.txt, a log of each step, and all of it in results.tar.gz. The exit code is 0
# when all checks are passed, 1 when one is not, and 2 when the machine lacks something: then nothing was begun.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
die() { printf 'gpu.sh: error: %s\n' "$*" >&2; exit 2; }
at_least() { printf '%s\n' "$1" "$2" | sort -V -C; }

[ "$(uname -sm)" = "Linux x86_64" ] || die "the program is for Linux on x86-64, not $(uname -sm)"
glibc="$(getconf GNU_LIBC_VERSION 2>/dev/null | cut -d ' ' -f 2)" || glibc=none
at_least "$(cat "$here/glibc")" "$glibc" || die "glibc $(cat "$here/glibc") or newer is needed, not $glibc"
command -v python3 >/dev/null || die "no python3, which the checks are written in"
exec python3 -B "$here/measure.py" "$@"
