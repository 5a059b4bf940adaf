"""The way of the 2020 contest entry, as its published inference script works, written anew.

The whole scene is read, padded and normalised in f32 on the host; crop by crop, every network's logits at full size come to the host,
are summed there in numpy in f64, and the argmax is taken there over the whole crop.

    python loop2020.py --member smp/deeplabv3plus/resnet18=seed:18 --scenes SCENES --out MASKS --threads 2
"""
import dataclasses

import numpy as np
import torch

import careful
import peer


def main() -> None:
    options = peer.parser(__doc__).parse_args()
    careful.prepare(options)
    networks, tiler = careful.members(options), peer.tiler(options)
    mean, std = (np.array(each, np.float32) for each in (options.mean, options.std))

    @torch.no_grad()
    def segment(image: np.ndarray) -> np.ndarray:
        labels, grid = np.empty(image.shape[:2], np.uint8), tiler.grid(image)
        # What lies outside the scene are pixels as well, so it is normalised with the rest.
        grid = dataclasses.replace(grid, padded=(grid.padded.astype(np.float32) / 255 - mean) / std)
        for crop, (rows, columns), place in grid.tiles():
            x = torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1))).unsqueeze(0)
            x = x.to(options.device, dtype=careful.DTYPES[options.precision])
            total = np.zeros((options.classes, *grid.crop))
            for network in networks:
                total += network(x)[0].float().cpu().numpy()
            labels[place] = total.argmax(axis=0)[rows, columns]
        return labels

    peer.run(options, segment)


if __name__ == "__main__":
    main()
