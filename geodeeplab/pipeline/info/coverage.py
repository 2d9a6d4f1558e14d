"""How many tiles of a run have a pixel to label: counted where that is cheap, else estimated from a sample."""

import time
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from rasterio.windows import Window

from geodeeplab.inference import TileBatch, iter_batches
from geodeeplab.pipeline.plan import Plan
from geodeeplab.raster.sources.remote import is_networked
from geodeeplab.tiling import Shard

LOOK_BYTES, LOOK_BYTES_REMOTE = 256 << 20, 16 << 20
"""Decoded bytes of the scene that are read to count empty tiles."""
LEAST_SAMPLES = 8
"""Places of the scene that are looked at, whatever they cost."""
_SEED = 20


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Tiles of a lattice with and without a pixel to label."""

    tiles: int
    """All tiles."""
    empty: int
    """Those without a pixel to label; rounded if it is an estimate."""
    is_exact: bool
    """True where all tiles were looked at that needed it."""
    read_s: float | None
    """Seconds to read all that has to be read, by what was read here; None where nothing was."""
    example: tuple[int, int] | None
    """(row, column) in the lattice of a tile with a pixel to label; None if none was found."""


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Tiles of one tile row, next to each other, that are looked at together."""

    row: int
    cols: range


class _Places:
    """Tiles cut into places: as many side by side as a block of the scene is wide. A grid may have millions."""

    def __init__(self, plan: Plan, rows: range, cols: range) -> None:
        block_width, lattice = plan.model_scene.block_shape[1], plan.lattice
        self._side_by_side = max(1, -(-(block_width - lattice.overlap) // lattice.cols.stride))
        self._rows, self._cols = rows, cols
        self._starts = range(cols.start, cols.stop, self._side_by_side)
        self.count = len(rows) * len(self._starts)

    def at(self, index: int) -> _Place:
        """Give a place, counted along the rows."""
        row, start = self._rows[index // len(self._starts)], self._starts[index % len(self._starts)]
        return _Place(row=row, cols=range(start, min(start + self._side_by_side, self._cols.stop)))


def cover(plan: Plan) -> Coverage:
    """Find out how many tiles of a run are empty: no valid pixel, or none in the area of interest.

    Without an area of interest, and where all pixels are sure to be valid, nothing is read. Where it is not more than
    some 256 MB decoded (16 MB over the network), everything is, as the run does it. Else tiles are drawn at random,
    always the same ones, as many as that.
    """
    lattice, seen = plan.lattice, plan.model_scene
    all_rows, all_cols = lattice.touching(plan.on_model_grid(plan.whole))
    tiles = len(all_rows) * len(all_cols)
    if plan.aoi is None and seen.is_all_valid:
        middle = all_rows[len(all_rows) // 2], all_cols[len(all_cols) // 2]
        return Coverage(tiles=tiles, empty=0, is_exact=True, read_s=None, example=middle)
    area = area_seen(plan)
    rows, cols = lattice.touching(area)
    outside = tiles - len(rows) * len(cols)
    limit = LOOK_BYTES_REMOTE if is_networked(seen.source) else LOOK_BYTES
    places = _Places(plan, rows, cols)
    count = max(LEAST_SAMPLES, int(limit // _place_bytes(plan, places.at(0))))
    if _area_bytes(plan, area) <= limit or count >= places.count:
        filled, read_s = _count(plan, area)
        empty = outside + len(rows) * len(cols) - len(filled)
        return Coverage(tiles=tiles, empty=empty, is_exact=True, read_s=read_s, example=_middle(filled))
    drawn = sorted(np.random.default_rng(_SEED).choice(places.count, count, replace=False).tolist())
    filled, looked, read_s = _sample(plan, [places.at(one) for one in drawn])
    empty = outside + round((1 - len(filled) / looked) * len(rows) * len(cols))
    share = looked / (len(rows) * len(cols)) * _sharing(plan)
    return Coverage(tiles=tiles, empty=empty, is_exact=False, read_s=read_s / share, example=_middle(filled))


def read_example(plan: Plan, tile: tuple[int, int]) -> tuple[TileBatch, float]:
    """Read a batch of tiles from a tile with a pixel to label on; give the seconds that it took, too."""
    lattice, batch_size = plan.lattice, plan.engine.forward.batch_size
    first, last = tile[1], min(tile[1] + batch_size, lattice.cols.count) - 1
    shard = Shard(
        row_start=lattice.rows.owned(tile[0])[0],
        row_stop=lattice.shape[0],
        col_start=lattice.cols.owned(first)[0],
        col_stop=lattice.cols.owned(last)[1],
    )
    started = time.perf_counter()
    on_gpu = plan.engine.device.torch_device.type == "cuda"
    batches = iter_batches(plan.model_scene, lattice, shard, batch_size=batch_size, wanted=plan.wanted_seen, pin=on_gpu)
    with closing(batches):  # type: ignore[type-var]  # a generator
        batch = next(one for one in batches if one.filled)
    return batch, time.perf_counter() - started


def area_seen(plan: Plan) -> Shard:
    """Give the block of the model's grid that the run has to look at, be outputs cropped or not."""
    if plan.area is None:
        return plan.on_model_grid(plan.whole)
    return plan.area if plan.zoom is None else plan.magnifier.scaled_shard(plan.area)


def _count(plan: Plan, area: Shard) -> tuple[list[tuple[int, int]], float]:
    """Read all tiles that touch an area, as the run does; give those with a pixel to label, and the seconds."""
    started = time.perf_counter()
    batches = iter_batches(plan.model_scene, plan.lattice, area, batch_size=1, wanted=plan.wanted_seen)
    filled = [(tile.row, tile.col) for batch in batches for tile, slot in batch.tiles if slot is not None]
    return filled, time.perf_counter() - started


def _sample(plan: Plan, places: list[_Place]) -> tuple[list[tuple[int, int]], int, float]:
    """Read places of a scene; give the tiles with a pixel to label, the number looked at, and the seconds."""
    lattice, wanted = plan.lattice, plan.wanted_seen
    started, looked, filled = time.perf_counter(), 0, []
    for place in places:
        window = _window(plan, place)
        there = np.ones((window.height, window.width), bool) if wanted is None else wanted(window)
        if there.any():
            there = there & plan.model_scene.read(window).valid
        for col in place.cols:
            start = lattice.cols.start(col) - window.col_off
            looked += 1
            if there[:, start : start + lattice.tile_size].any():
                filled.append((place.row, col))
    return filled, looked, time.perf_counter() - started


def _window(plan: Plan, place: _Place) -> Window:
    """Give what a place's tiles cover of the scene."""
    (height, width), (rows, cols) = plan.lattice.shape, (plan.lattice.rows, plan.lattice.cols)
    row, col = rows.start(place.row), cols.start(place.cols.start)
    stop = cols.start(place.cols[-1]) + cols.tile_size
    return Window(col, row, min(stop, width) - col, min(row + rows.tile_size, height) - row)


def _place_bytes(plan: Plan, place: _Place) -> float:
    """Give the decoded bytes of a place in the middle of a scene: whole blocks, so a block more along each axis."""
    window, (height, width) = _window(plan, place), plan.model_scene.block_shape
    rows, cols = plan.model_scene.shape
    pixels: int = min(window.height + height, rows) * min(window.width + width, cols)
    return pixels * bytes_per_pixel(plan)


def _area_bytes(plan: Plan, area: Shard) -> float:
    """Give the decoded bytes of an area."""
    return area.shape[0] * area.shape[1] * bytes_per_pixel(plan)


def bytes_per_pixel(plan: Plan) -> float:
    """Give the bytes of the scene's own pixels that lie under one of the model's."""
    stored: int = len(plan.scene.bands) * plan.scene.dtype.itemsize
    return stored if plan.zoom is None else stored / (plan.zoom.factor[0] * plan.zoom.factor[1])


def _sharing(plan: Plan) -> float:
    """Give how much more pixels tiles have that are read one by one than those that share their overlaps."""
    rows, cols = plan.lattice.rows, plan.lattice.cols
    return (rows.tile_size / rows.stride) * (cols.tile_size / cols.stride)


def _middle(filled: list[tuple[int, int]]) -> tuple[int, int] | None:
    return filled[len(filled) // 2] if filled else None
