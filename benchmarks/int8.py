"""What int8 costs and what it spares on a CPU: networks of a model file in four ways, side by side.

    OMP_NUM_THREADS=1 python benchmarks/int8.py landcover-aerial --scene tile2.tif tile2-labels.tif
    OMP_NUM_THREADS=2 python benchmarks/int8.py landcover-aerial --threads 2

torch in fp32 and bf16, onnxruntime in fp32, OpenVINO in fp32 and int8. Seconds of wall clock and of processor a
megapixel: medians of rounds in which all ways take turns, on one tile, to logits of its size, batch 1; ratios are
medians of each round's own. What is compiled and seen for the first time does not count. With `--scene` (several times)
`segment` runs on scenes: mean IoU and boundary IoU against the truth, and the share of pixels that have the class of
fp32. The model must be prepared for int8 (`scripts/add_int8.py`, `DeepLab.save(int8=True)`).
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import rasterio
import torch
from torch import Tensor

from geodeeplab.models import SegmentationNetwork, as_model, export_onnx, load_model, read_contract
from geodeeplab.models.int8.network import Int8Network
from geodeeplab.pipeline.evaluating.evaluate import evaluate
from geodeeplab.pipeline.segment import segment

ROUNDS, WARM_UP = 7, 2
DISTANCE_PX = 3
"""Of the boundary IoU."""
Forward = Callable[[Tensor, Tensor], Tensor]


def ways(model_path: str, *, side: int, threads: int) -> dict[str, Forward]:
    """Give the ways to run a model's network, by name."""
    model = load_model(model_path)
    network = model.network
    assert isinstance(network, SegmentationNetwork), "a model file's"
    ranges = model.contract.int8_ranges
    run = {"threads": threads}
    with tempfile.TemporaryDirectory(prefix="geodeeplab-int8-") as place:
        path = Path(place) / "model.onnx"
        export_onnx(network, model.contract, path, tile_size=side, batch_size=1)
        onnx = as_model(path)
        torch.set_num_threads(threads)
        onnx.network(torch.zeros(1, len(model.contract.bands), side, side))  # opened while the file is there
    network = network.to(memory_format=torch.channels_last)

    def in_bf16(images: Tensor, valid: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            logits: Tensor = network(images, valid)
        return logits

    return {
        "torch fp32": network,
        "torch bf16": in_bf16,
        "onnxruntime fp32": onnx.network,
        "OpenVINO fp32": Int8Network(network, None, **run),
        "OpenVINO int8": Int8Network(network, ranges, **run),
    }


def time_in_turn(runs: Mapping[str, Forward], images: Tensor, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Give each way's seconds of wall clock and of processor in each round."""
    images = images.contiguous(memory_format=torch.channels_last)
    valid = torch.ones(images.shape[0], *images.shape[2:], dtype=torch.bool)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for number in range(WARM_UP + rounds):
        for name, run in runs.items():
            wall, cpu = time.perf_counter(), time.process_time()
            with torch.inference_mode():
                run(images, valid)
            if number >= WARM_UP:
                found[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return found


def print_times(found: Mapping[str, list[tuple[float, float]]], *, megapixels: float, threads: int) -> None:
    """Print a row for each way, with its ratios to the first."""
    first = next(iter(found.values()))
    for name, seconds in found.items():
        wall, cpu = (median(one[i] for one in seconds) / megapixels for i in (0, 1))
        ratios = [median(a[i] / b[i] for a, b in zip(first, seconds, strict=True)) for i in (0, 1)]
        print(f"| {name} | {threads} | {wall:.2f} | {ratios[0]:.2f} | {cpu:.2f} | {ratios[1]:.2f} |", flush=True)


def print_quality(model_path: str, scene: Path, truth: Path, precisions: Sequence[str]) -> None:
    """Print a row for each precision on a scene; the first is what the others are compared with."""
    first: np.ndarray | None = None
    for precision in precisions:
        with tempfile.TemporaryDirectory(prefix="geodeeplab-int8-") as place:
            path = Path(place) / "labels.tif"
            segment(scene, label_raster=path, model=model_path, precision=precision, device="cpu", gsd_m="native")
            found = evaluate(path, truth, distance_px=DISTANCE_PX)
            with rasterio.open(path) as src:
                labels = src.read(1)
        first = labels if first is None else first
        same = (labels == first).mean()
        print(
            f"| {scene.stem} | {precision} | {found.mean_iou:.4f} | {found.mean_boundary_iou:.4f} | {same:.4f} |",
            flush=True,
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="bundled model or model file")
    parser.add_argument("--threads", type=int, default=1, help="of each pass")
    parser.add_argument("--tile-size", type=int, default=768, help="pixels of the tile along each axis")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of timing; 0 for none")
    parser.add_argument("--scene", nargs=2, type=Path, action="append", default=[], metavar=("SCENE", "TRUTH"))
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16", "int8"], help="of scenes; fp32 comes first")
    told = parser.parse_args()
    if told.rounds:
        side = told.tile_size
        runs = ways(told.model, side=side, threads=told.threads)
        bands = len(read_contract(told.model).bands)
        images = torch.randn(1, bands, side, side, generator=torch.Generator().manual_seed(0))
        print("| network by | threads | s/Mpx | × | CPU s/Mpx | × |\n|---|--:|--:|--:|--:|--:|")
        print_times(time_in_turn(runs, images, told.rounds), megapixels=side**2 / 1e6, threads=told.threads)
    if told.scene:
        print("| scene | precision | mean IoU | boundary IoU | as fp32 |\n|---|---|--:|--:|--:|")
    for scene, truth in told.scene:
        print_quality(told.model, scene, truth, told.precisions)


if __name__ == "__main__":
    main()
