"""What the benchmark of the distance of scenes reckons with."""

import numpy as np
import pytest
from affine import Affine
from scipy.stats import spearmanr

from scene_distance import SQUARE, errors, spearman, squares


def test_ranks_are_those_of_scipy() -> None:
    pairs = np.random.default_rng(3).integers(0, 6, (20, 2)).astype(float)
    assert spearman([*map(tuple, pairs), (1.0, float("nan"))]) == pytest.approx(spearmanr(*pairs.T).statistic)
    assert np.isnan(spearman([(1, 2), (2, 3)]))


def test_errors_by_hand() -> None:
    confusion = np.array([[60, 20, 0], [5, 15, 0], [0, 0, 0]])
    miou, informed, building = errors(confusion)
    assert building == pytest.approx(1 - 60 / 85)
    assert miou == pytest.approx(1 - (60 / 85 + 15 / 40) / 2)
    assert informed == pytest.approx(1 - (2 * (0.75 + 0.75) / 2 - 1))
    assert errors(np.diag([3, 4, 5])) == (0, 0, 0)
    assert np.isnan(errors(np.diag([3, 0, 0]))[1]), "one class cannot be mistaken by chance"


def test_squares_lie_on_the_lattice_within_the_scene() -> None:
    identity = Affine.identity()
    assert squares(300, 400, identity, side=SQUARE).bounds == (0, 0, 400, 300)
    many = squares(5000, 3000, identity, side=SQUARE)
    assert len(many.geoms) == 2
    for one in many.geoms:
        left, top, right, bottom = one.bounds
        assert left % SQUARE == top % SQUARE == 0
        assert (right - left, bottom - top) == (SQUARE, SQUARE)
