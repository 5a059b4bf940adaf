"""How many pixels of two folders of masks agree.

    python3 agree.py MASKS OTHERS        every PNG of MASKS with the one of the same name in OTHERS; exit code 1 if one is missing
"""
import argparse
import pathlib

import rasters


def count(masks: pathlib.Path, others: pathlib.Path) -> tuple[int, int]:
    """Pixels that agree, and pixels in all."""
    same = total = 0
    names = sorted(path.name for path in masks.glob("*.png"))
    if not names:
        raise SystemExit(f"{masks} holds no .png")
    for name in names:
        if not (others / name).exists():
            raise SystemExit(f"{others / name} is missing")
        first, second = rasters.read_png(masks / name), rasters.read_png(others / name)
        if first.shape != second.shape:
            raise SystemExit(f"{name} has {first.shape} pixels in one folder and {second.shape} in the other")
        same, total = same + int((first == second).sum()), total + first.size
    return same, total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("masks", type=pathlib.Path)
    parser.add_argument("others", type=pathlib.Path)
    options = parser.parse_args()
    same, total = count(options.masks, options.others)
    print(f"{total - same} of {total} pixels differ: {100 * same / total:.4f} % agree")


if __name__ == "__main__":
    main()
