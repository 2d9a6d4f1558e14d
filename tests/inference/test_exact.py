"""Float32 as float32: whatever a user has set is set aside, and back."""

from collections.abc import Callable, Iterator

import pytest
import torch

from geodeeplab.inference.exact import _Switches, cuda, cudnn, exact_arithmetic, mkldnn

SETTINGS: dict[str, Callable[[], None]] = {
    "nothing": lambda: None,
    "high": lambda: torch.set_float32_matmul_precision("high"),
    "medium": lambda: torch.set_float32_matmul_precision("medium"),
    "former name, matrices": lambda: setattr(cuda.matmul, "allow_tf32", True),
    "former name, convolutions": lambda: setattr(cudnn, "allow_tf32", False),
    "matrices": lambda: setattr(cuda.matmul, "fp32_precision", "tf32"),
    "convolutions": lambda: setattr(cudnn.conv, "fp32_precision", "tf32"),
    "recurrent networks": lambda: setattr(cudnn.rnn, "fp32_precision", "ieee"),
    "on a CPU": lambda: setattr(mkldnn.conv, "fp32_precision", "bf16"),
    "everything": lambda: setattr(torch.backends, "fp32_precision", "tf32"),
    "by the clock": lambda: setattr(cudnn, "benchmark", True),
    "the same algorithms": lambda: setattr(cudnn, "deterministic", True),
}


@pytest.fixture(autouse=True)
def as_torch_begins() -> Iterator[None]:
    before = _Switches.now()
    yield
    setattr(torch.backends, "fp32_precision", "none")  # noqa: B010 - types do not know it
    before.restore()


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_it_is_exact_within_and_as_it_was_after(setting: Callable[[], None]) -> None:
    setting()
    before = _Switches.now()
    with exact_arithmetic():
        assert _Switches.now().are_exact
        with exact_arithmetic():
            assert not cuda.matmul.allow_tf32, "torch still tells by the former names"
            assert not cudnn.allow_tf32
        assert _Switches.now().are_exact, "until the last one is out"
    assert _Switches.now() == before


def test_both_names_at_once_are_set_aside_too() -> None:
    torch.set_float32_matmul_precision("high")
    cuda.matmul.fp32_precision = "ieee"  # torch then refuses to multiply, or to tell
    before = _Switches.now()
    with exact_arithmetic():
        assert not cuda.matmul.allow_tf32
    assert _Switches.now() == before


def test_an_error_within_sets_it_back() -> None:
    torch.set_float32_matmul_precision("high")
    with pytest.raises(RuntimeError, match="stop"), exact_arithmetic():
        raise RuntimeError("stop")
    assert torch.get_float32_matmul_precision() == "high"
