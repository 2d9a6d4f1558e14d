import pytest
import torch

from geodeeplab.errors import OptionError
from geodeeplab.inference import pick_device
from geodeeplab.inference.device import fitting_batch


def test_the_cpu_can_always_be_named() -> None:
    device = pick_device("cpu", "fp32")
    assert device.torch_device == torch.device("cpu")
    assert device.autocast_dtype is None
    assert device.default_batch >= 1
    assert pick_device("cpu", "bf16").autocast_dtype == torch.bfloat16


def test_auto_gives_something_that_is_there() -> None:
    device = pick_device()
    assert device.precision in ("fp32", "bf16", "fp16")
    torch.zeros(1, device=device.torch_device)


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "meta"])
def test_devices_that_are_not_there_are_refused(name: str) -> None:
    with pytest.raises(OptionError, match=name):
        pick_device(name)


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(OptionError, match="not 'int4'"):
        pick_device("cpu", "int4")


@pytest.mark.gpu
def test_cuda_is_chosen_where_it_is() -> None:
    assert pick_device().torch_device.type == "cuda"


@pytest.mark.parametrize(
    ("one", "two", "free", "batch"),
    [(100, 150, 10_000, 32), (100, 150, 1_000, 8), (100, 150, 100, 1), (100, 100, 10, 1), (100, 200, 400, 2)],
)
def test_a_batch_fits_into_the_free_memory(one: int, two: int, free: int, batch: int) -> None:
    assert fitting_batch(one, two, free) == batch


def test_on_a_cpu_passes_run_side_by_side_unless_the_network_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    for precision, parameters, lanes, threads in [
        ("fp32", 24_000_000, 8, 1),
        ("fp32", 26_000_000, 1, 8),
        ("bf16", 49_000_000, 8, 1),
        ("bf16", 51_000_000, 1, 8),
    ]:
        device = pick_device("cpu", precision, parameters=parameters)
        assert (device.lanes, device.threads) == (lanes, threads)
    chosen = pick_device("cpu", "fp32", threads=3)
    assert (chosen.lanes, chosen.threads) == (2, 3)
    assert pick_device("cpu", "bf16", threads=12).lanes == 1
    with pytest.raises(OptionError, match="at least one thread, not 0"):
        pick_device("cpu", "fp32", threads=0)
