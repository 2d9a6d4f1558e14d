"""What a run will take: tiles, memory, disk and time, measured on one batch and reckoned for the rest."""

import math
import os
import shutil
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from geodeeplab.inference import RollingBand, TileBatch
from geodeeplab.inference.lanes import Lanes, torch_threads
from geodeeplab.pipeline.executor import InThisProcess, bytes_per_column, iter_tile_counts
from geodeeplab.pipeline.info.coverage import cover, read_example
from geodeeplab.pipeline.plan import Plan
from geodeeplab.tiling import Lattice

TIMED_S, TIMED_ROUNDS = 1.0, 5
"""Forward passes are timed again until this time has gone by, or so many rounds."""
BLEND_ROUNDS = 5
"""How often blending is timed; the first ones set things up."""
COMPRESSION = {"labels": 30.0, "confidence": 4.0, "probabilities": 3.0, "boundary": 4.0}
"""How many times smaller than their pixels the rasters usually are (measured on scenes of 0.1 to 300 m: 16 to 43 for
labels, 2.4 to 4.8 for confidence and probabilities as uint8)."""
POLYGON_BYTES = 0.7
"""Bytes of polygons per labelled pixel (measured on the same scenes: 0.4 to 1.7)."""
OVERVIEWS = 4 / 3
"""A raster with its overviews, over the raster."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a run will take. Bytes and seconds are estimates."""

    device: str
    """The device, as torch names it."""
    precision: str
    """`fp32`, `bf16` or `fp16`."""
    lanes: int
    """Forward passes side by side."""
    batch_size: int
    """Tiles of a forward pass."""
    tile_size: int
    """Pixels of a tile along each axis, on the grid that the model sees."""
    overlap: int
    """Pixels that neighbouring tiles share."""
    tiles: int
    """Tiles of the lattice."""
    empty_tiles: int
    """Those without a pixel to label, which are never forwarded."""
    is_count_exact: bool
    """False where empty tiles were estimated from a sample."""
    columns: int
    """Blocks of columns that the scene is computed in, one where memory allows."""
    tiles_again: int
    """Tiles that are computed twice as they lie in two columns."""
    host_bytes: int | None
    """Memory of the whole process at its peak; None where the system does not tell."""
    device_bytes: int | None
    """Memory of the GPU at its peak; None without one."""
    device_total_bytes: int | None
    """Memory that the GPU has; None without one."""
    raster_bytes: int
    """Disk that the rasters take at their peak, with the spool, as they usually compress."""
    raster_bytes_most: int
    """The same if nothing could be compressed."""
    polygon_bytes: int
    """Disk that polygons usually take, if they are an output."""
    disk_free_bytes: int
    """Disk that is free where the outputs go."""
    seconds: float | None
    """Seconds until all tiles are labelled; outputs are written after that. None where no tile has a pixel to label."""
    mpx_per_s: float | None
    """Megapixels of the scene per second of that time."""


@dataclass(frozen=True, kw_only=True)
class _Timing:
    """Seconds of parts of a run, measured."""

    first_round_s: float
    """The first forward of every lane, all at once, with whatever is set up then."""
    round_s: float
    """Each later one."""
    blend_s: float
    """Blending one tile and deciding on its pixels."""
    device_bytes: int | None
    """Peak of the device's memory in all that."""


def forecast(plan: Plan, *, folder: str | os.PathLike[str] = ".") -> Forecast:
    """Reckon what a run of a plan will take: looks for empty tiles, and times forward passes on the scene's own pixels.

    Args:
        plan: the run.
        folder: where the outputs are to go.
    """
    shards = InThisProcess().cut(plan)
    coverage, counts = cover(plan), list(iter_tile_counts(plan, shards))
    device, timing, seconds = plan.engine.device, None, None
    if coverage.example is not None:
        batch, read_s = read_example(plan, coverage.example)
        timing = _time_batch(plan, batch)
        if coverage.read_s is None:
            read_s *= max(1.0, coverage.tiles / batch.filled)
        else:
            read_s = coverage.read_s
        filled = (coverage.tiles - coverage.empty) * sum(counts) / coverage.tiles
        seconds = _run_seconds(plan, timing, filled=filled, read_s=read_s)
    width = max(shard.shape[1] for shard in shards)
    pixels = math.prod(plan.grid.shape)
    rasters = _raster_bytes(plan)
    on_gpu = device.torch_device.type == "cuda"
    return Forecast(
        device=str(device.torch_device),
        precision=device.precision,
        lanes=device.lanes,
        batch_size=plan.engine.forward.batch_size,
        tile_size=plan.lattice.tile_size,
        overlap=plan.lattice.overlap,
        tiles=coverage.tiles,
        empty_tiles=coverage.empty,
        is_count_exact=coverage.is_exact,
        columns=len(shards),
        tiles_again=sum(counts) - coverage.tiles,
        host_bytes=_host_bytes(plan, width),
        device_bytes=None if timing is None or timing.device_bytes is None else timing.device_bytes + _band_bytes(plan),
        device_total_bytes=torch.cuda.mem_get_info(device.torch_device)[1] if on_gpu else None,
        raster_bytes=int(sum((1 + OVERVIEWS) * size / COMPRESSION[name] for name, size in rasters.items())),
        raster_bytes_most=int(sum((2 + OVERVIEWS) * size for size in rasters.values())),  # blocks, squares they share
        polygon_bytes=int(POLYGON_BYTES * pixels * (1 - coverage.empty / coverage.tiles)),
        disk_free_bytes=shutil.disk_usage(Path(folder)).free,
        seconds=seconds,
        mpx_per_s=None if seconds is None else pixels / 1e6 / seconds,
    )


def _run_seconds(plan: Plan, timing: _Timing, *, filled: float, read_s: float) -> float:
    """Add up the seconds of a run.

    On a CPU everything shares the cores that the lanes stand for; a GPU is read to while it computes.
    """
    device, batches = plan.engine.device, math.ceil(filled / plan.engine.forward.batch_size)
    blend_s, set_up_s = filled * timing.blend_s, max(0.0, timing.first_round_s - timing.round_s)
    if device.torch_device.type != "cpu":
        return set_up_s + max(batches * timing.round_s + blend_s, read_s)
    rounds = max(1.0, batches / device.lanes)
    return set_up_s + rounds * timing.round_s + (blend_s + read_s) / device.lanes


def _time_batch(plan: Plan, batch: TileBatch) -> _Timing:
    """Forward a batch in every lane, first to warm up, then on the clock; blend and decide on one tile's logits."""
    device, forward = plan.engine.device, plan.engine.forward
    on_gpu = device.torch_device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device.torch_device)

    def forwarded(item: TileBatch) -> Tensor:
        logits = forward(item)
        assert logits is not None
        logits[0, 0, 0, 0].item()  # wait for the device
        return logits

    def one_round() -> tuple[float, Tensor]:
        started = time.perf_counter()
        *_, logits = Lanes(forwarded, lanes=device.lanes, threads=device.threads).map([batch] * device.lanes)
        return time.perf_counter() - started, logits

    first_round_s, logits = one_round()
    rounds: list[float] = []
    while not rounds or (sum(rounds) < TIMED_S and len(rounds) < TIMED_ROUNDS):
        rounds.append(one_round()[0])
    return _Timing(
        first_round_s=first_round_s,
        round_s=statistics.median(rounds),
        blend_s=_time_blending(plan, logits[0]),
        device_bytes=torch.cuda.max_memory_allocated(device.torch_device) if on_gpu else None,
    )


def _time_blending(plan: Plan, logits: Tensor) -> float:
    """Time, per tile, what comes after the forward pass, on four tiles with the same logits (K, T, T)."""
    stride, overlap = plan.lattice.rows.stride, plan.lattice.overlap
    lattice = Lattice(shape=(2 * stride + overlap,) * 2, tile_size=plan.lattice.tile_size, overlap=overlap)
    tiles = [lattice.tile(row, col) for row in range(2) for col in range(2)]
    decision, device = plan.engine.decision, logits.device
    table = decision.table(device)
    wanted = torch.ones(logits.shape[1:], dtype=torch.bool, device=device)
    seconds = []
    with torch.inference_mode(), torch_threads(plan.engine.device.threads):
        for _ in range(BLEND_ROUNDS):
            band = RollingBand(lattice, lattice.whole, num_classes=len(logits), blend=plan.engine.blend, device=device)
            copies = [logits.clone() for _ in tiles]
            started = time.perf_counter()
            for tile, copy in zip(tiles, copies, strict=True):
                final = band.add([tile], copy[None])
                assert final is not None
                labels = decision(final, wanted[None, : final.shape[2], : final.shape[3]], table)["labels"]
            labels[0, 0, 0].item()  # wait for the device
            seconds.append((time.perf_counter() - started) / len(tiles))
    return statistics.median(seconds)


def _host_bytes(plan: Plan, width: int) -> int | None:
    """Add to the process's peak so far, the timed batches included, what the width of a column and the queues hold."""
    peak = _peak_bytes()
    if peak is None:
        return None
    device, forward, lattice = plan.engine.device, plan.engine.forward, plan.lattice
    held = bytes_per_column(plan) * width
    if device.torch_device.type != "cpu":
        held -= _band_bytes(plan)
    pixel = len(plan.model_scene.bands) * plan.model_scene.dtype.itemsize + 2
    logits = 4 * len(plan.engine.decision.class_ids) if device.torch_device.type == "cpu" else 0
    waiting = 2 * device.lanes + 1
    return int(peak + held + waiting * forward.batch_size * lattice.tile_size**2 * (pixel + logits))


def _band_bytes(plan: Plan) -> int:
    """Give the bytes of the rolling band, which lies on the device, for the widest scene or column."""
    widest = max(shard.shape[1] for shard in InThisProcess().cut(plan))
    zoom = 1.0 if plan.zoom is None else plan.zoom.factor[1]
    return int(4 * len(plan.engine.decision.class_ids) * plan.lattice.overlap * widest * zoom)


def _raster_bytes(plan: Plan) -> dict[str, int]:
    """Give the bytes of each raster's pixels."""
    pixels = math.prod(plan.grid.shape)
    return {layer.name: pixels * layer.bands * np.dtype(layer.dtype).itemsize for layer in plan.layers}


def _peak_bytes() -> int | None:
    """Give the most memory that this process has had; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
