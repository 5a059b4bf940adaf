"""The files of the peers, with numpy and zlib alone: RGB TIFFs of 8 bits in, grey PNGs of 8 bits out, and both the other way round.

Reads what `swath synth` and `write_tiff` write: little-endian TIFF, pixel-interleaved, strips or tiles, uncompressed or deflate, with or
without horizontal differences. Rasters of other kinds are what libraries are for; a machine without them has these scenes alone.
"""
import pathlib
import struct
import zlib

import numpy as np

TILE = 256
WIDTHS = {1: "B", 3: "H", 4: "I"}


def read_tiff(path: str | pathlib.Path) -> np.ndarray:
    """Height x width x bands."""
    raw = pathlib.Path(path).read_bytes()
    if raw[:4] != b"II*\0":
        raise SystemExit(f"{path}: not a little-endian TIFF; write it anew, e.g. with gdal_translate -co BIGTIFF=NO -co ENDIANNESS=LITTLE")
    tags = _tags(raw)
    width, height, bands = tags[256][0], tags[257][0], tags.get(277, (1,))[0]
    compression, predictor = tags.get(259, (1,))[0], tags.get(317, (1,))[0]
    if set(tags[258]) != {8} or compression not in (1, 8, 32946) or predictor > 2 or tags.get(284, (1,))[0] != 1:
        raise SystemExit(f"{path}: only u8, pixel-interleaved, uncompressed or deflate; got bits {tags[258]}, compression {compression}")
    tiled = 322 in tags
    across, down = (tags[322][0], tags[323][0]) if tiled else (width, min(tags.get(278, (height,))[0], height))
    offsets, lengths = (tags[324], tags[325]) if tiled else (tags[273], tags[279])
    image, columns = np.empty((height, width, bands), np.uint8), -(-width // across)
    for index, (offset, length) in enumerate(zip(offsets, lengths, strict=True)):
        top, left = index // columns * down, index % columns * across
        block = raw[offset : offset + length] if length else bytes(down * across * bands)
        block = block if compression == 1 or not length else zlib.decompress(block)
        pixels = np.frombuffer(block, np.uint8)
        pixels = pixels[: pixels.size // (across * bands) * across * bands].reshape(-1, across, bands)
        if predictor == 2:
            pixels = np.add.accumulate(pixels, axis=1, dtype=np.uint8)
        place = image[top : top + down, left : left + across]
        place[:] = pixels[: place.shape[0], : place.shape[1]]
    return image


def _tags(raw: bytes) -> dict[int, tuple[int, ...]]:
    """The whole numbers of the first page's directory."""
    (start,) = struct.unpack_from("<I", raw, 4)
    (count,) = struct.unpack_from("<H", raw, start)
    tags = {}
    for at in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, n = struct.unpack_from("<HHI", raw, at)
        if kind in WIDTHS:
            form = f"<{n}{WIDTHS[kind]}"
            inside = struct.calcsize(form) <= 4
            tags[tag] = struct.unpack_from(form, raw, at + 8 if inside else struct.unpack_from("<I", raw, at + 8)[0])
    return tags


def write_tiff(path: str | pathlib.Path, image: np.ndarray) -> None:
    """Tiled, deflate, horizontal differences: as `swath synth` and most archives store scenes."""
    height, width, bands = image.shape
    padded = np.pad(image, ((0, -height % TILE), (0, -width % TILE), (0, 0)))
    blocks = []
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            pixels = padded[top : top + TILE, left : left + TILE]
            blocks.append(zlib.compress(np.diff(pixels, axis=1, prepend=np.uint8(0)).tobytes(), 6))
    lengths = [len(block) for block in blocks]
    offsets = [8 + sum(lengths[:index]) for index in range(len(blocks))]
    short, long = 3, 4
    entries = [(256, long, [width]), (257, long, [height]), (258, short, [8] * bands), (259, short, [8]), (262, short, [2])]
    entries += [(277, short, [bands]), (284, short, [1]), (317, short, [2]), (322, short, [TILE]), (323, short, [TILE])]
    entries += [(324, long, offsets), (325, long, lengths)]
    at = 8 + sum(lengths)
    directory, outside = struct.pack("<H", len(entries)), b""
    for tag, kind, values in entries:
        data = struct.pack(f"<{len(values)}{WIDTHS[kind]}", *values)
        if len(data) > 4:
            far = at + 2 + 12 * len(entries) + 4 + len(outside)
            outside += data + b"\0" * (len(data) % 2)
            data = struct.pack("<I", far)
        directory += struct.pack("<HHI", tag, kind, len(values)) + data.ljust(4, b"\0")
    pathlib.Path(path).write_bytes(b"II*\0" + struct.pack("<I", at) + b"".join(blocks) + directory + b"\0" * 4 + outside)


def write_png(path: str | pathlib.Path, values: np.ndarray) -> None:
    """Grey, 8 bits, each row as differences from the one above, at zlib's fastest level."""
    height, width = values.shape
    rows = np.empty((height, width + 1), np.uint8)
    rows[:, 0] = 2
    rows[:, 1:] = np.diff(values, axis=0, prepend=np.zeros((1, width), np.uint8))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 1)), (b"IEND", b"")]
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for name, data in chunks:
            file.write(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)))


def read_png(path: str | pathlib.Path) -> np.ndarray:
    """Of a mask: grey, 8 bits, not interlaced."""
    raw, at, data, size = pathlib.Path(path).read_bytes(), 8, b"", (0, 0)
    while at < len(raw):
        length, name = struct.unpack_from(">I4s", raw, at)
        if name == b"IHDR":
            *size, depth, color, _, _, interlaced = struct.unpack_from(">IIBBBBB", raw, at + 8)
            if (depth, color, interlaced) != (8, 0, 0):
                raise SystemExit(f"{path}: only grey masks of 8 bits are compared")
        elif name == b"IDAT":
            data += raw[at + 8 : at + 8 + length]
        at += 12 + length
    width, height = size
    rows = np.frombuffer(zlib.decompress(data), np.uint8).reshape(height, width + 1)
    return _unfilter(rows[:, 0], rows[:, 1:])


def _unfilter(kinds: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """A pixel needs the finished ones to its left, above, and between: so whole diagonals are finished at once, corner to corner."""
    height, width = rows.shape
    framed = np.zeros((height + 1, width + 1), np.int16)
    framed[1:, 1:] = rows
    flat, kinds = framed.reshape(-1), kinds.astype(np.intp)
    for diagonal in range(height + width - 1):
        top, bottom = max(0, diagonal - width + 1), min(diagonal, height - 1)
        begin = (top + 1) * (width + 1) + diagonal - top + 1
        end = begin + (bottom - top) * width + 1
        here, left, above, corner = (flat[begin - back : end - back : width] for back in (0, 1, width + 1, width + 2))
        from_left, from_above, from_corner = abs(above - corner), abs(left - corner), abs(left + above - 2 * corner)
        nearest = np.where(from_above <= from_corner, above, corner)
        nearest = np.where((from_left <= from_above) & (from_left <= from_corner), left, nearest)
        here += np.choose(kinds[top : bottom + 1], (0, left, above, (left + above) // 2, nearest))
        here &= 255
    return framed[1:, 1:].astype(np.uint8)
