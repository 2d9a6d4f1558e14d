"""The temperature that makes confidence as right as it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodeeplab.errors import OptionError
from geodeeplab.evaluation import fit_temperature, reliability, softmax


def draw(seed: int, *, pixels: int = 20_000, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Draw logits, and a truth that follows their softmax."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (classes, pixels))
    return logits, (logits + rng.gumbel(size=logits.shape)).argmax(axis=0)


@given(st.integers(0, 1000), st.floats(0.3, 3.5))
def test_the_temperature_that_logits_were_multiplied_by_is_found(seed: int, temperature: float) -> None:
    logits, truth = draw(seed)
    assert fit_temperature(logits * temperature, truth) == pytest.approx(temperature, rel=0.05)


def test_no_other_temperature_is_likelier() -> None:
    logits, truth = draw(1, pixels=300)
    found = fit_temperature(3 * logits, truth)

    def loss(temperature: float) -> float:
        return float(-np.log(softmax(3 * logits, temperature=temperature)[truth, np.arange(truth.size)]).mean())

    assert loss(found) < min(loss(0.98 * found), loss(1.02 * found))


def test_confidence_is_calibrated_by_it() -> None:
    logits, truth = draw(2)
    hot = 2.5 * logits
    before = reliability(softmax(hot), truth)
    after = reliability(softmax(hot, temperature=fit_temperature(hot, truth)), truth)
    assert before.overconfidence > 0.08
    assert after.ece < 0.02 < before.ece


def test_where_all_is_right_or_all_wrong_it_ends_at_its_bounds() -> None:
    logits, _ = draw(3, pixels=50)
    assert fit_temperature(logits, logits.argmax(axis=0)) == pytest.approx(0.2, rel=1e-3)
    assert fit_temperature(logits, logits.argmin(axis=0)) == pytest.approx(5, rel=1e-3)


def test_refusals() -> None:
    with pytest.raises(OptionError, match=r"at least one, .* label ground for validation"):
        fit_temperature(np.zeros((3, 0)), np.zeros(0, int))
