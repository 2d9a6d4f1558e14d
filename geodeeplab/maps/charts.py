"""Charts of metrics on plain arrays: confusion matrix, scores by class, reliability. They need the `train` extra."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geodeeplab.errors import OptionError
from geodeeplab.maps.figures import require_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Color = tuple[int, int, int]
"""Red, green, blue, each 0–255."""

INK, FAINT, GRID = "#22303c", "#6b7a87", "#dfe5ea"
BLUE, RED = "#2f6f9f", "#c8553d"
MARKERS = ("o", "D", "s", "^", "v")
SHADES = ("#1f4e79", "#d08c2e", "#5a9e6f", "#8c6bb1", "#c8553d")
LEAST_SHARE = 0.005
"""Cells of the confusion matrix with a smaller share of their row are left blank."""


def plot_confusion(counts: NDArray[np.integer], names: Sequence[str], *, ax: "Axes | None" = None) -> "Axes":
    """Draw a confusion matrix: each cell's share of its row, the true class, as colour and per cent, and its count.

    Args:
        counts: (K, K), the truth by row.
        names: K names of the classes.
        ax: where to draw; a new figure by default.

    Raises:
        OptionError: matplotlib is missing, or the names do not fit the counts.
    """
    if counts.shape != (len(names), len(names)):
        raise OptionError(f"a confusion matrix of {len(names)} classes is square, not {counts.shape}: name each class")
    ax = ax or _new_axes((0.7 * len(names) + 3, 0.7 * len(names) + 2))
    rows = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, rows, out=np.zeros(counts.shape), where=rows > 0)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1.15)  # the darkest blue would swallow the text
    size = 10 if len(names) <= 6 else 8 if len(names) <= 9 else 6.5
    for row, col in np.ndindex(counts.shape):
        if shares[row, col] < LEAST_SHARE:
            continue
        color = "white" if shares[row, col] > 0.55 else INK
        weight = "bold" if row == col else "normal"
        ax.text(col, row - 0.1, f"{shares[row, col]:.0%}", ha="center", va="center", color=color, fontsize=size,
                fontweight=weight)  # fmt: skip
        ax.text(col, row + 0.24, compact(int(counts[row, col])), ha="center", va="center", color=color,
                fontsize=0.7 * size, alpha=0.85)  # fmt: skip
    ax.set_anchor("N")
    _label_cells(ax, names, rows=[f"{name}  ({compact(int(n))})" for name, n in zip(names, rows[:, 0], strict=True)])
    return ax


def plot_scores(
    scores: Mapping[str, NDArray[np.floating]], names: Sequence[str], *, ax: "Axes | None" = None
) -> "Axes":
    """Draw the scores of each class as marks on one line from 0 to 1, the first of them as a bar and a number.

    Args:
        scores: at most five of them, by name: (K,), NaN where there is none.
        names: K names of the classes.
        ax: where to draw; a new figure by default.

    Raises:
        OptionError: matplotlib is missing, or there are more scores than marks.
    """
    if not 1 <= len(scores) <= len(MARKERS):
        raise OptionError(f"1 to {len(MARKERS)} scores can be told apart in a chart, not {len(scores)}: draw fewer")
    ax = ax or _new_axes((7, 0.5 * len(names) + 1.5))
    y = np.arange(len(names))
    (first, values), *rest = scores.items()
    ax.barh(y, np.nan_to_num(values), height=0.62, color="#cfdfec", label=first, zorder=2)
    for one, value in enumerate(values.tolist()):
        if value == value:  # no NaN
            ax.text(1.03, one, f"{value:.2f}", va="center", ha="left", fontsize=9, color=INK, fontweight="bold")
    ax.text(1.03, -0.62, first, va="center", ha="left", fontsize=8.5, color=FAINT)
    for (name, values), marker, shade in zip(rest, MARKERS, SHADES, strict=False):
        ax.plot(values, y, marker, color=shade, markersize=6, markeredgecolor="white", markeredgewidth=0.8, label=name,
                linestyle="none", zorder=3, clip_on=False)  # fmt: skip
    ax.set(xlim=(0, 1), ylim=(len(names) - 0.5, -0.5))
    ax.set_yticks(y, names)
    ax.grid(axis="x", color=GRID)
    _quiet(ax)
    handles, texts = ax.get_legend_handles_labels()  # matplotlib puts bars last
    ax.legend(
        [handles[texts.index(name)] for name in scores], list(scores), loc="lower center", bbox_to_anchor=(0.5, 1.0),
        ncols=len(scores), frameon=False, fontsize=8.5, handletextpad=0.4, columnspacing=1.4,
    )  # fmt: skip
    return ax


def plot_reliability(
    edges: NDArray[np.floating],
    confidence: NDArray[np.floating],
    accuracy: NDArray[np.floating],
    counts: NDArray[np.integer],
    *,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw accuracy against confidence by bins, with the gap to the diagonal and each bin's share of the pixels.

    Args:
        edges: (B + 1,) of the bins, from 0 to 1.
        confidence: (B,) mean confidence in each bin, NaN where it is empty.
        accuracy: (B,) share of right labels in each bin.
        counts: (B,) pixels in each bin.
        ax: where to draw; a new figure by default.

    Raises:
        OptionError: matplotlib is missing.
    """
    ax = ax or _new_axes((5, 5))
    width, middle = np.diff(edges), (edges[:-1] + edges[1:]) / 2
    there = counts > 0
    low, high = np.minimum(confidence, accuracy)[there], np.maximum(confidence, accuracy)[there]
    ax.bar(middle[there], accuracy[there], 0.92 * width[there], color="#9fbfd8", label="accuracy", zorder=2)
    ax.bar(middle[there], high - low, 0.92 * width[there], bottom=low, color=RED, alpha=0.28, label="gap", zorder=2.5)
    ax.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (4, 3)), zorder=3)
    ax.plot(confidence[there], accuracy[there], "o", color=BLUE, markersize=4.5, zorder=4, clip_on=False)
    share = counts / max(int(counts.sum()), 1)
    for x, one in zip(middle[there], share[there], strict=True):
        ax.text(x, 1.015, f"{one:.0%}" if one >= LEAST_SHARE else "<1%", ha="center", fontsize=6.5, color=FAINT)
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="share that is right")
    ax.grid(color=GRID)
    ax.legend(loc="upper left", frameon=False, fontsize=8)
    _quiet(ax)
    return ax


def compact(count: int) -> str:
    """Write a count down in at most four characters or so: 950, 12k, 3.4M."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= limit:
            value = count / limit
            return f"{value:.1f}{unit}" if value < 9.95 else f"{value:.0f}{unit}"
    return str(count)


def _new_axes(size: tuple[float, float]) -> "Axes":
    require_matplotlib()
    from matplotlib import pyplot

    _, ax = pyplot.subplots(figsize=size, layout="constrained")
    return ax


def _label_cells(ax: "Axes", names: Sequence[str], *, rows: Sequence[str]) -> None:
    """Write the classes along both axes of a matrix, and part its cells."""
    positions = np.arange(len(names))
    is_long = len(names) > 6 or max(map(len, names)) > 60 / len(names)
    ax.set_xticks(positions, names, rotation=40 if is_long else 0, ha="right" if is_long else "center", fontsize=8.5)
    ax.set_yticks(positions, rows, fontsize=8.5)
    ax.set_xlabel("label", color=FAINT, fontsize=9)
    ax.set_ylabel("truth", color=FAINT, fontsize=9)
    ax.set_xticks(positions[1:] - 0.5, minor=True)
    ax.set_yticks(positions[1:] - 0.5, minor=True)
    ax.grid(which="minor", color="white", linewidth=1.5)
    ax.tick_params(which="both", length=0, colors=INK)
    ax.spines[:].set_visible(False)


def _quiet(ax: "Axes") -> None:
    """Leave out what carries no information."""
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.spines["bottom"].set_color(GRID)
    ax.tick_params(length=0, colors=INK, labelsize=8.5)
    ax.xaxis.label.set_color(FAINT)
    ax.yaxis.label.set_color(FAINT)
    ax.xaxis.label.set_fontsize(9)
    ax.yaxis.label.set_fontsize(9)
    ax.set_axisbelow(True)
