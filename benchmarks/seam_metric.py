"""The seam metric: two label arrays of the same ground, made under lattices of tiles half a stride apart.

The ratio of changes asks where labels depend on the lattice. Networks that see their whole tile (image pooling) change
labels everywhere when tiles move, which hides a line in it; the ratio of steps then says whether a line can be seen.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window

NEAR = 8
"""Pixels on either side of a line that count as near it."""

Lines = tuple[Sequence[int], Sequence[int]]
"""Ownership lines of a lattice: the rows and the columns that begin behind one."""


@dataclass(frozen=True, kw_only=True)
class SeamCounts:
    """Pixels whose label changed with the lattice, near the lines and elsewhere."""

    changed_near: int
    """Changed, near a line."""
    near: int
    """Compared, near a line."""
    changed_elsewhere: int
    """Changed, elsewhere."""
    elsewhere: int
    """Compared, elsewhere."""

    @property
    def ratio(self) -> float:
        """The share near the lines over the share elsewhere; NaN where a share does not exist or both are 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            near = np.float64(self.changed_near) / self.near
            return float(near / (np.float64(self.changed_elsewhere) / self.elsewhere))


@dataclass(frozen=True, kw_only=True)
class StepCounts:
    """Neighbours with different labels across the lines of either lattice."""

    at_lines: int
    """In the labels that were made under that lattice."""
    without_lines: int
    """At the same places in the labels that were made under the other one, far from its lines."""
    pairs: int
    """Pairs of neighbours compared."""

    @property
    def ratio(self) -> float:
        """What a line adds: 1 if none can be seen; NaN where there is no step at all."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.float64(self.at_lines) / self.without_lines)


def middles(starts: Sequence[int], tile_size: int) -> list[int]:
    """Give the ownership lines of tiles along an axis: the middles of their overlaps, a line lying before its pixel."""
    return [(a + tile_size + b) // 2 for a, b in pairwise(starts)]


def near_lines(shape: tuple[int, int], *lattices: Lines) -> NDArray[np.bool_]:
    """Mark the pixels (H, W) within NEAR of a line of any lattice: NEAR rows or columns on either side."""
    rows, cols = np.zeros(shape[0], np.bool_), np.zeros(shape[1], np.bool_)
    for lines in lattices:
        for marked, along in zip((rows, cols), lines, strict=True):
            for line in along:
                marked[max(0, line - NEAR) : max(0, line + NEAR)] = True
    return rows[:, None] | cols


def compare(
    first: NDArray[np.uint8], second: NDArray[np.uint8], first_lines: Lines, second_lines: Lines
) -> dict[str, Any]:
    """Measure both ratios on labels (H, W) of the same ground under two lattices; ready for JSON."""
    changes = count_changes(first, second, near_lines(first.shape, first_lines, second_lines))
    steps = count_steps(first, second, first_lines, second_lines)
    return asdict(changes) | asdict(steps) | {"ratio": changes.ratio, "step_ratio": steps.ratio}


def count_changes(first: NDArray[np.uint8], second: NDArray[np.uint8], near: NDArray[np.bool_]) -> SeamCounts:
    """Count where two label arrays (H, W) differ; pixels that are nodata (0) in either do not count."""
    valid = (first != 0) & (second != 0)
    changed = (first != second) & valid
    return SeamCounts(
        changed_near=int((changed & near).sum()),
        near=int((valid & near).sum()),
        changed_elsewhere=int((changed & ~near).sum()),
        elsewhere=int((valid & ~near).sum()),
    )


def count_steps(
    first: NDArray[np.uint8], second: NDArray[np.uint8], first_lines: Lines, second_lines: Lines
) -> StepCounts:
    """Count differences between neighbours across lines, in the labels (H, W) of both lattices; 0 is nodata."""
    valid = (first != 0) & (second != 0)
    sums = np.zeros(3, dtype=np.int64)
    for own, other, lines in ((first, second, first_lines), (second, first, second_lines)):
        for axis, at in enumerate(lines):
            after = np.array([line for line in at if 0 < line < first.shape[axis]], dtype=np.intp)
            pairs = valid.take(after, axis) & valid.take(after - 1, axis)
            steps = [(one.take(after, axis) != one.take(after - 1, axis)) & pairs for one in (own, other)]
            sums += [steps[0].sum(), steps[1].sum(), pairs.sum()]
    return StepCounts(at_lines=int(sums[0]), without_lines=int(sums[1]), pairs=int(sums[2]))


def shift_lines(lines: Lines, rows: int, cols: int) -> Lines:
    """Move lines down and to the right."""
    return [line + rows for line in lines[0]], [line + cols for line in lines[1]]


def change_cells(row: dict[str, Any]) -> str:
    """Lay out what `compare` gave as four cells of a Markdown table, `CELL_HEADS` above them."""
    shares = [
        f"{row[f'changed_{where}'] / max(row[where], 1):.3%} ({row[f'changed_{where}']:,} of {row[where]:,})"
        for where in ("near", "elsewhere")
    ]
    steps = f"{row['step_ratio']:.2f} ({row['at_lines']:,} : {row['without_lines']:,})"
    return f"| {shares[0]} | {shares[1]} | **{row['ratio']:.2f}** | {steps} "


CELL_HEADS = "| changed near lines | changed elsewhere | seam ratio | steps at lines : without them "


def write_crop(src_path: Path, dst_path: Path, *, top: int, left: int, bottom: int = 0, right: int = 0) -> None:
    """Write a scene without its outer rows and columns as a tiled GeoTIFF."""
    with rasterio.open(src_path) as src:
        window = Window(left, top, src.width - left - right, src.height - top - bottom)
        layout = {"driver": "GTiff", "tiled": True, "blockxsize": 256, "blockysize": 256, "interleave": "pixel"}
        profile = {"count": src.count, "dtype": src.dtypes[0], "crs": src.crs, "nodata": src.nodata}
        size = {
            "width": window.width,
            "height": window.height,
            "transform": src.transform @ Affine.translation(left, top),
        }
        with rasterio.open(dst_path, "w", compress="deflate", **layout, **profile, **size) as dst:
            dst.colorinterp, dst.descriptions = src.colorinterp, src.descriptions
            dst.write(src.read(window=window))
