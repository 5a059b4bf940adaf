"""The small presets in PyTorch, and what they make of a few images: fixtures for `swath models check`.

    python tests/bench/parity.py FOLDER
    swath models check FOLDER

Each network is the published code with other numbers, as far as that takes them: segmentation_models_pytorch 0.6 (DeepLabv3+), timm 1.0
(ResNeSt, HRNet, the stages of DANet's ResNet), torchvision (the ResNet in DeepLabv3+). What takes none is written out here: DANet's head
(junfu1115/DANet, encoding/models/sseg/danet.py and nn/da_att.py) and OCR's (HRNet-Semantic-Segmentation, branch HRNet-OCR,
lib/models/seg_hrnet_ocr.py), whose names the variables have. Weights follow from a seed and a variable's name (`src/zoo/seed.rs`), so that
none are stored. With --speed in place of FOLDER it prints what the presets cost: parameters, processor time of a forward pass of 8 images of
256 x 256 and of a training step (AdamW) of as many, on one thread. Needs Python with torch, torchvision, timm, segmentation_models_pytorch,
safetensors and numpy.
"""
import argparse
import copy
import json
import pathlib
import time

import numpy as np
import segmentation_models_pytorch as smp
import timm
import torch
from safetensors.numpy import save_file
from segmentation_models_pytorch.encoders.resnet import ResNetEncoder
from timm.models import hrnet
from timm.models.resnet import BasicBlock as TimmBasicBlock
from timm.models.resnet import make_blocks
from torch import nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock

CLASSES = 15
SIZES = [(1, 96, 64), (2, 64, 128)]


class Resnet18(ResNetEncoder):
    """The encoder with `width` channels where it has 64."""

    def __init__(self, width: int, **options):
        super().__init__(**options)
        self.inplanes = width
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        for idx in range(4):
            stage = self._make_layer(BasicBlock, width << idx, 2, stride=1 if idx == 0 else 2)
            setattr(self, f"layer{idx + 1}", stage)


def deeplab_resnet18(width: int, decoder: int) -> nn.Module:
    outputs = [3, width, *(width << idx for idx in range(4))]
    options = {"out_channels": outputs, "block": BasicBlock, "layers": [2, 2, 2, 2], "width": width}
    smp.encoders.encoders["narrow"] = {"encoder": Resnet18, "params": options, "pretrained_settings": {}}
    return deeplab("narrow", decoder)


def deeplab(encoder: str, decoder: int, **options) -> nn.Module:
    return smp.DeepLabV3Plus(
        encoder_name=encoder, encoder_weights=None, decoder_channels=decoder, decoder_atrous_rates=(6, 12, 18), classes=CLASSES, **options
    )


def conv(source: int, target: int, side: int, bias: bool = False) -> list[nn.Module]:
    return [nn.Conv2d(source, target, side, padding=side // 2, bias=bias), nn.BatchNorm2d(target), nn.ReLU()]


def resize(maps: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return F.interpolate(maps, size=like.shape[2:], mode="bilinear", align_corners=True)


class PositionAttention(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.query_conv = nn.Conv2d(channels, channels // 8, 1)
        self.key_conv = nn.Conv2d(channels, channels // 8, 1)
        self.value_conv = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, maps):
        query, key, value = (c(maps).flatten(2) for c in (self.query_conv, self.key_conv, self.value_conv))
        attention = torch.softmax(query.transpose(1, 2) @ key, -1)
        return self.gamma * (value @ attention.transpose(1, 2)).view_as(maps) + maps


class ChannelAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, maps):
        flat = maps.flatten(2)
        energy = flat @ flat.transpose(1, 2)
        attention = torch.softmax(energy.max(-1, keepdim=True)[0] - energy, -1)
        return self.gamma * (attention @ flat).view_as(maps) + maps


class DANetHead(nn.Module):
    def __init__(self, source: int):
        super().__init__()
        inner = source // 4
        self.conv5a = nn.Sequential(*conv(source, inner, 3))
        self.conv5c = nn.Sequential(*conv(source, inner, 3))
        self.sa, self.sc = PositionAttention(inner), ChannelAttention()
        self.conv51 = nn.Sequential(*conv(inner, inner, 3))
        self.conv52 = nn.Sequential(*conv(inner, inner, 3))
        for name in ("conv6", "conv7", "conv8"):
            setattr(self, name, nn.Sequential(nn.Dropout2d(0.1), nn.Conv2d(inner, CLASSES, 1)))

    def forward(self, maps):
        position = self.conv51(self.sa(self.conv5a(maps)))
        channel = self.conv52(self.sc(self.conv5c(maps)))
        return {"logits": self.conv8(position + channel), "sa": self.conv6(position), "sc": self.conv7(channel)}


class DANet(nn.Module):
    """On a ResNet-18, output stride 8."""

    def __init__(self, width: int):
        super().__init__()
        self.pretrained = nn.Sequential()
        self.pretrained.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.pretrained.bn1 = nn.BatchNorm2d(width)
        self.pretrained.relu, self.pretrained.maxpool = nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        channels = tuple(width << idx for idx in range(4))
        stages, _ = make_blocks((TimmBasicBlock,) * 4, channels, (2, 2, 2, 2), inplanes=width, output_stride=8)
        for name, stage in stages:
            self.pretrained.add_module(name, stage)
        self.head = DANetHead(8 * width)

    def forward(self, image):
        return {name: resize(maps, image) for name, maps in self.head(self.pretrained(image)).items()}


class BNReLU(nn.Sequential):
    def __init__(self, channels: int):
        super().__init__(nn.BatchNorm2d(channels), nn.ReLU())


def point(source: int, target: int) -> list[nn.Module]:
    return [nn.Conv2d(source, target, 1, bias=False), BNReLU(target)]


class ObjectAttention(nn.Module):
    def __init__(self, channels: int, keys: int):
        super().__init__()
        self.keys = keys
        self.f_pixel = nn.Sequential(*point(channels, keys), *point(keys, keys))
        self.f_object = nn.Sequential(*point(channels, keys), *point(keys, keys))
        self.f_down = nn.Sequential(*point(channels, keys))
        self.f_up = nn.Sequential(*point(keys, channels))

    def forward(self, features, classes):
        query = self.f_pixel(features).flatten(2).transpose(1, 2)
        key = self.f_object(classes).flatten(2)
        value = self.f_down(classes).flatten(2).transpose(1, 2)
        context = torch.softmax(query @ key * self.keys**-0.5, -1) @ value
        return self.f_up(context.transpose(1, 2).unflatten(2, features.shape[2:]))


class SpatialOCR(nn.Module):
    def __init__(self, channels: int, keys: int):
        super().__init__()
        self.object_context_block = ObjectAttention(channels, keys)
        self.conv_bn_dropout = nn.Sequential(*point(2 * channels, channels), nn.Dropout2d(0.05))

    def forward(self, features, classes):
        return self.conv_bn_dropout(torch.cat([self.object_context_block(features, classes), features], 1))


class HRNetOCR(hrnet.HighResolutionNet):
    """timm's trunk, whose exchange up-samples as the authors' does for segmentation, with their head."""

    def __init__(self, name: str, channels: int):
        super().__init__(copy.deepcopy(hrnet.cfg_cls[name]), head="")
        for part in [name for name in ("final_layer", "classifier", "incre_modules", "downsamp_modules") if hasattr(self, name)]:
            delattr(self, part)
        for module in self.modules():
            if isinstance(module, nn.Upsample):
                module.mode, module.align_corners = "bilinear", True
        total = sum(self.stage4_cfg["num_channels"])
        self.aux_head = nn.Sequential(*conv(total, total, 1, bias=True), nn.Conv2d(total, CLASSES, 1))
        self.conv3x3_ocr = nn.Sequential(*conv(total, channels, 3, bias=True))
        self.ocr_distri_head = SpatialOCR(channels, channels // 2)
        self.cls_head = nn.Conv2d(channels, CLASSES, 1)

    def forward(self, image):
        stem = self.act1(self.bn1(self.conv1(image)))
        branches = self.stages(self.act2(self.bn2(self.conv2(stem))))
        joined = torch.cat([branches[0], *(resize(branch, branches[0]) for branch in branches[1:])], 1)
        aux, features = self.aux_head(joined), self.conv3x3_ocr(joined)
        shares = torch.softmax(aux.flatten(2), -1)
        classes = (shares @ features.flatten(2).transpose(1, 2)).transpose(1, 2).unsqueeze(3)
        return {"logits": resize(self.cls_head(self.ocr_distri_head(features, classes)), image), "aux": resize(aux, image)}


class Features(nn.Module):
    """A backbone of timm's: its classifier's scores, or its stages."""

    def __init__(self, name: str, **options):
        super().__init__()
        self.net = timm.create_model(name, **options)

    def state_dict(self, *args, **options):
        return self.net.state_dict(*args, **options)

    def forward(self, image):
        found = self.net(image)
        return {"logits": found} if isinstance(found, torch.Tensor) else {f"f{idx}": maps for idx, maps in enumerate(found)}


def networks() -> dict:
    """Name of the fixture, what it is as `[[members]]` has it, and the network."""
    smp_deeplab = {"network": "deeplabv3plus", "variant": "smp", "output_stride": 16, "rates": [6, 12, 18]}
    timm_backbone = {"network": "backbone", "variant": "timm"}
    narrow = {"stem_width": 16, "channels": (32, 64, 128, 256)}
    return {
        "small_deeplab_resnet18": (
            {**smp_deeplab, "backbone": "resnet18_w32", "decoder_channels": 128},
            lambda: deeplab_resnet18(32, 128),
        ),
        "small_danet_resnet18": (
            {"network": "danet", "variant": "official", "backbone": "resnet18_w32", "output_stride": 8},
            lambda: DANet(32),
        ),
        "small_deeplab_resnest14": (
            {**smp_deeplab, "backbone": "resnest14_w32", "decoder_channels": 64},
            lambda: deeplab("tu-resnest14d", 64, **narrow),
        ),
        "small_hrnet_ocr_w18_small": (
            {"network": "hrnet_ocr", "variant": "official", "backbone": "hrnet_w18_small", "decoder_channels": 64},
            lambda: HRNetOCR("hrnet_w18_small", 64),
        ),
        "danet_resnet18": (
            {"network": "danet", "variant": "official", "backbone": "resnet18", "output_stride": 8},
            lambda: DANet(64),
        ),
        "smp_deeplabv3plus_resnest14_os8": (
            {**smp_deeplab, "backbone": "resnest14d", "output_stride": 8},
            lambda: deeplab("tu-resnest14d", 256, encoder_output_stride=8),
        ),
        "smp_deeplabv3plus_resnest26": (
            {**smp_deeplab, "backbone": "resnest26d"},
            lambda: deeplab("tu-resnest26d", 256),
        ),
        "timm_resnest26d": (
            {**timm_backbone, "backbone": "resnest26d", "output_stride": 32, "classes": 1000},
            lambda: Features("resnest26d"),
        ),
        "timm_resnest14d_os16": (
            {**timm_backbone, "backbone": "resnest14d", "output_stride": 16, "features": True},
            lambda: Features("resnest14d", features_only=True, output_stride=16),
        ),
        "timm_hrnet_w18_small": (
            {**timm_backbone, "backbone": "hrnet_w18_small", "output_stride": 32, "classes": 1000},
            lambda: Features("hrnet_w18_small"),
        ),
    }


def kind(name: str, shape: tuple) -> str:
    endings = {"num_batches_tracked": "nbt", "running_mean": "mean", "running_var": "var"}
    for ending, is_kind in endings.items():
        if name.endswith(ending):
            return is_kind
    if len(shape) >= 2:
        return "w"
    return {"weight": "norm", "bias": "bias"}.get(name.rsplit(".", 1)[-1], "other")


def values(seed: int, name: str, shape: tuple, exponent: int) -> np.ndarray:
    """The rule of `src/zoo/seed.rs`."""
    mask, state = (1 << 64) - 1, 0xCBF29CE484222325
    for byte in f"{seed}/{name}".encode():
        state = (state ^ byte) * 0x100000001B3 & mask
    with np.errstate(over="ignore"):
        z = np.uint64(state) + np.arange(1, int(np.prod(shape)) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    r = ((z >> np.uint64(40)).astype(np.float64) + 0.5) / 16777216
    s = 2 * r - 1
    fan_in = int(np.prod(shape[1:]))
    made = {
        "nbt": lambda: 0 * s,
        "mean": lambda: 0.2 * s,
        "var": lambda: 0.6 + 0.8 * r,
        "w": lambda: np.sqrt(6 / fan_in) * s * 2.0**exponent,
        "norm": lambda: 0.75 + 0.5 * r,
        "bias": lambda: 0.1 * s,
        "other": lambda: 0.5 + 0.25 * s,
    }[kind(name, shape)]()
    return made.astype(np.float32).reshape(shape)


def exponent(name: str) -> int:
    """Smaller weights where outputs are added again and again, so that activations stay in bounds."""
    return -1 if any(part in name for part in ("layer", "stage")) else 0


def outputs(net: nn.Module, image: torch.Tensor) -> dict[str, np.ndarray]:
    with torch.no_grad():
        found = net(image)
    found = found if isinstance(found, dict) else {"logits": found}
    return {name: maps.numpy() for name, maps in found.items()}


def write(folder: pathlib.Path, name: str, spec: dict, net: nn.Module, seed: int) -> dict:
    rows, state = [], net.state_dict()
    for key, tensor in state.items():
        shape = tuple(tensor.shape)
        k = exponent(key) if kind(key, shape) == "w" else 0
        rows.append([key, "i64" if kind(key, shape) == "nbt" else "f32", list(shape), kind(key, shape), k])
        tensor.copy_(torch.from_numpy(values(seed, key, shape, k)).to(tensor.dtype))
    net.eval()
    tensors, cases = {}, []
    wide = copy.deepcopy(net).double()
    for case, size in enumerate(SIZES):
        shape = (size[0], 3, *size[1:])
        image = values(seed, f"case{case}", shape, 0)
        image /= image.std()
        tensors[f"case{case}.input"] = image
        facts = {}
        exact = outputs(wide, torch.from_numpy(image).double())
        for output, maps in outputs(net, torch.from_numpy(image)).items():
            tensors[f"case{case}.{output}"] = np.ascontiguousarray(maps)
            facts[output] = {
                "shape": list(maps.shape),
                "saved_stride": 1,
                "rms": float(np.sqrt(np.mean(np.square(maps, dtype=np.float64)))),
                "max_abs_diff_f64": float(np.abs(maps - exact[output]).max()),
            }
        cases.append({"input": list(shape), "outputs": facts})
    save_file(tensors, folder / f"{name}.safetensors")
    (folder / f"{name}.keys.json").write_text(json.dumps({"name": name, "seed": seed, "keys": rows}))
    classes = {} if "classes" in spec or spec.get("features") else {"classes": CLASSES}
    return {"name": name, "seed": seed, "spec": {**spec, **classes}, "cases": cases}


def quickest(work, rounds: int = 3) -> float:
    """Processor seconds."""
    taken = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken)


def speed(name: str, net: nn.Module, n_images: int = 8, side: int = 256) -> None:
    torch.set_num_threads(1)
    image, labels = torch.randn(n_images, 3, side, side), torch.randint(0, CLASSES, (n_images, side, side))
    adam = torch.optim.AdamW(net.parameters())

    def step() -> None:
        found = net(image)
        maps = found.values() if isinstance(found, dict) else [found]
        sum(F.cross_entropy(one, labels) for one in maps).backward()
        adam.step()
        adam.zero_grad()

    net.eval()
    passed = quickest(lambda: outputs(net, image))
    net.train()
    stepped = quickest(step)
    parameters = sum(p.numel() for p in net.parameters())
    print(f"{name:28} {parameters:>9} parameters, forward {passed:.2f} s, step {stepped:.2f} s, {n_images / stepped:.2f} samples/s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, nargs="?")
    parser.add_argument("--speed", action="store_true")
    arguments = parser.parse_args()
    if arguments.speed == (arguments.folder is not None):
        parser.error("give a FOLDER, or --speed")
    torch.manual_seed(0)
    if arguments.speed:
        for name, (_, make) in networks().items():
            if name.startswith("small_"):
                speed(name, make())
        return
    arguments.folder.mkdir(parents=True, exist_ok=True)
    fixtures = []
    for idx, (name, (spec, make)) in enumerate(networks().items()):
        fixtures.append(write(arguments.folder, name, spec, make(), 2000 + idx))
        sizes = [f"{output} {facts['rms']:.3g}" for output, facts in fixtures[-1]["cases"][0]["outputs"].items()]
        print(f"{name:34} r.m.s. of {', '.join(sizes)}", flush=True)
    (arguments.folder / "manifest.json").write_text(json.dumps({"rule": "NAIC-HASH-1", "fixtures": fixtures}, indent=1))


if __name__ == "__main__":
    main()
