"""Cutting a scene into shards for several workers."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodeeplab.cluster.shards import MOST_OVERHEAD, choose_cut, cut_shards
from geodeeplab.pipeline.executor import repeated_tiles
from geodeeplab.pipeline.plan import open_plan
from geodeeplab.pipeline.request import Request
from geodeeplab.tiling import Axis, Lattice
from tests.examples import few

SIDES = st.integers(1, 20_000)


@given(SIDES, SIDES, st.integers(1, 16), st.integers(1, 2000), st.integers(1, 60), st.sampled_from([0, 64, 128]))
def test_a_cut_keeps_its_limits_and_counts_tiles_as_the_lattice_does(
    height: int, width: int, workers: int, most_cells: int, most_columns: int, overlap: int
) -> None:
    lattice = Lattice(shape=(height, width), tile_size=512, overlap=overlap)
    cut = choose_cut(lattice, workers=workers, most_cells=most_cells, most_columns=most_columns)
    assert cut.height * cut.width <= most_cells
    assert cut.width <= most_columns
    rows, cols = (
        [len(axis.touching(*span)) for span in _spans(axis, strides)]
        for axis, strides in ((lattice.rows, cut.height), (lattice.cols, cut.width))
    )
    assert (len(rows) * len(cols), sum(rows) * sum(cols)) == (cut.count, cut.tiles)


def _spans(axis: Axis, strides: int) -> list[tuple[int, int]]:
    starts = list(range(0, axis.count * axis.stride, strides * axis.stride))
    return list(pairwise([*starts, axis.length]))


@pytest.mark.parametrize("workers", [1, 2, 4, 8])
@pytest.mark.parametrize("shape", [(20_000, 100_000), (100_000, 20_000), (60_000, 60_000)])
def test_a_large_scene_gives_each_worker_four_shards_at_little_cost(shape: tuple[int, int], workers: int) -> None:
    lattice = Lattice(shape=shape, tile_size=512, overlap=128)
    cut = choose_cut(lattice, workers=workers, most_cells=10**9, most_columns=10**9)
    assert cut.count >= 4 * workers
    assert cut.tiles <= MOST_OVERHEAD * lattice.rows.count * lattice.cols.count


def test_a_small_scene_is_not_cut_to_crumbs() -> None:
    lattice = Lattice(shape=(1500, 1500), tile_size=512, overlap=128)  # 4 × 4 tiles
    cut = choose_cut(lattice, workers=2, most_cells=10**9, most_columns=10**9)
    assert (cut.height, cut.width, cut.count, cut.tiles, cut.span) == (2, 4, 2, 20, 12)


@pytest.mark.parametrize("gsd_m", ["native", 0.7, 1.9])
@pytest.mark.parametrize("shard_size", few([None, 1, 97, 200, 10_000], 2))
def test_shards_partition_the_scene_along_the_lattice(
    scene: Path, request_for: Callable[..., Request], gsd_m: str | float, shard_size: int | None
) -> None:
    with open_plan(request_for(scene, gsd_m=gsd_m)) as plan:
        shards = cut_shards(plan, workers=2, most_pixels=10**9, shard_size=shard_size)
        assert shards == cut_shards(plan, workers=2, most_pixels=10**9, shard_size=shard_size)
        assert repeated_tiles(plan, shards) >= 0
        assert repeated_tiles(plan, [plan.whole]) == 0
    count = np.zeros(plan.scene.shape, int)
    for shard in shards:
        count[shard.row_start : shard.row_stop, shard.col_start : shard.col_stop] += 1
    assert (count == 1).all()
    if gsd_m == "native":
        assert all(shard.row_start % 96 == 0 and shard.col_start % 96 == 0 for shard in shards)
        assert shard_size is None or max(max(shard.shape) for shard in shards) <= max(shard_size, 96) + 32


def test_outputs_of_a_shard_stay_small(scene: Path, request_for: Callable[..., Request]) -> None:
    with open_plan(request_for(scene)) as plan:
        shards = cut_shards(plan, workers=1, most_pixels=2 * 96**2)
    assert max(shard.shape[0] * shard.shape[1] for shard in shards) <= (96 + 32) * (2 * 96 + 32)
