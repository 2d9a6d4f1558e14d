"""Draw a crop of a label raster at 8 × with polygons over it, one panel a layer: to look at seams and junctions.

    python scripts/figures/polygons.py labels.tif -o out.png --layers exact.gpkg simplified.gpkg smoothed.gpkg
    python scripts/figures/polygons.py labels.tif -o out.png --layers simplified.gpkg --window 1000 2000 96 96

Pixels are pale, lines dark with a dot at each vertex, rings stand around the corners where three or more labels meet.
Gaps between polygons are magenta, overlaps red, and their areas stand in the title. The layers are on the raster's CRS.
Without `--window` (first row, first column, height, width) it is the square with the most such corners.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyogrio
import rasterio
import shapely
from affine import Affine
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.path import Path as Outline
from numpy.typing import NDArray
from rasterio.windows import Window

ZOOM = 8
SIDE = 96
DPI = 100
TITLE_PX = 28
INK, GAP, OVERLAP, JUNCTION = "#202020", "#ff00d0", "#ff2010", "#1030ff"
LEAST_AREA = 1e-9
"""Areas below it, in pixels, are rounding errors of intersecting, not gaps or overlaps."""


@dataclass(frozen=True, kw_only=True)
class Crop:
    """A window of a label raster."""

    labels: NDArray[np.integer]
    """(H, W)."""
    colours: NDArray[np.uint8]
    """(H, W, 3)."""
    first_row: int
    """In the raster, of the crop's first row."""
    first_col: int
    """Likewise of its first column."""
    transform: Affine
    """Of the raster: from pixel corner to CRS."""
    nodata: int
    """Label that has no polygons."""


def main() -> None:
    """Draw one picture."""
    options = parse_arguments()
    crop = read_crop(options.labels, options.window)
    figure = draw(crop, [(path.stem, read_polygons(path, crop)) for path in options.layers], zoom=options.zoom)
    figure.savefig(options.output, dpi=DPI)
    print(f"{options.output}: window {crop.first_row} {crop.first_col} {crop.labels.shape[0]} {crop.labels.shape[1]}")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path, help="label raster")
    parser.add_argument("-o", "--output", type=Path, required=True, help="PNG to write")
    parser.add_argument("--layers", type=Path, nargs="+", required=True, help="vector files, a panel each")
    parser.add_argument("--window", type=int, nargs=4, metavar=("ROW", "COL", "HEIGHT", "WIDTH"))
    parser.add_argument("--zoom", type=int, default=ZOOM, help="pixels of the picture per pixel")
    return parser.parse_args()


# ---------------------------------------------------------------------------------------------------------------------
# What is drawn


def read_crop(path: Path, window: Sequence[int] | None) -> Crop:
    """Read a window (row, col, height, width) of a label raster, or the one with the most junctions."""
    with rasterio.open(path) as src:
        row, col, height, width = window or find_junctions(src.read(1), SIDE)
        labels = src.read(1, window=Window(col, row, width, height))
        table = src.colormap(1) if src.colorinterp[0] == rasterio.enums.ColorInterp.palette else {}
        transform, nodata = src.transform, 0 if src.nodata is None else int(src.nodata)
    colours = np.empty((*labels.shape, 3), np.uint8)
    for label in np.unique(labels):
        # A colour of its own for any label, where the raster states none: multiples of the golden angle.
        hue = 2.4 * float(label)
        other = [int(150 + 90 * np.cos(hue + turn)) for turn in (0, 2.1, 4.2)]
        colours[labels == label] = (255, 255, 255) if label == nodata else table.get(int(label), other)[:3]
    return Crop(labels=labels, colours=colours, first_row=row, first_col=col, transform=transform, nodata=nodata)


def find_junctions(labels: NDArray[np.integer], side: int) -> tuple[int, int, int, int]:
    """Give the square of a lattice of squares that has the most junctions, as row, col, height, width."""
    height, width = (min(side, length) for length in labels.shape)
    rows, cols = labels.shape[0] // height, labels.shape[1] // width
    found = np.zeros(labels.shape, bool)
    found[1:, 1:] = junctions(labels)
    counts = found[: rows * height, : cols * width].reshape(rows, height, cols, width).sum(axis=(1, 3))
    row, col = np.unravel_index(counts.argmax(), counts.shape)
    return int(row) * height, int(col) * width, height, width


def junctions(labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Tell at which inner corners (H - 1, W - 1) three or four lines meet."""
    north, south = labels[:-1, :-1] != labels[:-1, 1:], labels[1:, :-1] != labels[1:, 1:]
    west, east = labels[:-1, :-1] != labels[1:, :-1], labels[:-1, 1:] != labels[1:, 1:]
    found: NDArray[np.bool_] = (north.astype(int) + south + west + east) >= 3
    return found


def read_polygons(path: Path, crop: Crop) -> NDArray[np.object_]:
    """Read the polygons of a layer that touch a crop, in pixels of the raster."""
    height, width = crop.labels.shape
    rows, cols = (crop.first_row, crop.first_row + height), (crop.first_col, crop.first_col + width)
    corners = [crop.transform * (col, row) for col in cols for row in rows]
    (left, bottom), (right, top) = np.min(corners, axis=0), np.max(corners, axis=0)
    layer = pyogrio.list_layers(path)[0, 0]
    _, _, blobs, _ = pyogrio.raw.read(path, layer=layer, columns=[], bbox=(left, bottom, right, top))
    to_pixels = ~crop.transform
    polygons: NDArray[np.object_] = shapely.transform(
        shapely.from_wkb(blobs), lambda points: np.column_stack(to_pixels * tuple(points.T))
    )
    return polygons


def gaps_and_overlaps(polygons: NDArray[np.object_], crop: Crop) -> tuple[list[object], list[object]]:
    """Find what no polygon covers though no nodata is near, and what two cover, as polygons in pixels of the raster."""
    height, width = crop.labels.shape
    frame = shapely.box(crop.first_col, crop.first_row, crop.first_col + width, crop.first_row + height)
    uncovered = shapely.get_parts(shapely.difference(frame, shapely.union_all(polygons)))
    rows, cols = np.nonzero(crop.labels == crop.nodata)
    rows, cols = rows + crop.first_row, cols + crop.first_col
    empty = shapely.union_all(shapely.box(cols, rows, cols + 1, rows + 1))
    beside_nodata = shapely.area(shapely.intersection(uncovered, empty)) > 0
    first, second = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    once = first < second
    common = shapely.intersection(shapely.intersection(polygons[first[once]], polygons[second[once]]), frame)
    found = (uncovered[~beside_nodata], shapely.get_parts(common))
    gaps, overlaps = ([one for one in parts if shapely.area(one) > LEAST_AREA] for parts in found)
    return gaps, overlaps


# ---------------------------------------------------------------------------------------------------------------------
# Drawing


def draw(crop: Crop, layers: Sequence[tuple[str, NDArray[np.object_]]], *, zoom: int = ZOOM) -> Figure:
    """Draw a panel for each layer, side by side, `zoom` pixels of the picture for each pixel of the raster."""
    height, width = (length * zoom for length in crop.labels.shape)
    total = (width * len(layers), height + TITLE_PX)
    figure = Figure(figsize=(total[0] / DPI, total[1] / DPI), dpi=DPI)
    for number, (name, polygons) in enumerate(layers):
        share = 1 / len(layers)
        ax = figure.add_axes((number * share, 0, share, height / total[1]))
        draw_panel(ax, name, polygons, crop)
    return figure


def draw_panel(ax: Axes, name: str, polygons: NDArray[np.object_], crop: Crop) -> None:
    """Draw one layer over the crop."""
    height, width = crop.labels.shape
    left, top = crop.first_col, crop.first_row
    pale = (255 - (255 - crop.colours.astype(np.uint16)) * 6 // 10).astype(np.uint8)
    ax.imshow(pale, extent=(left, left + width, top + height, top), interpolation="nearest")
    gaps, overlaps = gaps_and_overlaps(polygons, crop)
    for parts, colour in ((gaps, GAP), (overlaps, OVERLAP)):
        for part in parts:
            points = shapely.get_coordinates(part)
            ax.fill(*points.T, facecolor=colour, edgecolor=colour, linewidth=2, zorder=4)
    rings = shapely.get_rings(shapely.get_parts(polygons))
    lines = [shapely.get_coordinates(ring) for ring in rings]
    ax.add_collection(LineCollection(lines, colors=INK, linewidths=1.0, zorder=2))
    points = np.vstack([np.empty((0, 2)), *lines])
    ax.plot(*points.T, linestyle="", marker="o", markersize=2.4, color=INK, zorder=3)
    rows, cols = np.nonzero(junctions(crop.labels))
    ax.plot(
        cols + 1 + left, rows + 1 + top, linestyle="", marker="o", markersize=8, fillstyle="none", color=JUNCTION,
        markeredgewidth=0.7, zorder=5,
    )  # fmt: skip
    ax.set(xlim=(left, left + width), ylim=(top + height, top), xticks=[], yticks=[])
    inside = Outline([(left, top), (left + width, top), (left + width, top + height), (left, top + height)])
    missing, common = (sum(shapely.area(parts)) if parts else 0.0 for parts in (gaps, overlaps))
    ax.set_title(
        f"{name}: {inside.contains_points(points).sum()} vertices, gaps {missing:.3g} px², overlaps {common:.3g} px²",
        fontsize=8,
        pad=4,
    )


if __name__ == "__main__":
    main()
