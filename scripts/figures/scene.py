"""A small scene of five classes, on which the figures show what networks make of an image."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Polygon
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray

from figures.parts import INK, Placed, Point
from geodeeplab.models.heads.aspp import resize

IMAGE_COLOURS = ("#c9cf9c", "#4f7f52", "#4d7ea3", "#b9b4ab", "#a65f4c")
"""Of field, wood, water, road and building, as on a photograph."""
LABEL_COLOURS = ("#f2e2b6", "#5aa469", "#4c8fd0", "#7d8590", "#d1495b")
"""Of the same, as on a map."""
Array = NDArray[np.float64]
Face = tuple[Point, Point, Point]
"""A corner, the vector to the right and the vector up."""


def class_fields(u: Array, v: Array) -> list[Array]:
    """Give, for each class but the first, a field that is positive inside its outline; later classes lie on top."""
    wood = np.maximum.reduce([r - np.hypot(u - x, v - y) for x, y, r in ((0.82, 0.84, 0.2), (0.66, 0.94, 0.14))])
    water = 1 - ((u - 0.2) / 0.24) ** 2 - ((v - 0.16) / 0.2) ** 2
    road = 0.038 - np.abs(v - 0.52 - 0.1 * np.sin(4.6 * u - 0.4))
    a, b = np.cos(0.35), np.sin(0.35)
    houses = []
    for x, y, half_width, half_height in ((0.3, 0.8, 0.15, 0.085), (0.74, 0.27, 0.1, 0.12), (0.48, 0.2, 0.06, 0.06)):
        along, across = a * (u - x) + b * (v - y), -b * (u - x) + a * (v - y)
        houses.append(np.minimum(half_width - np.abs(along), half_height - np.abs(across)))
    return [wood, water, road, np.maximum.reduce(houses)]


def true_scores(n: int) -> torch.Tensor:
    """Give the scene as class shares (1, 5, n, n), rows from the top: 1 for the class of the cell's middle."""
    middles = (np.arange(n) + 0.5) / n
    u, v = np.meshgrid(middles, middles[::-1])
    labels = np.zeros((n, n), dtype=np.int64)
    for k, field in enumerate(class_fields(u, v), start=1):
        labels[field > 0] = k
    return torch.nn.functional.one_hot(torch.from_numpy(labels), 5).permute(2, 0, 1).unsqueeze(0).float()


def coarse_scores(n: int, *, fine: int = 256) -> torch.Tensor:
    """Give the shares (1, 5, n, n) of the classes in coarse cells: what a network of a large stride can say at best."""
    return torch.nn.functional.avg_pool2d(true_scores(fine), fine // n)


def paint_scene(ax: Axes, face: Face, colours: Sequence[str] = IMAGE_COLOURS, *, n: int = 48) -> None:
    """Paint the scene itself, with its exact outlines."""
    edges = np.linspace(0, 1, n)
    u, v = np.meshgrid(edges, edges)
    _paint(ax, face, u, v, class_fields(u, v), colours)


def paint_scores(ax: Axes, face: Face, scores: torch.Tensor, *, n: int = 48) -> None:
    """Paint the class that is best everywhere, of scores (1, 5, h, w) upsampled bilinearly."""
    upsampled = resize(scores, (n, n))[0].numpy()[:, ::-1]  # (5, n, n), rows from below
    padded = np.pad(upsampled, ((0, 0), (1, 1), (1, 1)), mode="edge").astype(np.float64)
    edges = np.concatenate([[0], (np.arange(n) + 0.5) / n, [1]])
    u, v = np.meshgrid(edges, edges)
    margins = [padded[k] - np.delete(padded, k, axis=0).max(axis=0) for k in range(1, 5)]
    _paint(ax, face, u, v, margins, LABEL_COLOURS)


def _paint(ax: Axes, face: Face, u: Array, v: Array, fields: Sequence[Array], colours: Sequence[str]) -> None:
    """Fill a face with the first colour, and with each next one where its field is positive."""
    (x, y), (ux, uy), (vx, vy) = face
    onto = Affine2D(np.array([[ux, vx, x], [uy, vy, y], [0, 0, 1]])) + ax.transData
    ax.add_patch(Polygon([(0, 0), (1, 0), (1, 1), (0, 1)], facecolor=colours[0], transform=onto, zorder=2))
    for field, colour in zip(fields, colours[1:], strict=True):
        if (field > 0).any():
            ax.contourf(u, v, field, levels=[0, np.inf], colors=[colour], transform=onto, zorder=2)
    _frame(ax, face)


def paint_cells(ax: Axes, face: Face, scores: torch.Tensor) -> None:
    """Paint scores (1, 5, n, n) cell by cell: the class that is best in each."""
    palette = 255 * np.array([to_rgb(colour) for colour in LABEL_COLOURS])
    paint_pixels(ax, face, palette[scores[0].argmax(0).numpy()].transpose(2, 0, 1))


def paint_pixels(ax: Axes, face: Face, colours: Array, *, lightness: float = 0.0) -> None:
    """Paint an image (3, n, n), 0 to 255, rows from the top; nearer to white by a share."""
    (x, y), (ux, _), (_, vy) = face
    pixels = colours.transpose(1, 2, 0) / 255
    pixels = pixels + lightness * (1 - pixels)
    ax.imshow(pixels, extent=(x, x + ux, y, y + vy), interpolation="none", aspect="auto", zorder=2)
    _frame(ax, face)


def square(x: float, y: float, side: float) -> tuple[Face, Placed]:
    """Give an upright square face, its left side at x and its middle at y, and where it lies."""
    low = y - side / 2
    return ((x, low), (side, 0.0), (0.0, side)), Placed(left=x, right=x + side, bottom=low, top=low + side)


def _frame(ax: Axes, face: Face) -> None:
    (x, y), (ux, uy), (vx, vy) = face
    corners = [(x, y), (x + ux, y + uy), (x + ux + vx, y + uy + vy), (x + vx, y + vy)]
    ax.add_patch(Polygon(corners, fill=False, edgecolor=INK, lw=0.7, joinstyle="round", zorder=2.5))
