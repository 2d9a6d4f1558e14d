"""Is it right: correctness by precision, a tile's logits in every slot, and what the host waits for."""

import copy
import os
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from geodeeplab.raster import open_scene
from geodeeplab.tiling import Lattice
from gpu_parts.bench import Bench

LEAST_SAME = {"fp32": 0.9999, "bf16": 0.97, "fp16": 0.995}
"""Least share of labels that are those of a CPU in float32, with random weights, whose classes lie close together."""


def environment(bench: Bench) -> None:
    """Say what it runs on."""
    bench.record("software", python=sys.version.split()[0], torch=torch.__version__, cuda=torch.version.cuda)
    bench.record("host", cpus=os.cpu_count(), threads=torch.get_num_threads())
    if bench.is_cuda:
        free, total = torch.cuda.mem_get_info(bench.device)
        major, minor = torch.cuda.get_device_capability(bench.device)
        bench.record(
            "GPU",
            name=torch.cuda.get_device_name(bench.device),
            count=torch.cuda.device_count(),
            capability=f"{major}.{minor}",
            cudnn=torch.backends.cudnn.version(),
            free_gb=round(free / 1e9, 1),
            total_gb=round(total / 1e9, 1),
        )


def right(bench: Bench) -> None:
    """Labels of each precision against a CPU's in float32; again, and by shards, to the bit."""
    path = bench.scene(bench.side(3) - 37)
    with open_scene(path) as scene:
        lattice = Lattice(shape=scene.shape, tile_size=bench.tile_size, overlap=bench.overlap)
    shards = list(lattice.iter_shards(lattice.shape[0] // 2 + 7, lattice.shape[1] // 2 - 5))
    for name in ("bilinear", "pointrend"):
        network = bench.network(pointrend=name == "pointrend")
        truth = bench.labels(bench.engine(copy.deepcopy(network), precision="fp32", batch_size=1, device="cpu"), path)
        for precision in ("fp32", "bf16", "fp16") if bench.is_cuda else ("fp32",):
            engine = bench.engine(network, precision=precision, batch_size=8 if bench.is_cuda else 1)
            whole = bench.labels(engine, path)
            again = np.array_equal(bench.labels(engine, path), whole)
            parts = all(
                np.array_equal(
                    bench.labels(engine, path, shard=one),
                    whole[one.row_start : one.row_stop, one.col_start : one.col_stop],
                )
                for one in shards
            )
            same = float((whole == truth).mean())
            bench.record(
                f"{name} {precision}",
                holds=again and parts and same >= LEAST_SAME[precision],
                as_a_cpu=round(same, 5),
                again=again,
                shards=parts,
                classes=len(np.unique(whole)),
            )


def slots(bench: Bench) -> None:
    """A tile's logits in every slot of a batch, beside other neighbours: what shards stand on."""
    generator = torch.Generator().manual_seed(3)
    side = bench.tile_size
    for name in ("bilinear", "pointrend"):
        network = bench.network(pointrend=name == "pointrend")
        for precision in ("fp32", "bf16", "fp16") if bench.is_cuda else ("fp32",):
            for batch in (4, 16, 32) if bench.is_cuda else (2,):
                forward = bench.engine(network, precision=precision, batch_size=batch).forward
                tile, *others = torch.randint(0, 255, (batch + 1, 3, side, side), generator=generator).byte()
                valid = torch.ones(batch, side, side, dtype=torch.bool)
                first, same = None, 0
                for slot in range(batch):
                    pixels = torch.stack(others).roll(slot, 0)
                    pixels[slot] = tile
                    logits = forward.logits(pixels, valid)[slot].clone()
                    first = logits if first is None else first
                    same += torch.equal(logits, first)
                bench.record(f"{name} {precision}, batch of {batch}", holds=same == batch, slots_to_the_bit=same)


def waits(bench: Bench) -> None:
    """What the host waits for, by the line, on scenes of 9 and of 36 tiles: nothing may grow with the tiles."""
    engine = bench.engine(bench.network(), precision="bf16", batch_size=4)
    counts = []
    for tiles in (3, 6):
        path = bench.scene(bench.side(tiles))
        bench.labels(engine, path)
        counts.append(count_waits(partial(bench.labels, engine, path)))
    grown = {line: counts[1][line] - counts[0][line] for line in counts[1]}
    bench.record(
        "engine, 9 and 36 tiles", holds=max(grown.values(), default=0) < 27, at_9=dict(counts[0]), at_36=dict(counts[1])
    )


def count_waits(call: Callable[[], object]) -> Counter[str]:
    """Count torch's warnings of synchronisations in a call, by file and line; without a GPU there are none."""
    if not torch.cuda.is_available():
        call()
        return Counter()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return Counter(f"{Path(one.filename).name}:{one.lineno}" for one in caught if "synchroniz" in str(one.message))
