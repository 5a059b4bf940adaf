"""MONAI's `sliding_window_inference`, the tool of medical imaging for scenes that do not fit: overlapping windows, averaged.

A window is a crop of swath's tiler and the overlap is its ring on both sides, so that as many windows are run; where windows overlap,
logits are averaged instead of cut off. Masks therefore differ a little around the seams.

    python monai_window.py --member smp/deeplabv3plus/resnet18=seed:18 --scenes SCENES --out MASKS --threads 2
"""
import numpy as np
import torch
from monai.inferers import sliding_window_inference

import careful
import peer


def main() -> None:
    parser = peer.parser(__doc__)
    parser.add_argument("--batch", type=int, default=1, help="windows per forward pass (default: %(default)s)")
    options = parser.parse_args()
    careful.prepare(options)
    networks, tiler = careful.members(options), peer.tiler(options)
    normalise = careful.Normalise(options, options.precision)

    def predict(window: torch.Tensor) -> torch.Tensor:
        total = networks[0](window).float()
        for network in networks[1:]:
            total += network(window)
        return total

    @torch.inference_mode()
    def segment(image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        grid = tiler.grid(image)
        # The ring outside the scene is padded as for the others, or windows would lie otherwise and be fewer.
        scene, share = normalise(grid.padded), tuple(1 - centre / side if grid.ring else 0.0 for centre, side in zip(grid.centres, grid.crop))
        logits = sliding_window_inference(scene, grid.crop, options.batch, predict, overlap=share)
        return logits[0].argmax(0)[grid.ring :, grid.ring :][:height, :width].to(torch.uint8).cpu().numpy()

    peer.run(options, segment)


if __name__ == "__main__":
    main()
