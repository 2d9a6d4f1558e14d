"""From logits to labels, confidence and probabilities."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geodeeplab.errors import OptionError
from geodeeplab.inference import Decision

IDS = (3, 1, 7)
PROBS = torch.tensor([[0.2, 0.6, 1 / 3], [0.5, 0.3, 1 / 3], [0.3, 0.1, 1 / 3]])  # three pixels, classes downwards
LOGITS = PROBS.log()[:, None] + 5.0
ALL = torch.ones(1, 3, dtype=torch.bool)


def labels(decision: Decision, wanted: torch.Tensor = ALL) -> list[int]:
    found: list[int] = decision(LOGITS, wanted)["labels"][0].tolist()
    return found


def test_the_most_likely_class_and_of_equal_ones_the_first() -> None:
    assert labels(Decision(class_ids=IDS)) == [1, 3, 3]
    assert labels(Decision(class_ids=IDS), torch.tensor([[True, False, True]])) == [1, 0, 3]


def test_classes_that_are_not_kept_become_nodata_or_other() -> None:
    assert labels(Decision(class_ids=IDS, kept=(3, 7))) == [0, 3, 3]
    assert labels(Decision(class_ids=IDS, kept=(1,), other=9)) == [1, 9, 9]
    assert labels(Decision(class_ids=IDS, kept=(1,), other=9), ~ALL) == [0, 0, 0], "no data is never `other`"


def test_uncertain_pixels_become_nodata_or_other() -> None:
    assert labels(Decision(class_ids=IDS, min_confidence=0.55)) == [0, 3, 0]
    assert labels(Decision(class_ids=IDS, min_confidence=0.4, other=9)) == [1, 3, 9]


def test_confidence_and_probabilities() -> None:
    decision = Decision(class_ids=IDS, with_confidence=True, probabilities="uint8", kept=(1,))
    out = decision(LOGITS, torch.tensor([[True, True, False]]))
    assert out["confidence"].tolist() == [[50, 60, 255]]
    assert out["probabilities"][:, 0].tolist() == [[20, 60, 255], [50, 30, 255], [30, 10, 255]]
    assert decision.layers == {"labels": ("uint8", 1), "confidence": ("uint8", 1), "probabilities": ("uint8", 3)}
    half = Decision(class_ids=IDS, probabilities="float16")(LOGITS, torch.tensor([[True, True, False]]))
    assert half["probabilities"].dtype == torch.float16
    assert half["probabilities"][:, 0, 2].isnan().all()
    torch.testing.assert_close(half["probabilities"][:, 0, :2].float(), PROBS[:, :2], rtol=1e-3, atol=0)


@given(st.integers(0, 2**32 - 1))
def test_every_pixel_by_itself(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(0, 3, (3, 4, 5)).astype("float32"))
    wanted = torch.from_numpy(rng.random((4, 5)) < 0.8)
    decision = Decision(class_ids=IDS, with_confidence=True, min_confidence=0.5, kept=(3, 7), other=9)
    out = decision(logits, wanted)
    probs = logits.softmax(0).numpy()
    for row, col in np.ndindex(4, 5):
        best = int(probs[:, row, col].argmax())
        sure = probs[best, row, col] >= 0.5 and IDS[best] in (3, 7)
        expected = 0 if not wanted[row, col] else IDS[best] if sure else 9
        assert out["labels"][row, col] == expected


@given(st.integers(0, 2**32 - 1), st.floats(0.2, 5))
def test_a_temperature_changes_probabilities_and_no_label(seed: int, temperature: float) -> None:
    logits = torch.from_numpy(np.random.default_rng(seed).normal(0, 3, (3, 4, 5)).astype("float32"))
    wanted = torch.ones(4, 5, dtype=torch.bool)
    decision = Decision(class_ids=IDS, with_confidence=True, probabilities="float16", temperature=temperature)
    out = decision(logits.clone(), wanted)
    assert out["labels"].equal(Decision(class_ids=IDS)(logits.clone(), wanted)["labels"])
    expected = (logits / temperature).softmax(0)
    torch.testing.assert_close(out["probabilities"].float(), expected, rtol=1e-3, atol=1e-6)
    assert ((out["confidence"] - 100 * expected.amax(0)).abs() <= 0.501).all()


@pytest.mark.parametrize("value", [-0.1, 1.1, 60])
def test_a_confidence_is_a_probability(value: float) -> None:
    with pytest.raises(OptionError, match="probability from 0 to 1"):
        Decision(class_ids=IDS, min_confidence=value)


def test_unknown_data_types_are_refused() -> None:
    with pytest.raises(OptionError, match="uint8 or float16, not 'float64'"):
        Decision(class_ids=IDS, probabilities="float64")
