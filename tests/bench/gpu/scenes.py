"""Draws the scenes of the checks: whole numbers only, so that every machine draws the same bytes. Needs nothing but Python."""

import array
import pathlib
import struct

SIDE = 256  # of the texture, which repeats
SHORT, LONG, ASCII = 3, 4, 2
# Letter of `array`, bits, and the value of the tag SampleFormat.
TYPES = {"u8": ("B", 8, 1), "u16": ("H", 16, 1), "i16": ("h", 16, 2), "f32": ("f", 32, 3)}


def noise(seed, at):
    """0 to 255, as SplitMix64 mixes."""
    z = (seed * 0x9E3779B97F4A7C15 + at * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) & (1 << 64) - 1
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & (1 << 64) - 1
    z = (z ^ z >> 27) * 0x94D049BB133111EB & (1 << 64) - 1
    return (z ^ z >> 31) & 255


def octave(seed, cell):
    """A lattice of noise with `cell` pixels between its points, in between linear, times 256."""
    n = SIDE // cell
    lattice = [[noise(seed, y * n + x) for x in range(n)] for y in range(n)]
    weights = [(x // cell, (x // cell + 1) % n, 256 * (x % cell) // cell) for x in range(SIDE)]
    rows = [[row[a] * (256 - t) + row[b] * t for a, b, t in weights] for row in lattice]
    return [[(p * (256 - t) + q * t) >> 8 for p, q in zip(rows[a], rows[b])] for a, b, t in weights]


def texture(seed):
    """Rows of pixels of one band, 0 to 255: large fields, small ones, and grain."""
    layers = [octave(seed * 3 + i, cell) for i, cell in enumerate((64, 16, 2))]
    return [[(4 * a + 3 * b + c) >> 11 for a, b, c in zip(*rows)] for rows in zip(*layers)]


class Painter:
    """Cuts scenes out of three textures."""

    def __init__(self):
        self.bands = [texture(seed) for seed in (1, 2, 3)]

    def row(self, y, width):
        """A row's values, the bands of a pixel side by side."""
        bands = [(band[y % SIDE] * (width // SIDE + 1))[:width] for band in self.bands]
        return [value for pixel in zip(*bands) for value in pixel]

    def scene(self, path, width, height, kind="u8", nodata=None, first=0):
        """Writes a scene; `first` is the texture's row that it begins with. Nodata is a block in its middle and its last row, and in
        floats there is a block that is not finite."""
        letter, bits, form = TYPES[kind]
        of = {
            "u8": list(range(256)),
            "u16": [v * 257 for v in range(256)],                   # 0 to 65 535, both sides of 32 767
            "i16": [v * 257 - 32768 for v in range(256)],
            "f32": [v / 256 for v in range(256)],
        }[kind]

        def rows():
            for y in range(height):
                values = [of[v] for v in self.row(first + y, width)]
                if nodata is not None:
                    hole = range(0, width) if y == height - 1 else range(width // 3, width // 2) if 3 * y // height == 1 else ()
                    for x in hole:
                        values[3 * x:3 * x + 3] = [nodata] * 3
                    if kind == "f32" and y < 9:
                        values[30:57] = [float("nan")] * 27
                yield array.array(letter, values).tobytes()

        write(path, width, height, bits, form, nodata, rows())

    def large(self, path, side):
        """Writes a scene of bytes by repeating 256 rows."""
        rows = [bytes(self.row(y, side)) for y in range(SIDE)]
        write(path, side, side, 8, 1, None, (rows[y % SIDE] for y in range(side)))


def write(path, width, height, bits, form, nodata, rows):
    """An uncompressed TIFF of three bands, one strip per row, little-endian."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = {
        256: (LONG, [width]), 257: (LONG, [height]), 258: (SHORT, [bits] * 3), 259: (SHORT, [1]), 262: (SHORT, [2]),
        277: (SHORT, [3]), 278: (LONG, [1]), 284: (SHORT, [1]), 339: (SHORT, [form] * 3),
    }
    if nodata is not None:
        entries[42113] = (ASCII, f"{nodata}\0".encode())
    length = width * 3 * bits // 8
    counts, offsets = [length] * height, [0] * height
    entries[279], entries[273] = (LONG, counts), (LONG, offsets)
    # Header, directory, then what does not fit into an entry of it, then the pixels.
    extra_at = 8 + 2 + 12 * len(entries) + 4
    packed = {tag: pack(*entry) for tag, entry in entries.items()}
    pixels_at = extra_at + sum(len(data) + len(data) % 2 for data in packed.values() if len(data) > 4)
    packed[273] = pack(LONG, [pixels_at + y * length for y in range(height)])
    directory, extra = struct.pack("<H", len(entries)), b""
    for tag in sorted(entries):
        kind, data = entries[tag][0], packed[tag]
        count = len(entries[tag][1])
        if len(data) > 4:
            value = struct.pack("<I", extra_at + len(extra))
            extra += data + b"\0" * (len(data) % 2)
        else:
            value = data.ljust(4, b"\0")
        directory += struct.pack("<HHI", tag, kind, count) + value
    with path.open("wb") as file:
        file.write(struct.pack("<2sHI", b"II", 42, 8) + directory + struct.pack("<I", 0) + extra)
        for row in rows:
            file.write(row)


def pack(kind, values):
    return values if kind == ASCII else struct.pack(f"<{len(values)}{'H' if kind == SHORT else 'I'}", *values)
