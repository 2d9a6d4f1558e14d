"""Polygons are left out whole, with what lies near them, and never the last of a class."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from geodeeplab.adaptation.crossvalidation import (
    FRAGMENT_PX,
    NEAR_PX,
    NEVER_LEFT_OUT,
    Head,
    cross_validate,
    fold_polygons,
    group_polygons,
)
from geodeeplab.adaptation.samples import LabelledCells
from geodeeplab.errors import OptionError
from tests.adaptation.cells import labelled

FAR = 1000


def far_apart(*counts: int) -> LabelledCells:
    """Give so many polygons of each class, far from each other."""
    return labelled(
        [(label, FAR * label, FAR * number, 3) for label, count in enumerate(counts) for number in range(count)]
    )


def test_near_polygons_of_a_class_are_a_group() -> None:
    near, between = NEAR_PX - 1, (NEAR_PX + FRAGMENT_PX) // 2
    cells = labelled([(0, 0, 0, 1), (0, between, 0, 1), (0, FAR, 0, 1), (1, 1, 0, 1), (1, 1 + near, 0, 1)])
    assert group_polygons(cells, keep=1).tolist() == [0, 0, 1, 2, 2]


def test_a_gap_of_the_distance_itself_and_another_scene_are_apart() -> None:
    cells = labelled([(0, 0, 0, 1), (0, NEAR_PX, 0, 1), (0, 0, 0, 1)], scene=[0, 0, 1])
    assert group_polygons(cells, keep=1).tolist() == [0, 1, 2]


def test_the_gap_is_between_cells_not_between_centres_or_boxes() -> None:
    long = labelled([(0, 0, 0, 100), (0, 20, 190, 1), (0, FAR, 0, 1)])  # the first ends at column 198
    assert group_polygons(long, keep=1).tolist()[100] == 0
    row = np.array([0, 100, 200, 100])  # three cells of a diagonal, and one in its box, far from all of them
    diagonal = LabelledCells(
        features=np.zeros((4, 1), np.float32),
        scene=np.zeros(4, np.int64),
        row=row,
        col=np.array([0, 100, 200, 0]),
        label=np.zeros(4, np.int64),
        polygon=np.array([0, 0, 0, 1]),
    )
    assert group_polygons(diagonal, keep=1).tolist() == [0, 0, 0, 1]


def test_the_nearest_are_joined_first_and_enough_groups_stay() -> None:
    cells = labelled([(0, 0, 30 * i - i, 1) for i in range(4)] + [(0, 0, 30 * 3 - 3 + 18, 1)])
    assert group_polygons(cells, keep=4).tolist() == [0, 1, 2, 3, 3]
    assert group_polygons(cells, keep=1).tolist() == [0] * 5


def test_pieces_of_one_shape_are_a_group_whatever_stays() -> None:
    cells = labelled([(0, 0, 0, 1), (0, FRAGMENT_PX - 1, 0, 1)])
    assert group_polygons(cells, keep=5).tolist() == [0, 0]


@given(
    counts=st.lists(st.integers(0, 9), min_size=1, max_size=4).filter(lambda one: sum(one) > 0),
    folds=st.integers(2, 6),
    seed=st.integers(0, 9),
)
def test_every_class_is_spread_over_the_folds_and_remains(counts: list[int], folds: int, seed: int) -> None:
    cells = far_apart(*counts)
    fold = fold_polygons(cells, folds=folds, seed=seed)
    assert np.array_equal(fold, fold_polygons(cells, folds=folds, seed=seed))
    for polygon in np.unique(cells.polygon):
        assert len(set(fold[cells.polygon == polygon])) == 1
    for label, count in enumerate(counts):
        of_class = fold[(cells.label == label)][::3]
        if count == 1:
            assert of_class.tolist() == [NEVER_LEFT_OUT]
        else:
            sizes = np.bincount(of_class, minlength=folds)
            assert sizes.max(initial=0) - sizes.min(initial=count) <= 1
            assert count == 0 or sizes.max() < count


def test_seeds_differ() -> None:
    cells = far_apart(9, 9)
    assert not np.array_equal(fold_polygons(cells, seed=0), fold_polygons(cells, seed=1))


def test_one_fold_is_refused() -> None:
    with pytest.raises(OptionError, match="at least 2 folds, got 1"):
        fold_polygons(far_apart(2), folds=1, seed=0)


def test_no_head_has_seen_what_it_is_asked() -> None:
    cells = far_apart(3, 1, 4)
    folds = fold_polygons(cells, seed=0)
    asked: list[set[int]] = []

    def fit(seen: LabelledCells) -> Head:
        assert set(seen.label) == {0, 1, 2}
        left_out = set(np.unique(cells.polygon)) - set(np.unique(seen.polygon))
        asked.append(left_out)

        def head(features: NDArray[np.float32]) -> NDArray[np.float32]:
            assert len(features) == 3 * len(left_out)
            return features[:, [2, 1, 0]] * 0.5 + 0.25

        return head

    found = cross_validate(cells, fit, folds=folds)
    assert sorted(one for polygons in asked for one in polygons) == [0, 1, 2, 4, 5, 6, 7]
    assert found.dtype == np.float32
    assert np.isnan(found[cells.label == 1]).all()
    tested = cells.label != 1
    assert np.array_equal(found[tested], cells.features[tested][:, [2, 1, 0]] * 0.5 + 0.25)


def test_nothing_to_test_is_refused() -> None:
    cells = far_apart(1, 1)
    with pytest.raises(OptionError, match="draw more polygons"):
        cross_validate(cells, lambda _: lambda features: features, folds=fold_polygons(cells, seed=0))
