#!/usr/bin/env python3
"""Small sound files for the fuzz targets to start from: python tests/fuzz/seeds.py SWATH OUT

Needs Python with torch and safetensors. SWATH is the program, OUT becomes one folder per target.
"""
import io
import pathlib
import pickle
import struct
import subprocess
import sys
import tempfile

import numpy
import safetensors.torch
import torch


def tensors():
    base = torch.arange(48, dtype=torch.float32).reshape(8, 6) / 16
    return {
        "conv.weight": torch.linspace(-1, 1, 64).reshape(4, 4, 2, 2),
        "bn.running_mean": torch.zeros(4),
        "bn.num_batches_tracked": torch.tensor(3),
        "half": base.half()[:2],
        "brain": base.bfloat16()[:2],
        "bytes": torch.arange(5, dtype=torch.uint8),
        "view": base[1:5:2, ::3],
        "transposed": base.t(),
    }


def saved(thing, is_zip):
    buffer = io.BytesIO()
    torch.save(thing, buffer, _use_new_zipfile_serialization=is_zip)
    return buffer.getvalue()


def checkpoints():
    state = tensors()
    wrapped = {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}, "state_dict_ema": state, "lr": 0.1}
    small = {"w": torch.ones(2, 3), "p": torch.nn.Parameter(torch.zeros(2))}
    for name, thing in {"state": state, "wrapped": wrapped, "small": small}.items():
        yield f"{name}_zip", saved(thing, True)
        yield f"{name}_legacy", saved(thing, False)


def bits(text):
    padding = -len(text) % 8
    whole = text + "0" * padding
    return bytes([padding]) + bytes(int(whole[i : i + 8], 2) for i in range(0, len(whole), 8))


def leaf(symbol):
    return f"1{symbol:032b}"


def directory():
    """A 6 x 8 matrix with one value in each row, and a bias."""
    one, two = (struct.unpack("<I", struct.pack("<f", v))[0] for v in (1.5, 2.5))
    streams = [
        bits("01" * 3),
        bits(f"0{leaf(one)}{leaf(two)}"),
        bits("01" * 3),
        bits(f"0{leaf(1)}{leaf(3)}"),
        bits("0" * 6),
        bits(leaf(1)),
        pickle.dumps(numpy.arange(8, dtype=numpy.float32), protocol=2),
    ]
    return b"".join(struct.pack("<H", len(s)) + s for s in streams)


def main(program, out):
    pipelines = pathlib.Path(__file__).parents[2] / "pipelines"
    plain = {k: v.contiguous() for k, v in tensors().items()}
    floats = {k: v for k, v in plain.items() if v.dtype in (torch.float32, torch.float16, torch.bfloat16)}
    floats["large"] = torch.sin(torch.arange(72 * 64)).reshape(72, 64)
    seeds = {
        "pth": dict(checkpoints()),
        "safetensors": {"all": safetensors.torch.save(plain, {"format": "pt"}), "none": safetensors.torch.save({})},
        "huffman": {"matrix": directory()},
        "pipeline": {p.stem: p.read_bytes() for p in sorted(pipelines.glob("*.toml"))},
        "swz": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        safetensors.torch.save_file(floats, folder / "w.safetensors", {"format": "pt"})
        for choice in (["--lossless"], ["--bits", "2"], ["--bits", "4"], ["--budget", "3kB"]):
            command = [program, "weights", "compress", folder / "w.safetensors", "-o", folder / "z", "--overwrite", *choice]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seeds["swz"]["".join(choice).strip("-")] = (folder / "z/w.swz").read_bytes()
    for target, files in seeds.items():
        (out / target).mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (out / target / name).write_bytes(content)
        print(f"{target}: {len(files)} seeds, {sum(map(len, files.values()))} bytes")


main(sys.argv[1], pathlib.Path(sys.argv[2]))
