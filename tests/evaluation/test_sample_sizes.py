"""How many units are sampled."""

import numpy as np
import pytest

from geodeeplab.errors import OptionError
from geodeeplab.evaluation import sample_sizes


def test_the_example_of_olofsson() -> None:
    """Section 5.1.1: 0.020, 0.015, 0.320 and 0.645 of the map, accuracies of 0.70, 0.60, 0.90 and 0.95: 641 units."""
    pixels = np.array([200_000, 150_000, 3_200_000, 6_450_000])
    sizes = sample_sizes(pixels, expected=np.array([0.70, 0.60, 0.90, 0.95]), least=75)
    assert abs(sizes.sum() - 641) <= 1
    assert sizes[:2].tolist() == [75, 75]
    assert sizes[3] / sizes[2] == pytest.approx(6.45 / 3.2, rel=0.02)


def test_limits() -> None:
    pixels = np.array([10, 0, 1_000_000])
    sizes = sample_sizes(pixels, expected=np.full(3, 0.8), total=200)
    assert sizes.tolist() == [10, 0, 190]  # all of the rare, none of what is not there
    assert sample_sizes(pixels, expected=np.full(3, 0.8), total=20, least=5).tolist() == [5, 0, 15]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"pixels": [0, 0]}, "no pixel has a label"),
        ({"expected": [0.8, 1.0]}, "between 0 and 1"),
        ({"standard_error": 0}, "`standard_error=`"),
        ({"least": 0}, "at least one"),
    ],
)  # fmt: skip
def test_refusals(options: dict[str, object], match: str) -> None:
    given = {"pixels": [50, 50], "expected": [0.8, 0.8]} | options
    given |= {name: np.array(given[name]) for name in ("pixels", "expected")}
    with pytest.raises(OptionError, match=match):
        sample_sizes(**given)  # type: ignore[arg-type]
