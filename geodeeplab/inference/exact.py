"""Arithmetic that is what the precision says: float32 in all its bits, by algorithms that do not change.

torch's switches hold for the whole process, and users set them (`torch.set_float32_matmul_precision`); so they are set
around our forward passes only. TF32, the default of convolutions on CUDA, has 10 bits of a float32's 23.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch

cuda: Any = torch.backends.cuda
cudnn: Any = torch.backends.cudnn
mkldnn: Any = torch.backends.mkldnn
"""Their switches are made as torch is loaded, so types know nothing of them."""

ROUNDED = ("tf32", "bf16")
"""What torch may round float32 to before it multiplies."""


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Compute float32 as float32, deterministically, within; then set torch as it was.

    Several threads may be within at once: the first one sets torch, the last one sets it back.
    """
    _shared.enter()
    try:
        yield
    finally:
        _shared.leave()


class _Shared:
    """Who is within, and what torch was set to before."""

    def __init__(self) -> None:
        self._lock, self._threads = threading.Lock(), 0
        self._before: _Switches | None = None

    def enter(self) -> None:
        with self._lock:
            self._threads += 1
            if self._threads == 1 and not (before := _Switches.now()).are_exact:
                self._before = before
                _set_exact()

    def leave(self) -> None:
        with self._lock:
            self._threads -= 1
            if not self._threads and self._before is not None:
                self._before.restore()
                self._before = None


_shared = _Shared()


@dataclass(frozen=True, kw_only=True)
class _Switches:
    """torch's switches, which hold for the whole process; those that it can no longer tell are None."""

    on_cuda: tuple[str, str, str]
    """How float32 is multiplied on CUDA: matrices, convolutions, recurrent networks."""
    on_cpu: tuple[str, str]
    """The same on a CPU: matrices, convolutions."""
    matmul: str | None
    """The former name for matrices everywhere; torch refuses to tell where it contradicts the present ones."""
    is_cudnn_rounding: bool | None
    """The former name for convolutions on CUDA, likewise."""
    is_deterministic: bool
    """Whether cuDNN keeps to algorithms that give the same bits each time."""
    is_benchmarking: bool
    """Whether cuDNN chooses algorithms by the clock."""

    @classmethod
    def now(cls) -> "_Switches":
        """Read them."""
        matmul, is_cudnn_rounding = None, None
        with suppress(RuntimeError):
            matmul = torch.get_float32_matmul_precision()
        with suppress(RuntimeError):
            is_cudnn_rounding = cudnn.allow_tf32
        return cls(
            on_cuda=(cuda.matmul.fp32_precision, cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision),
            on_cpu=(mkldnn.matmul.fp32_precision, mkldnn.conv.fp32_precision),
            matmul=matmul,
            is_cudnn_rounding=is_cudnn_rounding,
            is_deterministic=cudnn.deterministic,
            is_benchmarking=cudnn.benchmark,
        )

    @property
    def are_exact(self) -> bool:
        """True where nothing has to be set."""
        is_rounding = (
            any(one in ROUNDED for one in (*self.on_cuda, *self.on_cpu)) or self.is_cudnn_rounding is not False
        )
        return not is_rounding and self.matmul == "highest" and self.is_deterministic and not self.is_benchmarking

    def restore(self) -> None:
        """Set them: the former names first, as they set the present ones, too."""
        if self.is_cudnn_rounding is not None:
            cudnn.allow_tf32 = self.is_cudnn_rounding
        if self.matmul is not None:
            torch.set_float32_matmul_precision(self.matmul)
        cuda.matmul.fp32_precision, cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision = self.on_cuda
        mkldnn.matmul.fp32_precision, mkldnn.conv.fp32_precision = self.on_cpu
        cudnn.deterministic, cudnn.benchmark = self.is_deterministic, self.is_benchmarking


def _set_exact() -> None:
    """Set them so that both names agree: torch refuses to multiply where they do not."""
    torch.set_float32_matmul_precision("highest")
    cudnn.allow_tf32 = False
    cudnn.conv.fp32_precision = cudnn.rnn.fp32_precision = "ieee"
    if mkldnn.conv.fp32_precision in ROUNDED:
        mkldnn.conv.fp32_precision = "ieee"
    cudnn.deterministic, cudnn.benchmark = True, False
