"""A few steps of a fit that are undone: for the sweep, and to say how long a fit will take."""

from dataclasses import replace

import pytest
import torch

from geodeeplab.models import Contract, Normalisation
from geodeeplab.training.data import TrainingData
from geodeeplab.training.loop.fit import fit_network
from geodeeplab.training.loop.forecast import StepTimes, forecast_fit
from geodeeplab.training.loop.lr_find import SweepCurve
from geodeeplab.training.loop.module import TrainingModule
from geodeeplab.training.loop.objective import Objective
from geodeeplab.training.loop.recipe import Recipe
from geodeeplab.training.loop.trial import _make_steps, _Sweep, time_steps
from geodeeplab.training.random_state import CPU
from tests.training.drawn import draw_data, make_network

RECIPE = Recipe(epochs=2, lr=1e-2, batch_size=4, micro_batch=2, schedule="constant", clip=1e-3, ema_decay=0.0, seed=7)


def normalise(data: TrainingData) -> Normalisation:
    return Normalisation(Contract(name="drawn", classes=data.classes, bands=data.bands))


def test_steps_of_a_sweep_are_those_of_a_fit(drawn_data: TrainingData) -> None:
    """At a constant rate, losses are a fit's: clipped alike, in the same parts, over several epochs."""
    torch.manual_seed(1)
    network = make_network("fcn")
    state = {key: value.clone() for key, value in network.state_dict().items()}
    module = TrainingModule(
        network,
        normalise(drawn_data),
        drawn_data,
        objective=Objective(),
        recipe=RECIPE,
        run={},
        workers=0,
        factor_at=lambda step, steps: 1.0,
    )
    sweep = _Sweep(lambda step, steps: 1.0, steps=4, at_once=1)
    _make_steps(module, sweep, device=CPU, steps=4)
    network.load_state_dict(state)
    history = fit_network(
        network, normalise(drawn_data), drawn_data, objective=Objective(), recipe=RECIPE, run={}, folder=None
    )
    fitted = SweepCurve()
    fitted.follow([1.0] * 4, [loss for record in history for loss in record.step_losses])
    assert sweep.curve.losses == pytest.approx(fitted.losses, rel=1e-6)


def test_timed_steps_leave_the_network_as_it_was(drawn_data: TrainingData) -> None:
    network = make_network("fcn")
    before = {key: value.clone() for key, value in network.state_dict().items()}
    times = time_steps(network, normalise(drawn_data), drawn_data, objective=Objective(), recipe=RECIPE, device=CPU)
    assert times.train > 0
    assert times.draw > 0
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_an_interruption_is_one_and_leaves_the_network_as_it_was(
    drawn_data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainingModule, "on_train_batch_end", interrupt)
    network = make_network("fcn")
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(KeyboardInterrupt):
        time_steps(network, normalise(drawn_data), drawn_data, objective=Objective(), recipe=RECIPE, device=CPU)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize(
    ("device", "workers", "seconds"),
    [
        ("cpu", 0, 5 * (10 * (2.0 + 0.8) + 8 / 8 * 2.8 / 3)),  # one after the other; 8 chips to score are a step's
        ("cuda:0", 4, 5 * (10 * 2.0 + 8 / 8 * 2.8 / 3)),  # drawn meanwhile
        ("cuda:0", 0, 5 * (10 * (2.0 + 0.8) + 8 / 8 * 2.8 / 3)),
    ],
)
def test_the_time_of_a_fit_by_hand(device: str, workers: int, seconds: float) -> None:
    data = draw_data(train=80, val=8, batch_size=8)
    recipe = Recipe(epochs=6, lr=1e-3, batch_size=8, micro_batch=4)
    times = StepTimes(draw=0.8, train=2.0)
    found = forecast_fit(data, recipe, times, done=1, device=torch.device(device), workers=workers, world=1)
    assert (found.epochs, found.epoch_steps, found.steps, found.last_epoch) == (5, 10, 50, 6)
    assert found.seconds == pytest.approx(seconds)
    assert str(found).startswith("50 steps of 8 chips of 32 px, 4 at once, in 5 epochs of 10: about 2 minutes on ")
    assert "hours" in str(replace(found, seconds=7200))
