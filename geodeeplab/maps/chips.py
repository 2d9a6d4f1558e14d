"""Pictures of chips with their labels."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from geodeeplab.errors import OptionError
from geodeeplab.maps.figures import new_figure
from geodeeplab.maps.preview import OUTSIDE
from geodeeplab.raster import LabelClass

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INCH = 2.2
"""Side of a chip in the figure."""
IGNORED_COLOR = (235, 235, 235)
"""Of pixels without a label, hatched in the legend's words only."""


def stretch(
    pixels: npt.NDArray[np.float32],
    valid: npt.NDArray[np.bool_],
    *,
    channels: tuple[int, int, int],
    display_range: Sequence[tuple[float, float]],
) -> npt.NDArray[np.uint8]:
    """Give an image (H, W, 3) of three channels of a chip (C, H, W), each stretched over its display range.

    The range is the scenes', not the chip's, so that chips can be compared. Invalid pixels (H, W) are white.
    """
    low, high = np.array([display_range[channel] for channel in channels], dtype=np.float64).T[..., None, None]
    image = (pixels[list(channels)] - low) / np.maximum(high - low, 1e-12) * 255
    image = np.where(valid, np.clip(np.nan_to_num(image), 0, 255), OUTSIDE)
    return np.moveaxis(image, 0, -1).round().astype(np.uint8)


def color_labels(labels: npt.NDArray[np.uint8], colors: Sequence[tuple[int, int, int]]) -> npt.NDArray[np.uint8]:
    """Give an image (H, W, 3) of class indices (H, W) in the classes' colours; indices of no class are light grey."""
    table = np.full((256, 3), IGNORED_COLOR, dtype=np.uint8)
    table[: len(colors)] = colors
    return table[labels]


def lay_over(
    image: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.uint8],
    colors: Sequence[tuple[int, int, int]],
    *,
    alpha: float | None,
) -> npt.NDArray[np.uint8]:
    """Give an image (H, W, 3) under its class indices (H, W) in the classes' colours; under indices of no class alone.

    Args:
        image: the image.
        labels: class indices.
        colors: of the classes, by index.
        alpha: opacity of the colours, 0 to 1; None for the colours without the image, as `color_labels` gives them.

    Raises:
        OptionError: for an opacity that cannot be.
    """
    colored = color_labels(labels, colors)
    if alpha is None:
        return colored
    if not 0 <= alpha <= 1:
        raise OptionError(f"`alpha=` is the opacity of the labels over the image, from 0 to 1, not {alpha:g}")
    mixed = (1 - alpha) * image + alpha * colored
    return np.where((labels < len(colors))[..., None], mixed.round(), image).astype(np.uint8)


def draw_chips(
    images: Sequence[npt.NDArray[np.uint8]],
    labels: Sequence[npt.NDArray[np.uint8]],
    classes: Sequence[LabelClass],
    *,
    columns: int = 4,
    title: str = "",
    alpha: float | None = None,
) -> "Figure":
    """Draw images with their labels below them, and a legend.

    Args:
        images: (H, W, 3) each.
        labels: class indices (H, W) each.
        classes: in the order of the indices.
        columns: pairs in a row of the figure.
        title: above all.
        alpha: opacity of the labels over the images; None for the labels alone.

    Raises:
        OptionError: matplotlib is not installed, or the opacity cannot be.
    """
    rows = -(-len(images) // columns)
    figure = new_figure(INCH * columns, INCH * rows * 2 + 0.9)
    from matplotlib.patches import Patch

    axes = figure.subplots(2 * rows, columns, squeeze=False)
    colors = [item.color for item in classes]
    for number, (image, indices) in enumerate(zip(images, labels, strict=True)):
        row, column = divmod(number, columns)
        axes[2 * row, column].imshow(image, interpolation="nearest")
        axes[2 * row + 1, column].imshow(lay_over(image, indices, colors, alpha=alpha), interpolation="nearest")
    for axis in axes.flat:
        axis.set_axis_off()
    handles = [
        Patch(facecolor=(red / 255, green / 255, blue / 255), edgecolor="black", linewidth=0.5)
        for red, green, blue in [*colors, IGNORED_COLOR]
    ]
    names = [*(item.name for item in classes), "ignored"]
    figure.legend(handles, names, loc="outside lower center", ncols=min(len(names), 6), frameon=False, fontsize=9)
    if title:
        figure.suptitle(title, fontsize=10)
    return figure
