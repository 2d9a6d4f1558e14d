"""Where the tiles of other programs lie along an axis, in pixels of the scene, and what each of them keeps."""

from collections.abc import Sequence


def inward_starts(length: int, tile_size: int, overlap: int) -> list[int]:
    """Give the starts of tiles along an axis, the last one moved inwards to end with it, or at 0 if it is short."""
    last = max(0, length - tile_size)
    return [*range(0, last, tile_size - overlap), last]


def padded_starts(length: int, tile_size: int, overlap: int, padding: int) -> list[int]:
    """Give terratorch's: over the axis padded at both ends, the last one moved inwards to end with that."""
    if length <= tile_size:
        return [0]
    last = length + 2 * padding - tile_size
    return [start - padding for start in [*range(0, last - 1, tile_size - overlap), last]]


def kept(starts: Sequence[int], index: int, tile_size: int, length: int) -> tuple[int, int]:
    """Give the span that a tile keeps when overlaps are cut in the middle, in pixels of the scene."""
    start = starts[index]
    first = 0 if index == 0 else (starts[index - 1] + tile_size + start) // 2
    stop = length if index == len(starts) - 1 else (start + tile_size + starts[index + 1]) // 2
    return first, stop
