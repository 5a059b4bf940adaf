#!/usr/bin/env bash
# Sets up what swath needs, builds it and runs it. Nothing else is needed beside a Rust toolchain and python3 with pip.
#
#   bash run.sh                  draw the sample scenes and segment them: submit/submit.zip
#   bash run.sh test             run every test
#   bash run.sh swath ARGS...    run the program itself, e.g. `bash run.sh swath doctor`
#   bash run.sh env              print the settings, for `eval "$(bash run.sh env)"` before calling cargo yourself
#
# Downloads and build products live in the user's cache directory and are reused. Settings that are respected:
# LIBTORCH (a libtorch 2.11.0 of your own), CARGO_TARGET_DIR, XDG_CACHE_HOME.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

TORCH=2.11.0
CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/swath"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$CACHE/target}"

say() { printf 'run.sh: %s\n' "$*" >&2; }
die() { printf 'run.sh: error: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

need_tools() {
    have cargo || die "no cargo: install a Rust toolchain (1.89 or newer) from https://rustup.rs or your distribution"
    have python3 || die "no python3: apt-get install python3 python3-pip"
    local packages=()
    have c++ || packages+=(g++)
    have pkg-config || packages+=(pkg-config)
    pkg-config --atleast-version=3.6 gdal 2>/dev/null || packages+=(libgdal-dev)
    [ ${#packages[@]} -eq 0 ] && return
    have apt-get || die "missing: ${packages[*]} (Debian's names); install them with your package manager"
    [ "$(id -u)" -eq 0 ] || die "missing: ${packages[*]}; run: sudo apt-get install ${packages[*]}"
    say "installing ${packages[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
    pkg-config --atleast-version=3.6 gdal || die "GDAL 3.6 or newer is needed, this system has $(pkg-config --modversion gdal)"
}

# Sets LIBTORCH: the user's own; the whole wheel with its CUDA libraries where there is an NVIDIA driver; else the CPU parts of the wheel.
need_libtorch() {
    if [ -n "${LIBTORCH:-}" ]; then
        [ -e "$LIBTORCH/lib/libtorch_cpu.so" ] || die "LIBTORCH=$LIBTORCH holds no lib/libtorch_cpu.so: point it at a libtorch $TORCH or unset it"
        return
    fi
    if [ -e /proc/driver/nvidia/version ]; then
        export LIBTORCH="$CACHE/libtorch-$TORCH-cuda/torch"
        [ -e "$CACHE/libtorch-$TORCH-cuda/complete" ] || fetch_cuda "$CACHE/libtorch-$TORCH-cuda"
    else
        export LIBTORCH="$CACHE/libtorch-$TORCH-cpu"
        [ -e "$LIBTORCH/complete" ] || fetch_cpu "$LIBTORCH"
    fi
}

pip() {
    python3 -m pip --version >/dev/null 2>&1 || die "python3 has no pip: apt-get install python3-pip"
    python3 -m pip --disable-pip-version-check --quiet "$@"
}

fetch_cuda() {
    say "fetching torch $TORCH with its CUDA libraries (about 2.7 GB, once)"
    rm -rf "$1"
    pip install --target "$1" "torch==$TORCH"
    touch "$1/complete"
}

# The wheel's CPU libraries and headers. libtorch_cpu.so itself asks for two small CUDA runtime libraries; torch-sys links
# -ltorch, which in the wheel would pull in all of CUDA, so an empty libtorch.so that depends on libtorch_cpu.so stands in.
fetch_cpu() {
    local wheels="$CACHE/wheels"
    say "fetching the CPU parts of torch $TORCH (about 550 MB, once)"
    pip download --no-deps --dest "$wheels" "torch==$TORCH" "nvidia-cuda-runtime>=13,<14" "nvidia-cuda-cupti>=13,<14"
    rm -rf "$1"
    python3 - "$wheels" "$1" <<'PYTHON'
import pathlib, shutil, sys, zipfile
wheels, root = map(pathlib.Path, sys.argv[1:])
libraries = {"libtorch_cpu.so", "libc10.so", "libgomp.so.1", "libcudart.so.13", "libcupti.so.13"}
for wheel in wheels.glob("*.whl"):
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            path = pathlib.PurePosixPath(name)
            if path.name in libraries:
                target = root / "lib" / path.name
            elif name.startswith("torch/include/") and not name.endswith("/"):
                target = root / path.relative_to("torch")
            else:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(name) as source, open(target, "wb") as sink:
                shutil.copyfileobj(source, sink)
PYTHON
    printf '%s\n' "$TORCH" > "$1/build-version"
    ln -s libgomp.so.1 "$1/lib/libgomp.so"
    c++ -shared -o "$1/lib/libtorch.so" -Wl,--no-as-needed -L"$1/lib" -ltorch_cpu -Wl,-rpath,'$ORIGIN'
    touch "$1/complete"
    rm -rf "$wheels"
}

set_up() {
    need_tools
    need_libtorch
}

build() {
    say "building (the first time takes some minutes)"
    cargo build --release --locked --quiet
    SWATH="$CARGO_TARGET_DIR/release/swath"
}

main_job() {
    "$SWATH" synth --seed 2020 -o data/scenes
    "$SWATH" run pipelines/demo.toml -i data/scenes/images -o submit
}

case "${1:-}" in
    "") set_up; build; main_job ;;
    test) set_up; cargo test --release --locked -- "${@:2}" ;;
    swath) set_up; build; exec "$SWATH" "${@:2}" ;;
    env) set_up; printf 'export LIBTORCH=%q CARGO_TARGET_DIR=%q\n' "$LIBTORCH" "$CARGO_TARGET_DIR" ;;
    *) die "unknown command '$1': see the head of this file" ;;
esac
