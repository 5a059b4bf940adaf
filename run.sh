#!/usr/bin/env bash
# Sets up what swath needs, builds it and runs it. Nothing else is needed beside a Rust toolchain and python3 with pip.
#
#   bash run.sh                  draw the sample scenes, segment them and tell how right that is: submit/submit.zip
#   bash run.sh test             run every test and say which were skipped; `bash run.sh test -- NAME`: those whose name contains NAME
#   bash run.sh reproduce ARGS.. the 2020 entry's way from labelled images to a submission; --quick tries it (pipelines/reproduce.sh)
#   bash run.sh swath ARGS...    run the program itself, e.g. `bash run.sh swath doctor`
#   bash run.sh env              print the settings, for `eval "$(bash run.sh env)"` before calling cargo yourself
#   bash run.sh env --cargo      write them to .cargo/config.toml instead, for cargo and editors in this folder
#   bash run.sh wheel [FOLDER]   make a Python wheel (src/python/README.md) in FOLDER, or else in target-bundle
#   bash run.sh wheel --static   the same with GDAL inside, for other machines: takes cmake, sqlite3 and 40 minutes, once
#
# Downloads and build products live in the user's cache directory and are reused. Settings that are respected:
# LIBTORCH (a libtorch 2.11.0 of your own), SWATH_ONNXRUNTIME (an ONNX Runtime of your own: the library or its folder), CARGO_TARGET_DIR,
# XDG_CACHE_HOME.
set -euo pipefail
CALLER="$PWD"
cd "$(dirname "${BASH_SOURCE[0]}")"

TORCH=2.11.0 ONNXRUNTIME=1.31.1 RUST=1.89 GDAL=3.6
absolute() { case "$1" in /*) printf '%s' "$1" ;; *) printf '%s' "$CALLER/$1" ;; esac; }
CACHE="$(absolute "${XDG_CACHE_HOME:-$HOME/.cache}")/swath"
CARGO_TARGET_DIR="$(absolute "${CARGO_TARGET_DIR:-$CACHE/target}")"
SWATH_GIVEN="${SWATH:-}" SWATH="$CARGO_TARGET_DIR/release/swath"
# A toolchain that was just installed is not yet on the path of an older shell.
command -v cargo >/dev/null 2>&1 || export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
export CARGO_TARGET_DIR LIBTORCH
quiet=(); [ -t 2 ] || quiet=(--quiet)

say() { printf 'run.sh: %s\n' "$*" >&2; }
die() { printf 'run.sh: error: %s\n' "$@" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
have_gdal() { have pkg-config && pkg-config --atleast-version="$GDAL" gdal; }
have_pip() { have python3 && python3 -m pip --version >/dev/null 2>&1; }
have_rust() { printf '%s\n' "rustc $RUST" "$(rustc --version 2>&1)" | sort -V -C; }

# Installs what it may. Of the rest it names everything, each with the way to get it, so that nobody comes back for the next.
need_tools() {
    local packages=() problems=()
    { have cc && have c++; } || packages+=(g++)
    have pkg-config || packages+=(pkg-config)
    have_gdal || packages+=(libgdal-dev)
    has_libtorch || have_pip || packages+=(python3 python3-pip)
    if [ ${#packages[@]} -gt 0 ] && have apt-get && [ "$(id -u)" -eq 0 ]; then
        say "installing ${packages[*]}"
        apt-get update -qq || say "apt-get update failed; going on with what it knows"
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null \
            || die "apt-get could not install ${packages[*]}: it says above why"
        packages=()
    fi
    if ! have cargo; then
        problems+=("no cargo: install Rust $RUST or newer, for your user alone, as https://rustup.rs says")
    elif ! have_rust; then
        problems+=("Rust $RUST or newer is needed, not $(rustc --version 2>&1 | head -n 1): rustup update stable")
    fi
    if have pkg-config && pkg-config --exists gdal && ! have_gdal; then
        problems+=("GDAL $GDAL or newer is needed, not $(pkg-config --modversion gdal): Debian 12 and Ubuntu 24.04 have it")
        packages=("${packages[@]/libgdal-dev/}")
    fi
    local how="sudo apt-get install ${packages[*]}"
    have apt-get || how="install them with your package manager; these are Debian's names"
    [ -z "${packages[*]// /}" ] || problems+=("missing: ${packages[*]}; $how")
    [ ${#problems[@]} -eq 0 ] || die "${problems[@]}"
}

# Sets LIBTORCH and says whether it is there: the user's own; else in the cache the whole wheel with its CUDA libraries where there is
# an NVIDIA driver, or its CPU parts.
has_libtorch() {
    if [ -n "${LIBTORCH:-}" ] && [[ "$LIBTORCH" != "$CACHE"/* ]]; then
        LIBTORCH="$(absolute "$LIBTORCH")"
        [ -e "$LIBTORCH/lib/libtorch_cpu.so" ] \
            || die "LIBTORCH=$LIBTORCH holds no lib/libtorch_cpu.so: point it at a libtorch $TORCH or unset it"
        return 0
    fi
    KIND=cpu
    [ ! -e /proc/driver/nvidia/version ] || KIND=cuda
    ROOT="$CACHE/libtorch-$TORCH-$KIND"
    LIBTORCH="$ROOT"
    [ "$KIND" = cpu ] || LIBTORCH="$ROOT/torch"
    [ -e "$ROOT/complete" ]
}

# What is interrupted leaves nothing under a final name: the next call does it again, but fetches no finished wheel a second time.
need_libtorch() {
    ! has_libtorch || return 0
    mkdir -p "$CACHE"
    exec 9>"$CACHE/lock"
    ! have flock || flock 9                     # two at once: the second waits, and finds it done
    if ! has_libtorch; then
        rm -rf "$ROOT" "$ROOT.partial" "$CACHE/tmp"
        mkdir -p "$ROOT.partial" "$CACHE/tmp"
        "fetch_$KIND" "$ROOT.partial"
        touch "$ROOT.partial/complete"
        mv "$ROOT.partial" "$ROOT"
        rm -rf "$CACHE"/wheels* "$CACHE/tmp"
    fi
    exec 9>&-
}

# ONNX Runtime's library out of its wheel, to where the program looks for it: one with the CUDA provider where there is an NVIDIA driver.
need_onnxruntime() {
    local package=onnxruntime kind=cpu size=24 root
    [ ! -e /proc/driver/nvidia/version ] || { package=onnxruntime-gpu kind=cuda size=260; }
    root="$CACHE/onnxruntime-$ONNXRUNTIME-$kind"
    [ -z "${SWATH_ONNXRUNTIME:-}" ] || return 0
    [ ! -e "$root" ] || return 0
    mkdir -p "$CACHE"
    exec 9>"$CACHE/lock"
    ! have flock || flock 9
    [ -e "$root" ] || fetch_onnxruntime || true
    rm -rf "$root.partial"
    exec 9>&-
    [ -e "$root" ]
}

fetch_onnxruntime() {
    say "fetching the library of $package $ONNXRUNTIME (about $size MB, once)"
    rm -rf "$root.partial"
    mkdir -p "$root.partial/lib"
    python3 -m pip --disable-pip-version-check "${quiet[@]}" download --no-deps --dest "$root.partial" "$package==$ONNXRUNTIME" >&2 || return 1
    python3 - "$root.partial" <<'PYTHON' || return 1
import glob, os, sys, zipfile
[wheel] = glob.glob(sys.argv[1] + "/*.whl")
with zipfile.ZipFile(wheel) as archive:         # compares checksums on the way
    for name in archive.namelist():
        if name.startswith("onnxruntime/capi/libonnxruntime") and "tensorrt" not in name:
            with open(f"{sys.argv[1]}/lib/{os.path.basename(name)}", "wb") as file:
                file.write(archive.read(name))
PYTHON
    [ -n "$(ls "$root.partial/lib")" ] || return 1
    mv "$root.partial/lib" "$root"
}

# Its temporary files lie where those of an interrupted call are removed.
pip() {
    TMPDIR="$CACHE/tmp" python3 -m pip --disable-pip-version-check "${quiet[@]}" "$@" >&2 \
        || die "the download failed (it takes a connection and Python 3.10 or newer): try again, or set LIBTORCH"
}

fetch_cuda() {
    say "fetching torch $TORCH with its CUDA libraries (about 2.7 GB, once)"
    pip install --target "$1" "torch==$TORCH"
}

# The wheel's CPU libraries and headers. libtorch_cpu.so itself asks for two small CUDA runtime libraries; torch-sys links
# -ltorch, which in the wheel would pull in all of CUDA, so an empty libtorch.so that depends on libtorch_cpu.so stands in.
fetch_cpu() {
    local wheels="$CACHE/wheels-$TORCH"
    if [ ! -e "$wheels" ]; then
        say "fetching the CPU parts of torch $TORCH (about 550 MB, once)"
        # A wheel that an interrupted call left here counts only if it has the digest that the index states.
        pip download --no-deps --dest "$wheels.partial" \
            "torch==$TORCH" "nvidia-cuda-runtime>=13,<14" "nvidia-cuda-cupti>=13,<14"
        mv "$wheels.partial" "$wheels"
    fi
    python3 - "$wheels" "$1/wheel" <<'PYTHON' || { rm -rf "$wheels"; die "the download cannot be unpacked and is removed: try again"; }
import glob, re, sys, zipfile
wanted = re.compile(r"torch/include/.|.*/(libtorch_cpu\.so|libc10\.so|libgomp\.so\.1|libcudart\.so\.13|libcupti\.so\.13)$")
for wheel in glob.glob(sys.argv[1] + "/*.whl"):
    with zipfile.ZipFile(wheel) as archive:     # compares checksums on the way
        archive.extractall(sys.argv[2], filter(wanted.match, archive.namelist()))
PYTHON
    mkdir "$1/lib"
    find "$1/wheel" -name 'lib*.so*' -exec mv -t "$1/lib" {} +
    mv "$1/wheel/torch/include" "$1/include"
    rm -rf "$1/wheel"
    printf '%s\n' "$TORCH" > "$1/build-version"
    ln -s libgomp.so.1 "$1/lib/libgomp.so"
    c++ -shared -o "$1/lib/libtorch.so" -Wl,--no-as-needed -L"$1/lib" -ltorch_cpu -Wl,-rpath,'$ORIGIN'
}

# Without ONNX Runtime all but members that are ONNX models runs, which say so themselves; tests would skip them, so there it must be.
set_up() {
    need_tools
    need_libtorch
    need_onnxruntime || "${1:-say}" "ONNX Runtime $ONNXRUNTIME could not be fetched: try again, or let SWATH_ONNXRUNTIME name one"
}

build() {
    [ -e "$SWATH" ] || say "building (some minutes, once)"
    cargo build --release --locked "${quiet[@]}"
}

main_job() {
    "$SWATH" synth --seed 2020 -o data/scenes
    "$SWATH" run pipelines/demo.toml -i data/scenes/images -o submit
    say "and each of its networks alone, to compare"
    local file name
    for file in data/weights/demo/*.swz; do
        name="$(basename "$file" .swz)"
        "$SWATH" run "$file" -i data/scenes/images -o "data/runs/demo/$name" --set outputs.color=false --no-page --quiet >/dev/null
    done
    printf '\nmean IoU on these scenes, which no network was trained on\n'
    for file in data/weights/demo/*.swz; do
        name="$(basename "$file" .swz)"
        printf '  %-24s %s\n' "$name" "$(mean_iou "data/runs/demo/$name")"
    done
    printf '  %-24s %s\n\n' "all together" "$(mean_iou submit)"
    printf 'look at submit/report.html: scenes beside masks; by class: bash run.sh swath eval submit --truth data/scenes/masks\n'
}

# Over all scenes and classes.
mean_iou() {
    "$SWATH" eval "$1" --truth data/scenes/masks --no-boundary --json | awk -F '[:,]' '/"miou"/ && !found++ { printf "%.3f", $2 }'
}

# For tests by name only what can hold them is built. A test that skips says why in the file SWATH_SKIPPED.
run_tests() {
    [ "${1:-}" != -- ] || shift
    local code=0 only=()
    [ $# -eq 0 ] || only=(--lib --test it -- "$@")
    SWATH_SKIPPED="$(mktemp)"
    export SWATH_SKIPPED
    cargo test --release --locked "${only[@]}" || code=$?
    if [ -s "$SWATH_SKIPPED" ]; then
        say "skipped, by reason: $(sort -u "$SWATH_SKIPPED" | wc -l) tests or parts of tests"
        sort -u "$SWATH_SKIPPED" | cut -f 1 | uniq -c >&2
    else
        say "no test was skipped"
    fi
    rm -f "$SWATH_SKIPPED"
    return "$code"
}

# With GDAL inside, in a folder of its own, so that the program that everybody else runs stays as it is. PROJ is built as well, whatever the
# system has. What is inside the program wants its terms to travel along. Sets SWATH.
build_static() {
    local tool crates licenses="$CARGO_TARGET_DIR/static-gdal/release/licenses"
    for tool in cmake sqlite3; do
        have "$tool" || die "no $tool: GDAL is built with it (Debian: cmake, sqlite3, libsqlite3-dev)"
    done
    CARGO_TARGET_DIR="$CARGO_TARGET_DIR/static-gdal" PROJ_NO_PKG_CONFIG=1 \
        cargo build --release --locked "${quiet[@]}" --features static-gdal --bins
    mkdir -p "$licenses"
    crates="$(dirname "$(find "${CARGO_HOME:-$HOME/.cargo}/registry/src" -maxdepth 2 -name 'gdal-src-*' | sort -V | tail -n 1)")"
    cp "$crates"/gdal-src-*/source/LICENSE.TXT "$licenses/GDAL.txt"
    tar -xzOf "$(find "$crates" -path '*/proj-sys-*/PROJSRC/proj-*.tar.gz' | sort -V | tail -n 1)" --wildcards \
        --no-wildcards-match-slash 'proj-*/COPYING' >"$licenses/PROJ.txt"
    SWATH="$CARGO_TARGET_DIR/static-gdal/release/swath"
}

# SWATH names a folder with a built program to take instead of building one.
wheel() {
    local how=build folder=target-bundle
    [ "${1:-}" != --static ] || { how=build_static; shift; }
    [ -z "${1:-}" ] || folder="$(absolute "$1")"
    have_pip || die "no python3 with pip: the wheel is built with it (Debian: python3, python3-pip)"
    if [ "$SWATH_GIVEN" ]; then SWATH="$(absolute "$SWATH_GIVEN")/swath"; else set_up; "$how"; fi
    mkdir -p "$folder"
    SWATH="$(dirname "$SWATH")" python3 -m pip --disable-pip-version-check "${quiet[@]}" wheel --no-deps --wheel-dir "$folder" src/python >&2 \
        || die "the wheel could not be built: pip says above why (its builder, hatchling, takes a connection)"
    ls -t "$folder"/swath-*.whl | head -n 1
}

# A file of this name that somebody else wrote stays.
cargo_settings() {
    local file=.cargo/config.toml mark="# Written by \`bash run.sh env --cargo\`."
    if [ -e "$file" ] && [ "$(head -n 1 "$file")" != "$mark" ]; then
        die "$PWD/$file is there and not of this script: move it away, or set LIBTORCH in it yourself"
    fi
    mkdir -p .cargo
    printf '%s\n[env]\nLIBTORCH = %s\n\n[build]\ntarget-dir = %s\n' \
        "$mark" "$(quoted "$LIBTORCH")" "$(quoted "$CARGO_TARGET_DIR")" >"$file"
    say "wrote $PWD/$file"
}

# As a string of TOML.
quoted() { local text="${1//\\/\\\\}"; printf '"%s"' "${text//\"/\\\"}"; }

case "${1:-}" in
    "") set_up; build; main_job ;;
    test) set_up die; run_tests "${@:2}" ;;
    swath) set_up; build; cd "$CALLER"; exec "$SWATH" "${@:2}" ;;
    # SWATH names a folder with a built program here as well.
    reproduce)
        if [ "$SWATH_GIVEN" ]; then SWATH="$(absolute "$SWATH_GIVEN")/swath"; else set_up; build; fi
        cd "$CALLER"
        SWATH="$SWATH" exec bash "$OLDPWD/pipelines/reproduce.sh" "${@:2}" ;;
    wheel) wheel "${@:2}" ;;
    static) set_up; build_static; dirname "$SWATH" ;;
    env)
        set_up
        case "${2:-}" in
            "") printf 'export LIBTORCH=%q CARGO_TARGET_DIR=%q\n' "$LIBTORCH" "$CARGO_TARGET_DIR" ;;
            --cargo) cargo_settings ;;
            *) die "env takes --cargo, not '$2'" ;;
        esac ;;
    *) die "unknown command '$1': see the head of this file" ;;
esac
