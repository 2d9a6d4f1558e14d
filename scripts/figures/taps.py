"""Kernels of atrous convolution: where their taps lie."""

from matplotlib.axes import Axes
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from figures.parts import ATROUS, FAINT, MUTED, PAPER, rectangles, shade


def draw_taps(
    ax: Axes, x: float, y: float, *, rate: int, cells: int, side: float, kernel: int = 3, colour: str = ATROUS
) -> None:
    """Draw a grid of cells × cells, `side` wide about (x, y), and on it the taps of a kernel."""
    step, left, low = side / cells, x - side / 2, y - side / 2
    ax.add_patch(Rectangle((left, low), side, side, facecolor=PAPER, edgecolor=MUTED, lw=0.8))
    inner = [i * step for i in range(1, cells)]
    lines = [((left + at, low), (left + at, low + side)) for at in inner]
    lines += [((left, low + at), (left + side, low + at)) for at in inner]
    grid = Path([end for line in lines for end in line], [Path.MOVETO, Path.LINETO] * len(lines))
    ax.add_patch(PathPatch(grid, fill=False, edgecolor=FAINT, lw=0.5, zorder=1.1))
    places = [(cells - 1 - rate * (kernel - 1)) // 2 + rate * i for i in range(kernel)]
    reach = (places[-1] - places[0] + 1) * step
    ax.add_patch(
        Rectangle(
            (left + places[0] * step, low + places[0] * step),
            reach,
            reach,
            facecolor=shade(colour, 0.8),
            edgecolor=colour,
            lw=1.0,
            alpha=0.6,
            zorder=1.2,
        )
    )
    taps = ((left + col * step, low + row * step, step, step) for row in places for col in places)
    ax.add_patch(PathPatch(rectangles(taps), facecolor=colour, edgecolor="none", zorder=1.3))


def draw_tap_sign(ax: Axes, x: float, y: float, rate: int, *, largest: int, side: float = 0.17) -> None:
    """Draw a kernel's nine taps as dots about (x, y), as far apart as its rate says."""
    spread = side / 2 * (0.3 + 0.7 * rate / largest)
    _dot_taps(ax, x, y, spread, size=5.5)


def draw_reach(ax: Axes, x: float, y: float, *, rate: int, seen: int, whole: int, side: float) -> None:
    """Draw, in a square of `whole` cells about (x, y), the square of cells seen so far and a layer’s nine taps."""
    step = side / whole
    for cells, face, edge in ((whole, PAPER, MUTED), (seen, shade(ATROUS, 0.72), ATROUS)):
        half = cells * step / 2
        ax.add_patch(Rectangle((x - half, y - half), 2 * half, 2 * half, facecolor=face, edgecolor=edge, lw=0.8))
    _dot_taps(ax, x, y, rate * step, size=(86 * step) ** 2)


def _dot_taps(ax: Axes, x: float, y: float, spread: float, *, size: float) -> None:
    """Draw nine dots about (x, y), `spread` apart, of a size in square points."""
    places = [(x + col * spread, y + row * spread) for row in (-1, 0, 1) for col in (-1, 0, 1)]
    xs, ys = zip(*places, strict=True)
    ax.scatter(xs, ys, s=size, color=shade(ATROUS, -0.35), linewidths=0, zorder=4)
