"""How fast, how busy, and what happens where memory runs out."""

import warnings
from functools import partial

import numpy as np
import torch

from geodeeplab.inference import Decision, Engine, Forward, RunFacts, pick_device
from geodeeplab.models import Model, Normalisation, load_model
from geodeeplab.pipeline.segment import segment
from gpu_parts.bench import CLASSES, Bench

MB = 1 << 20


def speed(bench: Bench) -> None:
    """Bare network against engine, in tiles a second: ResNet-50 at output stride 16, and the bundled model."""
    own = Model(network=bench.network(), contract=bench.contract())
    for name, model in ((bench.backbone, own), ("bundled", load_model())):
        contract = model.contract
        size, overlap = contract.tile_size, contract.overlap
        tiles = (40 if bench.is_cuda else 2) * bench.tile_size // size or 1
        path = bench.scene(tiles * (size - overlap) + overlap)
        for batch in (16, 32) if bench.is_cuda else (1,):
            forward = Forward(
                model.network,
                Normalisation(contract),
                device=pick_device(bench.device, bench.half),
                batch_size=batch,
            )
            engine = Engine(forward, Decision(class_ids=tuple(item.id for item in contract.classes)))
            pixels = torch.randint(0, 255, (batch, 3, size, size), dtype=torch.uint8)
            valid = torch.ones(batch, size, size, dtype=torch.bool)
            if bench.is_cuda:
                pixels, valid = pixels.pin_memory(), valid.pin_memory()
            bare = batch / bench.seconds(
                partial(forward.logits, pixels, valid),
                times=20 if bench.is_cuda else 1,
                warm_up=3 if bench.is_cuda else 1,
            )
            facts = RunFacts()
            taken = bench.seconds(
                partial(bench.labels, engine, path, facts=facts, tile=(size, overlap)),
                warm_up=0,
            )
            bench.record(
                f"{name} {bench.half}, batch of {batch}",
                bare_tiles_per_s=round(bare, 1),
                engine_tiles_per_s=round(facts.tiles_forwarded / taken, 1),
                ratio=round(bare * taken / facts.tiles_forwarded, 3),
                tile_size=size,
                waited_for_reads_s=round(facts.waited_for_reads_s, 2),
                blend_s=round(facts.blend_s, 2),
            )


def busy(bench: Bench) -> None:
    """The share of the time in which a kernel runs, and the kernels that take longest."""
    from torch.profiler import ProfilerActivity, profile

    path = bench.scene(bench.side(12))
    engine = bench.engine(bench.network(), precision="bf16", batch_size=32)
    bench.labels(engine, path)
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        taken = bench.seconds(lambda: bench.labels(engine, path), warm_up=0)
    rows = sorted(profiled.key_averages(), key=lambda row: -row.self_device_time_total)
    kernels_s = sum(row.self_device_time_total for row in rows) / 1e6
    bench.record("engine, 144 tiles", busy_share=round(kernels_s / taken, 2))
    for row in rows[:6]:
        bench.record(row.key[:60], ms=round(row.self_device_time_total / 1e3, 1), calls=row.count)


def memory(bench: Bench) -> None:
    """The batch that is found, and labels where memory runs out half way: those of a run that begins so."""
    found = bench.engine(bench.network(), precision="bf16", batch_size=1).forward
    found.find_batch_size(3, bench.tile_size)
    bench.record("found", batch=found.batch_size, peak_mb=torch.cuda.max_memory_allocated(bench.device) // MB)
    path = bench.scene(bench.side(6))
    engine = bench.engine(bench.network(), precision="fp32", batch_size=16)
    torch.cuda.reset_peak_memory_stats(bench.device)
    bench.labels(engine, path)
    peak = torch.cuda.max_memory_allocated(bench.device)
    torch.cuda.empty_cache()
    total = torch.cuda.mem_get_info(bench.device)[1]
    torch.cuda.set_per_process_memory_fraction(0.45 * peak / total, bench.device)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            halved = bench.labels(engine, path)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, bench.device)
    size = engine.forward.batch_size
    alike = bench.labels(bench.engine(bench.network(), precision="fp32", batch_size=size), path)
    bench.record(
        "out of memory at a batch of 16",
        holds=size < 16 and len(caught) > 0,
        went_on_with=size,
        labels_as_begun_so=round(float((halved == alike).mean()), 6),  # tiles before the end were in larger batches
        peak_mb=peak // MB,
    )


def compiled(bench: Bench) -> None:
    """`--compile` for two scenes of one process."""
    contract = bench.contract()
    network = bench.network() if bench.is_cuda else torch.nn.Conv2d(3, CLASSES, 3, padding=1)
    path = bench.scene(bench.side(3))
    labels = []
    for number, is_compiled in enumerate((False, True, True)):
        result = segment(
            path,
            label_raster=bench.folder / f"compiled-{number}.tif",
            model=network,
            contract=contract,
            device=bench.device,
            precision=bench.half,
            batch_size=8 if bench.is_cuda else 1,
            compiled=is_compiled,
            gsd_m="native",
        )
        labels.append(read_labels(result.label_raster_path))
        what = "as it is" if not is_compiled else f"compiled, scene {number}"
        same = float((labels[-1] == labels[0]).mean())
        holds = None if not is_compiled else same > 0.97
        bench.record(what, holds=holds, seconds=round(result.facts["seconds"]["segment"], 1), same=round(same, 4))
    bench.record("second scene as the first", holds=np.array_equal(labels[1], labels[2]))


def read_labels(path: object) -> np.ndarray:
    """Read a label raster whole."""
    import rasterio

    with rasterio.open(path) as src:
        labels: np.ndarray = src.read(1)
    return labels
