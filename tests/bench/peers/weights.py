"""Weights of the peers: safetensors files read and written with numpy alone, and swath's rule for seeded weights (src/zoo/seed.rs).

A GPU machine without network has torch and numpy and nothing else, and a gigabyte of weights does not travel: there they are drawn from
the rule, the same values bit for bit as swath draws for `seed = N` in a pipeline file.
"""
import concurrent.futures
import json
import math
import os
import pathlib

import numpy as np
import torch

DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "I64": np.int64, "I32": np.int32, "U8": np.uint8}
CHUNK = 1 << 16
WORD = (1 << 64) - 1


def read(path: str | pathlib.Path) -> dict[str, torch.Tensor]:
    """Every tensor of a safetensors file, f16 widened to f32."""
    raw = pathlib.Path(path).read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        if entry["dtype"] not in DTYPES:
            raise SystemExit(f"{path}: {name} is {entry['dtype']}; export the file with `swath models export`, which writes F32")
        begin, end = entry["data_offsets"]
        values = np.frombuffer(raw[start + begin : start + end], DTYPES[entry["dtype"]]).reshape(entry["shape"])
        tensors[name] = torch.from_numpy(values.astype(np.float32) if values.dtype == np.float16 else values.copy())
    return tensors


def write(path: str | pathlib.Path, tensors: dict[str, torch.Tensor]) -> None:
    """An f32 safetensors file of the floating-point tensors; batch counters are left out, as swath leaves them out."""
    floats = {name: tensor.contiguous().numpy() for name, tensor in tensors.items() if tensor.is_floating_point()}
    header, end = {}, 0
    for name, values in floats.items():
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [end, end + 4 * values.size]}
        end += 4 * values.size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for values in floats.values():
            file.write(values.astype("<f4").tobytes())


def seeded(shapes: dict[str, tuple[int, ...]], seed: int, exponents: dict[str, int] | None = None) -> dict[str, torch.Tensor]:
    """What `seed = N` means for tensors of these names and shapes. `exponents` are those of the parity fixtures, 0 elsewhere."""
    exponents = exponents or {}
    # numpy lets go of the interpreter while it computes, so threads do: four networks are 264 million values.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
        drawn = threads.map(lambda name: _tensor(seed, name, shapes[name], exponents.get(name, 0)), shapes)
        return dict(zip(shapes, drawn, strict=True))


def _tensor(seed: int, name: str, shape: tuple[int, ...], exponent: int) -> torch.Tensor:
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    values = np.empty(math.prod(shape), np.float32)
    for begin in range(0, values.size, CHUNK):
        end = min(begin + CHUNK, values.size)
        values[begin:end] = _scaled(name, shape, exponent, _fractions(f"{seed}/{name}", begin, end))
    return torch.from_numpy(values.reshape(shape))


def _fractions(text: str, begin: int, end: int) -> np.ndarray:
    """Numbers `begin` to `end` of the SplitMix64 sequence that the text's FNV-1a hash starts, as fractions in (0, 1)."""
    state = 0xCBF29CE484222325
    for byte in text.encode():
        state = (state ^ byte) * 0x100000001B3 & WORD
    with np.errstate(over="ignore"):
        z = np.arange(begin + 1, end + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(state)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (((z ^ (z >> np.uint64(31))) >> np.uint64(40)).astype(np.float64) + 0.5) / 2**24


def _scaled(name: str, shape: tuple[int, ...], exponent: int, r: np.ndarray) -> np.ndarray:
    """Fractions as values that suit what the name says the tensor is for."""
    s = 2.0 * r - 1.0
    if name.endswith("running_mean"):
        return 0.2 * s
    if name.endswith("running_var"):
        return 0.6 + 0.8 * r
    if len(shape) >= 2:
        return math.sqrt(6.0 / max(math.prod(shape[1:]), 1)) * s * 2.0**exponent
    if name.endswith(".weight"):
        return 0.75 + 0.5 * r
    if name.endswith(".bias"):
        return 0.1 * s
    return 0.5 + 0.25 * s
