#!/usr/bin/env bash
# The 2020 entry's way from labelled images to what is handed in: share the images out, train its four networks by its recipe, compress them to
# its limit, segment, pack. `bash run.sh reproduce` sets up, builds and passes its arguments on.
#
#   bash run.sh reproduce --data DIR [--out OUT] [--scenes DIR]     DIR: labelled images in any layout that `swath data` takes
#   bash run.sh reproduce --data DIR --plan                         what there is to do, and how long its trainings take here: it measures
#   bash run.sh reproduce --quick [--out OUT]                       all of it in minutes: small networks, few steps, drawn scenes
#
#   --scenes DIR   what is segmented in the end; without it the images that the networks were chosen by
#   --out OUT      where all of it lies (data/runs/reproduce, data/runs/quick)
#   --limit SIZE   of all weights together (500MB, with --quick 12MB)
#   --steps N      of an epoch; without it as many as fill the images once
#   --epochs N     at most (1000, with --quick 1)
#
# Stopped anywhere, the same command goes on: what is there already is kept, and a training goes on where it was.
set -euo pipefail

say() { printf 'reproduce: %s\n' "$*" >&2; }
die() { printf 'reproduce: error: %s\n' "$@" >&2; exit 2; }

HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
SWATH="${SWATH:?is set by run.sh}"
data="" out="" scenes="" limit="" epochs="" steps="" is_quick="" is_plan=""
while [ $# -gt 0 ]; do
    case "$1" in
        --quick) is_quick=yes; shift ;;
        --plan) is_plan=yes; shift ;;
        --data | --out | --scenes | --limit | --epochs | --steps)
            [ $# -ge 2 ] || die "$1 takes a value"
            printf -v "${1#--}" %s "$2"; shift 2 ;;
        *) die "unknown argument '$1': see the head of pipelines/reproduce.sh" ;;
    esac
done
[ "$data" ] || [ "$is_quick" ] || die "name the labelled images: --data DIR (or try it on drawn ones: --quick)"

# Members with the sizes of their batches, of run.sh in the entry's repository.
if [ "$is_quick" ]; then
    pipeline="$HERE/demo-train.toml" out="${out:-data/runs/quick}" limit="${limit:-12MB}" epochs="${epochs:-1}" steps="${steps:-50}"
    members=(deeplab-resnet18=4 danet-resnet18=4 deeplab-resnest14=4 hrnet-ocr-w18-small=4) share=0.34
    settings=(train.crop=128 train.validate_every=1 train.average=none)
else
    pipeline="$HERE/naic2020-train.toml" out="${out:-data/runs/reproduce}" limit="${limit:-500MB}"
    members=(deeplab-resnet101=128 danet-resnet101=96 deeplab-resnest101=64 hrnet-ocr-w48=96) share=0.01
    settings=()
fi
[ -z "$epochs" ] || settings+=("train.epochs=$epochs")
[ -z "$steps" ] || settings+=("train.steps_per_epoch=$steps")

# Of a member, into a folder, with further settings.
train() {
    local member="${1%=*}" arguments=() setting
    for setting in "train.batch=${1#*=}" ${settings[@]+"${settings[@]}"} "${@:3}"; do arguments+=(--set "$setting"); done
    "$SWATH" train "$pipeline" --member "$member" -i "$out/pairs.tsv" -o "$2" "${arguments[@]}" || [ $? -eq 3 ]
}

share_out() {
    [ ! -e "$out/pairs.tsv" ] || return 0
    mkdir -p "$out"
    if [ "$is_quick" ] && [ ! "$data" ]; then
        data="$out/drawn"
        "$SWATH" synth --seed 101 -o "$data" >&2
    fi
    "$SWATH" data split "$pipeline" -i "$data" -o "$out/pairs.tsv" --val "$share" --test 0 || [ $? -eq 3 ]
}

# Ten steps of each training at most, in a folder that is removed, and what they make of the whole.
plan() {
    local member total=0 seconds few=$((${steps:-10} < 10 ? ${steps:-10} : 10))
    say "1. share the images out: $out/pairs.tsv"
    say "2. train ${members[*]%=*}, one after the other: measuring"
    scratch="$(mktemp -d)"
    trap 'rm -rf "$scratch"' EXIT
    for member in "${members[@]}"; do
        train "$member" "$scratch/${member%=*}" train.epochs=1 "train.steps_per_epoch=$few" train.validate_every=1 >/dev/null
        seconds="$(measured "$scratch/${member%=*}" "${member#*=}")"
        printf '%-22s %s seconds a step of %s crops%s\n' "${member%=*}" "$seconds" "${member#*=}" \
            "${epochs:+${steps:+, $(awk "BEGIN { printf \"%.1f\", $seconds * $epochs * $steps / 60 }") minutes in all}}"
        total="$(awk "BEGIN { print $total + $seconds * 99000 / ${member#*=} / 3600 }")"
    done
    [ "$is_quick" ] || printf 'an epoch of the contest'"'"'s 99 000 images, all four: %.1f hours\n' "$total"
    say "3. compress to $limit  4. segment  5. pack: minutes beside that"
}

measured() { awk -F '[:,]' -v batch="$2" '/"samples_per_second"/ && !found++ { printf "%.2f", batch / $2 }' "$1/report.json"; }

train_all() {
    local member name
    mkdir -p "$out/weights"
    for member in "${members[@]}"; do
        name="${member%=*}"
        say "training $name"
        train "$member" "$out/trained/$name"
        ln -sf "../trained/$name/best.safetensors" "$out/weights/$name.safetensors"
    done
}

compress_all() {
    local member is_done=yes
    for member in "${members[@]}"; do
        [ "$out/compressed/${member%=*}.swz" -nt "$out/trained/${member%=*}/best.safetensors" ] || is_done=""
    done
    [ "$is_done" ] || "$SWATH" weights compress "$out"/weights/*.safetensors -o "$out/compressed" --budget "$limit" --overwrite
    {
        echo "# Written by reproduce.sh: the networks say themselves what they take."
        for member in "${members[@]}"; do printf '\n[[members]]\nname = "%s"\nweights = "compressed/%s.swz"\n' "${member%=*}" "${member%=*}"; done
        printf '\n[post]\nfill_holes = 50\n\n[outputs]\ncolor = true\n'
    } >"$out/ensemble.toml"
}

segment() {
    if [ ! "$scenes" ]; then
        scenes="$out/scenes.txt"
        awk -F '\t' '$3 == "val" { print $1 }' "$out/pairs.tsv" >"$scenes"
    fi
    "$SWATH" run "$out/ensemble.toml" -i "$scenes" -o "$out/submit"
    if [ "$scenes" = "$out/scenes.txt" ]; then
        "$SWATH" eval "$out/submit" --truth "$out/pairs.tsv" --part val --no-boundary
    fi
}

share_out
if [ "$is_plan" ]; then plan; exit; fi
train_all
compress_all
segment
du -shL "$out/compressed" "$out/submit/submit.zip"
