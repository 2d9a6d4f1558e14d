"""From end to end: `segment` by stage, a fit with its resume, Dask workers on one card, ONNX, and pytest."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from geodeeplab.models import export_onnx, load_model
from geodeeplab.pipeline.segment import segment
from gpu_parts.bench import SAMPLE, Bench
from gpu_parts.fast import read_labels
from gpu_parts.right import count_waits

STEPS = 50


def stages(bench: Bench) -> None:
    """`segment` with the bundled model, into labels and polygons, stage by stage."""
    side = 12_288 if bench.is_cuda else 400
    for number, outputs in enumerate(("labels", "labels and polygons")):
        result = segment(
            bench.scene(side),
            bench.folder / "polygons.gpkg" if number else None,
            label_raster=bench.folder / f"stages-{number}.tif",
            device=bench.device,
            gsd_m="native",
        )
        facts = result.facts
        seconds = {name: round(taken, 2) for name, taken in facts["seconds"].items()}
        bench.record(
            outputs,
            mpx_per_s=round(facts["mpx_per_s"], 2),
            batch=facts["batch_size"],
            megapixels=side**2 // 10**6,
            **seconds,
        )


def training(bench: Bench) -> None:
    """Fifty steps in bf16 and fp16, cut off in the second of two epochs and gone on with."""
    for precision in ("bf16", "fp16") if bench.is_cuda else ("fp32",):
        train(bench, precision)


def train(bench: Bench, precision: str) -> None:
    """Fit once whole, and once cut off and resumed; with what the host waits for in a step."""
    steps = 4 if bench.is_quick else STEPS
    data = make_data(bench, steps // 2)

    def fit(folder: str, **options: Any) -> Any:  # noqa: ANN401 - the learner's
        learner = make_learner(bench, precision, data)
        workers = 0 if bench.is_quick else 4
        learner.fit(2, 1e-3, folder=bench.folder / f"{folder}-{precision}", progress=False, workers=workers, **options)
        return learner

    learners: list[Any] = []
    waits = count_waits(lambda: learners.append(fit("whole")))
    whole = learners[0]
    with suppress(KeyboardInterrupt):
        fit("cut", after_step=stop_after(steps // 2 + 1))
    resumed = fit("cut", resume=True)
    one, other = ([loss for record in learner.history for loss in record.step_losses] for learner in (whole, resumed))
    furthest = float(np.abs(np.subtract(one, other)).max())
    per_step = {line: count for line, count in waits.items() if count >= steps}
    bench.record(
        f"{precision}, {steps} steps",
        holds=len(one) == steps and bool(np.isfinite(one).all()) and furthest < (0.5 if bench.is_cuda else 1e-9),
        first_loss=round(one[0], 3),
        last_loss=round(one[-1], 3),
        resumed_differs_by=furthest,
        seconds_an_epoch=round(whole.history[-1].seconds, 2),
        waits_at_every_step=per_step,  # fp16: the scaler reads whether a gradient overflowed
    )


def make_data(bench: Bench, epoch_steps: int) -> Any:  # noqa: ANN401 - as the learner's
    """Prepare chips of the sample scene and its labels."""
    from geodeeplab.training.prepare import prepare_data

    batch, chip = (2, 128) if bench.is_quick else (16, 256)
    return prepare_data(
        scenes=SAMPLE / "rgbn.tif",
        labels=SAMPLE / "rgbn_labels.tif",
        bands=[1, 2, 3],
        chip_size=chip,
        batch_size=batch,
        epoch_chips=batch * epoch_steps,
    )


def make_learner(bench: Bench, precision: str, data: Any) -> Any:  # noqa: ANN401 - the extra `train` may lack
    """Make a learner."""
    from geodeeplab.learner import DeepLab

    place: Any = {"device": bench.device, "precision": precision, "aspp_channels": 16 if bench.is_quick else None}
    return DeepLab(data, bench.backbone, weights=None, pointrend=not bench.is_quick, **place)


def stop_after(steps: int) -> Callable[[], None]:
    """Give a hook that interrupts a fit."""
    left = iter(range(steps))

    def hook() -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    return hook


def dask(bench: Bench) -> None:
    """Two local workers on one card, against this process."""
    from geodeeplab.cluster import Dask

    path = bench.scene(4096 if bench.is_cuda else 400)
    labels: list[Any] = []
    for name, executor in (("this process", None), ("two workers", Dask(2, threads=1))):
        result = segment(
            path,
            label_raster=bench.folder / f"dask-{len(labels)}.tif",
            executor=executor,
            device=bench.device,
            batch_size=8 if bench.is_cuda else 1,
            gsd_m="native",
        )
        labels.append(read_labels(result.label_raster_path))
        bench.record(name, seconds=round(result.facts["seconds"]["total"], 1), shards=result.facts["shards"])
    bench.record("labels to the bit", holds=np.array_equal(labels[0], labels[1]))


def onnx(bench: Bench) -> None:
    """The bundled model as an ONNX file, against the network."""
    import onnxruntime

    model = load_model()
    export_onnx(model.network, model.contract, bench.folder / "model.onnx")
    path = bench.scene(2048 if bench.is_cuda else 400)
    labels: list[Any] = []
    for name, given in (("network", None), ("ONNX", bench.folder / "model.onnx")):
        options: Any = {} if given is None else {"model": given}
        result = segment(
            path,
            label_raster=bench.folder / f"onnx-{len(labels)}.tif",
            device=bench.device,
            precision="fp32",
            gsd_m="native",
            **options,
        )
        labels.append(read_labels(result.label_raster_path))
        bench.record(name, seconds=round(result.facts["seconds"]["segment"], 1))
    same = float((labels[0] == labels[1]).mean())
    providers = onnxruntime.get_available_providers()
    bench.record("labels", holds=same > 0.999, same=round(same, 5), providers=providers)


def own_tests(bench: Bench) -> None:
    """`pytest -m gpu`."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "tests/inference"]
    ran = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    lines = (ran.stdout + ran.stderr).strip().splitlines() or ["nothing was printed"]
    bench.record("pytest -m gpu", holds=ran.returncode == 0, ended=lines[-1][:200])
