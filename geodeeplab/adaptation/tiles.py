"""Features of the very tiles that `segment` runs: same lattice, reflection, normalisation, batch shape and threads."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rasterio.windows import Window
from torch import Tensor, nn

from geodeeplab.adaptation.cache import FeatureCache
from geodeeplab.adaptation.recall import digest_frozen, recalling
from geodeeplab.inference import Forward
from geodeeplab.inference.exact import exact_arithmetic
from geodeeplab.inference.lanes import Lanes, torch_threads
from geodeeplab.inference.tiles import TileBatch, iter_batches
from geodeeplab.models import AdaptedNetwork
from geodeeplab.pipeline.plan import Plan
from geodeeplab.stages import Stage
from geodeeplab.tiling import Lattice, Shard, Tile

Progress = Callable[[int, int], None]
"""Called with what is done and what there is in all."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TileFeatures:
    """A tile's features."""

    tile: Tile
    """Where it lies."""
    features: npt.NDArray[np.float32]
    """(F, T/2, T/2)."""
    valid: npt.NDArray[np.bool_]
    """(T, T), True where the scene has data."""


class _Features(nn.Module):
    """A network's features in the place of its logits."""

    def __init__(self, network: AdaptedNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, valid: Tensor) -> Tensor:
        return self.network.features(images, valid)


def iter_features(
    plan: Plan, network: AdaptedNetwork, tiles: Sequence[Tile], cache: FeatureCache, *, progress: Progress
) -> Iterator[TileFeatures]:
    """Yield the features of tiles of a plan, in the lattice's order; those without data are left out.

    Law: they are those that the network computes in a run of this plan, to the bit.
    """
    forward = Forward(
        _Features(recalling(network, cache, keeps=True)),
        plan.engine.forward.normalise,
        device=plan.engine.device,
        batch_size=plan.engine.forward.batch_size,
    )

    def compute(batch: TileBatch) -> list[TileFeatures]:
        found = forward(batch)
        assert found is not None
        values = found.cpu().numpy()
        return [
            TileFeatures(tile=tile, features=values[slot], valid=batch.valid[slot].numpy())
            for tile, slot in batch.tiles
            if slot is not None
        ]

    for done, group in enumerate(_run(plan, tiles, compute), start=1):
        yield from group
        progress(min(done * forward.batch_size, len(tiles)), len(tiles))


def iter_maps(plan: Plan, network: AdaptedNetwork, tiles: Sequence[Tile]) -> Iterator[list[list[Tensor]]]:
    """Yield, for each batch of tiles, the maps (C_i, n_i) of each encoder where the tiles have data, on the CPU."""
    forward = plan.engine.forward
    device = plan.engine.device

    def compute(batch: TileBatch) -> list[list[Tensor]]:
        pixels, valid = forward.to_device(batch.pixels), forward.to_device(batch.valid)
        dtype = device.autocast_dtype
        with (
            torch.inference_mode(),
            torch.autocast(device.torch_device.type, dtype, enabled=dtype is not None),
            exact_arithmetic(),
        ):
            images = forward.normalise(pixels, valid).contiguous(memory_format=torch.channels_last)
            return [[_where_valid(one, valid) for one in encoder.maps(images)[0]] for encoder in network.encoders]  # type: ignore[operator]

    yield from _run(plan, tiles, compute)


def digest_tiles(plan: Plan, network: AdaptedNetwork, tiles: Sequence[Tile]) -> str:
    """Give a digest of some tiles' pixels and of all else that a network's maps of them depend on."""
    config = _configuration(plan, network)

    def digest(batch: TileBatch) -> list[str]:
        return [_digest(config, batch.pixels[slot], batch.valid[slot]) for _, slot in batch.tiles if slot is not None]

    found = [one for batch in _run(plan, tiles, digest) for one in batch]
    return hashlib.blake2b("".join(found).encode(), digest_size=20).hexdigest()


def _where_valid(level: Tensor, valid: Tensor) -> Tensor:
    """Give the cells (C, n) of a map (N, C, h, w) where half of the pixels or more are valid."""
    share = nn.functional.interpolate(valid.unsqueeze(1).float(), size=level.shape[-2:], mode="area")
    return level.float().permute(1, 0, 2, 3)[:, share[:, 0] >= 0.5].cpu()


def _run(plan: Plan, tiles: Sequence[Tile], compute: Callable[[TileBatch], Any]) -> Iterator[Any]:
    """Call a function on the batches of some tiles, side by side as a run's forward passes are."""
    chosen = {(tile.row_start, tile.col_start) for tile in tiles}

    def wanted(window: Window) -> npt.NDArray[np.bool_]:
        is_chosen = (int(window.row_off), int(window.col_off)) in chosen
        return np.full((int(window.height), int(window.width)), is_chosen)

    device = plan.engine.device
    batches = iter_batches(
        plan.model_scene,
        plan.lattice,
        _around(tiles, plan.lattice),
        batch_size=plan.engine.forward.batch_size,
        wanted=wanted,
        pin=device.torch_device.type == "cuda",
    )
    with ExitStack() as stack:
        stack.enter_context(torch_threads(torch.get_num_threads()))
        read = stack.enter_context(Stage(batches, depth=device.lanes + 1, name="read"))
        filled = (batch for batch in read if batch.filled)
        yield from Lanes(compute, lanes=device.lanes, threads=device.threads).map(filled)


def _around(tiles: Sequence[Tile], lattice: Lattice) -> Shard:
    """Give the block that some tiles lie in, each with the pixels that are its alone."""
    rows, cols = [tile.row for tile in tiles], [tile.col for tile in tiles]
    return Shard(
        row_start=lattice.rows.start(min(rows)),
        row_stop=lattice.rows.owned(max(rows))[1],
        col_start=lattice.cols.start(min(cols)),
        col_stop=lattice.cols.owned(max(cols))[1],
    )


def _configuration(plan: Plan, network: AdaptedNetwork) -> bytes:
    """Give all that maps depend on but the pixels: weights, pins of the arithmetic, how numbers are mapped."""
    device = plan.engine.device
    said = (
        plan.lattice.tile_size, plan.engine.forward.batch_size, device.torch_device.type, device.precision,
        device.threads, torch.__version__, plan.values.pairs, plan.values.clip,
        [(band.mean, band.std) for band in plan.model.contract.bands],
    )  # fmt: skip
    return digest_frozen(network) + repr(said).encode()


def _digest(config: bytes, pixels: Tensor, valid: Tensor) -> str:
    digest = hashlib.blake2b(config, digest_size=20)
    for one in (pixels, valid):
        digest.update(one.contiguous().numpy().view(np.uint8).data)
    return digest.hexdigest()
