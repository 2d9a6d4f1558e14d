"""One page about the quality of labels, as a PNG: numbers, confusion matrix, scores, reliability, where errors lie."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geodeeplab.maps.charts import (
    FAINT,
    GRID,
    INK,
    RED,
    Color,
    plot_confusion,
    plot_reliability,
    plot_scores,
)
from geodeeplab.maps.figures import new_figure, require_matplotlib
from geodeeplab.raster import atomic_outputs, check_output

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REPORT_SUFFIXES = (".png",)
WIDTH_IN, DPI = 13.0, 120
NO_CLASS = 255
RIGHT, UNSEEN = (226, 231, 235), (255, 255, 255)


@dataclass(frozen=True, kw_only=True)
class ReliabilityBins:
    """Confidence against accuracy, see `plot_reliability`."""

    edges: NDArray[np.floating]
    """(B + 1,) of the bins, from 0 to 1."""
    confidence: NDArray[np.floating]
    """(B,) mean confidence."""
    accuracy: NDArray[np.floating]
    """(B,) share that is right."""
    counts: NDArray[np.integer]
    """(B,) pixels."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """What stands on the page, for K classes."""

    title: str
    """First line."""
    subtitle: str
    """What was compared with what."""
    headline: Sequence[tuple[str, str]]
    """Numbers in large type, each with what it is: (name, number)."""
    names: Sequence[str]
    """K names."""
    colors: Sequence[Color]
    """K colours."""
    counts: NDArray[np.integer]
    """(K, K) confusion matrix, the truth by row."""
    scores: Mapping[str, NDArray[np.floating]]
    """Scores by name, (K,) each, see `plot_scores`."""
    columns: Mapping[str, Sequence[str]]
    """Columns of the table by their heads, K texts each."""
    reliability: ReliabilityBins | None
    """Where there is a confidence."""
    labels: NDArray[np.uint8]
    """(h, w) class indices, 255 without."""
    truth: NDArray[np.uint8]
    """(h, w) class indices, 255 without."""
    wrong: NDArray[np.floating]
    """(h, w) share of wrong pixels, NaN where there is no truth."""
    notes: Sequence[str]
    """Lines at the foot of the page."""


def write_report(
    page: Page,
    dst_path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    inputs: Sequence[str | os.PathLike[str]] = (),
) -> Path:
    """Draw a page into a PNG, which is none of the inputs.

    Raises:
        OptionError: matplotlib is missing, or the suffix is not .png.
        OutputError: the picture cannot be written there.
    """
    path = check_output(dst_path, suffixes=REPORT_SUFFIXES, overwrite=overwrite, inputs=inputs)
    require_matplotlib()
    figure = draw_report(page)
    with atomic_outputs([path], overwrite=overwrite) as temporary:
        figure.savefig(temporary[path], dpi=DPI, facecolor="white")
    return path


def draw_report(page: Page) -> "Figure":
    """Draw a page as a matplotlib figure."""
    classes = len(page.names)
    square = min(7.2, max(3.6, 0.62 * classes + 1.6))
    table, maps = 0.24 * classes + 0.75, _map_height(page)
    heights = [1.55, square, table, maps, 0.16 * len(page.notes) + 0.1]
    figure = new_figure(WIDTH_IN, sum(heights) + 0.9)
    figure.get_layout_engine().set(h_pad=0.09, w_pad=0.12)  # type: ignore[union-attr, call-arg]
    rows: Any = figure.subfigures(5, 1, height_ratios=heights)
    _draw_head(rows[0], page)
    charts = rows[1].subplots(1, 2, width_ratios=[1, 1.1])
    plot_confusion(page.counts, page.names, ax=charts[0])
    charts[0].set_title("Confusion: shares of the truth, and pixels", **_title())
    plot_scores(page.scores, page.names, ax=charts[1])
    charts[1].set_title("Scores by class", **_title(), pad=26)
    _draw_table(rows[2], page)
    _draw_maps(rows[3], page)
    for i, note in enumerate(page.notes):
        rows[4].text(0.02, 1 - (i + 0.5) / len(page.notes), note, fontsize=7.5, color=FAINT, va="center")
    return figure


def _title() -> dict[str, Any]:
    return {"fontsize": 10.5, "color": INK, "loc": "left", "fontweight": "bold"}


def _draw_head(part: Any, page: Page) -> None:  # noqa: ANN401 - a subfigure
    part.text(0.02, 0.84, page.title, fontsize=17, fontweight="bold", color=INK, va="center")
    part.text(0.02, 0.63, page.subtitle, fontsize=9.5, color=FAINT, va="center")
    step = 0.96 / max(len(page.headline), 5)
    for i, (name, number) in enumerate(page.headline):
        part.text(0.02 + i * step, 0.34, number, fontsize=19, color=INK, va="center")
        part.text(0.02 + i * step, 0.08, name, fontsize=8.5, color=FAINT, va="center")


def _draw_table(part: Any, page: Page) -> None:  # noqa: ANN401 - a subfigure
    """Write the numbers of the classes down, each with a swatch of its colour."""
    ax = part.subplots()
    ax.set(xlim=(0, 1), ylim=(len(page.names) + 0.1, -1.0))
    ax.axis("off")
    widths = np.array([max(map(len, (head, *texts))) + 3 for head, texts in page.columns.items()], dtype=np.float64)
    rights = (0.17 + 0.83 * np.cumsum(widths) / widths.sum()).tolist()
    for right, (head, texts) in zip(rights, page.columns.items(), strict=True):
        ax.text(right, -0.45, head, ha="right", va="center", fontsize=8.5, color=FAINT)
        for row, text in enumerate(texts):
            ax.text(right, row + 0.5, text, ha="right", va="center", fontsize=9, color=INK)
    for row, (name, color) in enumerate(zip(page.names, page.colors, strict=True)):
        ax.plot([0, 1], [row, row], color=GRID, linewidth=0.8)
        ax.plot(0.012, row + 0.5, "s", color=_unit(color), markersize=9, markeredgecolor=INK, markeredgewidth=0.4)
        ax.text(0.032, row + 0.5, name, va="center", fontsize=9, color=INK)


def _draw_maps(part: Any, page: Page) -> None:  # noqa: ANN401 - a subfigure
    """Draw labels, truth and errors, and the reliability beside them where there is one."""
    count = 3 if page.reliability is None else 4
    axes = part.subplots(1, count, width_ratios=[1] * 3 + [1.15] * (count - 3))
    for ax, title, indices in ((axes[0], "Truth", page.truth), (axes[1], "Labels", page.labels)):
        _draw_map(ax, _class_image(indices, page.colors), title)
    _draw_map(axes[2], error_image(page.wrong), "Errors, in red")
    if page.reliability is not None:
        one = page.reliability
        plot_reliability(one.edges, one.confidence, one.accuracy, one.counts, ax=axes[3])
        axes[3].set_title("Reliability", **_title(), pad=16)


def _draw_map(ax: "Axes", image: NDArray[np.uint8], title: str) -> None:
    ax.imshow(image, interpolation="nearest")
    ax.set_title(title, **_title())
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_color(GRID)


def _map_height(page: Page) -> float:
    """Give the height in inches that the maps need at the width they get."""
    height, width = page.truth.shape
    column = (WIDTH_IN - 1) / (3 if page.reliability is None else 4.3)
    return float(min(6.5, max(2.6, column * height / width + 0.5)))


def _class_image(indices: NDArray[np.uint8], colors: Sequence[Color]) -> NDArray[np.uint8]:
    table = np.full((256, 3), 255, dtype=np.uint8)
    table[: len(colors)] = colors
    return table[indices]


def error_image(wrong: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Give a picture (H, W, 3) of the share of wrong pixels: grey to red, white where there is no truth."""
    share = np.nan_to_num(wrong)[..., None]
    red = np.array([int(RED[i : i + 2], 16) for i in (1, 3, 5)])
    image = np.array(RIGHT) * (1 - share) + red * share
    return np.where(np.isnan(wrong)[..., None], UNSEEN, image).round().astype(np.uint8)


def _unit(color: Color) -> tuple[float, ...]:
    return tuple(value / 255 for value in color)
