import dataclasses
import json
import math
import os
import pickle
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from geodeeplab.errors import ModelError, OptionError
from geodeeplab.models import Contract, Normalisation, SegmentationNetwork
from geodeeplab.training import TrainingData
from geodeeplab.training.loop.checkpoints import (
    BEST,
    CHECKPOINT_KEY,
    HISTORY,
    LAST,
    free_folder,
    open_run_folder,
    read_checkpoint,
    read_weights,
    stored_rate,
)
from geodeeplab.training.loop.fit import fit_network
from geodeeplab.training.loop.objective import Objective
from geodeeplab.training.loop.progress import StepHook
from geodeeplab.training.loop.recipe import EpochRecord, Recipe
from tests.training.drawn import DrawnChips, draw_data, make_network

RECIPE = Recipe(epochs=2, lr=1e-2, batch_size=4, seed=7)


def fit(
    data: TrainingData,
    folder: Path | None,
    *,
    recipe: Recipe = RECIPE,
    resume: bool = False,
    overwrite: bool = False,
    after_step: StepHook | None = None,
    devices: int | None = None,
    strategy: str = "auto",
    objective: Objective | None = None,
) -> tuple[SegmentationNetwork, list[EpochRecord]]:
    torch.manual_seed(11)
    network = make_network("fcn")
    history = fit_network(
        network,
        Normalisation(Contract(name="drawn", classes=data.classes, bands=data.bands)),
        data,
        objective=objective or Objective(dice_fraction=1 / 3),
        recipe=recipe,
        run={"lr": recipe.lr, "epochs": recipe.epochs, "a tuple": (1, 2)},
        folder=folder,
        resume=resume,
        overwrite=overwrite,
        devices=devices,
        strategy=strategy,
        after_step=after_step,
    )
    return network, history


def curves(history: list[EpochRecord]) -> list[EpochRecord]:
    """Leave out what no two runs share."""
    return [dataclasses.replace(record, seconds=0.0) for record in history]


def fit_and_die(folder: str, step: int, threads: int) -> None:
    """Fit, and be killed after a step: nothing can tidy up."""
    torch.set_num_threads(threads)
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1
        if steps == step:
            os.kill(os.getpid(), signal.SIGKILL)

    fit(draw_data(), Path(folder), after_step=count)


def check_goes_on(data: TrainingData, folder: Path) -> None:
    """Check that a fit that ended in the second epoch goes on as if it had not."""
    assert len(read_checkpoint(folder / LAST)[CHECKPOINT_KEY]["history"]) == 1
    whole_network, whole = fit(data, None)
    steps: list[int] = []
    network, resumed = fit(data, folder, resume=True, after_step=lambda: steps.append(1))
    assert curves(resumed) == curves(whole)  # every loss of every step, to the last bit
    assert len(steps) == 2  # one epoch was left
    assert all(
        torch.equal(a, b)
        for a, b in zip(network.state_dict().values(), whole_network.state_dict().values(), strict=True)
    )
    assert {path.name for path in folder.iterdir()} == {LAST, BEST, HISTORY}


@pytest.mark.slow  # what it goes on from is the same after an interruption, which is quick
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 there")
def test_a_killed_fit_goes_on_along_the_same_curve(drawn_data: TrainingData, tmp_path: Path) -> None:
    code = f"""
        from tests.training.loop.test_fit import fit_and_die
        fit_and_die({str(tmp_path / "killed")!r}, 3, {torch.get_num_threads()})
    """
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=Path(__file__).parents[3], check=False)
    assert ran.returncode == -signal.SIGKILL
    check_goes_on(drawn_data, tmp_path / "killed")


@pytest.mark.slow
def test_a_complete_run_has_nothing_to_go_on_with(drawn_data: TrainingData, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, epochs=1)
    network, history = fit(drawn_data, tmp_path, recipe=recipe)
    assert stored_rate(tmp_path) == recipe.lr

    def must_not_train() -> None:
        raise AssertionError

    again, same = fit(drawn_data, tmp_path, recipe=recipe, resume=True, after_step=must_not_train)
    assert same == history
    assert torch.equal(next(network.parameters()), next(again.parameters()))

    with pytest.raises(OptionError, match="holds the checkpoints of an earlier fit: pass `resume=True`"):
        fit(drawn_data, tmp_path, recipe=recipe)
    with pytest.raises(OptionError, match=r"holds another run: its epochs is 1, not 2: repeat its options"):
        fit(drawn_data, tmp_path, resume=True)
    earlier = {"lr": recipe.lr, "epochs": 1, "a tuple": (1, 2)}  # by a version that knew no more numbers
    assert open_run_folder(tmp_path, earlier | {"micro_batch": 4}, resume=True, overwrite=False) == history
    assert open_run_folder(tmp_path, {}, resume=False, overwrite=True) == []
    assert list(tmp_path.iterdir()) == []


def test_a_fit_without_a_folder_leaves_nothing_behind(
    drawn_data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    torch.manual_seed(11)
    make_network("fcn")
    before = torch.random.get_rng_state()  # as `fit` above has it before the fit
    recipe = dataclasses.replace(RECIPE, epochs=1, is_frozen=True, ema_decay=0.0)
    network, history = fit(drawn_data, None, recipe=recipe)
    assert list(tmp_path.iterdir()) == []
    assert not network.training
    assert len(history[0].step_losses) == 2
    assert torch.equal(torch.random.get_rng_state(), before)


def test_chips_without_a_label_train_nothing_and_break_nothing(tmp_path: Path) -> None:
    data = draw_data()
    nothing = DrawnChips(count=4, seed=1, unlabelled=True)
    data = dataclasses.replace(data, train=nothing, val=nothing)
    network, history = fit(data, tmp_path, recipe=dataclasses.replace(RECIPE, epochs=2, monitor="loss"))
    assert [record.loss for record in history] == [0.0, 0.0]
    assert history[0].miou is history[0].val_loss is history[0].accuracy is None
    assert all(value.isfinite().all() for value in network.state_dict().values())
    assert json.loads((tmp_path / HISTORY).read_text())[0]["miou"] is None


@pytest.mark.slow
def test_early_stopping_ends_a_fit_that_does_not_get_better(drawn_data: TrainingData, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, epochs=6, lr=1e-12, ema_decay=0.998, patience=1, schedule="constant")
    recipe = dataclasses.replace(recipe, fixed_statistics=True)
    _, history = fit(drawn_data, tmp_path, recipe=recipe)
    assert len(history) < 6
    _, resumed = fit(drawn_data, tmp_path, recipe=recipe, resume=True)
    assert resumed == history


def test_a_loss_that_is_lost_ends_the_fit(drawn_data: TrainingData, tmp_path: Path) -> None:
    objective = Objective(class_weights=(math.inf, math.inf, math.inf))
    with pytest.raises(OptionError, match=r"loss of epoch 1 is not finite, the weights are lost: .* than 0.01"):
        fit(drawn_data, tmp_path, objective=objective)
    assert not (tmp_path / LAST).exists()


def test_an_interrupted_fit_says_what_is_kept_and_goes_on_along_the_same_curve(
    drawn_data: TrainingData, tmp_path: Path
) -> None:
    steps = iter(range(100))

    def interrupt() -> None:
        if next(steps) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        fit(drawn_data, tmp_path, after_step=interrupt)
    assert caught.value.__notes__ == [f"the epochs in {tmp_path} are kept: go on with resume"]
    check_goes_on(drawn_data, tmp_path)


def test_several_processes_need_a_folder(drawn_data: TrainingData) -> None:
    with pytest.raises(OptionError, match="several processes share the folder"):
        fit(drawn_data, None, devices=2, strategy="ddp_spawn")


def test_checkpoints_that_cannot_be_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / LAST

    def refused(match: str) -> None:
        with pytest.raises(ModelError, match=match) as caught:
            open_run_folder(tmp_path, {}, resume=True, overwrite=False)
        assert "\n" not in str(caught.value)

    torch.save({CHECKPOINT_KEY: {"format_version": 0}}, path)
    refused("goes on with checkpoints of format 1, .* has format 0: go on with the version that wrote it")
    torch.save({"state_dict": {}}, path)
    refused("is no checkpoint of GeoDeepLab: choose another folder")
    path.write_bytes(b"not a checkpoint")
    refused("begin the fit anew")
    path.write_bytes(pickle.dumps(Path("/"), protocol=2))
    refused("begin the fit anew")
    torch.save({"harm": subprocess.Popen}, path)
    refused("holds Python objects beside tensors, which are not loaded")
    with pytest.raises(ModelError, match="cannot be loaded"):
        read_weights(make_network("fcn"), path)


def test_runs_are_numbered(tmp_path: Path) -> None:
    assert free_folder(tmp_path, "fcn") == tmp_path / "fcn-1"
    (tmp_path / "fcn-1").mkdir()
    assert free_folder(tmp_path, "fcn") == tmp_path / "fcn-1"  # nothing in it
    (tmp_path / "fcn-1" / LAST).touch()
    assert free_folder(tmp_path, "fcn") == tmp_path / "fcn-2"


@pytest.mark.slow
def test_two_processes_train_as_one_would(tmp_path: Path) -> None:
    data = draw_data(train=8, batch_size=2)
    recipe = dataclasses.replace(RECIPE, batch_size=2, epochs=2)
    network, history = fit(data, tmp_path / "two", recipe=recipe, devices=2, strategy="ddp_spawn")
    assert [len(record.step_losses) for record in history] == [2, 2]  # 8 chips, 2 processes of 2
    _, alone = fit(data, tmp_path / "one", recipe=recipe)
    assert [len(record.step_losses) for record in alone] == [4, 4]
    fresh = make_network("fcn")
    read_weights(fresh, tmp_path / "two" / BEST)
    assert all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), fresh.state_dict().values(), strict=True)
    )
    labelled = sum(int((data.val.draw(i).labels != 255).sum()) for i in range(len(data.val)))
    assert history[0].accuracy is not None
    assert history[0].accuracy * labelled == pytest.approx(round(history[0].accuracy * labelled))  # each counted once
