"""The watershed against its rule in plain Python, and the window that a pixel depends on."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from geodeeplab.errors import OptionError
from geodeeplab.vector.instances import watershed
from geodeeplab.vector.instances.numbered import number_rows
from geodeeplab.vector.instances.watershed import BoundaryRows, InstanceRule, flood_rows, flood_window
from tests.examples import examples
from tests.vector.instances.reference_watershed import ReferenceWatershed

Bytes = NDArray[np.uint8]

shapes = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14)
levels = st.sampled_from([0, 40, 99, 100, 101, 130, 160, 200, 255])


@st.composite
def rasters(draw: st.DrawFn) -> tuple[Bytes, Bytes]:
    """Labels, mostly of one class, and boundaries, some of them along lines."""
    shape = draw(shapes)
    labels = draw(hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 1, 1, 1, 1, 2, 3])))
    boundary = draw(hnp.arrays(np.uint8, shape, elements=levels))
    if draw(st.booleans()):
        boundary[:, draw(st.integers(0, shape[1] - 1))] = 255
        boundary[draw(st.integers(0, shape[0] - 1))] = 180
    return labels, boundary


rules = st.builds(
    InstanceRule,
    class_ids=st.sampled_from([(1,), (1, 2), (3, 1)]),
    threshold=st.just(100),
    min_marker=st.integers(1, 6),
)


def in_bands(labels: Bytes, boundary: Bytes, cuts: list[int]) -> list[BoundaryRows]:
    """Cut a raster into bands at some rows; they may be empty."""
    edges = [0, *sorted(min(cut, len(labels)) for cut in cuts), len(labels)]
    return [BoundaryRows(labels=labels[top:bottom], boundary=boundary[top:bottom]) for top, bottom in pairwise(edges)]


def ways_of(labels: Bytes, boundary: Bytes, rule: InstanceRule, *, band: int, tile_cols: int, cuts: list[int]) -> Bytes:
    rows = in_bands(labels, boundary, cuts)
    with ThreadPoolExecutor(2) as pool:
        flooded = flood_rows(rows, shape=labels.shape, rule=rule, pool=pool, band=band, tile_cols=tile_cols)
        return np.concatenate([one.ways for one in flooded])


# ---------------------------------------------------------------------------------------------------------------------
# Laws


@settings(max_examples=examples(150))
@given(
    raster=rasters(), rule=rules, band=st.integers(1, 15), cols=st.integers(1, 15), cuts=st.lists(st.integers(0, 14))
)
def test_ways_follow_the_rule_however_the_raster_is_cut(
    raster: tuple[Bytes, Bytes], rule: InstanceRule, band: int, cols: int, cuts: list[int]
) -> None:
    labels, boundary = raster
    expected = ReferenceWatershed(labels, boundary, rule).ways
    np.testing.assert_array_equal(ways_of(labels, boundary, rule, band=band, tile_cols=cols, cuts=cuts), expected)


@settings(max_examples=examples(150))
@given(raster=rasters(), rule=rules, band=st.integers(1, 15), cuts=st.lists(st.integers(0, 14)))
def test_objects_follow_the_rule_however_rows_come(
    raster: tuple[Bytes, Bytes], rule: InstanceRule, band: int, cuts: list[int]
) -> None:
    labels, boundary = raster
    reference = ReferenceWatershed(labels, boundary, rule)
    places = np.zeros(256, np.int64)
    places[list(rule.class_ids)] = range(len(rule.class_ids))
    codes = 65536 + reference.objects * len(rule.class_ids) + places[labels]
    expected = np.where(reference.objects < 0, labels, codes)
    with number_rows(in_bands(labels, boundary, cuts), shape=labels.shape, rule=rule, band=band) as numbered:
        for _ in range(2):  # they may be read again
            found = np.concatenate(list(numbered.read()))
            np.testing.assert_array_equal(found, expected)
        assert numbered.count == reference.objects.max() + 1
        np.testing.assert_array_equal(numbered.codes.to_labels(found), labels)


def test_a_way_depends_on_the_halo_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watershed, "LEVELS", 3)
    monkeypatch.setattr(watershed, "STEPS", 2)
    monkeypatch.setattr(watershed, "LAST_STEPS", 2)
    rng = np.random.default_rng(3)
    rule = InstanceRule(class_ids=(1,), threshold=100, min_marker=4)
    assert rule.halo == 9
    side, middle = 2 * rule.halo + 1, rule.halo
    for _ in range(200):
        labels = (rng.random((side + 8, side + 8)) < 0.9).astype(np.uint8)
        boundary = rng.choice(np.array([50, 120, 200, 255], np.uint8), labels.shape, p=[0.25, 0.25, 0.25, 0.25])
        way = flood_window(labels, boundary, rule)[middle + 4, middle + 4]
        alone = flood_window(labels[4:-4, 4:-4], boundary[4:-4, 4:-4], rule)[middle, middle]
        assert way == alone


def test_a_window_one_pixel_short_of_the_halo_does_not_do() -> None:
    rule = InstanceRule(class_ids=(1,), threshold=100, min_marker=1)
    width = rule.halo + 2
    labels, boundary = np.ones((1, width), np.uint8), np.full((1, width), 255, np.uint8)
    boundary[0, 0] = 0
    boundary[0, 1 : 1 + 4] = 110
    for level, limit in enumerate(rule.limits[:-1].tolist()):
        boundary[0, 1 + 4 * level : 5 + 4 * level] = limit - 1
    ways = flood_window(labels, boundary, rule)
    assert ways[0].tolist() == [5] + [2] * rule.halo + [6]  # each step reaches one pixel farther, and no more do
    assert flood_window(labels[:, 1:], boundary[:, 1:], rule)[0, rule.halo - 1] == 6


# ---------------------------------------------------------------------------------------------------------------------
# Examples


def objects_of(labels: list[str], boundary: list[str], *, min_marker: int = 1, threshold: int = 128) -> list[str]:
    """Draw objects: labels by digits, boundaries as 25 times the digit, objects by letters."""
    ids = np.array([[int(one) for one in row] for row in labels], np.uint8)
    levels = np.array([[25 * int(one) for one in row] for row in boundary], np.uint8)
    rule = InstanceRule(class_ids=(1, 2), min_marker=min_marker, threshold=threshold)
    rows = [BoundaryRows(labels=ids, boundary=levels)]
    with number_rows(rows, shape=ids.shape, rule=rule) as numbered:
        codes = np.concatenate(list(numbered.read()))
    return ["".join("." if one < 65536 else chr(97 + (one - 65536) // 2) for one in row) for row in codes]


def test_two_houses_part_where_the_boundary_is_surest() -> None:
    assert objects_of(["1111111"] * 3, ["0067600"] * 3) == ["aaaabbb"] * 3
    assert objects_of(["1111111"] * 3, ["0069600"] * 3) == ["aaaabbb"] * 3
    assert objects_of(["1111111"] * 3, ["0006900"] * 3) == ["aaaabbb"] * 3


def test_of_two_ways_as_low_the_west_comes_before_the_east() -> None:
    assert objects_of(["11111"], ["00900"]) == ["aaabb"]
    assert objects_of(["1"] * 5, list("00900")) == list("aaabb")  # and the north before the south


def test_a_lower_neighbour_comes_before_the_west() -> None:
    assert objects_of(["11111"], ["20900"]) == ["aaabb"]
    assert objects_of(["11111"], ["02910"]) == ["aabbb"]


def test_small_markers_belong_to_what_is_beside_them() -> None:
    scene = ["1111111111"], ["0000906000"]
    assert objects_of(*scene) == ["aaaaabbccc"]
    assert objects_of(*scene, min_marker=2) == ["aaaaabbbbb"]


def test_what_no_marker_reaches_is_an_object_of_its_own() -> None:
    assert objects_of(["110011", "110011"], ["000099", "000099"]) == ["aa..bb", "aa..bb"]


def test_classes_never_mix() -> None:
    assert objects_of(["112233"], ["000000"]) == ["aabb.."]
    assert objects_of(["112233"], ["009900"]) == ["aabb.."]


def test_arms_of_one_object_are_one_object_though_they_touch_far_above() -> None:
    boundary = ["00900"] * 6 + ["00000"]  # the arms meet at the bottom
    assert objects_of(["11111"] * 7, boundary) == ["aaaaa"] * 7
    rule = InstanceRule(class_ids=(1,), min_marker=1)
    levels = np.array([[25 * int(one) for one in row] for row in boundary], np.uint8)
    rows = [BoundaryRows(labels=np.ones(levels.shape, np.uint8), boundary=levels)]
    with number_rows(rows, shape=levels.shape, rule=rule, band=1) as numbered:
        assert {int(one) for band in numbered.read() for one in band.ravel()} == {65536}


# ---------------------------------------------------------------------------------------------------------------------
# Refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_ids": ()}, "instances are of one class or more, not of none"),
        ({"threshold": 0}, "the boundary of markers is below 1 to 255, not 0"),
        ({"threshold": 256}, "the boundary of markers is below 1 to 255, not 256"),
        ({"min_marker": 0}, "a marker has 1 to 4096 pixels at least, not 0"),
        ({"min_marker": 4097}, "a marker has 1 to 4096 pixels at least, not 4097"),
    ],
)
def test_rules_that_cannot_be_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        InstanceRule(**{"class_ids": (1,), **options})  # type: ignore[arg-type]


@pytest.mark.parametrize(("rows", "what"), [(2, "fewer"), (4, "more")])
def test_rows_that_do_not_fill_the_raster_are_refused(rows: int, what: str) -> None:
    bands = [BoundaryRows(labels=np.ones((1, 2), np.uint8), boundary=np.zeros((1, 2), np.uint8))] * rows
    with pytest.raises(ValueError, match=f"a raster of 3 rows came with {what}"):
        number_rows(bands, shape=(3, 2), rule=InstanceRule(class_ids=(1,)))
