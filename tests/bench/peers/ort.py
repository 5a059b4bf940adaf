"""ONNX Runtime on the CPU: the whole pipeline of a crop as one graph, from bytes to labels.

Normalisation, members, their sum and the argmax are exported once per size of crop (`export`, which needs torch, onnx and onnxscript);
the run itself (`run`) has numpy and onnxruntime alone. Tiles are those of careful.py.

    python ort.py export --member smp/deeplabv3plus/resnet18=seed:18 --scenes SCENES --out GRAPHS
    python ort.py run --graphs GRAPHS --member smp/deeplabv3plus/resnet18=seed:18 --scenes SCENES --out MASKS --threads 2
"""
import argparse
import os
import pathlib
import sys

import numpy as np

import peer
import rasters


def graph_file(folder: pathlib.Path, height: int, width: int) -> pathlib.Path:
    return folder / f"{height}x{width}.onnx"


def export(options: argparse.Namespace) -> None:
    """A graph for every size of crop that the scenes need and that has none yet."""
    import torch

    import careful

    class Pipeline(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.members = torch.nn.ModuleList(careful.members(options))
            self.mean, self.std = (torch.tensor(each).view(1, 3, 1, 1) for each in (options.mean, options.std))

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            x = (pixels.permute(2, 0, 1).unsqueeze(0).float() / 255 - self.mean) / self.std
            total = self.members[0](x)
            for member in self.members[1:]:
                total = total + member(x)
            return total[0].argmax(0).to(torch.uint8)

    options.out.mkdir(parents=True, exist_ok=True)
    pipeline, tiler = Pipeline().eval(), peer.tiler(options)
    sizes = {tiler.grid(rasters.read_tiff(scene)).crop for scene in peer.scenes(options)}
    for height, width in sorted(size for size in sizes if not graph_file(options.out, *size).exists()):
        example = torch.zeros(height, width, 3, dtype=torch.uint8)
        torch.onnx.export(pipeline, (example,), graph_file(options.out, height, width), input_names=["pixels"], output_names=["labels"],
                          dynamo=True, external_data=False, verbose=False)


def run(options: argparse.Namespace) -> None:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    # The same wish as OpenMP's other users hear, for this library has threads of its own.
    spins = os.environ.get("OMP_WAIT_POLICY", "").upper() != "PASSIVE"
    settings.add_session_config_entry("session.intra_op.allow_spinning", str(int(spins)))
    sessions: dict[tuple[int, int], onnxruntime.InferenceSession] = {}
    tiler = peer.tiler(options)

    def session(size: tuple[int, int]) -> onnxruntime.InferenceSession:
        if size not in sessions:
            file = graph_file(options.graphs, *size)
            sessions[size] = onnxruntime.InferenceSession(file, settings, providers=["CPUExecutionProvider"])
        return sessions[size]

    def segment(image: np.ndarray) -> np.ndarray:
        labels = np.empty(image.shape[:2], np.uint8)
        for crop, (rows, columns), place in tiler.grid(image).tiles():
            (found,) = session(crop.shape[:2]).run(None, {"pixels": np.ascontiguousarray(crop)})
            labels[place] = found[rows, columns]
        return labels

    peer.run(options, segment)


def main() -> None:
    about, modes = __doc__, {"export": export, "run": run}
    if len(sys.argv) < 2 or sys.argv[1] not in modes:
        raise SystemExit(about)
    parser = peer.parser(about)
    parser.add_argument("--graphs", type=pathlib.Path, help="the folder that `export` wrote")
    modes[sys.argv[1]](parser.parse_args(sys.argv[2:]))


if __name__ == "__main__":
    main()
