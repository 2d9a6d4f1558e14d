"""Random weights of large networks, quickly."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

BLOCK = 1 << 16


def repeating(draw: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Let a drawing method of `Tensor` draw a block of numbers, and fill what is larger with it over and over."""

    def fill(tensor: Tensor, *args: Any, **options: Any) -> Tensor:  # noqa: ANN401 - whatever torch takes
        if tensor.numel() <= BLOCK or tensor.is_meta or not tensor.is_contiguous():
            return draw(tensor, *args, **options)
        with torch.no_grad():
            flat = tensor.view(-1)
            block = draw(flat[:BLOCK], *args, **options)
            whole = flat.numel() // BLOCK * BLOCK
            flat[:whole].view(-1, BLOCK).copy_(block.clone())
            flat[whole:].copy_(block[: flat.numel() - whole])
        return tensor

    return fill


@pytest.fixture(autouse=True)
def quick_random_weights() -> Iterator[None]:
    """Random initialisation takes most of the time of building a network, and no test here asks for its quality."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("normal_", "uniform_"):
            patch.setattr(Tensor, name, repeating(getattr(Tensor, name)))
        yield
