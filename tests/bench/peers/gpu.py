"""What PyTorch itself makes of the networks on a GPU, and what a careful script around it makes of whole scenes.

Forward passes alone, member by member: milliseconds per crop, the share R of the device's own rate for matrix products, memory, and how
many pixels keep the class that f32 gives them. Variants:

  eager          as built, maps channel by channel (NCHW)
  channels_last  the channels innermost
  graph          channels_last, recorded once as a CUDA graph
  batch          as graph, --batch crops at once
  compile        channels_last, torch.compile(mode="max-autotune"): minutes per member, so give it a --deadline
  compile-fast   channels_last, torch.compile in its default mode

With --scenes and --out also end to end: careful.py with the variant's forward passes, `Mpx/s` without start-up and the share of the time
that the forward passes alone account for.

    python3 gpu.py                                                       the semi-final's four members, drawn by rule, no files needed
    python3 gpu.py --scenes SCENES --out MASKS --json gpu.jsonl          whole scenes too
    python3 gpu.py --variants compile --member naic2020/danet-resnet101=seed:2 --deadline 200
    python3 gpu.py --device cpu --precision f32 --crop 64 --repeats 1    a trial without a GPU

Needs torch and numpy, and no network. Each line is printed and written to --json as soon as it is known; what fails or takes longer than
--deadline says so in its line, and the rest goes on.
"""
import argparse
import copy
import json
import signal
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

import careful
import networks
import peer

VARIANTS = ("eager", "channels_last", "graph", "batch", "compile-fast", "compile")
WARM_UP = 3


class Deadline(BaseException):
    """Not an Exception, for compilers catch those to try something else."""


class Graphed:
    """A forward pass recorded once; each call copies its input to where the recording reads it. Inputs of other shapes run as usual."""

    def __init__(self, network: careful.Forward, example: torch.Tensor):
        self.network, self.input, self.graph = network, example.clone(), torch.cuda.CUDAGraph()
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                network(self.input)
        torch.cuda.current_stream().wait_stream(aside)
        with torch.cuda.graph(self.graph):
            self.output = network(self.input)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape != self.input.shape:
            return self.network(x)
        self.input.copy_(x)
        self.graph.replay()
        return self.output


class Compiled:
    """Every call is a step of its own, so that recorded outputs of the step before may be overwritten."""

    def __init__(self, network: torch.nn.Module, mode: str):
        self.network = torch.compile(network, mode=mode, dynamic=False)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        torch.compiler.cudagraph_mark_step_begin()
        return self.network(x)


def forward_of(variant: str, network: torch.nn.Module, example: torch.Tensor) -> careful.Forward:
    if variant in ("graph", "batch") and example.is_cuda:
        return Graphed(network, example)
    if variant.startswith("compile"):
        return Compiled(network, "max-autotune" if variant == "compile" else "default")
    return network


def milliseconds(act: Callable[[], Any], device: str, repeats: int) -> float:
    """The median over repeats, by events on a GPU, after a warm-up."""
    cuda = device.startswith("cuda")
    for _ in range(WARM_UP if cuda else 1):
        act()
    times = []
    for _ in range(repeats):
        if cuda:
            first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            first.record()
            act()
            last.record()
            last.synchronize()
            times.append(first.elapsed_time(last))
        else:
            began = time.perf_counter()
            act()
            times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def matmul_rate(device: str, dtype: torch.dtype) -> float:
    """TFLOP/s of square products: 8192 on a GPU, 1024 on a CPU."""
    side = 8192 if device.startswith("cuda") else 1024
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return 2 * side**3 / milliseconds(lambda: a @ b, device, 20) / 1e9


def tflop(name: str, classes: int, side: int) -> float:
    """Of convolutions and matrix products, per crop."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        networks.NETWORKS[name](classes).eval()(torch.empty(1, 3, side, side))
    return counter.get_total_flops() / 1e12


def crop(side: int) -> torch.Tensor:
    """Something like a scene: patches of a few sizes, with noise, as bytes (height, width, bands)."""
    generator = torch.Generator().manual_seed(1)
    total = torch.zeros(1, 3, side, side)
    for cells in (3, 10, 40, side):
        total += torch.nn.functional.interpolate(torch.rand(1, 3, cells, cells, generator=generator), size=(side, side))
    return (total / 4 * 255).to(torch.uint8)[0].permute(1, 2, 0)


class Bench:
    def __init__(self, options: argparse.Namespace):
        self.options, self.members = options, peer.sources(options)
        self.pixels = crop(options.crop).numpy()
        self.file = open(options.json, "w") if options.json else None
        self.rate = matmul_rate(options.device, careful.DTYPES[options.precision])
        self.tflop = {name: tflop(name, options.classes, options.crop) for name, _ in self.members}
        # Drawing or reading weights takes seconds, so it is done once per member.
        self.built = {name: networks.build(name, source, options.classes) for name, source in self.members}
        self.truth: dict[str, torch.Tensor] = {}
        self.forward_ms: dict[tuple[str, str], float] = {}

    def tell(self, line: dict[str, Any]) -> None:
        text = json.dumps(line)
        print(text, flush=True)
        if self.file:
            print(text, file=self.file, flush=True)

    def guarded(self, line: dict[str, Any], measure: Callable[[], dict[str, Any]]) -> None:
        """Measures within the deadline; whatever goes wrong is told in the line."""

        def give_up(*_: Any) -> None:
            raise Deadline

        signal.signal(signal.SIGALRM, give_up)
        signal.setitimer(signal.ITIMER_REAL, self.options.deadline)
        began = time.perf_counter()
        try:
            line |= measure()
        except Deadline:
            line["failed"] = f"not done within {self.options.deadline:g} s"
        except Exception as error:  # noqa: BLE001 - one variant that fails must not cost the others
            line["failed"] = f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            # The compiler counts networks of one class and gives up at the eighth.
            torch.compiler.reset()
        self.tell(line | {"took_s": round(time.perf_counter() - began, 1)})

    def network(self, name: str, precision: str, channels_last: bool) -> torch.nn.Module:
        layout = torch.channels_last if channels_last else torch.contiguous_format
        return copy.deepcopy(self.built[name]).to(self.options.device, careful.DTYPES[precision], memory_format=layout)

    def labels_in_f32(self, name: str) -> torch.Tensor:
        """What the variants of every precision are compared with."""
        if name not in self.truth:
            asked, exact = self.options, argparse.Namespace(**vars(self.options) | {"precision": "f32"})
            careful.prepare(exact)
            x = careful.Normalise(exact, "f32")(self.pixels)
            self.truth[name] = self.network(name, "f32", False)(x).argmax(1)
            careful.prepare(asked)
        return self.truth[name]

    def forward(self, name: str, variant: str) -> dict[str, Any]:
        options, channels_last = self.options, variant != "eager"
        truth = self.labels_in_f32(name)
        network = self.network(name, options.precision, channels_last)
        count = options.batch if variant == "batch" else 1
        x = careful.Normalise(options, options.precision, channels_last)(self.pixels).repeat(count, 1, 1, 1)
        x = x.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
        if x.is_cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        act = forward_of(variant, network, x)
        ms = milliseconds(lambda: act(x), options.device, options.repeats) / count
        logits = act(x)
        self.forward_ms[name, variant] = ms
        told = {"ms_per_crop": round(ms, 2), "R": round(self.tflop[name] / ms * 1000 / self.rate, 3)}
        told |= {"agree": round(float((logits[:1].argmax(1) == truth).float().mean()), 5), "finite": bool(torch.isfinite(logits).all())}
        return told | peer.gpu_memory()

    def end_to_end(self, variant: str) -> dict[str, Any]:
        options, channels_last = self.options, variant != "eager"
        normalise = careful.Normalise(options, options.precision, channels_last)
        example = normalise(self.pixels)
        forwards = [forward_of(variant, self.network(name, options.precision, channels_last), example) for name, _ in self.members]
        # Compilers work at the first call: it is start-up, like building.
        for forward in forwards:
            forward(example)
        shapes: list[torch.Size] = []
        first = forwards[0]

        def noted(x: torch.Tensor) -> torch.Tensor:
            shapes.append(x.shape)
            return first(x)

        told = peer.measure(options, careful.segmenter([noted, *forwards[1:]], normalise, peer.tiler(options)))
        told.pop("start_up_s")
        known = [self.forward_ms.get((name, variant)) for name, _ in self.members]
        if None not in known and set(shapes) == {example.shape}:
            told["forward_share"] = round(sum(known) * len(shapes) / 1000 / told["seconds"], 3)
        return told | {"crops": len(shapes)}

    def head(self) -> dict[str, Any]:
        options = self.options
        device = torch.cuda.get_device_name(options.device) if options.device.startswith("cuda") else f"{torch.get_num_threads()} CPU threads"
        total = sum(self.tflop.values())
        told = {"device": device, "torch": torch.__version__, "precision": options.precision, "crop": options.crop}
        return told | {"matmul_tflops": round(self.rate, 2), "tflop_per_crop": round(total, 4), "floor_ms": round(total / self.rate * 1000, 2)}


def options() -> argparse.Namespace:
    parser = peer.parser(__doc__, optional=True)
    parser.set_defaults(device="cuda:0", precision="f16")
    parser.add_argument("--variants", type=lambda text: text.split(","), default=list(VARIANTS[:4]), help=f"of {', '.join(VARIANTS)}")
    parser.add_argument("--crop", type=int, default=1280, help="side of the crop of forward passes (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=4, help="crops at once in the variant `batch` (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=20, help="forward passes that are timed (default: %(default)s)")
    parser.add_argument("--deadline", type=float, default=600, help="seconds for one measurement (default: %(default)s)")
    parser.add_argument("--json", help="file for the lines")
    parser.add_argument("--no-forward", action="store_true", help="end to end alone")
    parsed = parser.parse_args()
    unknown = set(parsed.variants) - set(VARIANTS)
    if unknown:
        parser.error(f"no variant {', '.join(unknown)}: there are {', '.join(VARIANTS)}")
    if (parsed.scenes is None) != (parsed.out is None):
        parser.error("--scenes and --out go together")
    if parsed.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("PyTorch finds no GPU: --device cpu --precision f32 --crop 64 --repeats 1 tries the program without one")
    parsed.member = parsed.member or [f"{name}=seed:{index}" for index, name in enumerate(networks.SEMIFINAL, start=1)]
    return parsed


@torch.inference_mode()
def main() -> None:
    chosen = options()
    careful.prepare(chosen)
    bench = Bench(chosen)
    bench.tell(bench.head())
    for variant in chosen.variants:
        if variant == "graph" and chosen.device == "cpu":
            bench.tell({"variant": variant, "failed": "CUDA graphs need a GPU"})
            continue
        for name, _ in [] if chosen.no_forward else bench.members:
            bench.guarded({"forward": name, "variant": variant}, lambda: bench.forward(name, variant))
        if chosen.scenes and variant != "batch":
            bench.guarded({"end_to_end": variant, "members": len(bench.members)}, lambda: bench.end_to_end(variant))


if __name__ == "__main__":
    main()
