import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geodeeplab.errors import OptionError
from geodeeplab.evaluation import boundary_bands, boundary_counts, boundary_iou, confusion_matrix, iou

IGNORE = 9
PAIRS = arrays(np.uint8, (2, 7, 9), elements=st.integers(0, 2))
DISTANCES = st.integers(1, 5)


def scores(labels: np.ndarray, truth: np.ndarray, distance: int) -> np.ndarray:
    counts = boundary_counts(labels, truth, class_ids=range(3), distance=distance, ignore=IGNORE)
    return boundary_iou(counts)


def erode_once(mask: np.ndarray) -> np.ndarray:
    """Keep a pixel of a mask if its eight neighbours are in it, too; outside the raster nothing is."""
    around = np.pad(mask, 1)
    height, width = mask.shape
    shifted = [around[row : row + height, col : col + width] for row in range(3) for col in range(3)]
    kept: np.ndarray = np.all(shifted, axis=0)
    return kept


def band_of_mask(mask: np.ndarray, distance: int) -> np.ndarray:
    """The authors' way: erode pixel by pixel, take the rest."""
    inner = mask
    for _ in range(distance):
        inner = erode_once(inner)
    band: np.ndarray = mask & ~inner
    return band


@given(PAIRS, DISTANCES)
def test_bands_are_what_erosion_takes_from_the_masks(pair: np.ndarray, distance: int) -> None:
    counts = boundary_counts(*pair, class_ids=range(3), distance=distance)
    for index in range(3):
        labels, truth = (band_of_mask(values == index, distance) for values in pair)
        assert counts[:, index].tolist() == [(labels & truth).sum(), (labels | truth).sum()]


def test_by_hand() -> None:
    truth = np.zeros((7, 7), dtype=np.uint8)
    truth[1:6, 1:6] = 1  # its band of 1 pixel: the 16 of its rim
    labels = np.zeros((7, 7), dtype=np.uint8)
    labels[1:6, 2:7] = 1  # one column to the right: 16, of which 8 lie on the truth's rim
    counts = boundary_counts(labels, truth, class_ids=[0, 1], distance=1)
    assert counts[:, 1].tolist() == [8, 24]
    # the background lies within one pixel of the square or of the edge: 24 and 24 pixels, 19 of them the same
    assert counts[:, 0].tolist() == [19, 29]
    assert boundary_iou(counts).tolist() == [19 / 29, 8 / 24]
    assert iou(confusion_matrix(labels, truth, class_ids=[0, 1]))[1] == 20 / 30


@given(PAIRS, DISTANCES)
def test_equal_maps_score_one(pair: np.ndarray, distance: int) -> None:
    found = scores(pair[0], pair[0], distance)
    assert np.array_equal(found, np.where(np.isin(range(3), pair[0]), 1.0, np.nan), equal_nan=True)


@given(PAIRS, DISTANCES)
def test_disjoint_masks_score_zero(pair: np.ndarray, distance: int) -> None:
    found = scores((pair[0] + 1) % 3, pair[0], distance)
    assert np.nansum(found) == 0


@given(PAIRS, st.integers(4, 20))
def test_large_distance_is_plain_iou(pair: np.ndarray, distance: int) -> None:
    plain = iou(confusion_matrix(*pair, class_ids=range(3), ignore=IGNORE))
    assert np.array_equal(scores(pair[0], pair[1], distance), plain, equal_nan=True)


@given(PAIRS, DISTANCES)
def test_symmetric(pair: np.ndarray, distance: int) -> None:
    assert np.array_equal(scores(pair[0], pair[1], distance), scores(pair[1], pair[0], distance), equal_nan=True)


@given(PAIRS, arrays(bool, (7, 9)), arrays(np.uint8, (7, 9)), DISTANCES)
def test_labels_under_ignored_truth_do_not_matter(
    pair: np.ndarray, ignored: np.ndarray, other: np.ndarray, distance: int
) -> None:
    truth = np.where(ignored, IGNORE, pair[1])
    changed = np.where(ignored, other, pair[0])
    assert np.array_equal(scores(pair[0], truth, distance), scores(changed, truth, distance), equal_nan=True)


def test_ignored_pixels_draw_no_contour() -> None:
    truth = np.zeros((9, 9), dtype=np.uint8)
    truth[4, 4] = IGNORE
    assert not boundary_bands(truth, distance=2, seen=truth != IGNORE)[2:7, 2:7].any()
    counts = boundary_counts(np.zeros_like(truth), truth, class_ids=[0], distance=2, ignore=IGNORE)
    assert counts.tolist() == [[81 - 25], [81 - 25]]


def test_the_edge_draws_a_contour_or_none() -> None:
    truth = np.zeros((9, 9), dtype=np.uint8)
    truth[:, 5:] = 1
    with_edge, without = (boundary_bands(truth, distance=2, edge=edge) for edge in (True, False))
    assert without.any(axis=0).tolist() == [False] * 3 + [True] * 4 + [False] * 2
    assert without[:, 3:7].all()
    assert (with_edge & ~without).sum() == 81 - 4 * 9 - 5 * 1
    part = truth[2:, 1:8]  # of which nothing can be seen beyond its edge
    assert np.array_equal(boundary_bands(part, distance=2, edge=False), without[2:, 1:8])


def test_refuses_distance_zero() -> None:
    with pytest.raises(OptionError, match="at least 1 pixel, not 0"):
        boundary_bands(np.zeros((3, 3), dtype=np.uint8), distance=0)
