from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import pytest
import torch

from geodeeplab.training.random_state import CPU, kept_random_state, seed_generators


def test_the_host_is_seeded_as_torch_does_and_put_back() -> None:
    before = torch.random.get_rng_state()
    with kept_random_state(CPU):
        torch.manual_seed(5)
        theirs = torch.rand(3)
        seed_generators(5, CPU)
        assert torch.equal(torch.rand(3), theirs)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_no_other_gpu_is_woken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[tuple[list[torch.device], str]] = []

    def fork(devices: Sequence[torch.device], device_type: str) -> AbstractContextManager[None]:
        kept.append((list(devices), device_type))
        return nullcontext()

    monkeypatch.setattr(torch.random, "fork_rng", fork)
    for device in (CPU, torch.device("cuda:1")):
        with kept_random_state(device):
            pass
    assert kept == [([], "cuda"), ([torch.device("cuda:1")], "cuda")]


def test_a_gpu_is_seeded_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    generators = tuple(torch.Generator().manual_seed(0) for _ in range(3))
    monkeypatch.setattr(torch.cuda, "default_generators", generators)
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 2)
    with kept_random_state(CPU):
        seed_generators(7, torch.device("cuda:1"))
        assert [one.initial_seed() for one in generators] == [0, 7, 0]
        seed_generators(8, torch.device("cuda"))
    assert [one.initial_seed() for one in generators] == [0, 7, 8]
