"""What a model file says of int8."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodeeplab.errors import ModelError
from geodeeplab.models import Contract, ModelBand, ModelClass
from geodeeplab.models.int8.ranges import LEVELS, read_ranges, settle_range


def make_contract(**stated: Any) -> Contract:  # noqa: ANN401 - fields of a contract
    return Contract(
        name="plain",
        classes=(ModelClass(id=1, name="one", color=(1, 1, 1)), ModelClass(id=2, name="two", color=(2, 2, 2))),
        bands=(ModelBand(name="red", mean=1.0, std=1.0),),
        **stated,
    )


def test_a_contract_keeps_them_and_is_as_before_without() -> None:
    stated = make_contract(int8_ranges={"backbone.conv1": (-1.5, 2.0)})
    assert Contract.from_json(stated.to_json()) == stated
    assert "int8_ranges" not in make_contract().to_json()


@pytest.mark.parametrize(
    "values",
    [
        [1, 2],
        {"conv": 3},
        {"conv": [0]},
        {"conv": [0, 1, 2]},
        {"conv": [0, "1"]},
        {"conv": [0, True]},
        {"conv": [1, 2]},
        {"conv": [-2, -1]},
        {"conv": [0, 1e-9]},
        {"conv": [0, float("nan")]},
        {"conv": [0, 1e300]},
        {"conv": [-float("inf"), 0]},
        {"c" * 1000: [0, 1]},
        {str(i): [0, 1] for i in range(5000)},
    ],
)
def test_what_is_none_is_refused(values: object) -> None:
    with pytest.raises((ModelError, TypeError)):
        read_ranges(values)
    with pytest.raises(ModelError):
        make_contract(int8_ranges=values)


@given(st.floats(-1e6, 0), st.floats(0, 1e6))
def test_a_settled_range_has_zero_among_its_steps_and_is_as_wide(low: float, high: float) -> None:
    least, most = settle_range(low, high)
    step = (most - least) / (LEVELS - 1)
    assert step == pytest.approx(max(high - low, 1e-6) / (LEVELS - 1))
    assert round(-least / step) * step == pytest.approx(-least, abs=step * 1e-6)
    assert abs(least - low) <= step * 0.51
    assert least <= 0 <= most
