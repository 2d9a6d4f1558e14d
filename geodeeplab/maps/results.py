"""Pictures of what a network makes of chips, beside what is true."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geodeeplab.errors import OptionError
from geodeeplab.maps.chips import IGNORED_COLOR, INCH, lay_over
from geodeeplab.maps.figures import new_figure
from geodeeplab.raster import LabelClass

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RIGHT, WRONG = (225, 235, 225), (45, 45, 45)
"""Colours of the column of errors."""


def to_hex(color: tuple[int, int, int]) -> str:
    """Give a colour in matplotlib's words."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def draw_results(
    images: Sequence[NDArray[np.uint8]],
    truths: Sequence[NDArray[np.uint8]],
    labels: Sequence[NDArray[np.uint8]],
    classes: Sequence[LabelClass],
    *,
    titles: Sequence[str],
    alpha: float | None = None,
) -> "Figure":
    """Draw one row a chip: the image, the truth, the labels, and where they differ.

    Args:
        images: (H, W, 3) each.
        truths: class indices (H, W) each; others are ignored.
        labels: class indices (H, W) each.
        classes: in the order of the indices.
        titles: what to write over each image.
        alpha: opacity of truth and labels over the image; None for them alone.

    Raises:
        OptionError: for no chip, an opacity that cannot be, or without matplotlib.
    """
    if not images:
        raise OptionError("there is no chip to draw: no validation chip has a label")
    colors = [item.color for item in classes]
    figure = new_figure(4 * INCH, len(images) * (INCH + 0.2) + 0.6)
    from matplotlib.patches import Patch

    axes = figure.subplots(len(images), 4, squeeze=False)
    for row, (image, truth, given) in enumerate(zip(images, truths, labels, strict=True)):
        known = truth < len(classes)
        errors = np.select([~known[..., None], (given == truth)[..., None]], [IGNORED_COLOR, RIGHT], WRONG)
        shown = (lay_over(image, one, colors, alpha=alpha) for one in (truth, given))
        for axis, drawn in zip(axes[row], (image, *shown, errors), strict=True):
            axis.imshow(drawn.astype(np.uint8), interpolation="nearest")
            axis.set_axis_off()
        heads = ("truth", "labels", "errors") if row == 0 else (" ",) * 3  # a title each, so that all stay aligned
        for axis, name in zip(axes[row], (titles[row], *heads), strict=True):
            axis.set_title(name, fontsize=8)
    swatches = [
        *zip(colors, [item.name for item in classes], strict=True),
        (IGNORED_COLOR, "ignored"),
        (WRONG, "error"),
    ]
    handles = [Patch(facecolor=to_hex(color), edgecolor="black", linewidth=0.5) for color, _ in swatches]
    figure.legend(
        handles,
        [name for _, name in swatches],
        loc="outside lower center",
        ncols=min(len(swatches), 7),
        frameon=False,
        fontsize=9,
    )
    return figure
