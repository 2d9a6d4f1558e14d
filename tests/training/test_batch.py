import dataclasses
from pathlib import Path

import pytest
import torch

from geodeeplab.errors import OptionError
from geodeeplab.learner import DeepLab
from geodeeplab.learner.building import with_batch_for, with_stored_batch
from geodeeplab.training.batch import BatchSize, choose_micro_batch, settle_batch
from tests.training.drawn import draw_data, make_network

GB = 10**9


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend two GPUs: the first, current, is nearly full; of the second, torch's allocator holds a part unused."""
    free, reserved = {0: 4 * GB, 1: 20 * GB}, {0: 0, 1: 60 * GB}

    def index(device: torch.device | None = None) -> int:
        return 0 if device is None or device.index is None else device.index

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (free[index(device)], 80 * GB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device=None: reserved[index(device)])
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device=None: 0)


@pytest.mark.usefixtures("two_gpus")
def test_a_batch_has_eight_chips_and_goes_through_in_what_fits_into_the_device_that_learns() -> None:
    first, second = (choose_micro_batch(512, torch.device("cuda", index)) for index in (0, 1))
    assert (first.chips, first.micro, first.device) == (8, 2, "cuda:0")  # half of 4 GB, at 0.9 GB a chip
    assert (second.chips, second.micro, second.device) == (8, 8, "cuda:1")
    assert "80.0 GB on the GPU are free" in second.reason
    assert choose_micro_batch(512) == choose_micro_batch(512, torch.device("cuda")) == first
    assert choose_micro_batch(16, torch.device("cpu")).micro == 8


def test_a_batch_that_is_asked_for() -> None:
    asked = [settle_batch(512, chips=chips, micro=micro) for chips, micro in ((6, None), (6, 2), (None, 4))]
    assert [(one.chips, one.micro, one.device) for one in asked] == [(6, 6, None), (6, 2, None), (8, 4, None)]
    for chips, micro in ((6, 4), (4, 8), (4, 0)):
        with pytest.raises(OptionError, match=f"whole micro-batches, {chips} chips not of {micro}: give"):
            BatchSize(chips=chips, micro=micro, reason="")
    with pytest.raises(OptionError, match="at least 1 chip, not 0"):
        settle_batch(512, chips=0, micro=None)


@pytest.mark.usefixtures("two_gpus")
def test_a_learner_elsewhere_chooses_again() -> None:
    data = dataclasses.replace(draw_data(), batch_size=8, micro_batch=1, batch_device="cuda:0", chip_size=512)
    assert with_batch_for(data, torch.device("cuda")) is data
    there = with_batch_for(data, torch.device("cuda:1"))
    assert (there.batch_size, there.micro_batch, there.batch_device) == (8, 8, "cuda:1")
    assert there.provenance["micro_batch"] == 8
    assert "on the GPU" in there.provenance["batch_reason"]
    asked = dataclasses.replace(data, batch_device=None)
    assert with_batch_for(asked, torch.device("cuda:1")) is asked
    small = dataclasses.replace(draw_data(batch_size=8), micro_batch=1, batch_device="cuda:1")
    learner = DeepLab(small, network=make_network("fcn"), device="cpu", precision="fp32")
    assert (learner.data.chips_at_once, learner.data.batch_device) == (8, "cpu")


def test_a_run_that_goes_on_has_the_batch_it_began_with(tmp_path: Path) -> None:
    def learner(micro_batch: int, batch_device: str | None) -> DeepLab:
        data = dataclasses.replace(draw_data(), micro_batch=micro_batch, batch_device=batch_device)
        torch.manual_seed(0)
        return DeepLab(data, network=make_network("fcn"), device="cpu", precision="fp32")

    learner(4, "cpu").fit(1, 1e-2, workers=0, folder=tmp_path, progress=False)
    later = learner(2, "cpu")  # less memory is free by now
    later.fit(1, 1e-2, workers=0, folder=tmp_path, progress=False, resume=True)
    assert (later.data.batch_size, later.data.micro_batch) == (4, 4)
    asked = learner(2, None).data
    assert with_stored_batch(asked, tmp_path) is asked
    assert with_stored_batch(later.data, tmp_path / "none") is later.data
