"""The four networks of the 2020 semi-final and DeepLabv3+ on ResNet-18, defined anew for the peers.

Variables have the names of the reference implementations, so that `load_state_dict(strict=True)` takes what `swath models export`
wrote. Every forward pass returns logits at the size of its input, as the reference implementations do.
"""
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import weights


def resize(x: Tensor, like: Tensor) -> Tensor:
    """Bilinear, corners aligned: the one convention of all five networks."""
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=True)


def conv3x3(inputs: int, outputs: int, stride: int = 1, dilation: int = 1, groups: int = 1, bias: bool = False) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, groups, bias)


def conv1x1(inputs: int, outputs: int, bias: bool = False) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1, bias=bias)


def normed(*layers: nn.Module, channels: int) -> nn.Sequential:
    """The layers, batch normalisation, ReLU: numbered from 0, as most references number them."""
    return nn.Sequential(*layers, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


# ResNets


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut. Dilation holds for both, as in segmentation_models_pytorch."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int = 1, dilation: int = 1):
        super().__init__()
        self.conv1, self.bn1 = conv3x3(inputs, width, stride, dilation), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv3x3(width, width, 1, dilation), nn.BatchNorm2d(width)
        self.downsample = shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)).add_(self.downsample(x)), inplace=True)


class Bottleneck(nn.Module):
    """1x1, 3x3 (which strides), 1x1, and a shortcut."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int = 1, dilation: int = 1):
        super().__init__()
        self.conv1, self.bn1 = conv1x1(inputs, width), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv3x3(width, width, stride, dilation), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = conv1x1(width, 4 * width), nn.BatchNorm2d(4 * width)
        self.downsample = shortcut(inputs, 4 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        return F.relu(self.bn3(self.conv3(y)).add_(self.downsample(x)), inplace=True)


def shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    """The identity has no variables, so its name does not show among them."""
    if inputs == outputs and stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


def stage(block: type[nn.Module], inputs: int, width: int, dilations: list[int], stride: int = 1) -> nn.Sequential:
    """One block per dilation, of which the first strides."""
    blocks = [block(inputs, width, stride, dilations[0])]
    blocks += [block(width * block.expansion, width, 1, dilation) for dilation in dilations[1:]]
    return nn.Sequential(*blocks)


class ResNet(nn.Module):
    """torchvision's tree. `dilations` and `strides` are those of the four stages' blocks; `classifier` keeps the unused `fc`."""

    def __init__(self, block: type[nn.Module], dilations: list[list[int]], strides: tuple[int, ...], classifier: bool = False):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        inputs = 64
        for index, (each, stride) in enumerate(zip(dilations, strides, strict=True)):
            setattr(self, f"layer{index + 1}", stage(block, inputs, 64 << index, each, stride))
            inputs = (64 << index) * block.expansion
        if classifier:
            self.fc = nn.Linear(inputs, 1000)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The maps of the first and of the last stage."""
        low = self.layer1(F.max_pool2d(F.relu(self.bn1(self.conv1(x)), inplace=True), 3, 2, 1))
        return low, self.layer4(self.layer3(self.layer2(low)))


class EntryResNet(nn.Module):
    """ResNet-101 at output stride 16 under the names of the 2020 entry: all of the last stage is dilated, its first block too."""

    def __init__(self):
        super().__init__()
        stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
        self.low_features = nn.Sequential(*stem, stage(Bottleneck, 64, 64, [1] * 3))
        deep = [stage(Bottleneck, 256, 128, [1] * 4, 2), stage(Bottleneck, 512, 256, [1] * 23, 2), stage(Bottleneck, 1024, 512, [2] * 3)]
        self.high_features = nn.Sequential(*deep)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        low = self.low_features(x)
        return low, self.high_features(low)


# ResNeSt


class SplitAttention(nn.Module):
    """A 3x3 convolution in two groups whose halves are mixed, channel by channel, by weights that follow from their means."""

    def __init__(self, width: int, dilation: int):
        super().__init__()
        inner = max(width // 2, 32)
        self.conv, self.bn0 = conv3x3(width, 2 * width, 1, dilation, groups=2), nn.BatchNorm2d(2 * width)
        self.fc1, self.bn1 = conv1x1(width, inner, bias=True), nn.BatchNorm2d(inner)
        self.fc2 = conv1x1(inner, 2 * width, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        first, second = F.relu(self.bn0(self.conv(x)), inplace=True).chunk(2, dim=1)
        means = (first + second).mean((2, 3), keepdim=True)
        scores = self.fc2(F.relu(self.bn1(self.fc1(means)), inplace=True))
        shares = scores.unflatten(1, (2, -1)).softmax(dim=1)
        return first * shares[:, 0] + second * shares[:, 1]


class ResNeStBlock(nn.Module):
    """Stage after stage the first block pools by 3x3 averages behind its split attention, even where it does not stride."""

    def __init__(self, inputs: int, width: int, stride: int, dilation: int, pools: bool):
        super().__init__()
        self.conv1, self.bn1 = conv1x1(inputs, width), nn.BatchNorm2d(width)
        self.conv2 = SplitAttention(width, dilation)
        self.pool = nn.AvgPool2d(3, stride, 1) if pools else nn.Identity()
        self.conv3, self.bn3 = conv1x1(width, 4 * width), nn.BatchNorm2d(4 * width)
        self.downsample = nn.Identity()
        if inputs != 4 * width:
            halve = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
            self.downsample = nn.Sequential(halve, conv1x1(inputs, 4 * width), nn.BatchNorm2d(4 * width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.pool(self.conv2(F.relu(self.bn1(self.conv1(x)), inplace=True)))
        return F.relu(self.bn3(self.conv3(y)).add_(self.downsample(x)), inplace=True)


class ResNeSt(nn.Module):
    """At output stride 8, with the `fc` that the reference keeps. 101: blocks (3, 4, 23, 3), stem 64; 50: (3, 4, 6, 3), stem 32."""

    def __init__(self, blocks: tuple[int, ...], stem: int):
        super().__init__()
        first = [nn.Conv2d(3, stem, 3, 2, 1, bias=False), nn.BatchNorm2d(stem), nn.ReLU(inplace=True)]
        second = [conv3x3(stem, stem), nn.BatchNorm2d(stem), nn.ReLU(inplace=True), conv3x3(stem, 2 * stem)]
        self.conv1, self.bn1 = nn.Sequential(*first, *second), nn.BatchNorm2d(2 * stem)
        inputs = 2 * stem
        for index, (count, stride, before, dilation) in enumerate(zip(blocks, (1, 2, 1, 1), (1, 1, 1, 2), (1, 1, 2, 4), strict=True)):
            width = 64 << index
            layers = [ResNeStBlock(inputs, width, stride, before, pools=index > 0)]
            layers += [ResNeStBlock(4 * width, width, 1, dilation, pools=False) for _ in range(count - 1)]
            setattr(self, f"layer{index + 1}", nn.Sequential(*layers))
            inputs = 4 * width
        self.fc = nn.Linear(inputs, 1000)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        low = self.layer1(F.max_pool2d(F.relu(self.bn1(self.conv1(x)), inplace=True), 3, 2, 1))
        return low, self.layer4(self.layer3(self.layer2(low)))


class Pretrained(nn.Module):
    """One more step in the names of variables."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.pretrained = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.pretrained(x)


# DeepLabv3+ of the 2020 entry


class Branch(nn.Module):
    """Convolution, batch normalisation, ReLU under names that end in a number of the entry's choosing."""

    def __init__(self, conv: nn.Conv2d, names: tuple[str, str]):
        super().__init__()
        self.names = names
        self.add_module(names[0], conv)
        self.add_module(names[1], nn.BatchNorm2d(conv.out_channels))

    def forward(self, x: Tensor) -> Tensor:
        conv, norm = (getattr(self, name) for name in self.names)
        return F.relu(norm(conv(x)), inplace=True)


class EntryPyramid(nn.Module):
    """Mean of the image, 1x1, and three dilated 3x3 side by side, in this order."""

    def __init__(self, inputs: int, rates: tuple[int, int, int] = (6, 12, 18)):
        super().__init__()
        self.gave_pool = Branch(conv1x1(inputs, 256), ("conv0_1", "bn0_1"))
        self.conv1_1 = Branch(conv1x1(inputs, 256), ("conv0_2", "bn0_2"))
        for index, rate in enumerate(rates, start=1):
            branch = Branch(conv3x3(inputs, 256, dilation=rate), (f"conv1_{index}", f"bn1_{index}"))
            self.add_module(f"aspp_bra{index}", branch)
        self.aspp_catdown = Branch(conv1x1(5 * 256, 256), ("conv_down", "bn_down"))

    def forward(self, x: Tensor) -> Tensor:
        mean = self.gave_pool(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[-2:])
        return self.aspp_catdown(torch.cat([mean, self.conv1_1(x), self.aspp_bra1(x), self.aspp_bra2(x), self.aspp_bra3(x)], 1))


class EntryDeepLab(nn.Module):
    """DeepLabv3+ with plain 3x3 convolutions."""

    def __init__(self, backend: nn.Module, classes: int):
        super().__init__()
        self.backend = backend
        self.aspp_pooling = EntryPyramid(2048)
        self.cbr_low = normed(conv1x1(256, 48), channels=48)
        head = [normed(conv3x3(304, 256), channels=256), normed(conv3x3(256, 256), channels=256)]
        self.cbr_last = nn.Sequential(*head[0], *head[1], conv1x1(256, classes, bias=True))

    def forward(self, x: Tensor) -> Tensor:
        low, high = self.backend(x)
        high = resize(self.aspp_pooling(high), low)
        return resize(self.cbr_last(torch.cat([high, self.cbr_low(low)], 1)), x)


# DANet of the 2020 entry


class PositionAttention(nn.Module):
    """Every position takes from all others by how alike they are."""

    def __init__(self, channels: int):
        super().__init__()
        self.query_conv, self.key_conv = conv1x1(channels, channels // 8, bias=True), conv1x1(channels, channels // 8, bias=True)
        self.value_conv = conv1x1(channels, channels, bias=True)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (conv(x).flatten(2) for conv in (self.query_conv, self.key_conv, self.value_conv))
        shares = (query.transpose(1, 2) @ key).softmax(dim=-1)
        return self.gamma * (value @ shares.transpose(1, 2)).view_as(x) + x


class ChannelAttention(nn.Module):
    """Every channel takes from all others by how unlike they are. Energies exceed what f16 holds, so they are f32 always."""

    def __init__(self):
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        values = x.flatten(2)
        wide = values.float()
        energy = wide @ wide.transpose(1, 2)
        shares = (energy.amax(dim=-1, keepdim=True) - energy).softmax(dim=-1).to(x.dtype)
        return self.gamma * (shares @ values).view_as(x) + x


class AttentionHead(nn.Module):
    """Both attentions side by side on a quarter of the channels, added."""

    def __init__(self, inputs: int):
        super().__init__()
        inner = inputs // 4
        self.conv5a, self.sa = normed(conv3x3(inputs, inner), channels=inner), PositionAttention(inner)
        self.conv5c, self.sc = normed(conv3x3(inputs, inner), channels=inner), ChannelAttention()
        self.conv51, self.conv52 = normed(conv3x3(inner, inner), channels=inner), normed(conv3x3(inner, inner), channels=inner)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv51(self.sa(self.conv5a(x))) + self.conv52(self.sc(self.conv5c(x)))


class DANet(nn.Module):
    """On ResNet-101 at output stride 8, dilated as torchvision dilates: a stage's first block by half of what the others are."""

    def __init__(self, classes: int):
        super().__init__()
        dilations = [[1] * 3, [1] * 4, [1] + [2] * 22, [2] + [4] * 2]
        self.pretrained = ResNet(Bottleneck, dilations, (1, 2, 1, 1), classifier=True)
        self.head = AttentionHead(2048)
        self.seg1 = nn.Sequential(nn.Dropout(0.1), conv1x1(512, classes, bias=True))

    def forward(self, x: Tensor) -> Tensor:
        return resize(self.seg1(self.head(self.pretrained(x)[1])), x)


# HRNet with object context


class Exchange(nn.Module):
    """Branches of residual blocks, then every branch gets the sum of all, each brought to its resolution."""

    def __init__(self, widths: list[int]):
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*(BasicBlock(width, width) for _ in range(4))) for width in widths)
        rows = ([exchange_path(widths, source, target) for source in range(len(widths))] for target in range(len(widths)))
        self.fuse_layers = nn.ModuleList(nn.ModuleList(row) for row in rows)

    def forward(self, xs: list[Tensor]) -> list[Tensor]:
        xs = [branch(x) for branch, x in zip(self.branches, xs, strict=True)]
        fused = []
        for target, row in zip(xs, self.fuse_layers, strict=True):
            maps = [path(x) for path, x in zip(row, xs, strict=True)]
            total = maps[0] if maps[0].shape == target.shape else resize(maps[0], target)
            for each in maps[1:]:
                total = total + (each if each.shape == target.shape else resize(each, target))
            fused.append(F.relu(total, inplace=True))
        return fused


def exchange_path(widths: list[int], source: int, target: int) -> nn.Module:
    """From a coarser branch a 1x1 convolution (enlarged by the caller), from a finer one a chain of 3x3 that each halve."""
    if source == target:
        return nn.Identity()
    if source > target:
        return nn.Sequential(conv1x1(widths[source], widths[target]), nn.BatchNorm2d(widths[target]))
    halve = [normed(conv3x3(widths[source], widths[source], 2), channels=widths[source]) for _ in range(target - source - 1)]
    last = nn.Sequential(conv3x3(widths[source], widths[target], 2), nn.BatchNorm2d(widths[target]))
    return nn.Sequential(*halve, last)


class ObjectContext(nn.Module):
    """Pixels as queries over one key and value per class."""

    def __init__(self, channels: int, inner: int):
        super().__init__()
        self.f_pixel, self.f_object = points(channels, inner, inner), points(channels, inner, inner)
        self.f_down, self.f_up = points(channels, inner), points(inner, channels)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        query, key, value = self.f_pixel(x).flatten(2), self.f_object(context).flatten(2), self.f_down(context).flatten(2)
        shares = (query.transpose(1, 2) @ key * key.shape[1] ** -0.5).softmax(dim=-1)
        found = (value @ shares.transpose(1, 2)).unflatten(2, x.shape[-2:])
        return self.f_up(found)


def norm_relu(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


def points(*widths: int) -> nn.Sequential:
    """1x1 convolutions from width to width, each with batch normalisation and ReLU one level further down."""
    pairs = zip(widths, widths[1:])
    return nn.Sequential(*(layer for before, after in pairs for layer in (conv1x1(before, after), norm_relu(after))))


class Distribution(nn.Module):
    """What the object context found beside the features themselves, reduced."""

    def __init__(self, channels: int):
        super().__init__()
        self.object_context_block = ObjectContext(channels, channels // 2)
        self.conv_bn_dropout = points(2 * channels, channels)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        return self.conv_bn_dropout(torch.cat([self.object_context_block(x, context), x], 1))


def gather(features: Tensor, logits: Tensor) -> Tensor:
    """The mean feature of each class, every pixel weighed by its softmax over the pixels: in f32, for f16 has no such small shares."""
    shares = logits.float().flatten(2).softmax(dim=-1)
    means = features.float().flatten(2) @ shares.transpose(1, 2)
    return means.unsqueeze(3).to(features.dtype)


class HRNetOCR(nn.Module):
    """HRNetV2 with the head of object-contextual representations; the auxiliary classifier only steers the head here."""

    def __init__(self, width: int, classes: int):
        super().__init__()
        widths = [width << index for index in range(4)]
        self.conv1, self.bn1 = conv3x3(3, 64, 2), nn.BatchNorm2d(64)
        self.conv2, self.bn2 = conv3x3(64, 64, 2), nn.BatchNorm2d(64)
        self.layer1 = stage(Bottleneck, 64, 64, [1] * 4)
        stem_to_second = nn.Sequential(normed(conv3x3(256, widths[1], 2), channels=widths[1]))
        self.transition1 = nn.ModuleList([normed(conv3x3(256, width), channels=width), stem_to_second])
        self.transition2, self.transition3 = (self.transition(widths, index) for index in (2, 3))
        self.stage2, self.stage3, self.stage4 = (
            nn.Sequential(*(Exchange(widths[:branches]) for _ in range(modules))) for modules, branches in ((1, 2), (4, 3), (3, 4))
        )
        total = sum(widths)
        self.aux_head = nn.Sequential(*normed(conv1x1(total, total, bias=True), channels=total), conv1x1(total, classes, bias=True))
        self.conv3x3_ocr = normed(conv3x3(total, 512, bias=True), channels=512)
        self.ocr_distri_head = Distribution(512)
        self.cls_head = conv1x1(512, classes, bias=True)

    @staticmethod
    def transition(widths: list[int], index: int) -> nn.ModuleList:
        """A new coarsest branch from the one before it; the others pass."""
        new = nn.Sequential(normed(conv3x3(widths[index - 1], widths[index], 2), channels=widths[index]))
        return nn.ModuleList([*(nn.Identity() for _ in range(index)), new])

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.layer1(F.relu(self.bn2(self.conv2(y)), inplace=True))
        maps = self.stage2([layer(y) for layer in self.transition1])
        maps = self.stage3([*maps, self.transition2[2](maps[-1])])
        maps = self.stage4([*maps, self.transition3[3](maps[-1])])
        features = torch.cat([maps[0], *(resize(each, maps[0]) for each in maps[1:])], 1)
        aux = self.aux_head(features)
        features = self.conv3x3_ocr(features)
        return resize(self.cls_head(self.ocr_distri_head(features, gather(features, aux))), x)


# DeepLabv3+ of segmentation_models_pytorch on ResNet-18


def separable(inputs: int, outputs: int, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(conv3x3(inputs, inputs, dilation=dilation, groups=inputs), conv1x1(inputs, outputs))


class SmpPyramid(nn.Module):
    """1x1, three dilated separable 3x3, and the mean of the image side by side, in this order."""

    def __init__(self, inputs: int, rates: tuple[int, int, int]):
        super().__init__()
        branches = [conv1x1(inputs, 256), *(separable(inputs, 256, rate) for rate in rates)]
        mean = normed(nn.AdaptiveAvgPool2d(1), conv1x1(inputs, 256), channels=256)
        self.convs = nn.ModuleList([*(normed(branch, channels=256) for branch in branches), mean])
        self.project = normed(conv1x1(5 * 256, 256), channels=256)

    def forward(self, x: Tensor) -> Tensor:
        mean = self.convs[4](x).expand(-1, -1, *x.shape[-2:])
        return self.project(torch.cat([*(conv(x) for conv in self.convs[:4]), mean], 1))


class SmpDecoder(nn.Module):
    """Pyramid, enlarged and joined with the first stage's map. Upsampling is without variables."""

    def __init__(self, low: int, high: int, rates: tuple[int, int, int]):
        super().__init__()
        self.aspp = nn.Sequential(SmpPyramid(high, rates), *normed(separable(256, 256), channels=256))
        self.block1 = normed(conv1x1(low, 48), channels=48)
        self.block2 = normed(separable(304, 256), channels=256)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        return self.block2(torch.cat([resize(self.aspp(high), low), self.block1(low)], 1))


class SmpDeepLab(nn.Module):
    """At output stride 16. 18: blocks (2, 2, 2, 2); 34: (3, 4, 6, 3). Sides are multiples of 16."""

    def __init__(self, blocks: tuple[int, ...], classes: int):
        super().__init__()
        dilations = [[dilation] * count for count, dilation in zip(blocks, (1, 1, 1, 2), strict=True)]
        self.encoder = ResNet(BasicBlock, dilations, (1, 2, 2, 1))
        self.decoder = SmpDecoder(64, 512, (12, 24, 36))
        self.segmentation_head = nn.Sequential(conv1x1(256, classes, bias=True))

    def forward(self, x: Tensor) -> Tensor:
        return resize(self.segmentation_head(self.decoder(*self.encoder(x))), x)


SEMIFINAL = ("naic2020/deeplab-resnet101", "naic2020/danet-resnet101", "naic2020/deeplab-resnest101", "naic2020/hrnet-ocr-w48")

NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "naic2020/deeplab-resnet101": lambda classes: EntryDeepLab(EntryResNet(), classes),
    "naic2020/danet-resnet101": DANet,
    "naic2020/deeplab-resnest101": lambda classes: EntryDeepLab(Pretrained(ResNeSt((3, 4, 23, 3), 64)), classes),
    "naic2020/hrnet-ocr-w48": lambda classes: HRNetOCR(48, classes),
    "smp/deeplabv3plus/resnet18": lambda classes: SmpDeepLab((2, 2, 2, 2), classes),
}


def build(name: str, source: str, classes: int = 15) -> nn.Module:
    """A network with the weights of a safetensors file, or with those of `seed:N`, in eval mode, f32, on the CPU."""
    if name not in NETWORKS:
        raise SystemExit(f"no network is called {name}; there are {', '.join(NETWORKS)}")
    with torch.device("meta"):
        network = NETWORKS[name](classes)
    if source.startswith("seed:"):
        shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
        tensors = weights.seeded(shapes, int(source.removeprefix("seed:")))
    else:
        tensors = weights.read(source)
        # Files have no batch counters; without metadata PyTorch would make them up, but not on the meta device.
        counters = (key for key in network.state_dict() if key.endswith("num_batches_tracked"))
        tensors |= {key: torch.zeros((), dtype=torch.int64) for key in counters if key not in tensors}
    network.load_state_dict(tensors, strict=True, assign=True)
    return network.eval().requires_grad_(False)
