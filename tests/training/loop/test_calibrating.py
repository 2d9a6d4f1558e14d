"""The temperature from batches of validation chips."""

import pytest
import torch
from torch import Tensor

from geodeeplab.training import IGNORE_INDEX
from geodeeplab.training.loop.calibrating import Calibration, LogitSample

CHIPS, SIZE = 6, 32


def draw(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Draw logits (N, K, S, S), and a truth (N, S, S) that follows their softmax; a quarter has no label."""
    rng = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(CHIPS, 3, SIZE, SIZE, generator=rng)
    gumbel = -(-torch.rand(logits.shape, generator=rng).log()).log()
    truth = (logits + gumbel).argmax(1).to(torch.uint8)
    truth[:, : SIZE // 4] = IGNORE_INDEX
    return logits, truth


def calibrate(logits: Tensor, truth: Tensor, *, batch: int = 2) -> Calibration | None:
    sample = LogitSample(chips=len(logits))
    for start in range(0, len(logits), batch):
        sample.add(logits[start : start + batch], truth[start : start + batch])
    return sample.finish()


def test_logits_that_are_too_large_are_brought_down_as_far() -> None:
    logits, truth = draw()
    found, hot = calibrate(logits, truth), calibrate(3 * logits, truth)
    assert found is not None
    assert hot is not None
    assert found.temperature == pytest.approx(1, abs=0.1)
    assert hot.temperature == pytest.approx(3, abs=0.3)
    assert hot.ece < 0.03
    assert hot.ece_before > 0.08


def test_logits_that_are_calibrated_stay_as_they_are() -> None:
    logits = torch.zeros(CHIPS, 2, SIZE, SIZE)
    logits[:, 0] = torch.tensor(0.8 / 0.2).log()
    truth = torch.zeros(CHIPS, SIZE, SIZE, dtype=torch.uint8)
    truth[:, ::5] = 1  # about a fifth
    found = calibrate(logits, truth)
    assert found is not None
    cold, warm = (calibrate(scale * logits, truth) for scale in (0.5, 2))
    assert cold is not None
    assert warm is not None
    assert cold.temperature < found.temperature < warm.temperature
    assert all(one.ece <= one.ece_before for one in (cold, found, warm))


def test_batches_do_not_matter() -> None:
    logits, truth = draw(1)
    assert calibrate(logits, truth, batch=1) == calibrate(logits, truth, batch=4)


def test_of_many_pixels_some_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, truth = draw(2)
    monkeypatch.setattr("geodeeplab.training.loop.calibrating.MOST_PIXELS", CHIPS * SIZE**2 // 4)
    some, same = calibrate(logits, truth), calibrate(logits[:, :, 1::2, 1::2], truth[:, 1::2, 1::2])
    assert some == same


def test_pixels_without_label_or_finite_logits_do_not_count() -> None:
    logits, truth = draw(3)
    odd = logits.clone()
    odd[:, 0, 0], odd[:, :, 8, 8] = 100, torch.nan
    left_out = truth.clone()
    left_out[:, 8, 8] = IGNORE_INDEX
    assert calibrate(odd, truth) == calibrate(logits, left_out)
    assert calibrate(logits, torch.full_like(truth, IGNORE_INDEX)) is None
