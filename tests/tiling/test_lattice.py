import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodeeplab.errors import OptionError
from geodeeplab.tiling import Axis, Lattice, Shard


@st.composite
def axes(draw: st.DrawFn) -> Axis:
    tile_size = draw(st.integers(1, 40))
    return Axis(length=draw(st.integers(1, 200)), tile_size=tile_size, overlap=draw(st.integers(0, tile_size // 2)))


@given(axes())
def test_every_pixel_lies_in_one_or_two_tiles(axis: Axis) -> None:
    for pixel in range(axis.length):
        tiles = [i for i in range(axis.count) if axis.start(i) <= pixel < axis.start(i) + axis.tile_size]
        assert 1 <= len(tiles) <= 2
        assert list(axis.touching(pixel, pixel + 1)) == tiles


@given(axes())
def test_no_tile_fewer_would_do(axis: Axis) -> None:
    assert axis.count == 1 or axis.start(axis.count - 2) + axis.tile_size < axis.length


@given(axes())
def test_the_owned_spans_partition_the_axis(axis: Axis) -> None:
    owned = [pixel for i in range(axis.count) for pixel in range(*axis.owned(i))]
    assert owned == list(range(axis.length))


@given(axes(), st.data())
def test_touching_names_exactly_the_tiles_that_share_a_pixel(axis: Axis, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, axis.length - 1))
    stop = data.draw(st.integers(start + 1, axis.length))
    expected = [i for i in range(axis.count) if axis.start(i) < stop and axis.start(i) + axis.tile_size > start]
    assert list(axis.touching(start, stop)) == expected


def test_a_lattice_by_hand() -> None:
    # 10 pixels, tiles of 4 that share 1: starts 0, 3, 6; the last ends at 10.
    lattice = Lattice(shape=(10, 4), tile_size=4, overlap=1)
    assert (lattice.rows.count, lattice.cols.count) == (3, 1)
    assert [lattice.rows.owned(i) for i in range(3)] == [(0, 3), (3, 6), (6, 10)]
    tile = lattice.tile(2, 0)
    assert (tile.row_start, tile.col_start) == (6, 0)
    assert lattice.touching(Shard(row_start=3, row_stop=4, col_start=0, col_stop=1)) == (range(0, 2), range(0, 1))


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 60), st.integers(1, 60))
def test_shards_partition_the_scene(height: int, width: int, shard_height: int, shard_width: int) -> None:
    lattice = Lattice(shape=(height, width), tile_size=8, overlap=2)
    seen = [
        (row, col)
        for shard in lattice.iter_shards(shard_height, shard_width)
        for row in range(shard.row_start, shard.row_stop)
        for col in range(shard.col_start, shard.col_stop)
    ]
    assert len(seen) == len(set(seen)) == height * width
    assert lattice.whole.shape == (height, width)


@pytest.mark.parametrize(("tile_size", "overlap"), [(8, 5), (8, -1), (0, 0)])
def test_numbers_out_of_range_are_refused(tile_size: int, overlap: int) -> None:
    with pytest.raises(OptionError):
        Lattice(shape=(10, 10), tile_size=tile_size, overlap=overlap)


def test_an_overlap_above_half_a_tile_names_the_limit() -> None:
    with pytest.raises(OptionError, match=r"at most half the tile size \(4\), not 5"):
        Lattice(shape=(10, 10), tile_size=8, overlap=5)


def test_an_empty_shard_is_refused() -> None:
    with pytest.raises(OptionError, match="at least one pixel a side"):
        list(Lattice(shape=(4, 4), tile_size=4, overlap=0).iter_shards(0, 3))
