from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.features
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from rasterio.windows import Window

from geodeeplab.vector.sieve import scan as sieve_scan
from geodeeplab.vector.sieve.rows import sieve_rows
from tests.vector.reference_sieve import EDGES, Pixel, ReferenceSieve, bands_of, draw, find_components, is_inside, sieve

Labels = NDArray[np.int32]
Rule = Mapping[int, float] | float

shapes = hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)
noise = hnp.arrays(np.int32, shapes, elements=st.integers(0, 3))
coarse = noise.map(lambda labels: np.ascontiguousarray(labels.repeat(2, 0).repeat(3, 1)[: len(labels) + 3, :18]))
few_zeros = hnp.arrays(np.int32, shapes, elements=st.sampled_from([0, 1, 1, 1, 2, 2, 3, 3, 4]))
rasters = st.one_of(noise, coarse, few_zeros)
figures = st.sampled_from([0, 1.5, 2, 3, 4, 6, 10, 1e6])
rules = st.one_of(figures, st.dictionaries(st.integers(0, 4), figures).map(lambda given: {0: 4, **given}))
connectivities = st.sampled_from([4, 8])


def neighbours(labels: Labels, pixels: list[Pixel]) -> set[int]:
    """Labels across the edges of a component."""
    around = {(row + down, col + right) for row, col in pixels for down, right in EDGES} - set(pixels)
    return {int(labels[at]) for at in around if is_inside(at, labels.shape)}


# ---------------------------------------------------------------------------------------------------------------------
# Laws


@given(labels=rasters, minimum=rules, connectivity=connectivities, fill_holes=st.booleans())
def test_follows_the_rule(labels: Labels, minimum: Rule, connectivity: int, fill_holes: bool) -> None:
    expected = ReferenceSieve(labels, minimum, connectivity=connectivity, fill_holes=fill_holes).labels
    np.testing.assert_array_equal(sieve(labels, minimum, connectivity=connectivity, fill_holes=fill_holes), expected)


@given(
    labels=rasters,
    minimum=rules,
    connectivity=connectivities,
    fill_holes=st.booleans(),
    cuts=st.lists(st.integers(0, 12)),
    cached=st.sampled_from([1, 4, 1 << 10]),
)
def test_does_not_depend_on_bands_or_room(
    labels: Labels, minimum: Rule, connectivity: int, fill_holes: bool, cuts: list[int], cached: int
) -> None:
    whole = sieve(labels, minimum, connectivity=connectivity, fill_holes=fill_holes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sieve_scan, "FIRST_ROOM", 1)
        patch.setattr(sieve_scan, "CACHED_BORDERS", cached)
        parts = sieve(labels, minimum, cuts, connectivity=connectivity, fill_holes=fill_holes)
    np.testing.assert_array_equal(parts, whole)


@given(labels=rasters, minimum=rules, connectivity=connectivities, fill_holes=st.booleans())
def test_sieving_again_changes_nothing(labels: Labels, minimum: Rule, connectivity: int, fill_holes: bool) -> None:
    once = sieve(labels, minimum, connectivity=connectivity, fill_holes=fill_holes)
    np.testing.assert_array_equal(sieve(once, minimum, connectivity=connectivity, fill_holes=fill_holes), once)


@given(labels=rasters, minimum=figures, connectivity=connectivities)
def test_what_is_left_below_has_no_neighbour_but_nodata(labels: Labels, minimum: float, connectivity: int) -> None:
    sieved = sieve(labels, minimum, connectivity=connectivity)
    for pixels in find_components(sieved, connectivity):
        if sieved[pixels[0]] and len(pixels) < minimum:
            assert neighbours(sieved, pixels) <= {0}


@given(labels=rasters, minimum=figures, connectivity=connectivities)
def test_nodata_and_large_components_stay(labels: Labels, minimum: float, connectivity: int) -> None:
    sieved = sieve(labels, minimum, connectivity=connectivity)
    np.testing.assert_array_equal(sieved == 0, labels == 0)
    for pixels in find_components(labels, connectivity):
        if len(pixels) >= minimum:
            assert {int(sieved[at]) for at in pixels} == {int(labels[pixels[0]])}


@given(labels=rasters, minimum=figures, connectivity=connectivities)
def test_transposes_where_raster_order_never_decides(labels: Labels, minimum: float, connectivity: int) -> None:
    assume(not ReferenceSieve(labels, minimum, connectivity=connectivity).tied)
    transposed = sieve(np.ascontiguousarray(labels.T), minimum, connectivity=connectivity)
    np.testing.assert_array_equal(transposed.T, sieve(labels, minimum, connectivity=connectivity))


@given(labels=rasters, minimum=figures, names=st.permutations(range(5)))
def test_names_of_classes_do_not_matter(labels: Labels, minimum: float, names: list[int]) -> None:
    renamed = np.array(names, np.int32) * 1000 - 2000
    sieved = sieve(renamed[labels], minimum, nodata=int(renamed[0]))
    np.testing.assert_array_equal(sieved, renamed[sieve(labels, minimum)])


@given(labels=rasters, minimum=rules, row_area=st.lists(st.integers(1, 9), min_size=20, max_size=20), data=st.data())
def test_counts_the_areas_of_rows(labels: Labels, minimum: Rule, row_area: list[int], data: st.DataObject) -> None:
    connectivity, row_areas = data.draw(connectivities), np.array(row_area[: len(labels)]) / 4
    expected = ReferenceSieve(labels, minimum, connectivity=connectivity, row_areas=row_areas).labels
    sieved = sieve(labels, minimum, connectivity=connectivity, row_areas=row_areas)
    np.testing.assert_array_equal(sieved, expected)


# ---------------------------------------------------------------------------------------------------------------------
# Other programs, and real labels


def test_specks_go_as_gdal_sieves_them() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(1, 4, (4, 6), dtype=np.int32).repeat(51, 0).repeat(51, 1)
    specks = np.zeros(labels.shape, bool)
    specks[1::3, 1::3] = rng.random((68, 102)) < 0.4  # never at the side of a block: each has one neighbour
    labels[specks] = 4
    np.testing.assert_array_equal(sieve(labels, 3), rasterio.features.sieve(labels, 3))


def test_real_labels_keep_their_laws(shared_data: Path) -> None:
    with rasterio.open(shared_data / "scenes" / "rio-tiler" / "cog_cmap.tif") as src:
        labels = src.read(1, window=Window(2000, 3000, 500, 400)).astype(np.int32)
    sieved = sieve(labels, 12, cuts=(37, 301), nodata=255)
    assert (sieved != labels).any()
    np.testing.assert_array_equal(sieve(sieved, 12, nodata=255), sieved)
    sizes = [len(pixels) for pixels in find_components(sieved, 4) if sieved[pixels[0]] != 255]
    assert min(sizes) >= 12


# ---------------------------------------------------------------------------------------------------------------------
# Hand-sized examples


def test_takes_the_longest_border() -> None:
    labels = draw(
        "1111",
        "1111",
        "2322",
        "2222",
    )  # 3 shares one edge with 1, which is larger, and three with 2
    assert sieve(labels, 2).tolist() == draw("1111", "1111", "2222", "2222").tolist()


def test_of_equal_borders_takes_the_larger_neighbour_then_the_first() -> None:
    assert sieve(draw("11322"), 2).tolist() == [[1, 1, 1, 2, 2]]
    assert sieve(draw("113222"), 2).tolist() == [[1, 1, 2, 2, 2, 2]]


def test_the_edge_of_the_raster_is_no_border() -> None:
    assert sieve(draw("31", "22"), 2).tolist() == [[2, 2], [2, 2]]


def test_two_that_point_at_each_other_take_the_label_of_the_larger() -> None:
    assert sieve(draw("0000", "0122", "0000"), 4).tolist() == draw("0000", "0222", "0000").tolist()
    assert sieve(draw("12"), 2).tolist() == [[1, 1]]


def test_all_that_lead_to_a_component_take_its_label_at_once() -> None:
    labels = draw(
        "11110",
        "22200",
        "33000",
        "40000",
    )  # 4 points to 3, 3 to 2, 2 to 1
    assert sieve(labels, 4).tolist() == np.where(labels, 1, 0).tolist()


def test_components_that_come_to_touch_unite_before_the_next_round() -> None:
    labels = draw(
        "11211",
        "44044",
        "44444",
        "66666",
        "55500",
    )
    # first 2 goes to the 1 on its left, and 6 to 4; then 4 shares four edges with what are now one 1, and three with 5
    expected = draw("11111", "11011", "11111", "11111", "55500")
    assert sieve(labels, {2: 2, 4: 20, 6: 20}).tolist() == expected.tolist()


def test_isolated_components_stay() -> None:
    labels = draw("010", "000", "022")
    assert sieve(labels, 100).tolist() == labels.tolist()


def test_fills_holes_that_are_small_and_closed() -> None:
    labels = draw(
        "1111110",
        "1011001",
        "1111001",
        "1111111",
    )
    assert sieve(labels, 3).tolist() == labels.tolist()
    filled = sieve(labels, 3, fill_holes=True)
    assert filled.tolist() == draw("1111110", "1111001", "1111001", "1111111").tolist()
    at_corners_too = sieve(labels, 9, fill_holes=True, connectivity=8)
    assert at_corners_too.tolist() == draw("1111110", "1111001", "1111001", "1111111").tolist()  # it reaches the edge
    assert sieve(labels, {0: 9}, fill_holes=True).tolist() == draw("1111110", "1111111", "1111111", "1111111").tolist()


def test_a_minimum_for_each_class() -> None:
    labels = draw("11112113")
    assert sieve(labels, {2: 3}).tolist() == draw("11111113").tolist()
    assert sieve(labels, {3: 3}).tolist() == draw("11112111").tolist()
    assert sieve(labels, {}).tolist() == labels.tolist()


def test_components_at_corners_unite_with_connectivity_8() -> None:
    labels = draw("2111", "1211", "1121", "1112")
    assert (sieve(labels, 3) == 1).all()
    assert sieve(labels, 3, connectivity=8).tolist() == labels.tolist()


def test_an_area_that_is_the_minimum_but_for_rounding_is_not_below_it() -> None:
    labels = draw("11111", "12221", "12221", "12221", "11111")
    for area in (0.01, 1 / 3, 123.4567e-9, 8e11):
        row_areas = np.full(5, area)
        assert sieve(labels, 9 * area, row_areas=row_areas).tolist() == labels.tolist()
        assert (sieve(labels, 9.0001 * area, row_areas=row_areas) == 1).all()


def test_bands_come_as_the_second_reading_gives_them_and_are_new() -> None:
    labels = np.ones((7, 3), np.int32)
    for minimum in (0, 4):
        bands = list(sieve_rows(bands_of(labels, (2, 2, 6)), shape=(7, 3), minimum=minimum))
        assert [len(band) for band in bands] == [2, 0, 4, 1]
        assert not any(np.shares_memory(band, labels) for band in bands)
        assert all(band.dtype == np.int32 for band in bands)


def test_bands_may_be_read_only_or_strided() -> None:
    labels = np.broadcast_to(np.array([1, 2, 2, 1], np.int32), (5, 4))[:, ::-1]
    assert sieve(labels, 6).tolist() == [[2] * 4] * 5


def test_borders_longer_than_32_bits_do_not_wrap() -> None:
    from geodeeplab.vector.sieve import kernels_merge as kernels_sieve_merge
    from geodeeplab.vector.sieve import kernels_scan as kernels_sieve

    keys, lengths, borders = np.zeros(1, np.int64), np.zeros(1, np.int32), np.zeros((2, 3), np.int32)
    for _ in range(3):
        assert kernels_sieve.add_border(7, 5, 2**30, keys, lengths, borders, 0) == 0
    assert kernels_sieve.flush_borders(keys, lengths, borders, 0) == 1
    assert borders[0].tolist() == [5, 7, 2**31 - 1]
    borders[1] = borders[0]
    labels, below = np.arange(8, dtype=np.int32), np.ones(8, np.uint8)
    left = kernels_sieve_merge.gather_borders(borders, np.arange(8, dtype=np.int32), labels, below, 0)
    assert borders[:left].tolist() == [[5, 7, 2**31 - 1]]
