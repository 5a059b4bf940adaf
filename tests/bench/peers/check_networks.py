"""Compares the definitions in networks.py with the recorded outputs of the reference implementations.

    python tests/bench/peers/check_networks.py FIXTURES      FIXTURES: the folder of parity fixtures that `swath models check` takes

Prints the largest difference of each case as a share of what is tolerated (1e-4 of the r.m.s.); exit code 1 above 1.
"""
import argparse
import json
import pathlib
import sys

import torch

import networks
import weights

CASES = {
    "naic_deeplab_resnet101": networks.NETWORKS["naic2020/deeplab-resnet101"],
    "naic_danet_resnet101": networks.NETWORKS["naic2020/danet-resnet101"],
    "naic_deeplab_resnest50": lambda classes: networks.EntryDeepLab(networks.Pretrained(networks.ResNeSt((3, 4, 6, 3), 32)), classes),
    "hrnet_ocr_w48": networks.NETWORKS["naic2020/hrnet-ocr-w48"],
    "smp_deeplabv3plus_resnet34": lambda classes: networks.SmpDeepLab((3, 4, 6, 3), classes),
}


def check(folder: pathlib.Path, name: str) -> float:
    """The worst difference over the fixture's cases, as a share of the tolerance."""
    listing = json.loads((folder / f"{name}.keys.json").read_text())
    exponents = {key: exponent for key, _, _, _, exponent in listing["keys"]}
    network = CASES[name](15).eval()
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    network.load_state_dict(weights.seeded(shapes, listing["seed"], exponents), strict=True)
    recorded = weights.read(folder / f"{name}.safetensors")
    worst = 0.0
    for key in (key for key in recorded if key.endswith(".input")):
        with torch.inference_mode():
            found = network(recorded[key])
        expected = recorded[key.replace(".input", ".logits")]
        step = max(1, round(found.shape[-1] / expected.shape[-1]))
        found = found[..., ::step, ::step]
        rms = expected.square().mean().sqrt()
        if found.shape != expected.shape or not torch.isfinite(found).all():
            raise SystemExit(f"{name}: {tuple(found.shape)} for {tuple(expected.shape)}, or values that are not finite")
        worst = max(worst, float((found - expected).abs().max() / (1e-4 * rms)))
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fixtures", type=pathlib.Path)
    folder = parser.parse_args().fixtures
    shares = {name: check(folder, name) for name in CASES}
    for name, share in shares.items():
        print(f"{name:30} {share:.2g} of the tolerance")
    sys.exit(max(shares.values()) > 1)


if __name__ == "__main__":
    main()
