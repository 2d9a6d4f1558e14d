import dataclasses
from pathlib import Path

import pytest
import torch

from geodeeplab.learner import DeepLab
from geodeeplab.learner.building import with_batch_for, with_stored_batch
from geodeeplab.training import batch as batch_module
from geodeeplab.training.batch import choose_batch_size
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
def test_the_batch_is_what_fits_into_the_device_that_learns() -> None:
    first, second = (choose_batch_size(512, torch.device("cuda", index)) for index in (0, 1))
    assert (first.chips, first.device) == (2, "cuda:0")
    assert (second.chips, second.device) == (16, "cuda:1")  # half of 80 GB, at 1.3 GB a chip
    assert "80.0 GB on the GPU are free" in second.reason
    assert choose_batch_size(512) == choose_batch_size(512, torch.device("cuda")) == first
    assert choose_batch_size(16, torch.device("cpu")).chips == batch_module.MOST_CPU


@pytest.mark.usefixtures("two_gpus")
def test_a_learner_elsewhere_chooses_again() -> None:
    data = dataclasses.replace(draw_data(), batch_size=2, batch_device="cuda:0", chip_size=512)
    assert with_batch_for(data, torch.device("cuda")) is data
    there = with_batch_for(data, torch.device("cuda:1"))
    assert (there.batch_size, there.batch_device, there.provenance["batch_size"]) == (16, "cuda:1", 16)
    assert "on the GPU" in there.provenance["batch_reason"]
    asked = dataclasses.replace(data, batch_device=None)
    assert with_batch_for(asked, torch.device("cuda:1")) is asked
    small = dataclasses.replace(draw_data(), batch_device="cuda:1")
    learner = DeepLab(small, network=make_network("fcn"), device="cpu", precision="fp32")
    assert (learner.data.batch_size, learner.data.batch_device) == (8, "cpu")


def test_a_run_that_goes_on_has_the_batch_it_began_with(tmp_path: Path) -> None:
    def learner(batch_size: int, batch_device: str | None) -> DeepLab:
        data = dataclasses.replace(draw_data(), batch_size=batch_size, batch_device=batch_device)
        torch.manual_seed(0)
        return DeepLab(data, network=make_network("fcn"), device="cpu", precision="fp32")

    learner(4, "cpu").fit(1, 1e-2, workers=0, folder=tmp_path, progress=False)
    later = learner(2, "cpu")  # less memory is free by now
    later.fit(1, 1e-2, workers=0, folder=tmp_path, progress=False, resume=True)
    assert later.data.batch_size == 4
    asked = learner(2, None).data
    assert with_stored_batch(asked, tmp_path) is asked
    assert with_stored_batch(later.data, tmp_path / "none") is later.data
