"""Where other programs put their tiles, and that what tiles keep partitions the axis."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from peer_lattices import inward_starts, kept, padded_starts


def test_the_last_tile_moves_inwards() -> None:
    assert inward_starts(20, 8, 2) == [0, 6, 12]
    assert inward_starts(19, 8, 2) == [0, 6, 11]
    assert inward_starts(8, 8, 2) == [0]
    assert inward_starts(5, 8, 2) == [0]


def test_padded_tiles_start_before_the_axis() -> None:
    assert padded_starts(20, 8, 2, 1) == [-1, 5, 11, 13]
    assert padded_starts(8, 8, 2, 1) == [0]


@given(st.integers(1, 200), st.integers(2, 40), st.data())
def test_what_tiles_keep_partitions_the_axis(length: int, tile_size: int, data: st.DataObject) -> None:
    starts = inward_starts(length, tile_size, data.draw(st.integers(0, tile_size // 2)))
    spans = [kept(starts, index, tile_size, length) for index in range(len(starts))]
    assert [spans[0][0], spans[-1][1]] == [0, length]
    assert all(before[1] == after[0] for before, after in pairwise(spans))
    for start, (first, stop) in zip(starts, spans, strict=True):
        assert start <= first <= stop <= start + tile_size or length < tile_size


def test_a_tile_before_the_axis_keeps_what_lies_on_it() -> None:
    assert [kept([-6, 0, 6], index, 8, 14) for index in range(3)] == [(0, 1), (1, 7), (7, 14)]
