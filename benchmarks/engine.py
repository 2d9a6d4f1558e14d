"""How far `segment` is from the bare network: the same tiles, batch and precision, and where the rest of the time goes.

    python benchmarks/engine.py [SCENE] [--networks resnet50 mobilenet_v3_large bundled] [--precisions fp32 bf16]

The scene is SCENE (by default the sample scene) repeated by a VRT until it fills whole tiles. "Bare" is the forward
pass alone, to logits at full resolution, of tiles that lie in memory: in lanes as `segment` runs it, and one tile at a
time on all cores. `segment` writes the label raster; finishing the COG is stated apart. All take turns, medians of the
rounds; the ratio is the median of the rounds' own ratios to the faster bare form. Networks other than `bundled` are
DeepLabV3 at output stride 16 with random weights, as speed asks for no more. With --device cuda the batch is that of
--batch-size, and speed in new pixels is what counts.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from geodeeplab.cli.process import keep_freed_memory
from geodeeplab.inference import Decision, Device, Engine, Forward, RunFacts, TileBatch, iter_batches, pick_device
from geodeeplab.inference.lanes import Lanes
from geodeeplab.models import Contract, Model, ModelBand, ModelClass, Normalisation, build_model, load_model
from geodeeplab.pipeline.segment import segment
from geodeeplab.raster import encode_block, open_scene
from geodeeplab.tiling import Lattice
from memory import write_chip, write_repeating_vrt

CLASSES = 7
TILE_SIZE, OVERLAP = 512, 128


def main() -> None:
    """Measure each network and precision, and print a table."""
    options = parse_arguments()
    keep_freed_memory()  # as the command line does
    print(HEAD)
    with tempfile.TemporaryDirectory(prefix="geodeeplab-engine-") as name:
        chip, scene = Path(name) / "chip.tif", Path(name) / "scene.vrt"
        write_chip(options.scene, chip)
        side = options.tiles * (TILE_SIZE - OVERLAP) + OVERLAP
        write_repeating_vrt(chip, scene, height=side, width=side)
        for network in options.networks:
            model = make_model(network)
            for precision in options.precisions:
                parameters = sum(parameter.numel() for parameter in model.network.parameters())
                device = pick_device(options.device, precision, parameters=parameters)
                print(measure(scene, model, network, device, options), flush=True)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).parents[1] / "sample_data" / "scene.tif"
    parser.add_argument("scene", type=Path, nargs="?", default=default, help="RGB uint8 image to repeat")
    parser.add_argument("--networks", nargs="+", default=["resnet50", "mobilenet_v3_large", "bundled"])
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--tiles", type=int, default=6, help="tiles along each side of the scene")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int)
    return parser.parse_args()


def make_model(name: str) -> Model:
    """Load the bundled model, or build DeepLabV3 on a backbone with random weights."""
    if name == "bundled":
        return load_model()
    torch.manual_seed(0)
    arguments: dict[str, Any] = {"arch": "deeplabv3", "backbone": name, "num_classes": CLASSES, "in_channels": 3}
    contract = Contract(
        name=name,
        architecture=arguments,
        classes=tuple(ModelClass(id=i, name=f"class {i}", color=(30 * i, 0, 0)) for i in range(1, CLASSES + 1)),
        bands=tuple(ModelBand(name=band, mean=110.0, std=50.0) for band in ("red", "green", "blue")),
        tile_size=TILE_SIZE,
        overlap=OVERLAP,
    )
    return Model(network=build_model(**arguments).eval(), contract=contract)


def measure(scene_path: Path, model: Model, name: str, device: Device, options: argparse.Namespace) -> str:
    """Let all take turns; give a row of the table."""
    contract = model.contract
    forward = Forward(model.network, Normalisation(contract), device=device, batch_size=options.batch_size)
    with tempfile.TemporaryDirectory() as folder, open_scene(scene_path) as scene:
        lattice = Lattice(shape=scene.shape, tile_size=TILE_SIZE, overlap=OVERLAP)
        batches = list(iter_batches(scene, lattice, lattice.whole, batch_size=forward.batch_size))
        tiles, labels = sum(batch.filled for batch in batches), Path(folder) / "labels.tif"
        finishing: list[float] = []

        def whole() -> float:
            facts = segment(
                scene_path,
                label_raster=labels,
                model=model,
                tile_size=TILE_SIZE,
                overlap=OVERLAP,
                batch_size=options.batch_size,
                device=options.device,
                precision=device.precision,
                overwrite=True,
            ).facts
            finishing.append(facts["seconds"]["label_raster"])
            seconds: float = facts["seconds"]["segment"]
            return seconds

        sides: dict[str, Callable[[], float]] = {
            "lanes": lambda: bare(forward, batches, lanes=device.lanes, threads=device.threads),
            "cores": lambda: bare(forward, batches, lanes=1, threads=torch.get_num_threads()),
            "segment": whole,
        }
        rounds = take_turns(sides, options.rounds)
        single = stage_seconds(scene_path, lattice, forward, contract)
    best = [min(lanes, cores) for lanes, cores in zip(rounds["lanes"], rounds["cores"], strict=True)]
    ratio = statistics.median(all_ / one for all_, one in zip(rounds["segment"], best, strict=True))
    new_mpx = scene.shape[0] * scene.shape[1] / 1e6
    medians = {side: statistics.median(times) for side, times in rounds.items()}
    per_tile = " | ".join(f"{1000 * medians[side] / tiles:.0f}" for side in ("cores", "lanes", "segment"))
    stages_ms = " | ".join(f"{1000 * seconds / tiles:.1f}" for seconds in single.values())
    return (
        f"| {name} | {device.precision} | {per_tile} | **{ratio:.3f}** | {new_mpx / medians['segment']:.2f} "
        f"| {stages_ms} | {1000 * statistics.median(finishing) / tiles:.1f} |"
    )


def bare(forward: Forward, batches: Sequence[TileBatch], *, lanes: int, threads: int) -> float:
    """Time the forward passes of batches in memory."""
    started = time.perf_counter()
    for logits in Lanes(forward, lanes=lanes, threads=threads).map(batches):
        last = logits
    if last is not None and last.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - started


def take_turns(sides: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Run every side once to warm up, then `rounds` times in turn."""
    times: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(rounds + 1):
        for side, run in sides.items():
            seconds = run()
            if number:
                times[side].append(seconds)
    return times


def stage_seconds(scene_path: Path, lattice: Lattice, forward: Forward, contract: Contract) -> dict[str, float]:
    """Time each stage but the forward pass by itself, in one thread."""
    seconds = {}
    with open_scene(scene_path) as scene:
        started = time.perf_counter()
        batches = list(iter_batches(scene, lattice, lattice.whole, batch_size=forward.batch_size))
        seconds["read"] = time.perf_counter() - started
        engine = Engine(Pretend(forward, batches[0]), Decision(class_ids=tuple(item.id for item in contract.classes)))
        facts, blocks = RunFacts(), []
        for rows in engine.iter_rows(scene, lattice, facts=facts):
            blocks.append(rows)
        seconds["blend"] = facts.blend_s
        started = time.perf_counter()
        for rows in blocks:
            encode_block(rows.row_start, 0, rows.layers, count="labels")
        seconds["encode"] = time.perf_counter() - started
    return seconds


class Pretend(Forward):
    """A forward pass that gives the same logits for every batch."""

    def __init__(self, forward: Forward, batch: TileBatch) -> None:
        """Take the logits of one batch."""
        vars(self).update(vars(forward))
        self._logits = forward(batch)

    def __call__(self, batch: TileBatch) -> torch.Tensor | None:
        """Give a copy: blending changes it."""
        return None if self._logits is None else self._logits.clone()


HEAD = (
    "| network | precision | bare, all cores (ms a tile) | bare, lanes | segment | ratio | new Mpx/s | read (ms) "
    "| blend | encode | COG |\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
)

if __name__ == "__main__":
    main()
