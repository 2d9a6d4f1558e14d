"""The visual language of the figures of the DeepLab line: slabs, boxes, nodes, arrows and labels, measured in inches.

A feature map is a slab: the taller it is, the finer the map; the thicker, the more channels.
"""

import io
import math
import pathlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Polygon
from matplotlib.path import Path
from matplotlib.text import Text

WIDTH = 7.2
"""Inches: the width at which the documentation shows a figure, so that 9 points stay 9 points."""
FONT_SIZE = 9.0
LINE = 0.17
"""Inches from line to line."""
INK, MUTED, FAINT, PAPER = "#22313f", "#51626f", "#d5dde3", "#ffffff"
PLAIN = "#a9bccc"
"""A map whose convolutions are plain."""
ATROUS = "#2a9d8f"
"""A map, or a layer, of atrous convolution."""
HEAD = "#eba83a"
"""What a head adds."""
SCORES = "#b5659f"
"""Logits, one channel a class."""
CLASSES = "K"
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": FONT_SIZE,
    "svg.fonttype": "path",
    "svg.hashsalt": "geodeeplab",
}
Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Where a part lies: its bounding box."""

    left: float
    """Its left side."""
    right: float
    """Its right side."""
    bottom: float
    """Its lower side."""
    top: float
    """Its upper side."""

    @property
    def x(self) -> float:
        """Its middle from left to right."""
        return (self.left + self.right) / 2

    @property
    def y(self) -> float:
        """Its middle from below."""
        return (self.bottom + self.top) / 2


def new_canvas(height: float) -> tuple[Figure, Axes]:
    """Give an empty white figure of WIDTH × `height` inches, and axes whose unit is the inch."""
    figure = Figure(figsize=(WIDTH, height), facecolor=PAPER)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, WIDTH), ylim=(0, height), autoscale_on=False)
    ax.axis("off")
    return figure, ax


def save_svg(figure: Figure, path: pathlib.Path) -> None:
    """Write a figure as SVG: letters as paths, outlines to a tenth of a point, the same bytes every time."""
    drawn = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
    shortened = re.sub(r'(?<=[ "\n]d=")[^"]*', lambda outline: _shorten(outline[0]), drawn.getvalue())
    shortened = re.sub(r' (clip-path="[^"]*"|id="(patch|line2d|text)_\d+")', "", shortened)
    path.write_text("\n".join(line.rstrip() for line in shortened.splitlines()) + "\n", encoding="utf-8")


def _shorten(outline: str) -> str:
    return re.sub(r"-?\d+\.\d+", lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), outline)


def write(
    ax: Axes,
    x: float,
    y: float,
    text: str,
    *,
    size: float = FONT_SIZE,
    colour: str = INK,
    ha: str = "center",
    va: str = "center",
    bold: bool = False,
) -> Text:
    """Write text, at a point of it that `ha` and `va` name."""
    return ax.text(
        x,
        y,
        text,
        fontsize=size,
        color=colour,
        ha=ha,
        va=va,
        weight="bold" if bold else "normal",
        linespacing=1.25,
        zorder=5,
    )


def shade(colour: str, share: float) -> tuple[float, float, float]:
    """Give a colour nearer to white (share above 0) or to black (below)."""
    rgb, end = np.array(to_rgb(colour)), 1.0 if share > 0 else 0.0
    red, green, blue = rgb + abs(share) * (end - rgb)
    return red, green, blue


def map_height(stride: float) -> float:
    """Give the height of a map of a stride; not to scale, or the coarse ones would vanish."""
    return 1.1 * math.pow(stride, -0.32)


def map_thickness(channels: int | str) -> float:
    """Give the thickness of a map: by the logarithm of its channels."""
    return 0.06 if isinstance(channels, str) else 0.05 + 0.036 * float(np.log2(max(channels, 8) / 8))


@dataclass(frozen=True, kw_only=True)
class Slab(Placed):
    """A feature map, and the face on which it could be painted."""

    face: tuple[Point, Point, Point]
    """The lower left corner of its broad side, the vector to the right, the vector up."""


def draw_slab(
    ax: Axes,
    x: float,
    y: float,
    *,
    stride: float,
    channels: int | str,
    colour: str = PLAIN,
    height: float | None = None,
) -> Slab:
    """Draw a map whose left side is at x and whose middle is at y."""
    h, t = map_height(stride) if height is None else height, map_thickness(channels)
    dx, dy = 0.34 * h, 0.2 * h
    low, high = y - (h + dy) / 2, y + (h - dy) / 2
    faces = (
        ([(x, low), (x + t, low), (x + t, high), (x, high)], 0.0),
        ([(x, high), (x + t, high), (x + t + dx, high + dy), (x + dx, high + dy)], 0.45),
        ([(x + t, low), (x + t + dx, low + dy), (x + t + dx, high + dy), (x + t, high)], -0.13),
    )
    for corners, lightness in faces:
        ax.add_patch(
            Polygon(
                corners, facecolor=shade(colour, lightness), edgecolor=shade(colour, -0.5), lw=0.7, joinstyle="round"
            )
        )
    return Slab(left=x, right=x + t + dx, bottom=low, top=high + dy, face=((x + t, low), (dx, dy), (0.0, h)))


def label_below(ax: Axes, part: Placed, name: str, facts: str = "", *, at: float | None = None) -> None:
    """Write a name, and facts in grey under it, below a part, or from the height `at` downwards."""
    _write_lines(ax, part.x, (part.bottom - 0.07 if at is None else at) - 0.12, name, facts)


def label_above(ax: Axes, part: Placed, name: str, facts: str = "", *, at: float | None = None) -> None:
    """Write a name, and facts in grey under it, above a part, or from the height `at` upwards."""
    lines = facts.count("\n") + 1 if facts else 0
    _write_lines(ax, part.x, (part.top + 0.08 if at is None else at) + LINE * lines, name, facts)


def _write_lines(ax: Axes, x: float, y: float, name: str, facts: str) -> None:
    write(ax, x, y, name, va="baseline", bold=True)
    for i, fact in enumerate(facts.split("\n"), start=1):
        write(ax, x, y - LINE * i, fact, va="baseline", colour=MUTED)


def of_map(stride: int, channels: int | str) -> str:
    """Say a map's stride and channels, in two lines."""
    return f"stride {stride}\n{channels} ch."


def draw_box(
    ax: Axes,
    x: float,
    y: float,
    text: str,
    *,
    width: float,
    height: float = 0.3,
    colour: str = HEAD,
    ha: str = "center",
) -> Placed:
    """Draw a layer as a box with rounded corners, its left side at x and its middle at y; `ha` places the text."""
    ax.add_patch(
        FancyBboxPatch(
            (x, y - height / 2),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.07",
            facecolor=shade(colour, 0.72),
            edgecolor=shade(colour, -0.25),
            lw=0.9,
        )
    )
    at = {"center": x + width / 2, "left": x + 0.08, "right": x + width - 0.09}[ha]
    write(ax, at, y, text, ha=ha)
    return Placed(left=x, right=x + width, bottom=y - height / 2, top=y + height / 2)


def draw_node(ax: Axes, x: float, y: float, sign: str) -> Placed:
    """Draw what joins maps, + or max or a word, as a circle about (x, y)."""
    radius = 0.13 if len(sign) == 1 else 0.21
    ax.add_patch(Circle((x, y), radius, facecolor=PAPER, edgecolor=INK, lw=1.1, zorder=3))
    write(ax, x, y, sign, size=12 if len(sign) == 1 else FONT_SIZE)
    return Placed(left=x - radius, right=x + radius, bottom=y - radius, top=y + radius)


def draw_line(ax: Axes, *points: Point, colour: str = INK) -> None:
    """Draw a line along points."""
    x, y = zip(*points, strict=True)
    ax.plot(x, y, color=colour, lw=1.1, solid_capstyle="projecting", solid_joinstyle="round", zorder=2)


def draw_arrow(ax: Axes, *points: Point, text: str = "", colour: str = INK, gap: float = 0.05) -> None:
    """Draw an arrow along points, and text above the middle of its first piece (right of it, where it is upright)."""
    if len(points) > 2:
        draw_line(ax, *points[:-1], colour=colour)
    arrow = FancyArrowPatch(
        points[-2], points[-1], arrowstyle="-|>", mutation_scale=8, color=colour, lw=1.1, shrinkA=0, shrinkB=0, zorder=2
    )
    ax.add_patch(arrow)
    (x0, y0), (x1, y1) = points[:2]
    if abs(x1 - x0) > abs(y1 - y0):
        write(ax, (x0 + x1) / 2, (y0 + y1) / 2 + gap, text, va="bottom", colour=MUTED)
    else:
        write(ax, (x0 + x1) / 2 + gap, (y0 + y1) / 2, text, ha="left", colour=MUTED)


def connect(ax: Axes, *parts: Placed, text: str = "") -> None:
    """Draw an arrow from each part to the one on its right, at the height of the first."""
    for before, after in pairwise(parts):
        draw_arrow(ax, (before.right + 0.03, before.y), (after.left - 0.03, before.y), text=text)


def rectangles(boxes: Iterable[tuple[float, float, float, float]]) -> Path:
    """Give the outline of many rectangles, each (left, low, width, height)."""
    corners = [
        corner
        for x, y, width, height in boxes
        for corner in ((x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y))
    ]
    return Path(corners, [Path.MOVETO, *[Path.LINETO] * 3, Path.CLOSEPOLY] * (len(corners) // 5))
