"""How scenes are cut: swath's `[tiler]` (strategy `adaptive`, rule `max-last`), as a user's script would do it over a padded array."""
import dataclasses
from collections.abc import Iterator

import numpy as np

Window = tuple[slice, slice]


@dataclasses.dataclass(frozen=True)
class Tiler:
    """The table of a pipeline file."""

    whole_max: int = 1280
    centres: tuple[int, ...] = (1024, 960, 896, 832, 768, 704, 640, 576, 512)
    dilation: int = 128
    border: str = "reflect"
    multiple: int = 1

    def grid(self, image: np.ndarray) -> "Grid":
        """The scene padded so that every crop lies inside, and its tiles."""
        height, width = image.shape[:2]
        if max(height, width) <= self.whole_max:
            centres, ring = (height, width), 0
        else:
            centres, ring = (self.centre(height), self.centre(width)), self.dilation
        # A crop ends at a multiple of what the networks ask for; what is added there is cut off again.
        crop = tuple(-(-(centre + 2 * ring) // self.multiple) * self.multiple for centre in centres)
        pads = [(ring, -side % centre + crop_side - centre - ring) for side, centre, crop_side in zip((height, width), centres, crop)]
        padded = np.pad(image, (*pads, (0, 0)), **({"mode": "reflect"} if self.border == "reflect" else {}))
        return Grid(padded, (height, width), centres, crop, ring)

    def centre(self, length: int) -> int:
        """The size whose last tile holds the most of the scene; ties go to the least padding, then to the earlier one."""
        return max(self.centres, key=lambda centre: (centre - -length % centre, -(-length % centre)))


@dataclasses.dataclass(frozen=True)
class Grid:
    padded: np.ndarray
    size: tuple[int, int]
    centres: tuple[int, int]
    crop: tuple[int, int]
    ring: int

    def tiles(self) -> Iterator[tuple[np.ndarray, Window, Window]]:
        """Of each tile the crop, the part of it that is kept, and the place of that part in the scene."""
        for top in range(0, self.size[0], self.centres[0]):
            for left in range(0, self.size[1], self.centres[1]):
                crop = self.padded[top : top + self.crop[0], left : left + self.crop[1]]
                height, width = (min(centre, side - at) for centre, side, at in zip(self.centres, self.size, (top, left)))
                kept = slice(self.ring, self.ring + height), slice(self.ring, self.ring + width)
                yield crop, kept, (slice(top, top + height), slice(left, left + width))
