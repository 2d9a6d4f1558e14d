"""No step of training waits for its device."""

import dataclasses
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor

from geodeeplab.models import Contract, Normalisation
from geodeeplab.training import IGNORE_INDEX
from geodeeplab.training.data import TrainingData
from geodeeplab.training.loop.module import TrainingModule, start_average, update_average
from geodeeplab.training.loop.objective import Objective, training_loss
from geodeeplab.training.loop.recipe import Recipe
from geodeeplab.training.loop.tally import GrowingTally
from tests.examples import few
from tests.training.drawn import make_network
from tests.training.loop.waiting import META, count_waits

OBJECTIVES = {
    "plain": Objective(),
    "weighted": Objective(class_weights=(1.0, 2.0, 0.5)),
    "ignored classes": Objective(ignore_classes=(0, 2)),
    "Dice": Objective(dice_fraction=0.5, dice_average="micro", class_weights=(1.0, 2.0, 0.5)),
    "Lovász": Objective(lovasz_fraction=0.5),
    "focal": Objective(focal_gamma=2.0, class_weights=(1.0, 2.0, 0.5)),
    "mixup": Objective(mixup=0.4, class_weights=(1.0, 2.0, 0.5)),
}


@pytest.fixture(autouse=True)
def no_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Autocast knows no meta device."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())


def a_batch(data: TrainingData) -> tuple[Tensor, Tensor, Tensor]:
    chips = [data.train.draw(index) for index in range(2)]
    parts = [torch.stack([getattr(chip, name) for chip in chips]) for name in ("pixels", "valid", "labels")]
    pixels, valid, labels = (part.to(META) for part in parts)
    return pixels, valid, labels


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES.keys())
def test_no_loss_waits(objective: Objective) -> None:
    logits = torch.zeros(2, 3, 8, 8, device=META, requires_grad=True)
    labels = torch.zeros(2, 8, 8, dtype=torch.uint8, device=META)

    def loss() -> None:
        seen = objective.clean(labels)
        if objective.mixup:
            objective.mixed(logits, seen, seen.roll(1, 0), 0.3).backward()
        else:
            objective.loss(logits, seen).backward()

    count_waits(loss)  # the weights of the classes are copied once
    waits, operations = count_waits(loss)
    assert not waits
    assert operations > 10


@pytest.mark.parametrize(("pointrend", "scales"), few([(True, (1.0,)), (False, (1.0, 0.5))], 1))
def test_a_step_waits_for_nothing(drawn_data: TrainingData, pointrend: bool, scales: tuple[float, ...]) -> None:
    network = make_network("fcn", pointrend=pointrend, scales=scales)
    average = start_average(network).to(META)
    network.train().to(META)
    normalisation = Normalisation(Contract(name="drawn", classes=drawn_data.classes, bands=drawn_data.bands)).to(META)
    pixels, valid, labels = a_batch(drawn_data)

    def step() -> None:
        training_loss(network, normalisation(pixels, valid), labels, Objective()).backward()
        update_average(average, network, 0.9)

    waits, operations = count_waits(step)
    assert not waits
    assert operations > 300


def test_the_instrument_sees_what_waits() -> None:
    values = torch.zeros(4, device=META)
    for call, seen in (
        (lambda: values.sum().item(), "_local_scalar_dense"),
        (lambda: values[values > 0], "index"),
        (lambda: torch.tensor([1.0, 2.0], device=META) * values[:2], "numbers made into a tensor"),
        (lambda: values.cpu(), "copy to cpu"),
    ):
        assert seen in count_waits(call)[0]


def test_validation_waits_for_nothing(drawn_data: TrainingData) -> None:
    objective = Objective(class_weights=(1.0, 2.0, 0.5), ignore_classes=(1,))
    module = TrainingModule(
        make_network("fcn"),
        Normalisation(Contract(name="drawn", classes=drawn_data.classes, bands=drawn_data.bands)),
        drawn_data,
        objective=objective,
        recipe=dataclasses.replace(Recipe(epochs=1, lr=0.1), batch_size=2),
        run={},
        workers=0,
    ).to(META)
    module.on_validation_epoch_start()
    batch = a_batch(drawn_data)
    objective.pixelwise(torch.zeros(1, 3, device=META), torch.zeros(1, dtype=torch.uint8, device=META))
    with torch.inference_mode():
        waits, operations = count_waits(lambda: module.validation_step(batch, 0))
    assert not waits
    assert operations > 200


def test_a_tally_waits_for_nothing_before_its_end() -> None:
    labels = torch.zeros(2, 8, 8, dtype=torch.uint8, device=META)
    tally = GrowingTally(3, META)
    assert not count_waits(lambda: tally.add(labels, labels.masked_fill(labels > 0, IGNORE_INDEX)))[0]
    assert count_waits(tally.finish)[0]
