"""The engine: tiles of a scene through a network, logits blended in a rolling band, finished rows out.

Three stages run side by side: reading, forward with blending, and whoever consumes the rows. Memory does not grow with
the scene's height, and with its width only by the band and a row of tiles.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from geodeeplab.inference.blend import RollingBand
from geodeeplab.inference.device import Device
from geodeeplab.inference.stages import Stage
from geodeeplab.inference.tiles import TileBatch, iter_batches
from geodeeplab.raster import Scene
from geodeeplab.tiling import Lattice, Shard

CONFIDENCE_NODATA = 255

Refine = Callable[[np.ndarray, np.ndarray, Tensor], Tensor]
"""From pixels (N, C, T, T), `valid` (N, T, T) and logits (N, K, T, T) to better logits, each tile by itself."""


@dataclass(frozen=True, kw_only=True)
class FinishedRows:
    """Rows of a shard that no later tile changes."""

    row_start: int
    """First row, in the scene."""
    labels: np.ndarray
    """(n, W) uint8 class ids, 0 where the scene has no data."""
    confidence: np.ndarray | None
    """(n, W) uint8, 100 × the probability of the class, 255 where there is no data; None if not asked for."""


@dataclass(kw_only=True)
class RunFacts:
    """What a run did, filled in while it goes on."""

    tiles_forwarded: int = 0
    """Tiles that went through the network."""
    tiles_skipped: int = 0
    """Tiles without a valid pixel."""
    class_pixels: np.ndarray = field(default_factory=lambda: np.zeros(256, dtype=np.int64))
    """Pixels of each label (256,), nodata left out."""
    waited_for_reads_s: float = 0.0
    """Seconds that the device waited for tiles."""
    waited_for_writes_s: float = 0.0
    """Seconds that the device waited for its rows to be taken."""

    def count(self, labels: np.ndarray) -> None:
        """Count labels (n, W) row by row: a whole tile row at once would need eight bytes a pixel."""
        for row in labels:
            self.class_pixels += np.bincount(row, minlength=256)
        self.class_pixels[0] = 0


class Engine:
    """A network on a device, ready to segment scenes."""

    def __init__(
        self,
        network: nn.Module,
        normalise: nn.Module,
        *,
        class_ids: Sequence[int],
        device: Device,
        batch_size: int | None = None,
        blend: str = "hann",
        margin: int = 0,
        with_confidence: bool = False,
        refine: Refine | None = None,
    ) -> None:
        """Move the network to the device.

        Args:
            network: maps normalised images (N, C, H, W) and `valid` (N, H, W) to logits (N, K, H, W).
            normalise: maps pixels (N, C, H, W) of the scene's dtype and `valid` to images.
            class_ids: the label of each of the K channels, 1 to 255.
            device: where, and how precisely.
            batch_size: tiles per forward; by default what suits the device.
            blend: `hann`, `linear` or `none`.
            margin: outer pixels of each tile that count nothing, except at the scene's edges.
            with_confidence: give the probability of each label, too.
            refine: improves the network's logits before they are blended, such as `CRFRefiner`.
        """
        self.device = device
        self.network = network.eval().to(device.torch_device).to(memory_format=torch.channels_last)
        self.normalise = normalise.to(device.torch_device)
        self.batch_size = batch_size or device.default_batch
        self.blend, self.margin, self.with_confidence = blend, margin, with_confidence
        self.refine = refine
        self._class_ids = torch.tensor(class_ids, dtype=torch.uint8, device=device.torch_device)

    def iter_rows(
        self, scene: Scene, lattice: Lattice, *, shard: Shard | None = None, facts: RunFacts | None = None
    ) -> Iterator[FinishedRows]:
        """Yield the rows of a shard (by default the whole scene) as they are finished, from top to bottom.

        Law: the labels of a pixel do not depend on the shard.
        """
        shard = shard or lattice.whole
        facts = facts if facts is not None else RunFacts()
        batches = iter_batches(scene, lattice, shard, batch_size=self.batch_size)
        with (
            Stage(batches, name="read") as read,
            Stage(self._finish(read, lattice, shard, facts), name="forward") as run,
        ):
            try:
                yield from run
            finally:
                read.stop()  # so that the other stage ends at its next batch, not after its row of tiles
                facts.waited_for_reads_s, facts.waited_for_writes_s = read.starved_s, run.blocked_s

    def logits(self, pixels: np.ndarray, valid: np.ndarray) -> Tensor:
        """Give logits (N, K, T, T), refined, float32 on the device, of pixels (N, C, T, T) and `valid` (N, T, T)."""
        device, dtype = self.device.torch_device, self.device.autocast_dtype
        on_device = torch.from_numpy(valid).to(device)
        with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype is not None):
            images = self.normalise(torch.from_numpy(pixels).to(device), on_device)
            logits: Tensor = self.network(images.contiguous(memory_format=torch.channels_last), on_device)
        return logits.float() if self.refine is None else self.refine(pixels, valid, logits.float())

    def _finish(
        self, batches: Iterable[TileBatch], lattice: Lattice, shard: Shard, facts: RunFacts
    ) -> Iterator[FinishedRows]:
        """Forward and blend batches; yield a tile row's owned rows when its last tile is in."""
        band = RollingBand(
            lattice,
            shard,
            num_classes=len(self._class_ids),
            blend=self.blend,
            margin=self.margin,
            device=self.device.torch_device,
        )
        canvas: _Canvas | None = None
        for batch in batches:
            logits = self.logits(batch.pixels, batch.valid) if len(batch.pixels) else None
            for tile, slot in batch.tiles:
                if canvas is None:
                    canvas = _Canvas(lattice, shard, tile.row, self.device.torch_device)
                facts.tiles_forwarded += slot is not None
                facts.tiles_skipped += slot is None
                with torch.inference_mode():
                    final = band.add(tile, None if slot is None or logits is None else logits[slot])
                    if final is not None:
                        valid = torch.from_numpy(batch.valid[slot]).to(final.device)
                        valid = valid[: final.shape[1], : final.shape[2]]
                        labels, confidence = self._decide(final, valid)
                        canvas.paint(tile.col_start, labels, confidence)
                if tile.col == band.tile_cols[-1]:
                    rows = canvas.finish(self.with_confidence)
                    canvas = None
                    facts.count(rows.labels)
                    if len(rows.labels):  # the first tile row may lie above the shard, but for its overlap
                        yield rows

    def _decide(self, logits: Tensor, valid: Tensor) -> tuple[Tensor, Tensor | None]:
        """Give class ids (h, w) and confidence (h, w) of logits (K, h, w); the first of equal classes wins."""
        best = logits[0].clone()
        channel = torch.zeros_like(best, dtype=torch.long)
        for index in range(1, len(logits)):
            channel.masked_fill_(logits[index] > best, index)
            torch.maximum(best, logits[index], out=best)
        labels = torch.where(valid, self._class_ids[channel], torch.zeros((), dtype=torch.uint8, device=valid.device))
        if not self.with_confidence:
            return labels, None
        share = 100 / (logits - best).exp().sum(0)
        return labels, torch.where(valid, share.round(), CONFIDENCE_NODATA).to(torch.uint8)


class _Canvas:
    """The owned rows of one tile row, within a shard, on the device until they leave together."""

    def __init__(self, lattice: Lattice, shard: Shard, tile_row: int, device: torch.device) -> None:
        start, stop = lattice.rows.owned(tile_row)
        self.row_start = max(start, shard.row_start)
        self._skip = self.row_start - start
        self._col_start = shard.col_start
        shape = max(0, min(stop, shard.row_stop) - self.row_start), shard.col_stop - shard.col_start
        self._labels = torch.zeros(shape, dtype=torch.uint8, device=device)
        self._confidence = torch.full(shape, CONFIDENCE_NODATA, dtype=torch.uint8, device=device)

    def paint(self, col_start: int, labels: Tensor, confidence: Tensor | None) -> None:
        """Put a tile's owned block (h, w), whose first column is `col_start` in the scene, where it belongs."""
        height, width = self._labels.shape
        first = max(col_start, self._col_start)
        stop = min(col_start + labels.shape[1], self._col_start + width)
        if stop <= first or not height:
            return
        source = (slice(self._skip, self._skip + height), slice(first - col_start, stop - col_start))
        target = (slice(None), slice(first - self._col_start, stop - self._col_start))
        self._labels[target] = labels[source]
        if confidence is not None:
            self._confidence[target] = confidence[source]

    def finish(self, with_confidence: bool) -> FinishedRows:
        """Move the rows to the host."""
        confidence = self._confidence.cpu().numpy() if with_confidence else None
        return FinishedRows(row_start=self.row_start, labels=self._labels.cpu().numpy(), confidence=confidence)
