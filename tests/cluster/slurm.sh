#!/usr/bin/env bash
# Runs one plan on a small Slurm cluster that breaks, and compares submit.zip with that of one process.
#
#   bash tests/cluster/slurm.sh SWATH [CASE...]      SWATH: the program; cases: quiet killed unplugged controller requeued resubmitted
#
# A controller and three hosts, each in network and PID namespaces of its own, which no other network is part of, on this machine's disk. Networks
# are fake (--backend fake), and where a case needs a shard in the middle of its work, that waits for it (SWATH_FAULTS=device:hold). Needs root,
# Linux, python3, and Slurm with MUNGE (Debian: slurmctld slurmd slurm-client munge); where they are not it says so, and exits with 0. Slurm
# runs a job again two minutes after its first attempt at the earliest: all cases take about 25 minutes, of which most is that.
#
# WORK=FOLDER keeps logs, scenes and run directories there. HOSTS=3 SHARDS=12 SCENES=300 GIANT=6000 are the sizes, NS=0 is how many nanoseconds
# a pass takes for each pixel, at the least, and HOLD=2 is the pass at which a shard waits. With NS, README.md there says what is measured.
set -euo pipefail

HOSTS="${HOSTS:-3}" SHARDS="${SHARDS:-12}" SCENES="${SCENES:-300}" GIANT="${GIANT:-6000}" NS="${NS:-0}" HOLD="${HOLD:-2}"
# What is waited for comes within so many seconds, or not at all.
LIMIT="${LIMIT:-1200}"
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
die() { printf 'slurm.sh: error: %s\n' "$*" >&2; exit 1; }
say() { printf '%s %s\n' "$(date +%T)" "$*"; }
skip() { printf 'slurm.sh: skipped: %s\n' "$*"; exit 0; }

# Everything runs in namespaces that end with this script, whatever becomes of it.
enter() {
    local tool
    [ "$(id -u)" -eq 0 ] || skip "namespaces with a network take root"
    for tool in slurmctld slurmd munged ip unshare python3; do
        command -v "$tool" >/dev/null || skip "no $tool (Debian: apt-get install slurmctld slurmd slurm-client munge iproute2)"
    done
    unshare --net --pid --fork true 2>/dev/null || skip "this system gives no namespaces"
    SWATH="$(realpath "${1:?slurm.sh: the first argument is the program}")"
    shift
    WORK="${WORK:-$(mktemp -d)}"
    mkdir -p "$WORK"
    export WORK="$(realpath "$WORK")" SWATH ENTERED=1
    exec unshare --net --mount --pid --uts --fork --mount-proc --kill-child bash "${BASH_SOURCE[0]}" "$@"
}

until_true() {
    local what="$1" begun=$SECONDS
    shift
    until "$@"; do
        [ $((SECONDS - begun)) -lt "$LIMIT" ] || die "waited in vain for: $what (logs: $WORK)"
        sleep 0.2
    done
}

# --- the cluster ---------------------------------------------------------------------------------------------------------------------

configure() {
    local host
    rm -rf "$WORK/state" "$WORK"/spool-* "$WORK"/host-* "$WORK"/held-*
    mkdir -p "$WORK/state" "$WORK/log"
    head -c 64 /dev/urandom >"$WORK/munge.key"
    chmod 600 "$WORK/munge.key"
    export SLURM_CONF="$WORK/slurm.conf"
    cat >"$SLURM_CONF" <<CONF
ClusterName=swath
SlurmctldHost=controller(10.77.0.1)
AuthType=auth/munge
AuthInfo=socket=$WORK/munge.socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$WORK/state
SlurmdSpoolDir=$WORK/spool-%n
SlurmctldPidFile=$WORK/slurmctld.pid
SlurmdPidFile=$WORK/slurmd-%n.pid
SlurmctldLogFile=$WORK/log/slurmctld.log
SlurmdLogFile=$WORK/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdTimeout=10
MessageTimeout=5
KillWait=30
BatchStartTimeout=10
ReturnToService=2
SchedulerParameters=batch_sched_delay=0,sched_interval=5,bf_interval=5
$(for host in $(seq "$HOSTS"); do echo "NodeName=n$host NodeAddr=10.77.0.1$host CPUs=1"; done)
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
    hostname controller
    ip link set lo up
    ip link add bridge0 type bridge
    ip address add 10.77.0.1/24 dev bridge0
    ip link set bridge0 up
    munged --force --key-file="$WORK/munge.key" --socket="$WORK/munge.socket" --pid-file="$WORK/munge.pid" \
        --log-file="$WORK/log/munge.log" --seed-file="$WORK/munge.seed" 2>/dev/null
}

start_controller() {
    slurmctld -D >/dev/null 2>&1 &
    CONTROLLER=$!
    until_true "the controller" scontrol ping >/dev/null 2>&1
}

declare -A HOST
# In namespaces of its own: whoever kills its first process kills all of it.
start_host() {
    local host="n$1" inside
    unshare --net --uts --pid --mount --fork --mount-proc --kill-child bash -c "
        hostname $host
        until ip address add 10.77.0.1$1/24 dev eth0 2>/dev/null; do sleep 0.05; done
        ip link set lo up; ip link set eth0 up
        exec slurmd -D -N $host" >/dev/null 2>&1 &
    HOST[$1]=$!
    has_child() { inside="$(pgrep -P "${HOST[$1]}")"; }
    until_true "$host's first process" has_child "$1"
    in_own_network() { [ "$(readlink "/proc/$inside/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }
    until_true "$host's network" in_own_network
    ip link add "link$1" type veth peer name eth0 netns "$inside"
    ip link set "link$1" master bridge0 up
}

kill_host() { kill -KILL "${HOST[$1]}"; wait "${HOST[$1]}" 2>/dev/null || true; }
is_idle() { [ "$(sinfo --noheader --nodes="n$1" --format=%T)" = idle ]; }
all_idle() { local host; for host in $(seq "$HOSTS"); do is_idle "$host" || return 1; done; }
no_jobs() { [ -z "$(squeue --noheader 2>&1)" ]; }

# --- what runs on it -----------------------------------------------------------------------------------------------------------------

# The hosts' shards of this attempt or a later one wait at a forward pass, until release: late ones at their second.
hold() {
    local host attempt="$1" pass=2
    [ "$attempt" -gt 0 ] || pass="$HOLD"
    shift
    for host in "$@"; do
        printf '[ "${SLURM_RESTART_COUNT:-0}" -lt %d ] || export SWATH_FAULTS=device:hold@%d SWATH_FAULTS_LOG=%q\n' "$attempt" "$pass" \
            "$WORK/held-n$host" >"$WORK/host-n$host"
    done
}
is_held() { [ -s "$WORK/held-n$1" ]; }
release() { local host; for host in "$@"; do rm -f "$WORK/host-n$host" "$WORK/held-n$host"; done; }

# Makes the job files and gives them to Slurm, as a person would.
launch() {
    local out="$1" shards="$2"
    shift 2
    "$SWATH" launch slurm "$WORK/plan.jsonl" --shards "$shards" --slots "$HOSTS" -o "$out" --scratch "$WORK/scratch" --input-root "$WORK/scenes" \
        --program "$SWATH" --gpus 0 --cpus 1 --memory 1MiB --set-up "[ ! -f $WORK/host-\$(hostname) ] || . $WORK/host-\$(hostname)" \
        --set-up "export SWATH_FAKE_NS_PER_PIXEL=$NS SWATH_FAKE_LOG=$out.passes" \
        --merge-arg=--pack-fake --submit "$@" -- --devices cpu >>"$WORK/log/launch.log" 2>&1 || die "launch: $(tail "$WORK/log/launch.log")"
}

attempts() { find "$1/logs" -name "*_*.$2.log" | wc -l; }
log_says() { grep -qs "$2" "$1"/logs/*_*."$3".log; }
has_attempt() { [ "$(attempts "$1" "$2")" -gt 0 ]; }

same() {
    local out="$1" merge
    merge="$(ls -t "$out"/logs/merge_*.log 2>/dev/null | head -n 1)" || true
    [ "$merge" ] || die "no merge has begun"
    [ -f "$out/submit.zip" ] || die "$out has no submit.zip; the merge said: $(tail "$merge")"
    cmp "$WORK/one/submit.zip" "$out/submit.zip" || die "$out/submit.zip is not that of one process"
}

finish() {
    until_true "the end of all jobs" no_jobs
    same "$1"
}

# --- cases ---------------------------------------------------------------------------------------------------------------------------

quiet() { launch "$1" "$SHARDS"; finish "$1"; }

killed() {
    hold 0 2
    launch "$1" "$SHARDS"
    until_true "a shard under way on n2" is_held 2
    kill_host 2
    release 2
    finish "$1"
    has_attempt "$1" 1 || die "no shard was run again"
    start_host 2
}

# Slurm gives it up and runs its shard elsewhere, while it goes on and writes.
unplugged() {
    hold 0 2
    launch "$1" "$SHARDS"
    until_true "a shard under way on n2" is_held 2
    hold 1 1 3
    ip link set link2 down
    until_true "a second attempt" has_attempt "$1" 1
    second_held() { is_held 1 || is_held 3; }
    until_true "a second attempt under way" second_held
    release 2
    until_true "the end of the first attempt" log_says "$1" 'exit code 0' 0
    release 1 3
    ip link set link2 up
    finish "$1"
}

controller() {
    hold 0 2
    launch "$1" "$SHARDS"
    touch "$WORK/launched"
    until_true "a shard under way on n2" is_held 2
    # What it was told last it writes some seconds later; what it has not written no controller knows again.
    is_saved() { [ "$WORK/state/job_state" -nt "$WORK/launched" ]; }
    until_true "the controller's state on disk" is_saved
    kill -KILL "$CONTROLLER"
    wait "$CONTROLLER" 2>/dev/null || true
    release 2
    until_true "the end of a shard without a controller" log_says "$1" 'exit code 0' 0
    start_controller
    finish "$1"
}

requeued() {
    local hosts
    hosts="$(seq "$HOSTS")"
    hold 0 $hosts
    launch "$1" "$SHARDS"
    all_held() { local host; for host in $hosts; do is_held "$host" || return 1; done; }
    until_true "all hosts under way" all_held
    squeue --noheader --states=RUNNING --format=%A | xargs -n 1 scontrol requeue
    release $hosts
    finish "$1"
    [ "$(attempts "$1" 1)" -ge "$HOSTS" ] || die "fewer shards than hosts were run again"
}

# A person cancels what has not begun, reads what the merge says, and cuts what is left otherwise.
resubmitted() {
    local merge
    hold 0 2
    launch "$1" "$SHARDS"
    until_true "a shard under way on n2" is_held 2
    squeue --noheader --array --states=PENDING --name=swath --format=%i | xargs --no-run-if-empty scancel
    release 2
    until_true "the end of all jobs" no_jobs
    merge="$(ls -t "$1"/logs/merge_*.log | head -n 1)"
    [ ! -f "$1/submit.zip" ] || die "submit.zip is there, with shards missing"
    grep -q 'are to run again' "$merge" || die "the merge does not say what is missing: $(cat "$merge")"
    launch "$1" $((SHARDS + 5))
    finish "$1"
}

# --- all of it -----------------------------------------------------------------------------------------------------------------------

prepare() {
    mkdir -p "$WORK/scratch"
    [ -d "$WORK/scenes" ] || python3 "$HERE/scenes.py" "$WORK/scenes" "$SCENES" "$GIANT"
    cp "$HERE/pipeline.toml" "$WORK/p.toml"
    rm -rf "$WORK/one"
    "$SWATH" plan "$WORK/p.toml" -i "$WORK/scenes" --input-root "$WORK/scenes" --hash-inputs --backend fake --devices cpu --save "$WORK/plan.jsonl" \
        --overwrite >"$WORK/log/plan.log" 2>&1 || die "plan: $(tail "$WORK/log/plan.log")"
    "$SWATH" run --plan "$WORK/plan.jsonl" --input-root "$WORK/scenes" -o "$WORK/one" --devices cpu --pack-fake >"$WORK/log/one.log" 2>&1 \
        || die "run: $(tail "$WORK/log/one.log")"
}

main() {
    local case host begun
    say "everything lies in $WORK"
    configure
    prepare
    start_controller
    for host in $(seq "$HOSTS"); do start_host "$host"; done
    for case in "${@:-quiet killed unplugged controller requeued resubmitted}"; do
        for case in $case; do
            until_true "all hosts" all_idle
            rm -rf "$WORK/$case" "$WORK/$case.passes"
            begun="$(date +%s)"
            "$case" "$WORK/$case"
            say "$case: the same submit.zip, after $(($(date +%s) - begun)) s, $(attempts "$WORK/$case" 0) first and $(attempts "$WORK/$case" 1) second attempts"
            python3 "$HERE/measure.py" "$WORK/plan.jsonl" "$WORK/$case" "$begun" "$HOSTS" "$SHARDS" "$NS" "$SWATH"
        done
    done
}

[ "${ENTERED:-}" = 1 ] || enter "$@"
main "$@"
