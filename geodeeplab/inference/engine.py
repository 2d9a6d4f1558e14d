"""The engine: tiles of a scene through a network, logits blended in a rolling band, finished rows out.

Four stages run side by side: decoding, cutting tiles, forward passes with blending, and whoever consumes the rows.
Memory does not grow with the scene's height, and with its width only by the band and a row of tiles.
"""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from geodeeplab.errors import ModelError
from geodeeplab.inference.blend import RollingBand
from geodeeplab.inference.canvas import Canvas, OnTheWay
from geodeeplab.inference.decision import Decision
from geodeeplab.inference.finite import check_non_finite, describe_lost, mark_lost
from geodeeplab.inference.forward import Forward
from geodeeplab.inference.lanes import Lanes, torch_threads
from geodeeplab.inference.memory import with_room
from geodeeplab.inference.tiles import TileBatch, Wanted, iter_batches, iter_neighbours
from geodeeplab.raster import Scene
from geodeeplab.stages import Stage
from geodeeplab.tiling import Lattice, Shard, Tile


@dataclass(frozen=True, kw_only=True)
class FinishedRows:
    """Rows of a shard that no later tile changes."""

    row_start: int
    """First row, in the scene."""
    layers: dict[str, NDArray[Any]]
    """The outputs of `Decision`, (n, W) or (K, n, W)."""

    @property
    def labels(self) -> NDArray[Any]:
        """(n, W) uint8 class ids, 0 where the scene has no data."""
        return self.layers["labels"]


@dataclass(kw_only=True)
class RunFacts:
    """What a run did, filled in while it goes on; shards add up."""

    tiles_forwarded: int = 0
    """Tiles that went through the network."""
    tiles_skipped: int = 0
    """Tiles without a pixel to label."""
    tiles_not_finite: int = 0
    """Tiles with logits that are no finite numbers, whose pixels have no label."""
    waited_for_reads_s: float = 0.0
    """Seconds that the device waited for tiles."""
    waited_for_writes_s: float = 0.0
    """Seconds that the device waited for its rows to be taken."""
    forward_s: float = 0.0
    """Seconds in forward passes, all lanes together; on a GPU, until they were on their way."""
    blend_s: float = 0.0
    """Seconds of blending and deciding."""

    def add(self, other: "RunFacts") -> None:
        """Add what another run did."""
        for name in vars(other):
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(frozen=True, kw_only=True)
class _Forwarded:
    """A batch that went through the network; its tensors are on the device."""

    tiles: tuple[tuple[Tile, int | None], ...]
    """Each tile with its slot, as in the batch."""
    logits: Tensor | None
    """(B, K, T, T) float32, with one channel more where boundaries are given; None if no slot is filled."""
    wanted: Tensor
    """(B, T, T) bool."""
    lost: Tensor | None
    """True for slots that lose a pixel; None if none does."""
    seconds: float
    """How long it took, on a GPU until it was on its way."""


class Engine:
    """Forward passes, blending and decision, ready to segment scenes."""

    def __init__(
        self,
        forward: Forward,
        decision: Decision,
        *,
        blend: str = "hann",
        margin: int = 0,
        non_finite: str = "error",
    ) -> None:
        """Put the parts together.

        Args:
            forward: the network on its device.
            decision: what to give of each pixel's logits.
            blend: `hann`, `linear` or `none`.
            margin: outer pixels of each tile that count nothing, except at the scene's edges.
            non_finite: what becomes of pixels to be labelled whose logits are not finite: `error` ends the run;
                `nodata` gives them no weight in blending, and no label where no tile has finite ones.
        """
        self._is_lenient = check_non_finite(non_finite) == "nodata"
        self.forward, self.decision = forward, decision
        self.blend, self.margin = blend, margin
        self.device = forward.device

    def iter_rows(
        self,
        scene: Scene,
        lattice: Lattice,
        *,
        shard: Shard | None = None,
        wanted: Wanted | None = None,
        facts: RunFacts | None = None,
        on_scene: Callable[[Shard], Shard] | None = None,
    ) -> Iterator[FinishedRows]:
        """Yield the rows of a shard (by default the whole scene) as they are finished, from top to bottom.

        Law: the pixels do not depend on the shard.

        Args:
            scene: the scene, open; nobody else reads it meanwhile.
            lattice: tiles of the scene.
            shard: the block of output to compute.
            wanted: where labels are wanted; by default everywhere.
            facts: where the run's facts are added.
            on_scene: from a block of this grid to that of the grid which messages name it on, where it is another.

        Raises:
            ModelError: a pixel to be labelled has logits that are not finite, unless such pixels are nodata.
        """
        shard = shard or lattice.whole
        facts = facts if facts is not None else RunFacts()
        is_cuda = self.device.torch_device.type == "cuda"
        batches = iter_batches(scene, lattice, shard, batch_size=self.forward.batch_size, wanted=wanted, pin=is_cuda)
        with ExitStack() as stack:
            stack.enter_context(torch_threads(torch.get_num_threads()))  # the lanes' setting is undone
            read = stack.enter_context(Stage(batches, depth=self.device.lanes + 1, name="read"))
            run = stack.enter_context(
                Stage(self._finish(read, lattice, shard, facts, on_scene), depth=1, name="forward")
            )
            try:
                yield from run
            finally:
                read.stop()  # so that the other stage ends at its next batch, not after its row of tiles
                facts.waited_for_writes_s += run.blocked_s

    def _finish(
        self,
        batches: Iterable[TileBatch],
        lattice: Lattice,
        shard: Shard,
        facts: RunFacts,
        on_scene: Callable[[Shard], Shard] | None,
    ) -> Iterator[FinishedRows]:
        """Forward and blend batches; yield a tile row's rows once they are on the host.

        While a GPU copies the rows of one tile row, it works on the next already.
        """
        behind = 1 if self.device.torch_device.type == "cuda" else 0
        on_the_way: deque[tuple[int, OnTheWay]] = deque()

        def arrived() -> FinishedRows:
            row_start, layers = on_the_way.popleft()
            rows = FinishedRows(row_start=row_start, layers=layers.wait())
            if lost := layers.lost_tiles():
                self._tell_lost(lost, lattice, on_scene)
                facts.tiles_not_finite += len(lost)
            return rows

        with closing(self._blend(batches, lattice, shard, facts)) as canvases:
            for canvas, lost in canvases:
                on_the_way.append((canvas.row_start, canvas.to_host(lost)))
                if len(on_the_way) > behind:
                    yield arrived()
        while on_the_way:
            yield arrived()

    def _tell_lost(self, tiles: Sequence[Tile], lattice: Lattice, on_scene: Callable[[Shard], Shard] | None) -> None:
        """Refuse tiles with logits that are not finite, unless their pixels are to be nodata."""
        if self._is_lenient:
            return
        places = [lattice.covered(tile) for tile in tiles]
        if on_scene is not None:
            places = [on_scene(place) for place in places]
        raise ModelError(describe_lost(places, precision=self.device.precision))

    def _blend(
        self, batches: Iterable[TileBatch], lattice: Lattice, shard: Shard, facts: RunFacts
    ) -> Generator[tuple[Canvas, list[tuple[Sequence[Tile], Tensor]]]]:
        """Blend the logits of all tiles; give each tile row's canvas when its last tile is in.

        With it come flags (n,) on the device, True for the tiles that have a pixel to label without finite logits.
        """
        device = self.device.torch_device
        make = partial(with_room, device=device)
        band = RollingBand(
            lattice,
            shard,
            num_classes=self.decision.channels,
            blend=self.blend,
            margin=self.margin,
            skips_nan=self._is_lenient,
            device=device,
        )
        canvas: Canvas | None = None
        doubtful: list[tuple[Sequence[Tile], Tensor]] = []
        table = self.decision.table(device)
        lanes = Lanes(
            self._timed_forward, lanes=self.device.lanes, threads=self.device.threads, is_busy=self.forward.is_busy
        )
        for done in lanes.map(batches):
            facts.forward_s += done.seconds
            for tiles, slots in iter_neighbours(done.tiles, alone=lattice.cols.count - 1):
                started = time.perf_counter()
                canvas = canvas or make(partial(Canvas, lattice, shard, tiles[0].row, self.decision, device=device))
                facts.tiles_forwarded += 0 if slots is None else len(tiles)
                facts.tiles_skipped += len(tiles) if slots is None else 0
                with torch.inference_mode():
                    final = band.add(tiles, None if slots is None or done.logits is None else done.logits[slots])
                    if final is not None and slots is not None:
                        if done.lost is not None:
                            doubtful.append((tiles, done.lost[slots]))
                        canvas.paint(tiles[0].col_start, make(partial(self._decide, final, done, slots, table)))
                facts.blend_s += time.perf_counter() - started
                if tiles[-1].col == band.tile_cols[-1]:
                    if canvas.shape[0]:  # the first tile row may lie above the shard, but for its overlap
                        yield canvas, doubtful
                        doubtful = []
                    canvas = None

        facts.waited_for_reads_s += lanes.starved_s

    def _timed_forward(self, batch: TileBatch) -> "_Forwarded":
        started = time.perf_counter()
        logits, wanted, lost = self.forward(batch), batch.wanted, None
        if logits is not None:
            with torch.inference_mode():
                wanted, lost = with_room(partial(self._look, batch, logits), device=self.device.torch_device)
        seconds = time.perf_counter() - started
        return _Forwarded(tiles=batch.tiles, logits=logits, wanted=wanted, lost=lost, seconds=seconds)

    def _look(self, batch: TileBatch, logits: Tensor) -> tuple[Tensor, Tensor | None]:
        """Give `wanted` on the device, copied whole as the batch is, and which tiles lose a pixel; see `mark_lost`."""
        wanted = self.forward.to_device(batch.wanted)
        return wanted, mark_lost(logits[: batch.filled], wanted[: batch.filled])

    def _decide(self, final: Tensor, done: "_Forwarded", slots: slice, table: Tensor) -> dict[str, Tensor]:
        """Decide on the final logits (n, K, h, w) of the tiles in some slots."""
        wanted = done.wanted[slots, : final.shape[2], : final.shape[3]]
        return self.decision(final, wanted if done.lost is None else wanted & ~final[:, 0].isnan(), table)
