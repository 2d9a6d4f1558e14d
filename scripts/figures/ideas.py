"""The figures of ideas: the line as a whole, atrous convolution, PointRend and the dense CRF."""

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from numpy.typing import NDArray
from torch import Tensor

from figures.built import as_published
from figures.parts import (
    ATROUS,
    CLASSES,
    FAINT,
    HEAD,
    INK,
    MUTED,
    PAPER,
    PLAIN,
    SCORES,
    Placed,
    connect,
    draw_arrow,
    draw_box,
    draw_line,
    draw_slab,
    label_below,
    new_canvas,
    of_map,
    shade,
    write,
)
from figures.scene import IMAGE_COLOURS, coarse_scores, paint_cells, paint_pixels, square, true_scores
from figures.taps import draw_taps
from geodeeplab.models.catalogue import DILATED, FCN, POINTREND, V1, V2, V3, V3_PLUS
from geodeeplab.models.crf import DenseCRF
from geodeeplab.models.heads.aspp import resize
from geodeeplab.models.pointrend import PointHead, subdivide

DEEP = to_hex(shade(ATROUS, -0.3))
PAPERS = (
    ("FCN", "", FCN),
    ("DeepLab", "V1", V1),
    ("Dilated", "Net", DILATED),
    ("DeepLab", "V2", V2),
    ("DeepLab", "V3", V3),
    ("DeepLab", "V3+", V3_PLUS),
    ("Point", "Rend", POINTREND),
)
"""Names in two lines, and the source, whose arXiv id tells the month of its first version."""
IDEAS = (
    ("fine maps read again", HEAD, (0, 5, 6)),
    ("atrous convolution", ATROUS, (1, 2, 3, 4, 5)),
    ("dense CRF afterwards", SCORES, (1, 2, 3)),
    ("context module on the scores", ATROUS, (2,)),
    ("several rates at once (ASPP)", ATROUS, (3, 4, 5)),
    ("image pooling", PLAIN, (4, 5)),
    ("only uncertain points again", HEAD, (6,)),
)
"""Each idea, its colour, and which of the papers bring or use it."""


def draw_line_of_papers() -> Figure:
    """When each paper appeared, and which ideas it has."""
    figure, ax = new_canvas(4.0)
    columns = [2.62 + 0.71 * i for i in range(len(PAPERS))]
    axis, first = 3.62, 2.45
    draw_line(ax, (2.35, axis), (7.05, axis), colour=MUTED)
    write(ax, 0.1, axis, "first version on arXiv", ha="left", colour=MUTED)
    for year in range(2015, 2021):
        x = _at_year(year)
        draw_line(ax, (x, axis), (x, axis + 0.06), colour=MUTED)
        write(ax, x, axis + 0.17, str(year), colour=MUTED)
    for x, (name, version, source) in zip(columns, PAPERS, strict=True):
        dot = _at_year(first_year(source))
        draw_line(ax, (dot, axis), (x, 3.16), colour=FAINT)
        ax.add_patch(Circle((dot, axis), 0.05, facecolor=INK, edgecolor=PAPER, lw=0.8, zorder=3))
        write(ax, x, 2.97, name, bold=True, va="baseline")
        write(ax, x, 2.8, version, bold=True, va="baseline")
    for i, (idea, colour, owners) in enumerate(IDEAS):
        y = first - 0.37 * i
        write(ax, 0.1, y, idea, ha="left")
        draw_line(ax, (2.35, y), (7.05, y), colour=FAINT)
        for j in owners:
            ax.add_patch(
                Circle((columns[j], y), 0.1, facecolor=colour, edgecolor=shade(colour, -0.35), lw=0.9, zorder=3)
            )
    return figure


def first_year(source: str) -> float:
    """Give the middle of the month that an arXiv id such as 1411.4038 names, in years."""
    year, month = source.split("arXiv ")[1][:2], source.split("arXiv ")[1][2:4]
    return 2000 + int(year) + (int(month) - 0.5) / 12


def _at_year(year: float) -> float:
    return 2.4 + (year - 2014.7) * 0.83


def draw_atrous() -> Figure:
    """Kernels of three rates above; below, why a dropped stride costs no weight and changes no value."""
    figure, ax = new_canvas(4.6)
    for x, rate in ((1.0, 1), (3.6, 2), (6.2, 6)):
        draw_taps(ax, x, 3.72, rate=rate, cells=15, side=1.5)
        seen = 2 * rate + 1
        write(ax, x, 2.85, f"rate {rate}", bold=True)
        write(ax, x, 2.68, f"9 taps, {seen} × {seen} cells", colour=MUTED)

    write(
        ax, 0.12, 2.28, "The same weights on a finer grid: a row of an image, seen from the side", ha="left", bold=True
    )
    for x, stride in ((0.25, 2), (3.95, 1)):
        _draw_row(ax, x, stride)
    write(ax, 1.75, 0.22, "stride 2, then rate 1:\nevery second value", colour=MUTED)
    write(ax, 5.45, 0.22, "stride 1, then rate 2: these values\nagain, and those between them", colour=MUTED)
    return figure


def _draw_row(ax: Axes, x: float, stride: int) -> None:
    """Draw a row of 12 cells, what is left of it after a stride, and what a kernel of three taps makes of that."""
    step, heights = 0.25, (1.86, 1.3, 0.66)
    kept = range(0, 12, stride)
    rate = 2 // stride
    for y, cells in zip(heights, (range(12), kept, kept), strict=True):
        for i in cells:
            is_shared = y < heights[0] and i % 2 == 0
            face = shade(ATROUS, 0.55) if y == heights[-1] else shade(PLAIN, 0.45)
            ax.add_patch(
                Rectangle(
                    (x + step * i, y - 0.1),
                    step * 0.88,
                    0.2,
                    facecolor=face if is_shared or y == heights[0] else PAPER,
                    edgecolor=INK if is_shared else MUTED,
                    lw=1.1 if is_shared else 0.7,
                )
            )
    middle = x + step * 0.44
    for i in kept:
        draw_line(ax, (middle + step * i, heights[0] - 0.12), (middle + step * i, heights[1] + 0.12), colour=FAINT)
    target = 6
    for tap in (target - stride * rate, target, target + stride * rate):
        aside = 0.07 * (tap - target) / (stride * rate)
        start = (middle + step * tap, heights[1] - 0.12)
        draw_arrow(ax, start, (middle + step * target + aside, heights[2] + 0.12), colour=DEEP)


class Watched(PointHead):
    """A point head that knows the truth: it gives the scene's own classes, and remembers where it was asked."""

    def __init__(self) -> None:
        """Take nothing: it has five classes, and fine features of those and of a point's place."""
        super().__init__(7, 5, hidden_channels=1)
        self.asked: list[Tensor] = []

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Give logits (N, P, 5) of fine features (N, P, 7): classes, then x and y."""
        self.asked.append(fine[..., 5:])
        return fine[..., :5]


def draw_pointrend() -> Figure:
    """The steps of subdivision, as the code takes them, and the point head."""
    figure, ax = new_canvas(4.55)
    write(
        ax, 0.12, 4.42, "At inference: double, ask again where it is uncertain, three times over", ha="left", bold=True
    )
    coarse, fine = coarse_scores(8), _truth_and_place(256)
    side, y, points = 1.42, 3.5, 40
    before: Placed | None = None
    for i, cells in enumerate((8, 16, 32, 64)):
        head = Watched()
        shown = coarse if i == 0 else subdivide(head, coarse, [fine], shape=(cells, cells), points_per_step=points)
        face, placed = square(0.12 + 1.84 * i, y, side)
        paint_cells(ax, face, shown)
        label_below(ax, placed, f"{cells} × {cells}", "the coarse logits" if i == 0 else f"{points} points")
        if i:
            x, down = head.asked[-1][0].T.numpy()
            at = (placed.left + x * side, placed.top - down * side)
            ax.scatter(*at, s=9, color=INK, edgecolors=PAPER, linewidths=0.4, zorder=4)
        if before is not None:
            draw_arrow(ax, (before.right + 0.04, y), (placed.left - 0.04, y), text="× 2")
        before = placed
    _draw_point_head(ax, 1.0)
    return figure


def _truth_and_place(n: int) -> Tensor:
    """Give a map (1, 7, n, n) of the scene's classes and of its cells' places (x, y) in [0, 1]."""
    middles = (torch.arange(n) + 0.5) / n
    y, x = torch.meshgrid(middles, middles, indexing="ij")
    return torch.cat([true_scores(n), torch.stack([x, y]).unsqueeze(0)], dim=1)


def _draw_point_head(ax: Axes, y: float) -> None:
    """Draw the small network that judges a point."""
    network = as_published("deeplabv3_resnet101_pointrend")
    head, backbone = network.point_head, network.backbone
    assert head is not None
    write(ax, 0.12, 2.16, "The point head: what it reads at one point", ha="left", bold=True)
    fine = draw_slab(ax, 0.2, y + 0.37, stride=4, channels=backbone.channels[0])
    coarse = draw_slab(ax, 0.27, y - 0.5, stride=16, channels=CLASSES, colour=SCORES)
    write(ax, 0.86, y + 0.37, f"fine map\n{of_map(backbone.strides[0], backbone.channels[0])}", ha="left", colour=MUTED)
    write(ax, 0.86, y - 0.5, f"coarse logits\n{of_map(backbone.strides[-1], CLASSES)}", ha="left", colour=MUTED)
    layers = [
        draw_box(ax, 2.42 + 1.14 * i, y + 0.37, f"{layer.out_features}", width=0.62, height=0.42)
        for i, layer in enumerate(head.hidden)
        if isinstance(layer, torch.nn.Linear)
    ]
    scores = draw_box(ax, 2.42 + 1.14 * 3, y + 0.37, f"{CLASSES} logits", width=0.8, height=0.42, colour=SCORES)
    draw_arrow(ax, (1.62, y + 0.37), (layers[0].left - 0.03, y + 0.37))
    connect(ax, *layers, scores)
    rail = y - 0.5
    draw_line(ax, (1.9, rail), (scores.left + 0.2, rail))
    for part in (*layers, scores):
        draw_arrow(ax, (part.left + 0.2, rail), (part.left + 0.2, part.bottom - 0.03))
    write(ax, 4.5, rail - 0.17, "the coarse logits at the point feed every layer", colour=MUTED)
    for slab in (fine, coarse):
        (left, low), (dx, dy), (_, high) = slab.face
        ax.add_patch(Circle((left + dx / 2, low + (dy + high) / 2), 0.035, facecolor=INK, edgecolor=PAPER, lw=0.6))


def draw_crf() -> Figure:
    """The dense CRF at work: image, the network's labels, the ties of one pixel, the labels after it."""
    figure, ax = new_canvas(2.75)
    n, side, y = 56, 1.5, 1.9
    colours = _noisy_colours(n)
    logits = 4 * resize(coarse_scores(7), (n, n))
    crf = DenseCRF(w1=6.0, sxy=12.0, srgb=20.0, w2=1.0, sg=1.0)
    refined = torch.from_numpy(crf.refine(logits[0].numpy(), colours)).unsqueeze(0)
    panels = [square(0.12 + 1.82 * i, y, side) for i in range(4)]
    paint_pixels(ax, panels[0][0], colours)
    paint_cells(ax, panels[1][0], logits)
    paint_pixels(ax, panels[2][0], colours, lightness=0.5)
    _draw_ties(ax, panels[2][1], colours, crf)
    paint_cells(ax, panels[3][0], refined)
    texts = (
        ("image", "the guide"),
        ("the network’s labels", "the unary term"),
        ("one pixel’s ties", "the pairwise term"),
        ("after the CRF", f"{crf.iterations} steps of mean field"),
    )
    for (_, placed), (name, facts) in zip(panels, texts, strict=True):
        label_below(ax, placed, name, facts)
    write(ax, 0.5, 0.4, "energy  =  how little the network believes the labels", ha="left", va="baseline")
    pairs = "+  for each pair of pixels with different labels: how near and how alike they are"
    write(ax, 1.06, 0.17, pairs, ha="left", va="baseline")
    return figure


def _noisy_colours(n: int) -> NDArray[np.float64]:
    """Give the scene as an image (3, n, n) with noise, 0 to 255, rows from the top."""
    labels = true_scores(n)[0].argmax(0).numpy()
    colours = 255 * np.array([to_rgb(colour) for colour in IMAGE_COLOURS])[labels]  # (n, n, 3)
    noisy = colours + np.random.default_rng(0).normal(0, 7, colours.shape)
    clipped: NDArray[np.float64] = np.clip(noisy, 0, 255).transpose(2, 0, 1).round()
    return clipped


def _draw_ties(ax: Axes, panel: Placed, colours: NDArray[np.float64], crf: DenseCRF) -> None:
    """Draw lines from a pixel of a roof to others, as thick as the CRF's first kernel ties them."""
    n, cell = colours.shape[-1], (panel.right - panel.left) / colours.shape[-1]
    own = np.array([10, 16])  # row, column
    others = np.random.default_rng(3).integers(0, n, (1400, 2))
    away = ((others - own) ** 2).sum(axis=1) / crf.sxy**2
    unlike = ((colours[:, *others.T] - colours[:, *own][:, None]) ** 2).sum(axis=0) / crf.srgb**2
    ties = np.exp(-(away + unlike) / 2)
    points = np.stack([panel.left + (others[:, 1] + 0.5) * cell, panel.top - (others[:, 0] + 0.5) * cell], axis=1)
    start = (panel.left + (own[1] + 0.5) * cell, panel.top - (own[0] + 0.5) * cell)
    strong = ties > 0.02
    lines = [(start, (x, y)) for x, y in points[strong]]
    ax.add_collection(LineCollection(lines, linewidths=1.4 * ties[strong], colors=INK, zorder=3), autolim=False)
    ax.add_patch(Circle(start, 0.045, facecolor=SCORES, edgecolor=PAPER, lw=0.8, zorder=4))
