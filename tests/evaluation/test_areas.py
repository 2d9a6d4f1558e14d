import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geodeeplab.errors import OptionError
from geodeeplab.evaluation import adjusted_areas

# Table 8 of Olofsson et al. 2014 has the map by row: deforestation, forest gain, stable forest, stable non-forest.
BY_MAP = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
MAPPED_PIXELS = np.array([200_000, 150_000, 3_200_000, 6_450_000])
HECTARES = 30 * 30 / 10_000


def test_the_papers_example() -> None:
    found = adjusted_areas(BY_MAP.T, MAPPED_PIXELS * HECTARES)
    assert found.mapped[0] == 18_000
    assert found.adjusted[0] == pytest.approx(21_158, abs=1)  # 235,086 pixels
    assert found.margin[0] == pytest.approx(6_158, abs=2)
    assert found.adjusted[1] == pytest.approx(11_686, abs=1)
    assert found.margin[1] == pytest.approx(3_756, abs=2)
    assert found.adjusted[2] == pytest.approx(285_770, abs=1)
    assert found.margin[2] == pytest.approx(15_510, abs=4)


@given(arrays(np.int64, (3, 3), elements=st.integers(1, 50)), arrays(np.float64, 3, elements=st.floats(0.1, 99)))
def test_adjusted_areas_add_up_to_the_mapped_ones(counts: np.ndarray, mapped: np.ndarray) -> None:
    found = adjusted_areas(counts, mapped)
    assert found.adjusted.sum() == pytest.approx(mapped.sum())
    assert (found.standard_error >= 0).all()


def test_a_perfect_map_is_sure() -> None:
    found = adjusted_areas(np.diag([5, 9]), np.array([30.0, 70.0]))
    assert found.adjusted.tolist() == pytest.approx([30, 70])
    assert found.margin.tolist() == [0, 0]


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(7)
    shares, mapped = np.array([[0.8, 0.1], [0.2, 0.9]]), np.array([20.0, 80.0])  # true class by row, label by column
    held = 0
    for _ in range(400):
        drawn = [rng.multinomial(100, shares[:, label]) for label in (0, 1)]
        found = adjusted_areas(np.stack(drawn, axis=1), mapped)
        held += abs(found.adjusted[0] - shares[0] @ mapped) <= found.margin[0]
    assert 0.91 < held / 400 < 0.98


def test_what_cannot_be_known() -> None:
    found = adjusted_areas(np.array([[1, 0], [0, 9]]), np.array([30.0, 70.0]))  # a single unit has no variance
    assert math.isnan(found.standard_error[0])
    with pytest.raises(OptionError, match=r"class 1 \(from 0\) was mapped, but no unit of it sampled"):
        adjusted_areas(np.array([[5, 0], [1, 0]]), np.array([30.0, 70.0]))
    with pytest.raises(OptionError, match="between 0 and 1, got 95"):
        adjusted_areas(np.eye(2, dtype=np.int64), np.ones(2), confidence_level=95)


def test_a_label_of_which_all_is_known_adds_no_error() -> None:
    counts, mapped = np.array([[1, 1], [0, 8]]), np.array([1.0, 99.0])
    assert math.isnan(adjusted_areas(counts, mapped).margin[0])
    found = adjusted_areas(counts, mapped, units=np.array([1, 99]))
    assert found.standard_error[0] == pytest.approx(99 * math.sqrt(1 / 9 * 8 / 9 / 8))
