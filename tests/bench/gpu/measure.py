"""What gpu.sh does: steps with a time limit each, all of them within a budget, and a table. Needs nothing but Python."""

import argparse
import concurrent.futures
import contextlib
import hashlib
import importlib.util
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time

import scenes

HERE = pathlib.Path(__file__).resolve().parent
SWATH = HERE / "swath"
EXPECTED = HERE / "expected"
SEMIFINAL = HERE / "pipelines/naic2020-semifinal.toml"
# Shares of the budget at whose end a group of steps makes room for the next.
ENDS = {"correct": 0.5, "speed": 0.8, "peers": 0.95}
# Pixels that must agree with the CPU's masks in f32, in percent, by precision.
ENOUGH = {"f32": 99.9, "tf32": 99.9, "f16": 99.8, "bf16": 98.5}
DISK, GPU_MEMORY = 3 << 30, 6 << 30


def arguments():
    parser = argparse.ArgumentParser(prog="gpu.sh")
    parser.add_argument("--devices", default="cuda:0", help="cuda:0 or another GPU, or cpu")
    parser.add_argument("--small", action="store_true", help="small networks and scenes alone")
    parser.add_argument("--only", default="", metavar="NAME", help="checks whose name contains it")
    parser.add_argument("--budget", type=float, default=410, metavar="SECONDS")
    parser.add_argument("--expect", action="store_true", help="draw the CPU's masks that the checks compare with")
    return parser.parse_args()


class Machine:
    """Runs programs, and keeps what they said and how long they took."""

    def __init__(self, asked):
        self.device, self.small, self.only, self.budget = asked.devices, asked.small, asked.only, asked.budget
        self.on_gpu = not self.device.startswith("cpu")
        self.began = time.monotonic()
        self.out = pathlib.Path(os.environ.get("OUT") or HERE / "results").resolve()
        self.work = self.out / "work"
        self.logs = self.out / "logs"
        for folder in (self.work, self.logs):       # of an earlier time
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        # What the program keeps for its user stays here as well.
        self.environment = os.environ | {"XDG_CACHE_HOME": str(self.work / "cache")}
        self.rows, self.failed, self.lock = [], 0, threading.Lock()

    def left(self, group):
        """Seconds until this group must be through."""
        return self.began + self.budget * ENDS[group] - time.monotonic()

    def row(self, name, verdict, text):
        """A line of the table; verdicts are ok, FAIL, and `-` for what is not judged."""
        with self.lock:
            self.rows.append((name, verdict, text))
            self.failed += verdict == "FAIL"
            self.save()
            print(f"{time.monotonic() - self.began:6.1f} s  {name}: {verdict} {text}", file=sys.stderr, flush=True)

    def show(self, lines):
        """Figures of a step, below its line."""
        self.rows += [("", "", line) for line in lines]

    def save(self):
        """What is known so far is there, whatever becomes of the rest."""
        about, seconds = json.loads((HERE / "bundle.json").read_text()), time.monotonic() - self.began
        lines = [f"swath {about['commit']} on {self.device}, {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC, {seconds:.0f} s"]
        lines += [f"{name:26} {verdict:4} {text}".rstrip() if name else f"    {text}" for name, verdict, text in self.rows]
        text = "\n".join([*lines, f"{self.passed()} ok, {self.failed} failed", ""])
        (self.out / "table.txt").write_text(text)
        return text

    def passed(self):
        return sum(verdict == "ok" for _, verdict, _ in self.rows)

    def run(self, name, command, limit, environment=()):
        """Runs a program in its own process group, which is ended as a whole when the time is over."""
        began = time.monotonic()
        log = self.logs / (name.replace("/", "-") + ".log")
        with log.open("a") as file:
            file.write(f"$ {' '.join(map(str, command))}\n")
            file.flush()
            process = subprocess.Popen(
                list(map(str, command)), cwd=self.work, env=self.environment | dict(environment), stdin=subprocess.DEVNULL,
                stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
            )
            try:
                code = process.wait(max(1, limit))
            except subprocess.TimeoutExpired:
                code = None
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            seconds = time.monotonic() - began
            file.write(f"[{'killed' if code is None else f'exit code {code}'} after {seconds:.1f} s]\n")
        return Ran(code, seconds, log)


class Ran:
    """What became of a program."""

    def __init__(self, code, seconds, log):
        self.code, self.seconds, self.log = code, seconds, log

    def said(self):
        return self.log.read_text(errors="replace")

    def why(self):
        """For the table: the error that a program told, or the last thing it said, and how it ended."""
        ended = "out of time" if self.code is None else f"exit code {self.code}"
        lines = [line for line in self.said().splitlines() if not line.startswith(("$ ", "["))]
        errors = [line for line in lines if re.match(r"(.*: )?error:|.*Error", line)] or lines
        return f"{ended}: {errors[-1][:100]}" if errors else ended


# --- what must be there ---


def preconditions(machine):
    """The first thing that is missing, or None."""
    free = shutil.disk_usage(machine.work).free
    if free < DISK and not machine.small:
        return f"{free >> 20} MiB of disk are free in {machine.work}: {DISK >> 30} GiB are needed, let OUT name another folder"
    if machine.on_gpu and not machine.small:
        for module in ("torch", "numpy"):
            if importlib.util.find_spec(module) is None:
                return f"python3 has no {module}, which the measurements of PyTorch need"
    doctor = machine.run("doctor", [SWATH, "doctor"], 60)
    facts = doctor.said()
    if not re.search(r"^libtorch +\d", facts, re.M):
        return f"swath does not start: {doctor.why()} ({doctor.log})"
    for name in ("swath", "libtorch", "GDAL", "GPUs", *re.findall(r"^cuda:\d+", facts, re.M), "cores", "memory"):
        fact = re.search(rf"^{name} +(.*)", facts, re.M)
        if fact:
            machine.row(f"machine/{name}", "-", fact[1])
    if not machine.on_gpu:
        return None
    if not re.search(rf"^{machine.device} ", facts, re.M):
        why = re.search(r"^GPUs +(.*)", facts, re.M)
        return f"no {machine.device}: {why[1] if why else facts}"
    smi = machine.run("nvidia-smi", ["nvidia-smi", "--query-gpu=memory.free,driver_version", "--format=csv,noheader,nounits"], 20) \
        if shutil.which("nvidia-smi") else None
    answer = re.search(r"^(\d+), ([\d.]+)", smi.said(), re.M) if smi else None
    if answer:
        machine.row("machine/driver", "-", f"{answer[2]}, {answer[1]} MiB of GPU memory free")
        if int(answer[1]) << 20 < GPU_MEMORY:
            return f"{answer[1]} MiB of GPU memory are free: {GPU_MEMORY >> 20} are needed"
    return None


# --- whether it is right ---


class Run:
    """One run directory: consecutive commands into it, and what they left."""

    def __init__(self, name, pipeline, source, *settings, commands=None, precision=None, workers=1, more=(), faults=None):
        self.name, self.pipeline, self.source, self.precision = name, pipeline, source, precision
        self.commands = commands or [settings]
        self.workers, self.more, self.faults = workers, list(more), faults
        self.ran, self.masks, self.first, self.report, self.struck = None, {}, {}, {}, ""

    def carry_out(self, machine, limit):
        out, log = machine.work / self.name, machine.work / f"{self.name}.faults"
        out.parent.mkdir(parents=True, exist_ok=True)
        environment = {"SWATH_FAULTS": self.faults, "SWATH_FAULTS_LOG": str(log)} if self.faults else {}
        for number, settings in enumerate(self.commands):
            if self.precision:
                settings = [*settings, *(f"members.{i}.precision={self.precision}" for i in range(members(self.pipeline)))]
            command = [SWATH, "run", self.pipeline, "-i", machine.work / self.source, "-o", out, "--memory", "2GiB", "-q", "--decode", "in-process"]
            # Only what is to be lost needs somebody who starts it again.
            command += [] if self.faults else ["--no-supervise"]
            command += ["--devices", ",".join([machine.device] * self.workers), *self.more]
            command += [word for setting in settings for word in ("--set", setting)]
            self.ran = machine.run(f"run-{self.name}", command, limit, environment)
            if self.ran.code != 0:
                return
            self.first = self.first or digests(out / "masks")
        self.masks, self.report = digests(out / "masks"), json.loads((out / "report.json").read_text())
        self.struck = log.read_text() if log.exists() else ""


def members(pipeline):
    return pathlib.Path(pipeline).read_text().count("[[members]]")


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.png"))}


def draw_scenes(machine):
    painter, work = scenes.Painter(), machine.work
    # Every type of pixel; holes; sizes that are no multiple of anything, one row of tiles, many, whole scenes in groups, a single pixel.
    painter.scene(work / "mixed/u8.tif", 100, 70)
    painter.scene(work / "mixed/u16.tif", 67, 49, "u16", first=9)
    painter.scene(work / "mixed/i16.tif", 61, 33, "i16", first=70)
    painter.scene(work / "mixed/f32.tif", 90, 75, "f32", nodata=-9999, first=30)
    painter.scene(work / "mixed/hole.tif", 50, 60, nodata=0, first=130)
    painter.scene(work / "mixed/line.tif", 3, 80)
    painter.scene(work / "mixed/dot.tif", 1, 1)
    for number in range(4):
        painter.scene(work / f"mixed/group{number}.tif", 48, 40, first=40 * number)
    if machine.small:
        return
    painter.scene(work / "crops/a.tif", 300, 260)
    painter.scene(work / "crops/b.tif", 384, 200, first=100)
    painter.scene(work / "large/u8.tif", 500, 300)
    painter.scene(work / "large/u16.tif", 200, 130, "u16", first=9)
    painter.scene(work / "large/i16.tif", 131, 97, "i16", first=70)
    painter.scene(work / "large/f32.tif", 250, 260, "f32", nodata=-9999, first=30)
    for number in range(4):
        painter.scene(work / f"large/group{number}.tif", 64, 64, first=60 * number)


REWEIGHED = "members.0.weight=3"
ZERO, PROBABILITIES = "tiler.border=zero", "inference.combine=probabilities"
TURNED = 'inference.views=["identity", "rot90"]'
ALL_VIEWS = 'inference.views=["identity", "hflip", "vflip", "rot90", "rot180", "rot270"]'
# The whole ensemble on small tiles, every type of pixel and nodata.
WHOLE = ("input.divide={ u8 = 255, u16 = 65535, i16 = 65535, f32 = 1 }", "nodata.value=0", "tiler.whole_max=128", "tiler.centres=[256]",
         "tiler.dilation=32", "inference.batch=4")


def singles(machine):
    """A pipeline file for each member of the ensemble alone."""
    text = SEMIFINAL.read_text()
    head, *tables = text.split("[[members]]")
    last, tail = tables[-1].split("[post]")
    for table in [*tables[:-1], last]:
        name = re.search(r'name = "(.*?)"', table)[1]
        path = machine.work / f"{name}.toml"
        path.write_text(f"{head}[[members]]{table}[post]{tail}")
        yield name, path


def expectations(machine):
    """The runs on a CPU in f32 whose masks travel, by the name that checks ask for them by."""
    branches = HERE / "branches.toml"
    yield Run("branches", branches, "mixed")
    yield Run("zero", branches, "mixed", ZERO)
    yield Run("probabilities", branches, "mixed", PROBABILITIES)
    yield Run("turned", branches, "mixed", TURNED)
    if not machine.small:
        yield Run("views", branches, "mixed", ALL_VIEWS)
        for name, path in singles(machine):
            yield Run(name, path, "crops")
        yield Run("ensemble", SEMIFINAL, "large", *WHOLE)


def checks(machine):
    """The runs, and for each row of the table what to make of them."""
    branches, runs, rows = HERE / "branches.toml", {}, []
    # Every second of them is enough where only the arithmetic around the networks differs.
    precisions = ["f32", "tf32", "f16", "bf16"] if machine.on_gpu else ["f32"]

    def add(run):
        return runs.setdefault(run.name, run)

    def agree(row, expected, pipeline, source, *settings, among=precisions):
        all_of = {p: add(Run(f"{row}-{p}", pipeline, source, *settings, precision=p)) for p in among}
        rows.append((f"agree/{row}", lambda: agreement(machine, expected, all_of), list(all_of.values())))

    def same(row, one, other, also=lambda one, other: None, masks=lambda run: run.masks):
        def judge():
            differing = sorted(name for name in masks(one) | other.masks if masks(one).get(name) != other.masks.get(name))
            wrong = f"{len(differing)} masks differ: {' '.join(differing)[:40]}" if differing else also(one, other)
            return ("FAIL", wrong) if wrong else ("ok", f"same bytes as {other.name}")
        rows.append((f"same/{row}", judge, [one, other]))

    agree("branches", "branches", branches, "mixed")
    agree("border zero", "zero", branches, "mixed", ZERO, among=precisions[::2])
    agree("probabilities", "probabilities", branches, "mixed", PROBABILITIES, among=precisions[::2])
    agree("turned", "turned", branches, "mixed", TURNED, among=precisions[::2])
    if not machine.small:
        agree("all views", "views", branches, "mixed", ALL_VIEWS, among=precisions[::2])
    base = add(Run("base", branches, "mixed")) if machine.on_gpu else runs["branches-f32"]
    # How the tiles are shared out changes no byte.
    for workers in (2, 3):
        same(f"{workers} workers", add(Run(f"workers-{workers}", branches, "mixed", workers=workers)), base)
    same("partition", add(Run("partition", branches, "mixed", workers=2, more=["--assign", "partition"])), base)
    # Logits that were kept give what fresh ones give, also in another mean, and nothing runs again.
    keep = 'checkpoints=["labels", "member-logits"]'
    kept = add(Run("kept", branches, "mixed", commands=[[keep], [keep, REWEIGHED]]))
    same("member-logits", kept, base, masks=lambda run: run.first)
    again = lambda one, _: f"{one.report['totals']['forwards']} forward passes ran again" if one.report["totals"]["forwards"] else None
    same("averaged anew", kept, add(Run("reweighed", branches, "mixed", REWEIGHED)), again)
    # Faults of the device.
    struck = lambda one, _: None if one.struck else "the fault did not strike"
    same("lost device", add(Run("lost", branches, "mixed", faults="device:lost@3!")), base, struck)
    same("out of memory once", add(Run("oom-once", branches, "mixed", faults="device:oom@2")), base, struck)
    wide = runs["branches-f32"]
    same("not a number, f32", add(Run("nan-f32", branches, "mixed", precision="f32", faults="device:nan@2")), wide, struck)
    narrow = precisions[-2] if machine.on_gpu else "f32"
    for fault, when, part in (("oom", "~n2", "reduced"), ("nan", "@2", "reruns")):
        run = add(Run(f"{fault}-{narrow}", branches, "mixed", precision=narrow, faults=f"device:{fault}{when}"))
        missing = lambda run=run, part=part: None if run.struck and run.report[part] else f"the report does not tell ({part})"
        judge = lambda run=run, missing=missing: agreement(machine, "branches", {narrow: run}, missing())
        rows.append((f"agree/planted {fault}", judge, [run]))
    if not machine.small:
        for name, path in singles(machine):
            agree(name, name, path, "crops")
        agree("ensemble", "ensemble", SEMIFINAL, "large", *WHOLE)
        pair = Run("ensemble-2", SEMIFINAL, "large", *WHOLE, workers=2, precision=narrow)
        same("ensemble, 2 workers", add(pair), runs[f"ensemble-{narrow}"])
    return runs, rows


def agreement(machine, expected, runs, wrong=None):
    """Percent of the pixels that have the class that the CPU's masks have, for each precision."""
    verdict, texts = "FAIL" if wrong else "ok", [wrong] if wrong else []
    for precision, run in runs.items():
        if not run.masks:
            refused = precision == "tf32" and run.ran.code == 2
            texts.append(f"{precision} {'-' if refused else run.ran.why()}")
            verdict = verdict if refused else "FAIL"
            continue
        scored = machine.run(f"eval-{run.name}", [SWATH, "eval", machine.work / run.name / "masks", "--truth", EXPECTED / expected, "--json"], 30)
        found = re.search(r'"agreement": ([\d.]+)', scored.said())
        percent = 100 * float(found[1]) if found and scored.code == 0 else 0
        texts.append(f"{precision} {percent:.3f} %")
        verdict = verdict if percent >= ENOUGH[precision] else "FAIL"
        if run.report.get("reruns"):
            texts.append(f"({sum(run.report['reruns'].values())} tiles again in f32)")
    return verdict, ", ".join(texts)


def correctness(machine):
    runs, rows = checks(machine)
    rows = [row for row in rows if machine.only in row[0]]
    wanted = {run.name: run for _, _, needed in rows for run in needed}
    # A GPU is shared by several runs, whose beginnings take longest.
    n_jobs = 4 if machine.on_gpu else 1
    with concurrent.futures.ThreadPoolExecutor(n_jobs) as pool:
        def carry_out(run):
            if machine.left("correct") > 3:
                run.carry_out(machine, min(90, machine.left("correct")))
        started = {name: pool.submit(carry_out, run) for name, run in wanted.items()}
        for name, judge, needed in rows:
            problem = None
            for run in needed:
                problem = problem or started[run.name].exception()
            if problem is None and any(run.ran is None for run in needed):
                machine.row(name, "-", "skipped: no time left for it")
                continue
            lacking = [run for run in needed if not run.masks]
            if problem or (lacking and name.startswith("same/")):
                machine.row(name, "FAIL", repr(problem) if problem else f"{lacking[0].name}: {lacking[0].ran.why()}")
                continue
            try:
                machine.row(name, *judge())
            except (OSError, ValueError, KeyError) as problem:
                machine.row(name, "FAIL", repr(problem))


# --- how fast ---


class Watch:
    """Asks the driver ten times a second what the GPU does."""

    def __init__(self, machine):
        self.samples, self.process = [], None
        if machine.on_gpu and shutil.which("nvidia-smi"):
            number = machine.device.partition(":")[2]
            command = ["nvidia-smi", "-i", number, "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits", "-lms", "100"]
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            with contextlib.suppress(ValueError):
                busy, used = map(int, line.split(","))
                self.samples.append((time.monotonic(), busy, used))

    def since(self, began):
        """For the table: the mean load while there was some, and the most memory."""
        samples = [sample for sample in self.samples if sample[0] >= began]
        at_work = [busy for _, busy, _ in samples if busy > 0]
        if not at_work:
            return ""
        return f", GPU busy {sum(at_work) / len(at_work):.0f} %, {max(used for _, _, used in samples)} MiB"

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait()


def speed(machine):
    side = 192 if machine.small else 6144
    scenes.Painter().large(machine.work / "scene/large.tif", side)
    watch = Watch(machine)
    # One worker first, for whatever comes to its end; the others show what is gained by more.
    one_way(machine, watch, 1)
    tune(machine)
    one_way(machine, watch, 1, tuned=True)
    bench(machine)
    if machine.on_gpu:
        one_way(machine, watch, 2, tuned=True)
        one_way(machine, watch, 3, tuned=True)
    watch.stop()


def pipeline_of(machine):
    """What is timed: the networks alone, as others have them."""
    return (HERE / "branches.toml", ()) if machine.small else (SEMIFINAL, ("post.fill_holes=0",))


def tune(machine):
    """Which kernels and batches are fastest here, beside those without measurements."""
    name = "speed/tune"
    if machine.only not in name:
        return
    if machine.left("speed") < 20:
        return machine.row(name, "-", "skipped: no time left for it")
    pipeline, common = pipeline_of(machine)
    asked = ["--crops", "64x64", "--batch", "1", "--repeats", "1"] if machine.small else ["--crops", "1280x1280", "--batch", "1,2,4", "--repeats", "6"]
    settings = [word for setting in common for word in ("--set", setting)]
    # Member by member what was measured is kept, also where the time is up before the last.
    ran = machine.run(name, [SWATH, "tune", pipeline, "--device", machine.device, *asked, *settings], min(90, machine.left("speed") - 15))
    machine.row(name, "ok" if ran.code == 0 else "FAIL", f"{ran.seconds:.0f} s" if ran.code == 0 else ran.why())
    said = ran.said().splitlines()
    machine.show(said[said.index("plans take:") + 1:-2] if "plans take:" in said else said[-12:])


def one_way(machine, watch, workers, tuned=False):
    name = f"speed/run, {workers} worker{'s' * (workers > 1)}{', tuned' * tuned}"
    if machine.only not in name:
        return
    if machine.left("speed") < 5:
        return machine.row(name, "-", "skipped: no time left for it")
    pipeline, common = pipeline_of(machine)
    run = Run(f"speed-{workers}{'-tuned' * tuned}", pipeline, "scene", *common, workers=workers)
    began = time.monotonic()
    run.carry_out(machine, min(90, machine.left("speed")))
    if not run.masks:
        return machine.row(name, "FAIL", run.ran.why())
    totals, stages = run.report["totals"], {stage["name"]: stage for stage in run.report["stages"]}
    machine.row(name, "ok", f"{totals['pixels'] / 1e6 / totals['seconds']:.2f} Mpx/s, {run.ran.seconds - totals['seconds']:.1f} s beside, "
                f"infer {stages['infer']['busy_percent']:.0f} % busy{watch.since(began)}")


def bench(machine):
    """The program's own measurements, in a build that has them."""
    pipeline, common = pipeline_of(machine)
    of_device = ["--devices", machine.device]
    of_run = [pipeline, *of_device, "-i", machine.work / "scene", *(word for setting in common for word in ("--set", setting))]
    forward = [pipeline, *of_device]
    if machine.small:
        asked = {"forward": [*forward, "--precision", "f32", "--side", "64", "--repeats", "1"]}
    else:
        asked = {"forward": [*forward, "--precision", "f16", "--batch", "1,4"]} if machine.on_gpu else {}
        asked["forward f32"] = [*forward, "--precision", "f32", "--repeats", "5"]
    asked |= {"pipeline": of_run, "feed": of_run}
    for what, more in asked.items():
        name, kind = f"speed/bench {what}", what.split()[0]
        if machine.only not in name:
            continue
        if machine.run("bench-help", [SWATH, "bench", kind, "--help"], 20).code != 0:
            machine.row(name, "-", "this build has no such command")
        elif machine.left("speed") < 10:
            machine.row(name, "-", "skipped: no time left for it")
        else:
            log = f"bench-{what.replace(' ', '-')}"
            document = machine.out / f"{log}.json"
            document.unlink(missing_ok=True)
            ran = machine.run(log, [SWATH, "bench", kind, *more, "--json", document], min(80, machine.left("speed") - 5))
            machine.row(name, "ok" if ran.code == 0 else "FAIL", f"{ran.seconds:.0f} s" if ran.code == 0 else ran.why())
            machine.show(figures(kind, ran.said().splitlines()[1:-1]))


def figures(kind, lines):
    """Of what `swath bench` prints, what a page has room for; the rest is in its log."""
    if kind == "forward":
        return [line for line in lines if re.match(r"(device|cpu|cuda:\d+) |matrix", line)]
    return list(itertools.takewhile(str.strip, lines))


# --- what others need ---


def peers(machine):
    """PyTorch with the same weights over the same scene: forward passes and whole scenes, then what its compiler makes of two members."""
    script, own = HERE / "peers/gpu.py", machine.work / "speed-1/masks"
    masks = machine.work / "peers"
    limits = ["--precision", "f16", "--border", "zero", "--device", machine.device, "--deadline", "60"]
    asked = {
        "peers/pytorch": ["--scenes", machine.work / "scene", "--out", masks],
        "peers/compiled danet": ["--variants", "compile-fast", "--member", "naic2020/danet-resnet101=seed:2"],
        "peers/compiled hrnet": ["--variants", "compile-fast", "--member", "naic2020/hrnet-ocr-w48=seed:4"],
    }
    for name, more in asked.items():
        if machine.only not in name or machine.small or not (machine.on_gpu and script.exists()):
            continue
        if machine.left("peers") < 15:
            machine.row(name, "-", "skipped: no time left for it")
            continue
        document = machine.out / f"{name.replace('/', '-').replace(' ', '-')}.jsonl"
        command = [sys.executable, "-B", script, *limits, *more, "--json", document]
        ran = machine.run(name, command, min(120, machine.left("peers")))
        # What was measured before it was ended counts.
        lines = [json.loads(line) for line in document.read_text().splitlines()] if document.exists() else []
        machine.row(name, "ok" if ran.code == 0 else "FAIL", f"{ran.seconds:.0f} s" if ran.code == 0 else ran.why())
        machine.show(by_variant(lines))
    if own.exists() and masks.exists():
        scored = machine.run("eval-peers", [SWATH, "eval", own, "--truth", masks, "--json"], 30)
        found = re.search(r'"agreement": ([\d.]+)', scored.said())
        machine.row("peers/agreement", "-", f"{100 * float(found[1]):.3f} % of the pixels as here" if found else scored.why())


def by_variant(lines):
    """What gpu.py tells, a line for each variant: milliseconds per crop and R of each member, then whole scenes."""
    texts = {}
    for line in lines:
        if "matmul_tflops" in line:
            texts["matmul"] = [f"{line['matmul_tflops']} TFLOP/s, {line['floor_ms']} ms per crop at least"]
        elif "variant" in line or "end_to_end" in line:
            figures = texts.setdefault(line.get("variant") or line["end_to_end"], [])
            if "failed" in line:
                figures.append(line["failed"][:40])
            elif "forward" in line:
                figures.append(f"{line['forward'].split('/')[-1]} {line['ms_per_crop']} ms R {line['R']}")
            else:
                figures.append(f"whole scenes {line['mpx_per_s']} Mpx/s")
    return [f"{variant:14} {', '.join(figures)}" for variant, figures in texts.items()]


# --- all of it ---


def expect(machine):
    machine.device, machine.on_gpu = "cpu", False
    for run in expectations(machine):
        run.carry_out(machine, 1800)
        if not run.masks:
            sys.exit(f"gpu.sh: error: {run.name}: {run.ran.why()} ({run.ran.log})")
        shutil.copytree(machine.work / run.name / "masks", EXPECTED / run.name, dirs_exist_ok=True)
        print(f"{run.name}: {len(run.masks)} masks in {run.ran.seconds:.0f} s", file=sys.stderr)


def main():
    asked = arguments()
    machine = Machine(asked)
    if not asked.expect:
        missing = preconditions(machine)
        if missing:
            sys.exit(print(f"gpu.sh: error: {missing}", file=sys.stderr) or 2)
    draw_scenes(machine)
    if asked.expect:
        return expect(machine)
    for step in (correctness, speed, peers):
        try:
            step(machine)
        except Exception as problem:  # The steps behind it are worth their time all the same.
            machine.row(step.__name__, "FAIL", repr(problem))
    if not machine.passed() and not machine.failed:
        machine.row("nothing", "FAIL", f"no check is called `{machine.only}`")
    text = machine.save()
    shutil.rmtree(machine.work)
    with tarfile.open(machine.out / "results.tar.gz", "w:gz") as tar:
        for path in sorted(machine.out.iterdir()):
            if path.name != "results.tar.gz":
                tar.add(path, f"results/{path.name}")
    print(text, end="")
    sys.exit(1 if machine.failed else 0)


if __name__ == "__main__":
    main()
