"""The careful script: what somebody who knows PyTorch writes in an hour, and what the device then waits least for.

numpy pads the scene and cuts crops with a ring of real surroundings; one crop at a time goes up as bytes; normalisation, the sum over
members and the argmax are done on the device, and only the labels of the kept centre come back.

    python careful.py --member smp/deeplabv3plus/resnet18=seed:18 --scenes SCENES --out MASKS --threads 2

Needs torch and numpy, and no network.
"""
import argparse
from collections.abc import Callable, Sequence

import numpy as np
import torch

import networks
import peer
import tiles

DTYPES = {"f32": torch.float32, "tf32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}

Forward = Callable[[torch.Tensor], torch.Tensor]


def prepare(options: argparse.Namespace) -> None:
    """PyTorch's own f32 is TF32 in convolutions on a GPU; here it is what its name says."""
    torch.set_num_threads(options.threads)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = options.precision == "tf32"


def members(options: argparse.Namespace, channels_last: bool = False) -> list[torch.nn.Module]:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    built = (networks.build(name, source, options.classes) for name, source in peer.sources(options))
    return [network.to(options.device, DTYPES[options.precision], memory_format=layout) for network in built]


class Normalise:
    """Bytes of a crop to what the networks take, on the device."""

    def __init__(self, options: argparse.Namespace, precision: str, channels_last: bool = False):
        self.dtype, self.layout = DTYPES[precision], torch.channels_last if channels_last else torch.contiguous_format
        self.device = torch.device(options.device)
        self.mean, self.std = (torch.tensor(each, device=self.device).view(1, 3, 1, 1) for each in (options.mean, options.std))

    def __call__(self, crop: np.ndarray) -> torch.Tensor:
        pixels = torch.from_numpy(np.ascontiguousarray(crop)).to(self.device).permute(2, 0, 1).unsqueeze(0)
        return ((pixels.float() / 255 - self.mean) / self.std).to(self.dtype).contiguous(memory_format=self.layout)


def segmenter(forwards: Sequence[Forward], normalise: Normalise, tiler: tiles.Tiler) -> peer.Segment:
    @torch.inference_mode()
    def segment(image: np.ndarray) -> np.ndarray:
        labels = np.empty(image.shape[:2], np.uint8)
        for crop, (rows, columns), place in tiler.grid(image).tiles():
            x = normalise(crop)
            total = forwards[0](x).to(torch.float32, copy=True)
            for forward in forwards[1:]:
                total += forward(x)
            labels[place] = total[0, :, rows, columns].argmax(0).to(torch.uint8).cpu().numpy()
        return labels

    return segment


def main() -> None:
    parser = peer.parser(__doc__)
    parser.add_argument("--channels-last", action="store_true", help="keep maps with the channels innermost")
    options = parser.parse_args()
    prepare(options)
    normalise = Normalise(options, options.precision, options.channels_last)
    peer.run(options, segmenter(members(options, options.channels_last), normalise, peer.tiler(options)))


if __name__ == "__main__":
    main()
