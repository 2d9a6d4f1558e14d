"""Cutting a scene into shards for several workers, along the lattice, so that few tiles are computed twice."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from geodeeplab.pipeline.executor import MEMORY_LIMIT, column_width
from geodeeplab.pipeline.plan import Plan
from geodeeplab.raster import first_at
from geodeeplab.tiling import Axis, Lattice, Shard

SHARDS_PER_WORKER = 4
"""So many or more even out workers of unlike speed, and little is lost with one of them."""
MOST_OVERHEAD = 1.15
"""So many times the tiles of the lattice may be forwarded for the sake of that; else there are fewer shards."""
RESULT_LIMIT = 256 << 20
"""Bytes of a shard's outputs before compression: it travels as a whole."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Shards of `height` × `width` strides of the lattice, the last ones smaller."""

    height: int
    """Strides along rows."""
    width: int
    """Strides along columns."""
    count: int
    """How many shards there are."""
    tiles: int
    """Tiles that all shards forward together."""
    span: int
    """Tiles that the busiest of equal workers forwards, if all shards were as large as the first."""


def cut_shards(plan: Plan, *, workers: int, most_pixels: int, shard_size: int | None = None) -> list[Shard]:
    """Cut the scene into shards whose sides are whole numbers of strides of the lattice; they partition it.

    The last ones reach to the scene's edges, which may be less, or up to an overlap more. The same plan and arguments
    give the same shards.

    Args:
        plan: the run.
        workers: how many there will be, more or less.
        most_pixels: the most pixels of a shard, of one stride each way or more.
        shard_size: the most pixels along each side instead, of one stride or more.
    """
    stride = plan.lattice.rows.stride
    rows, cols = plan.lattice.touching(plan.on_model_grid(plan.whole))
    zoom = (1.0, 1.0) if plan.zoom is None else plan.zoom.factor
    if shard_size is not None:
        height, width = (max(1, int(shard_size * one / stride)) for one in zoom)
    else:
        bytes_a_pixel = sum(np.dtype(layer.dtype).itemsize * layer.bands for layer in plan.layers)
        pixels = min(most_pixels, RESULT_LIMIT // bytes_a_pixel) * zoom[0] * zoom[1]
        columns = max(1, math.ceil(column_width(plan, MEMORY_LIMIT) * zoom[1] / stride))
        needed = Lattice(
            shape=(plan.lattice.rows.span(rows), plan.lattice.cols.span(cols)),
            tile_size=plan.lattice.tile_size,
            overlap=plan.lattice.overlap,
        )
        cut = choose_cut(needed, workers=workers, most_cells=max(1, int(pixels / stride**2)), most_columns=columns)
        height, width = cut.height, cut.width
    down = _edges(plan, 0, plan.lattice.rows, rows[::height])
    across = _edges(plan, 1, plan.lattice.cols, cols[::width])
    return [
        Shard(row_start=top, row_stop=bottom, col_start=left, col_stop=right)
        for top, bottom in pairwise(down)
        for left, right in pairwise(across)
    ]


def choose_cut(lattice: Lattice, *, workers: int, most_cells: int, most_columns: int) -> Cut:
    """Choose how many strides a shard has along each axis: the work of the busiest worker is least.

    Each worker gets `SHARDS_PER_WORKER` or more, or as many as it takes no more than `MOST_OVERHEAD` for.

    Args:
        lattice: the tiles.
        workers: how many there will be.
        most_cells: the most cells of stride × stride that a shard has.
        most_columns: the most strides that a shard is wide.
    """
    cuts = list(_iter_cuts(lattice, workers, most_cells=most_cells, most_columns=most_columns))
    most_tiles = MOST_OVERHEAD * lattice.rows.count * lattice.cols.count
    for each in range(SHARDS_PER_WORKER, 0, -1):
        fit = [cut for cut in cuts if cut.tiles <= most_tiles and cut.count >= each * workers]
        if fit:
            return min(fit, key=_order)
    return min(cuts, key=_order)


def _order(cut: Cut) -> tuple[int, int, int, int]:
    return cut.span, cut.tiles, cut.count, cut.height


def _iter_cuts(lattice: Lattice, workers: int, *, most_cells: int, most_columns: int) -> Iterator[Cut]:
    """Yield, for each height and each number of shards side by side, the cut with the evenest columns."""
    rows, cols = lattice.rows.count, lattice.cols.count
    shared = min(lattice.overlap, 1)  # a shard that does not begin at the scene's edge needs one tile more
    for height in range(1, min(rows, most_cells) + 1):
        down = math.ceil(rows / height)
        widest = min(cols, most_columns, most_cells // height)
        for width in {math.ceil(cols / across) for across in range(math.ceil(cols / widest), cols + 1)}:
            across = math.ceil(cols / width)
            one = (height + shared * (down > 1)) * (width + shared * (across > 1))
            yield Cut(
                height=height,
                width=width,
                count=down * across,
                tiles=(rows + shared * (down - 1)) * (cols + shared * (across - 1)),
                span=math.ceil(down * across / workers) * one,
            )


def _edges(plan: Plan, dimension: int, axis: Axis, tiles: range) -> list[int]:
    """Give the pixels of the outputs at which shards begin along an axis, with these tiles, and the outputs' length."""
    starts = [axis.start(tile) for tile in tiles]
    if plan.zoom is not None:
        starts = [first_at(start, plan.scene.shape[dimension], plan.zoom.factor[dimension]) for start in starts]
    first, length = (plan.extent.row_start, plan.extent.col_start)[dimension], plan.grid.shape[dimension]
    return [0, *sorted({start - first for start in starts if 0 < start - first < length}), length]
