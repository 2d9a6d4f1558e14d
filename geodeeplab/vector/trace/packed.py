"""Traced blocks as few bytes, to travel and to wait: what a worker sends instead of having its labels traced again."""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodeeplab.vector.trace.blocks import Components, TracedBlock, trace_block
from geodeeplab.vector.trace.strips import LabelRows, Part, iter_strips

ZLIB_LEVEL = 1
BYTES_A_PIXEL = 1
"""Labels of which the traced block takes more than this are as many bytes: they are better traced where they go."""


@dataclass(frozen=True, kw_only=True)
class PackedBlock:
    """A traced block, packed."""

    part: Part
    """The rectangle of the scene that it is of."""
    data: bytes
    """Everything of it."""


def trace_part(
    rows: Iterable[LabelRows], *, shape: tuple[int, int], part: Part, connectivity: int, nodata: int = 0
) -> Iterator[PackedBlock]:
    """Trace a part of a label raster strip by strip; strips of which the labels are fewer bytes are left out.

    Args:
        rows: the rows of the part from its top.
        shape: (H, W) of the raster.
        part: which part.
        connectivity: 4 or 8 neighbours.
        nodata: label that gets no polygon.
    """
    for strip in iter_strips(rows, shape=shape, nodata=nodata, part=part):
        block = trace_block(
            strip.labels,
            first_row=strip.first_row,
            first_col=strip.first_col,
            nodata=nodata,
            confidence=strip.confidence,
            eight=connectivity == 8,
        )
        packed = pack_block(block, shape)
        if len(packed.data) <= BYTES_A_PIXEL * strip.labels.size:
            yield packed


def pack_block(block: TracedBlock, shape: tuple[int, int]) -> PackedBlock:
    """Pack a block of a scene (H, W). Law: `unpack_block` gives it back."""
    from geodeeplab.vector.trace import kernels_codec as codec

    head = [block.first_row, block.first_col, *block.shape]
    counts = [len(block.components.first), len(block.left), len(block.points)]
    numbers = np.concatenate([np.array(head + counts, np.int64), *_numbers_of(block)])
    most = len(numbers) * codec.MOST_BYTES_NUMBER
    most += len(block.left) * codec.MOST_BYTES_HEAD + len(block.points) * codec.MOST_BYTES_POINT
    room = np.empty(most, np.uint8)
    n = codec.encode_numbers(numbers, room)
    n += codec.encode_arcs(block.points, block.offsets, block.kinds, room[n:], np.empty(len(block.left), np.int64))
    row, col = block.first_row, block.first_col
    part = Part(
        rows=(max(row, 0), min(row + block.shape[0], shape[0])),
        cols=(max(col, 0), min(col + block.shape[1], shape[1])),
    )
    return PackedBlock(part=part, data=zlib.compress(room[:n].data, ZLIB_LEVEL))


def unpack_block(packed: PackedBlock) -> TracedBlock:
    """Give the block that was packed."""
    from geodeeplab.vector.trace import kernels_codec as codec

    data = np.frombuffer(zlib.decompress(packed.data), np.uint8)
    head = np.empty(7, np.int64)
    codec.read_numbers(data, 0, head)
    first_row, first_col, h, w, n_components, n_lines, n_points = head.tolist()
    sizes = [n_components] * 6 + [n_lines] * 2 + [w] * 2 + [h] * 2
    numbers = np.empty(len(head) + sum(sizes), np.int64)
    at = codec.read_numbers(data, 0, numbers)
    class_ids, first, sums, sure, least, groups, left, right, top, bottom, left_side, right_side = np.split(
        numbers[len(head) :], np.cumsum(sizes)[:-1]
    )
    points, offsets = np.empty((n_points, 2), np.int32), np.empty(n_lines + 1, np.int64)
    kinds = np.empty((n_lines, 2), np.uint8)
    codec.read_arcs(data, at, points, offsets, kinds)
    return TracedBlock(
        first_row=first_row,
        first_col=first_col,
        shape=(h, w),
        components=Components(
            class_ids=class_ids.astype(np.int32),
            first=first,
            confidence_sum=sums,
            confidence_pixels=sure,
            confidence_min=least.astype(np.uint8),
            groups=groups.astype(np.int32),
        ),
        points=points,
        offsets=offsets,
        left=left.astype(np.int32),
        right=right.astype(np.int32),
        kinds=kinds,
        top=top.astype(np.int32),
        bottom=bottom.astype(np.int32),
        left_side=left_side.astype(np.int32),
        right_side=right_side.astype(np.int32),
    )


def _numbers_of(block: TracedBlock) -> list[NDArray[Any]]:
    """Give all but the lines' points, in the order in which they are packed."""
    known = block.components
    return [
        known.class_ids, known.first, known.confidence_sum, known.confidence_pixels,
        known.confidence_min, known.groups,
        block.left, block.right, block.top, block.bottom, block.left_side, block.right_side,
    ]  # fmt: skip
