"""Measuring what the convolutions of a network read, on chips that it was trained on."""

from collections.abc import Callable, Iterable
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from geodeeplab.models.int8.ranges import LEAST_SPAN
from geodeeplab.models.network import SegmentationNetwork

DIGITS = 5
"""Significant digits of a range: far finer than its steps."""


def int8_convolutions(network: SegmentationNetwork) -> dict[str, nn.Conv2d]:
    """Give the convolutions of backbone and head by name; PointRend's points stay float32."""
    return {name: module for name, module in network.named_modules() if isinstance(module, nn.Conv2d)}


def measure_ranges(network: SegmentationNetwork, images: Iterable[Tensor]) -> dict[str, tuple[float, float]]:
    """Measure the ranges of what each convolution reads: the mean over images of the least and the greatest number.

    Args:
        network: in evaluation mode.
        images: normalised (1, C, H, W), where the network is.
    """
    seen: dict[str, list[tuple[float, float]]] = {}

    def watch(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def look(module: nn.Module, args: tuple[Any, ...]) -> None:
            low, high = args[0].aminmax()
            seen.setdefault(name, []).append((low.item(), high.item()))

        return look

    hooks = [module.register_forward_pre_hook(watch(name)) for name, module in int8_convolutions(network).items()]
    try:
        with torch.inference_mode():
            for image in images:
                network.coarse_and_fine(image)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: _mean_range(pairs) for name, pairs in seen.items()}


def _mean_range(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    low, high = (fmean(ends) for ends in zip(*pairs, strict=True))
    low = min(0.0, low)
    return _rounded(low), _rounded(max(high, low + 2 * LEAST_SPAN, 0.0))


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
