"""Who computes a run's shards: this process, or others."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from geodeeplab.inference import RunFacts
from geodeeplab.pipeline.plan import Plan
from geodeeplab.raster import BandCutter, EncodedBlock, encode_block, most_held_rows
from geodeeplab.tiling import Shard
from geodeeplab.vector import PackedBlock

MEMORY_LIMIT = 600 << 20
"""Bytes that a run may hold for the width of its shards; wider scenes are computed in columns."""

ENCODERS = max(1, min(4, (os.cpu_count() or 1) // 4))
"""Threads that compress a block; more than one costs a little more in all, and few cores have none to spare."""

TakeBlock = Callable[[EncodedBlock], None]
"""Takes a finished block; when it returns, the block is safe. It may raise to stop the run."""


@dataclass(frozen=True, kw_only=True)
class Tracing:
    """What an executor may do for the polygons: who computes labels elsewhere traces them there, too."""

    connectivity: int
    """4 or 8 neighbours."""
    take: Callable[[PackedBlock], None]
    """Takes a traced part of the labels, before the blocks of its rows; what is not traced is traced later."""


class Executor(Protocol):
    """Computes shards."""

    threads_per_pass: int | None
    """Threads of each forward pass on a CPU, the same in all its processes; None for what suits the network."""

    @property
    def processes_per_device(self) -> int:
        """Processes that compute on one GPU at once, and share its memory."""
        ...

    def cut(self, plan: Plan) -> list[Shard]:
        """Cut the outputs into shards, which partition them; the same plan gives the same shards."""
        ...

    def run(
        self,
        plan: Plan,
        shards: Sequence[Shard],
        take: TakeBlock,
        facts: RunFacts,
        *,
        tracing: Tracing | None = None,
    ) -> None:
        """Compute shards and hand over their blocks; within a shard from top to bottom.

        Args:
            plan: the run.
            shards: what is still to be done of those that `cut` gave.
            take: called in the caller's thread.
            facts: where the shards' facts are added.
            tracing: that labels will be traced, and who takes what is already; None where no polygons are wanted.
        """
        ...


class InThisProcess:
    """Computes shards one after the other: usually one, or columns where the scene is too wide for memory."""

    def __init__(
        self,
        *,
        memory_limit: int = MEMORY_LIMIT,
        threads_per_pass: int | None = None,
        processes_per_device: int = 1,
    ) -> None:
        """Say what the process may take.

        Args:
            memory_limit: bytes that may be held for the width of a shard.
            threads_per_pass: see `Executor`.
            processes_per_device: see `Executor`; more than one where others like it share the GPU.
        """
        self.memory_limit = memory_limit
        self.threads_per_pass, self.processes_per_device = threads_per_pass, processes_per_device

    def cut(self, plan: Plan) -> list[Shard]:
        """Cut the outputs into as few columns as memory allows; see `Executor.cut`."""
        width = column_width(plan, self.memory_limit)
        return list(_iter_columns(plan, width))

    def run(
        self,
        plan: Plan,
        shards: Sequence[Shard],
        take: TakeBlock,
        facts: RunFacts,
        *,
        tracing: Tracing | None = None,
    ) -> None:
        """Compute shards, see `Executor.run`; tracing is left to the thread that writes polygons meanwhile."""
        for shard in shards:
            with closing(plan.iter_rows(shard, facts)) as rows:  # type: ignore[type-var]  # a generator
                cutter = BandCutter(plan.grid.shape)
                for finished in rows:
                    for start, band in cutter.put(finished.row_start, finished.layers):
                        take(encode_block(start, shard.col_start, band, count="labels", threads=ENCODERS))
                for start, band in cutter.rest():
                    take(encode_block(start, shard.col_start, band, count="labels", threads=ENCODERS))


def iter_tile_counts(plan: Plan, shards: Sequence[Shard]) -> Iterator[int]:
    """Yield the tiles that each shard touches: those on the lines between shards count for both."""
    for shard in shards:
        rows, cols = plan.lattice.touching(plan.on_model_grid(shard))
        yield len(rows) * len(cols)


def repeated_tiles(plan: Plan, shards: Sequence[Shard]) -> float:
    """Give the share of tiles that are computed again because several shards touch them."""
    return sum(iter_tile_counts(plan, shards)) / sum(iter_tile_counts(plan, [plan.whole])) - 1


def bytes_per_column(plan: Plan) -> int:
    """Give the bytes that one pixel of a shard's width costs, on the host and the device together.

    Rows decoded (those of a tile, of a block and of a block ahead), the band of logits, finished rows twice, and those
    of a block of the spool twice.
    """
    seen, lattice = plan.model_scene, plan.lattice
    block = max(seen.block_shape[0], seen.source.least_rows)
    held = (lattice.tile_size + 2 * block) * (len(seen.bands) * seen.dtype.itemsize + 1)
    band = lattice.overlap * len(plan.engine.decision.class_ids) * 4
    sizes = {"uint8": 1, "float16": 2}
    finished = sum(sizes[dtype] * bands for dtype, bands in plan.engine.decision.layers.values())
    zoom = 1.0 if plan.zoom is None else plan.zoom.factor[1]
    return int((held + band) * zoom + (3 * lattice.cols.stride + 2 * most_held_rows(plan.grid.shape)) * finished)


def column_width(plan: Plan, memory_limit: int) -> int:
    """Give the width of columns, a whole number of strides of the lattice where it is not the outputs'."""
    width = plan.grid.shape[1]
    allowed = max(memory_limit // bytes_per_column(plan), 1)
    if allowed >= width:
        return width
    stride = plan.lattice.cols.stride
    count = -(-width // max(allowed // stride * stride, stride))
    even = -(-width // count)
    return min(width, -(-even // stride) * stride)


def _iter_columns(plan: Plan, width: int) -> list[Shard]:
    height, whole_width = plan.grid.shape
    return [
        Shard(row_start=0, row_stop=height, col_start=start, col_stop=min(start + width, whole_width))
        for start in range(0, whole_width, width)
    ]
