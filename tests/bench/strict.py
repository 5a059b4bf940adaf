#!/usr/bin/env python3
"""Weights from a reference program through `swath models export` and back into it, with strict=True and bit for bit.

Needs Python with torch, safetensors, segmentation_models_pytorch 0.6, torchvision, timm and resnest (0.0.5), and a checkout of the 2020 entry
(github.com/JasmineRain/NAIC_AI-RS) for its members:

    python tests/bench/strict.py SWATH [CHECKOUT]        SWATH is the program: $(bash run.sh env) tells its folder
"""
import pathlib
import subprocess
import sys
import tempfile

import numpy
import safetensors.torch
import segmentation_models_pytorch as smp
import torch


def entry_members(checkout):
    """The four members as the entry's own inference script builds them."""
    sys.path.insert(0, str(checkout / "submit"))
    sys.path.insert(0, str(checkout))
    numpy.int = int  # The entry's code is older than numpy 1.24.
    import model_define as entry

    return {
        "naic2020/deeplab-resnet101": lambda: entry.DeepLabv3_plus(3, 15, backend="resnet101", os=16, pretrained=False, norm_layer=torch.nn.BatchNorm2d),
        "naic2020/danet-resnet101": lambda: entry.DANet(15, backbone="resnet101", pretrained=False, norm_layer=torch.nn.BatchNorm2d),
        "naic2020/deeplab-resnest101": lambda: entry.DeepLabv3_plus(3, 15, backend="resnest101", os=16, pretrained=False, norm_layer=torch.nn.BatchNorm2d),
        "naic2020/hrnet-ocr-w48": lambda: entry.get_seg_model(),
    }


def smp_networks():
    def of(kind, **options):
        return lambda: kind("resnet34", encoder_weights=None, classes=15, **options)

    return {
        "smp/unet/resnet34": of(smp.Unet),
        "smp/unetpp/resnet34": of(smp.UnetPlusPlus),
        "smp/deeplabv3plus/resnet34": of(smp.DeepLabV3Plus),
        "smp/pspnet/resnet34": of(smp.PSPNet),
    }


def check(program, name, build, folder):
    torch.manual_seed(1)
    source = build().state_dict()
    made, exported = folder / "made.pth", folder / "exported.safetensors"
    torch.save(source, made)
    command = [program, "models", "export", name, "--weights", made, "-o", exported, "--overwrite"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    tensors = safetensors.torch.load_file(exported)
    # As the file is: PyTorch makes up batch counters where a dictionary has none.
    build().load_state_dict(tensors, strict=True)
    counters = [key for key in source if key.endswith("num_batches_tracked")]
    wrong = [key for key, value in tensors.items() if not torch.equal(value, source[key])]
    missing = [key for key in source if key not in tensors and key not in counters]
    print(f"{name}: {len(tensors)} tensors, {len(counters)} batch counters aside: {'ok' if not wrong + missing else wrong + missing}")
    return not wrong and not missing


def main():
    program, checkout = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    networks = smp_networks()
    if checkout:
        networks |= entry_members(pathlib.Path(checkout))
    with tempfile.TemporaryDirectory() as folder:
        results = [check(program, name, build, pathlib.Path(folder)) for name, build in networks.items()]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
