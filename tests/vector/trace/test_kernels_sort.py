"""Sorting in kernels against NumPy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from geodeeplab.vector.trace.kernels_sort import argsort, first_at_least

numbers = hnp.arrays(np.int64, st.integers(0, 200), elements=st.integers(-20, 20))


@given(keys=numbers)
def test_equal_numbers_keep_their_order(keys: NDArray[np.int64]) -> None:
    np.testing.assert_array_equal(argsort(keys), np.argsort(keys, kind="stable"))


@pytest.mark.parametrize("step", [1, -1, 0])
def test_many_numbers_that_are_sorted_already_reversed_or_equal(step: int) -> None:
    keys = np.arange(100_001, dtype=np.int64) * step
    np.testing.assert_array_equal(argsort(keys), np.argsort(keys, kind="stable"))


@given(keys=numbers, wanted=st.integers(-21, 21))
def test_the_first_place_is_numpys(keys: NDArray[np.int64], wanted: int) -> None:
    keys.sort()
    assert first_at_least(keys, wanted) == np.searchsorted(keys, wanted)
