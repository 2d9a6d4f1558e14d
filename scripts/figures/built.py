"""What the figures share that comes from the networks as built: their maps and their rates."""

from collections.abc import Callable
from functools import cache

import torch
from matplotlib.axes import Axes
from torch import nn

from figures.parts import (
    ATROUS,
    MUTED,
    PLAIN,
    Placed,
    Slab,
    draw_arrow,
    draw_box,
    draw_line,
    draw_slab,
    label_below,
    of_map,
    write,
)
from figures.scene import coarse_scores, paint_scene, paint_scores, square
from figures.taps import draw_tap_sign
from geodeeplab.models import SegmentationNetwork, build_published

Label = Callable[..., None]
"""`label_above` or `label_below`."""


@cache
def as_published(name: str) -> SegmentationNetwork:
    """Build a published network without its weights."""
    with torch.device("meta"):
        return build_published(name)


def convolution(name: str, layer: str) -> nn.Conv2d:
    """Give a convolution of a published network's head."""
    found = as_published(name).classifier.get_submodule(layer)
    assert isinstance(found, nn.Conv2d)
    return found


def rates_of(part: nn.Module) -> list[int]:
    """List the rates of a part's 3 × 3 convolutions, smallest first, each once."""
    return sorted({m.dilation[0] for m in part.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)})


def draw_image(ax: Axes, x: float, y: float, *, height: float | None = None) -> Slab:
    """Draw the image, with its left side at x and its middle at y."""
    slab = draw_slab(ax, x, y, stride=1, channels=3, height=height)
    paint_scene(ax, slab.face, n=48 if height is None else 18)
    return slab


def draw_result(ax: Axes, x: float, y: float, cells: int, *, side: float = 0.62) -> Placed:
    """Draw, upright, the labels that a map of cells × cells gives when it is upsampled."""
    face, placed = square(x, y, side)
    paint_scores(ax, face, coarse_scores(cells))
    return placed


def draw_levels(ax: Axes, x: float, y: float, name: str, *, step: float, label: Label = label_below) -> list[Slab]:
    """Draw a published network's four levels: those whose stride was traded for dilation in the atrous colour."""
    backbone = as_published(name).backbone
    slabs = []
    for i, (stride, channels) in enumerate(zip(backbone.strides, backbone.channels, strict=True)):
        colour = ATROUS if stride < 4 * 2**i else PLAIN
        slabs.append(draw_slab(ax, x + step * i, y, stride=stride, channels=channels, colour=colour))
    at = slabs[0].bottom - 0.07 if label is label_below else slabs[0].top + 0.06
    for i, slab in enumerate(slabs):
        label(ax, slab, f"layer{i + 1}", of_map(backbone.strides[i], backbone.channels[i]), at=at)
    return slabs


def legend(ax: Axes, x: float, y: float, *colours: tuple[str, str]) -> None:
    """Say what colours mean, from (x, y) downwards."""
    for i, (colour, meaning) in enumerate(colours):
        draw_slab(ax, x, y - 0.21 * i, stride=8, channels=256, colour=colour, height=0.12)
        write(ax, x + 0.38, y - 0.21 * i, meaning, ha="left", colour=MUTED)


def draw_branches(ax: Axes, texts: list[str], *, x: float, y: float, to: Placed, pitch: float = 0.37) -> None:
    """Draw parallel layers from x rightwards, about the height y, and lines to what joins them; with taps at a rate."""
    rates = [int(text.split("rate ")[1]) if "rate" in text else 0 for text in texts]
    trunk, gather = x - 0.17, x + 1.55
    levels = [y + pitch * ((len(texts) - 1) / 2 - i) for i in range(len(texts))]
    for text, rate, level in zip(texts, rates, levels, strict=True):
        colour, ha = (ATROUS, "right") if rate else (PLAIN, "center")
        box = draw_box(ax, x, level, text, width=1.38, colour=colour, ha=ha)
        if rate:
            draw_tap_sign(ax, x + 0.18, level, rate, largest=max(rates))
        draw_arrow(ax, (trunk, level), (box.left - 0.02, level))
        draw_line(ax, (box.right, level), (gather, level))
    for bar in (trunk, gather):
        draw_line(ax, (bar, levels[-1]), (bar, levels[0]))
    draw_arrow(ax, (gather, y), (to.left - 0.03, y))
