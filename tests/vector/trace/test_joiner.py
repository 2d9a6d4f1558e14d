"""Blocks in any layout give the same arcs as one block: what workers trace, the joiner puts together."""

from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from geodeeplab.vector.trace.arcs import CornerBits
from geodeeplab.vector.trace.blocks import trace_block
from geodeeplab.vector.trace.joiner import ArcJoiner
from tests.vector.reference_arcs import label_components, trace_arcs

rasters = st.one_of(
    hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 3)),
    hnp.arrays(np.int32, (4, 4), elements=st.integers(0, 2)).map(lambda a: a.repeat(3, axis=0).repeat(2, axis=1)),
)
cuts = st.lists(st.integers(1, 10), max_size=4)


def padded(labels: NDArray[Any]) -> NDArray[np.int32]:
    return np.pad(labels.astype(np.int32), 1)


def stops_of(cuts: list[int], length: int) -> list[int]:
    return [0, *sorted({cut for cut in cuts if cut < length}), length]


def join(
    labels: NDArray[np.int32], row_cuts: list[int], col_cuts: list[int], *, eight: bool = False
) -> tuple[list[tuple[tuple[int, int], ...]], list[tuple[int, int, int]], NDArray[np.uint64]]:
    """Trace blocks of a raster and join them: the arcs' points, the features (label, first pixel, pixels), the bits."""
    surrounded = padded(labels)
    height, width = surrounded.shape
    words = np.zeros((height + 1, 1), np.uint64)
    joiner = ArcJoiner(width, eight=eight, bits=CornerBits(words=words, first_row=-1))
    arcs, features = [], []
    for top, bottom in pairwise(stops_of(row_cuts, height)):
        blocks = [
            trace_block(
                surrounded[top:bottom, left:right].copy(),
                first_row=top - 1,
                first_col=left - 1,
                eight=eight,
                confidence=np.zeros((bottom - top, right - left), np.uint8),  # so that pixels are counted
                words=words[top : bottom + 1],
            )
            for left, right in pairwise(stops_of(col_cuts, width))
        ]
        new, closed = joiner.add_band(blocks)
        for a, b in pairwise(new.offsets.tolist()):
            arcs.append(tuple(map(tuple, new.points[a:b].tolist())))
        for a, b in pairwise(closed.offsets.tolist()):
            assert len(set(closed.class_ids[a:b])) == 1
            pixels = int(closed.confidence[a:b, 1].sum())
            features.append((int(closed.class_ids[a]), int(closed.first[a:b].min()), pixels))
    return sorted(arcs), sorted(features), words


@given(raster=rasters, row_cuts=cuts, col_cuts=cuts)
def test_blocks_do_not_show(raster: NDArray[np.int32], row_cuts: list[int], col_cuts: list[int]) -> None:
    arcs, features, words = join(raster, row_cuts, col_cuts)
    whole_arcs, whole_features, whole_words = join(raster, [], [])
    assert arcs == whole_arcs
    assert features == whole_features
    np.testing.assert_array_equal(words, whole_words)


@given(raster=rasters, row_cuts=cuts, col_cuts=cuts)
def test_groups_are_those_of_pixels_that_touch_at_corners(
    raster: NDArray[np.int32], row_cuts: list[int], col_cuts: list[int]
) -> None:
    _, features, _ = join(raster, row_cuts, col_cuts, eight=True)
    assert features == sorted(eight_connected(raster))


@given(raster=rasters)
def test_arcs_bits_and_components_are_the_references(raster: NDArray[np.int32]) -> None:
    arcs, features, words = join(raster, [], [])
    expected, bits = trace_arcs(raster)
    found = []
    for a, b in pairwise(expected.offsets.tolist()):
        points = [tuple(point) for point in expected.points[a:b].tolist()]
        found.append(points)
    assert sorted(canonical(points) for points in found) == sorted(canonical(list(points)) for points in arcs)
    np.testing.assert_array_equal(words[1 : 1 + len(bits.words)], bits.words)
    numbers = label_components(raster)
    for value, first, pixels in features:
        row, col = first >> 31, first & (2**31 - 1)
        assert raster[row, col] == value
        assert np.count_nonzero(numbers == numbers[row, col]) == pixels
    assert len(features) == numbers.max(initial=-1) + 1


def canonical(points: list[Any]) -> tuple[Any, ...]:
    """A closed line or a line, the same whichever way round it runs."""
    return min(tuple(points), tuple(reversed(points)))


def eight_connected(raster: NDArray[np.int32]) -> list[tuple[int, int, int]]:
    """Label, first pixel and size of each 8-connected component, by flooding."""
    seen, found = np.zeros(raster.shape, bool), []
    for row, col in np.ndindex(raster.shape):
        value = raster[row, col]
        if value == 0 or seen[row, col]:
            continue
        stack, size = [(row, col)], 0
        seen[row, col] = True
        while stack:
            r, c = stack.pop()
            size += 1
            for rr in range(max(r - 1, 0), min(r + 2, raster.shape[0])):
                for cc in range(max(c - 1, 0), min(c + 2, raster.shape[1])):
                    if raster[rr, cc] == value and not seen[rr, cc]:
                        seen[rr, cc] = True
                        stack.append((rr, cc))
        found.append((int(value), (row << 31) | col, size))
    return found
