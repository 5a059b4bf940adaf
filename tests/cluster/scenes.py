"""Draws scenes of many sizes and a giant: python3 scenes.py FOLDER N SIDE. Equal arguments give equal bytes."""

import os
import random
import struct
import sys


def tiff(path, width, height, seed):
    """Three bands of bytes, a strip of all rows each, as smooth patterns that differ by seed."""
    rows_per_strip = 64
    pattern = random.Random(seed).randbytes(3 * 4096)
    strips = [min(rows_per_strip, height - y) for y in range(0, height, rows_per_strip)]
    sizes = [rows * width * 3 for rows in strips]
    n_tags = 10
    beyond = 8 + 2 + 12 * n_tags + 4
    bits_at = beyond
    offsets_at = bits_at + 6
    sizes_at = offsets_at + 4 * len(strips)
    pixels_at = sizes_at + 4 * len(strips)
    offsets, at = [], pixels_at
    for size in sizes:
        offsets.append(at)
        at += size
    one = len(strips) == 1
    tags = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 3, bits_at),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, len(strips), offsets[0] if one else offsets_at),
        (277, 3, 1, 3),
        (278, 4, 1, rows_per_strip),
        (279, 4, len(strips), sizes[0] if one else sizes_at),
        (284, 3, 1, 1),
    ]
    with open(path, "wb") as file:
        file.write(b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", n_tags))
        for tag, kind, count, value in tags:
            file.write(struct.pack("<HHII", tag, kind, count, value))
        file.write(struct.pack("<I", 0) + struct.pack("<HHH", 8, 8, 8))
        file.write(struct.pack(f"<{len(offsets)}I", *offsets) + struct.pack(f"<{len(sizes)}I", *sizes))
        for y in range(height):
            begin = (y * 37) % len(pattern)
            row = (pattern[begin:] + pattern * (1 + width * 3 // len(pattern)))[: width * 3]
            file.write(row)


def main():
    folder, n, side = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    os.makedirs(folder, exist_ok=True)
    sizes = random.Random(1)
    for i in range(n):
        width, height = (int(2 ** sizes.uniform(5, 9.5)) for _ in range(2))
        tiff(f"{folder}/s{i:04}.tif", width, height, i)
    tiff(f"{folder}/giant.tif", side, side * 3 // 4, n)


main()
