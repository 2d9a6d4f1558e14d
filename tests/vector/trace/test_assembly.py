"""Arcs on their way into another CRS."""

from itertools import pairwise

import numpy as np

from geodeeplab.vector.trace.assembly import divide_edges


def test_edges_along_the_axes_are_divided_at_multiples_whichever_way_they_go() -> None:
    forth = np.array([[3, 1], [25, 1], [25, -12], [30, 0]], np.int32)
    other = np.array([[0, 0], [40, 40]], np.int32)
    points = np.concatenate([forth, other, forth[::-1]])
    divided, offsets = divide_edges(points, np.array([0, 4, 6, 10]), every=10)
    first, second, third = (divided[start:stop].tolist() for start, stop in pairwise(offsets))
    assert first == [[3, 1], [10, 1], [20, 1], [25, 1], [25, 0], [25, -10], [25, -12], [30, 0]]
    assert second == other.tolist(), "an oblique edge stays as it is, and nothing stands between two arcs"
    assert third == first[::-1]
    assert divided.dtype == np.int32


def test_nothing_to_divide() -> None:
    points = np.array([[0, 0], [10, 0], [10, 10], [0, 0]], np.int32)
    divided, offsets = divide_edges(points, np.array([0, 4]), every=10)
    assert np.array_equal(divided, points)
    assert offsets.tolist() == [0, 4]
    divided, offsets = divide_edges(points[:0], np.array([0]), every=10)
    assert (divided.shape, offsets.tolist()) == ((0, 2), [0])
