"""swath beside what people would use instead: alternately, on equal weights, scenes and threads.

    python tests/bench/peers/compare.py SWATH --work FOLDER [--json FILE]        SWATH is the program: $(bash run.sh env) tells its folder

Draws scenes with `swath synth` (one large, many small), has `swath models export` write the weights, then runs ours and each peer in turn,
round after round, in another order each round. Times are those of whole processes, start-up included; a ratio is the median of the
rounds' ratios to ours, and above 1 ours is ahead. Processor time (user + system) stands beside wall time, for on a machine that others
use as well only it says much. Memory is the largest sum over a run's processes, in which shared pages count once, or the largest process.
Threads that wait sleep (OMP_WAIT_POLICY=PASSIVE, unless it is set otherwise): where others use the processors too, spinning threads of one
process keep those that they wait for from running, and scripts on PyTorch took ten times as long.
Before the rounds everything runs once on one small scene, untimed. `import torch` alone is timed as well: the wheel with CUDA takes longer.

A minute's trial:        --large 0 --small 256 --count 4 --rounds 1
The whole semi-final:    --member naic2020/deeplab-resnet101=seed:1 --member naic2020/danet-resnet101=seed:2 ...
A trained network:       --member smp/deeplabv3plus/resnet18=FILE --classes 5 --mean ... --std ...

Needs the packages of requirements.txt, and LIBTORCH if SWATH does.
"""
import argparse
import dataclasses
import json
import math
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import threading
import time

import numpy as np

import agree
import peer
import rasters

HERE = pathlib.Path(__file__).resolve().parent
DEFAULT_MEMBER = "smp/deeplabv3plus/resnet18=seed:18"
PEERS = ("ort", "careful", "loop2020", "monai_window")


# Measuring


@dataclasses.dataclass
class Cost:
    wall_s: float
    cpu_s: float
    rss_mb: float


def timed(command: list[str | pathlib.Path], log: pathlib.Path) -> Cost:
    """Runs a command to its end. Processor time includes that of the processes that it started and waited for."""
    peak, over = [0.0], threading.Event()
    with open(log, "wb") as out:
        began = time.perf_counter()
        child = subprocess.Popen([str(part) for part in command], stdout=out, stderr=subprocess.STDOUT)
        watcher = threading.Thread(target=watch_memory, args=(child.pid, peak, over))
        watcher.start()
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - began
    over.set()
    watcher.join()
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise SystemExit(f"{tail}\nfailed with {child.returncode}: {' '.join(map(str, command))}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, peak[0])


def watch_memory(pid: int, peak: list[float], over: threading.Event) -> None:
    """Not the kernel's `ru_maxrss`: that begins with what the process held which started the child. Looking takes time of its own."""
    took = 0.0
    while not over.wait(max(0.2, 20 * took)):
        began = time.perf_counter()
        pids = family(pid)
        peak[0] = max(peak[0], sum(memory_mb(each, "smaps_rollup", "Pss:") for each in pids), *(memory_mb(each, "status", "VmHWM:") for each in pids))
        took = time.perf_counter() - began


def family(pid: int) -> list[int]:
    """A process and all below it that live."""
    found = [pid]
    for parent in found:
        for task in pathlib.Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in task.read_text().split()]
            except OSError:
                pass
    return found


def memory_mb(pid: int, file: str, field: str) -> float:
    try:
        for line in pathlib.Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    return 0.0


# Scenes and weights


def scenes(options: argparse.Namespace) -> dict[str, pathlib.Path]:
    """Folders of scenes by what they are called in the table, the untimed trial's first."""
    small = [*cuts(options, options.small, max(options.count, 1))]
    groups = {"trial": small[:1], f"{options.count} x {options.small}": small[: options.count]}
    if options.large:
        groups[f"1 x {options.large}"] = [composed(options)]
    folders = {}
    for title, images in groups.items():
        folder = options.work / "scenes" / title.replace(" ", "")
        folder.mkdir(parents=True, exist_ok=True)
        for index, image in enumerate(images):
            rasters.write_tiff(folder / f"scene{index:03}.tif", image)
        if images:
            folders[title] = folder
    return folders


def drawn(options: argparse.Namespace, seed: int) -> list[np.ndarray]:
    """The three largest scenes that swath draws from a seed."""
    folder = options.work / "synth" / str(seed)
    subprocess.run([options.swath, "synth", "--seed", str(seed), "-o", folder], check=True, stdout=subprocess.DEVNULL)
    return [rasters.read_tiff(folder / "images" / f"{name}.tif") for name in ("uplands", "lowlands", "township")]


def cuts(options: argparse.Namespace, side: int, count: int):
    """So many squares, one beside the other, from as many seeds as it takes."""
    for seed in range(1000):
        for scene in drawn(options, seed):
            for top in range(0, scene.shape[0] - side + 1, side):
                for left in range(0, scene.shape[1] - side + 1, side):
                    if count == 0:
                        return
                    count -= 1
                    yield scene[top : top + side, left : left + side]


def composed(options: argparse.Namespace) -> np.ndarray:
    """One square of `--large`, filled with cuts of 1024."""
    across = math.ceil(options.large / 1024)
    pieces = list(cuts(options, 1024, across * across))
    rows = [np.concatenate(pieces[at : at + across], axis=1) for at in range(0, len(pieces), across)]
    return np.concatenate(rows)[: options.large, : options.large]


def exported(options: argparse.Namespace) -> list[tuple[str, pathlib.Path]]:
    """The members with the files that swath wrote of their weights."""
    import networks
    import weights

    members = []
    for index, (name, source) in enumerate(peer.sources(options)):
        made, file = options.work / f"made{index}.safetensors", options.work / f"member{index}.safetensors"
        if source.startswith("seed:"):
            weights.write(made, networks.build(name, source, options.classes).state_dict())
            source = made
        command = [options.swath, "models", "export", name, "--weights", source, "-o", file, "--overwrite"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        members.append((name, file))
    return members


def pipeline(options: argparse.Namespace, members: list[tuple[str, pathlib.Path]]) -> pathlib.Path:
    """The pipeline file that says for swath what the peers' options say for them."""
    lines = ["[input]", "bands = [1, 2, 3]", "divide = { u8 = 255 }", f"mean = {list(options.mean)}", f"std = {list(options.std)}"]
    lines += ["[tiler]", f'border = "{options.border}"']
    for name, file in members:
        kind, network, *backbone = name.split("/")
        preset = [f'preset = "{name}"'] if kind == "naic2020" else [f'network = "{network}"', f'variant = "{kind}"', f'backbone = "{backbone[0]}"']
        lines += ["[[members]]", *preset, f'name = "{file.stem}"', f'weights = "{file}"', 'precision = "f32"']
    for index, value in enumerate(values(options)):
        lines += ["[[classes]]", f"id = {index}", f'name = "class {index}"', f"value = {value}", f'color = "#{index * 40503 % 0x1000000:06x}"']
    file = options.work / "pipeline.toml"
    file.write_text("\n".join(lines) + "\n")
    return file


def values(options: argparse.Namespace) -> list[int]:
    return list(options.values) if len(options.values) == options.classes else list(range(1, options.classes + 1))


# Ours and theirs


class Contest:
    def __init__(self, options: argparse.Namespace):
        options.work.mkdir(parents=True, exist_ok=True)
        self.options, self.folders, self.members = options, scenes(options), exported(options)
        self.pipeline, self.runs = pipeline(options, self.members), 0
        self.costs: dict[tuple[str, str], list[Cost]] = {}
        self.agreement: dict[tuple[str, str], float] = {}
        self.graphs = options.work / "graphs"
        # Those of an earlier call may be of other weights.
        shutil.rmtree(self.graphs, ignore_errors=True)
        for folder in self.folders.values() if "ort" in options.peers else ():
            timed(self.peer("ort", "export", folder, self.graphs), options.work / "export.log")

    def peer(self, name: str, mode: str | None, folder: pathlib.Path, out: pathlib.Path) -> list[str | pathlib.Path]:
        options = self.options
        command = [sys.executable, HERE / f"{name}.py", *([mode] if mode else []), "--scenes", folder, "--out", out]
        for member, file in self.members:
            command += ["--member", f"{member}={file}"]
        command += ["--threads", str(options.threads), "--classes", str(options.classes), "--border", options.border]
        for key in ("mean", "std"):
            command += [f"--{key}", ",".join(map(str, getattr(options, key)))]
        return [*command, "--values", ",".join(map(str, values(options)))]

    def command(self, name: str, folder: pathlib.Path, out: pathlib.Path) -> list[str | pathlib.Path]:
        if name == "swath":
            devices = ",".join(["cpu"] * self.options.threads)
            return [self.options.swath, "run", self.pipeline, "-i", folder, "-o", out, "-q", "--devices", devices]
        if name == "ort":
            return [*self.peer(name, "run", folder, out), "--graphs", self.graphs]
        return self.peer(name, None, folder, out)

    def run(self, name: str, folder: pathlib.Path) -> tuple[Cost, pathlib.Path]:
        """Into a folder of its own each time, for swath would find its work done."""
        self.runs += 1
        out = self.options.work / "out" / f"{self.runs:03}-{folder.name}-{name}"
        shutil.rmtree(out, ignore_errors=True)
        cost = timed(self.command(name, folder, out), self.options.work / "run.log")
        return cost, out / "masks" if name == "swath" else out

    def round(self, title: str, index: int) -> None:
        """Everybody once, the first of the last round last."""
        names = ["swath", *self.options.peers]
        shift, masks = index % len(names), {}
        for name in names[shift:] + names[:shift]:
            cost, masks[name] = self.run(name, self.folders[title])
            self.costs.setdefault((title, name), []).append(cost)
            print(f"{title}, round {index + 1}, {name}: {cost.wall_s:.1f} s, {cost.cpu_s:.1f} s of processors", file=sys.stderr, flush=True)
        for name in names:
            same, total = agree.count(masks["swath"], masks[name])
            self.agreement[title, name] = min(self.agreement.get((title, name), 1.0), same / total)

    def rows(self) -> list[dict]:
        return [self.row(title, name) for title, name in self.costs if title != "trial"]

    def row(self, title: str, name: str) -> dict:
        mine, ours = self.costs[title, name], self.costs[title, "swath"]
        row = {"scenes": title, "who": name, "rounds": [dataclasses.asdict(cost) for cost in mine], "agreement": self.agreement[title, name]}
        for key in ("wall_s", "cpu_s"):
            row[key] = statistics.median(getattr(cost, key) for cost in mine)
            row[f"{key}_ratio"] = statistics.median(getattr(a, key) / getattr(b, key) for a, b in zip(mine, ours, strict=True))
        return row | {"rss_mb": max(cost.rss_mb for cost in mine)}


def table(rows: list[dict]) -> str:
    lines = ["| scenes | who | wall, s | to ours | processors, s | to ours | peak MB | masks agree |", "|---|---|---|---|---|---|---|---|"]
    for row in rows:
        times = f"{row['wall_s']:.1f} | {row['wall_s_ratio']:.2f} | {row['cpu_s']:.1f} | {row['cpu_s_ratio']:.2f}"
        lines.append(f"| {row['scenes']} | {row['who']} | {times} | {row['rss_mb']:.0f} | {100 * row['agreement']:.3f} % |")
    return "\n".join(lines)


def machine(options: argparse.Namespace) -> dict:
    from importlib.metadata import version

    program = subprocess.run([options.swath, "--version"], check=True, capture_output=True, text=True).stdout.split("\n")[0]
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown")
    packages = {name: version(name) for name in ("torch", "numpy", "onnxruntime", "monai")}
    load = os.getloadavg()[2]
    return {"program": program, "cpu": model, "cores": os.cpu_count(), "load_15min": load, "packages": packages, "members": options.member,
            "threads": options.threads, "rounds": options.rounds}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("swath", type=lambda text: pathlib.Path(text).resolve())
    parser.add_argument("--work", type=lambda text: pathlib.Path(text).resolve(), required=True, help="folder for scenes, weights, masks")
    parser.add_argument("--member", action="append", help=f"NAME=FILE or NAME=seed:N, repeated for an ensemble (default: {DEFAULT_MEMBER})")
    parser.add_argument("--peers", type=lambda text: [part for part in text.split(",") if part], default=list(PEERS), help=f"of {', '.join(PEERS)}")
    parser.add_argument("--large", type=int, default=4096, help="side of the one large scene, 0 for none (default: %(default)s)")
    parser.add_argument("--small", type=int, default=512, help="side of the small scenes (default: %(default)s)")
    parser.add_argument("--count", type=int, default=48, help="number of small scenes, 0 for none (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of everybody: swath gets so many workers of one thread")
    parser.add_argument("--classes", type=int, default=15)
    parser.add_argument("--values", type=peer.numbers(int), default=peer.VALUES, help="what masks hold")
    parser.add_argument("--mean", type=peer.numbers(float), default=peer.MEAN)
    parser.add_argument("--std", type=peer.numbers(float), default=peer.STD)
    parser.add_argument("--border", choices=("reflect", "zero"), default="reflect")
    parser.add_argument("--json", type=pathlib.Path, help="file for the figures of every run")
    options = parser.parse_args()
    options.member = options.member or [DEFAULT_MEMBER]
    if set(options.peers) - set(PEERS):
        parser.error(f"--peers takes {', '.join(PEERS)}")
    return options


def main() -> None:
    options = parse()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    contest = Contest(options)
    contest.round("trial", 0)
    about = machine(options) | {"import_torch": dataclasses.asdict(timed([sys.executable, "-c", "import torch"], options.work / "run.log"))}
    for index in range(options.rounds):
        for title in list(contest.folders)[1:]:
            contest.round(title, index)
        if options.json:
            options.json.write_text(json.dumps({"machine": about, "rows": contest.rows()}, indent=1) + "\n")
    print(json.dumps(about))
    print(table(contest.rows()))


if __name__ == "__main__":
    main()
