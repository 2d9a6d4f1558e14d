"""What the parts of the check share: sizes, networks, scenes, and the file that facts are recorded in."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from affine import Affine
from numpy.typing import NDArray
from torch import nn

from geodeeplab.inference import Decision, Engine, Forward, RunFacts, pick_device
from geodeeplab.models import Contract, ModelBand, ModelClass, Normalisation, build_model
from geodeeplab.raster import open_scene
from geodeeplab.tiling import Lattice, Shard

SAMPLE = Path(__file__).parents[2] / "sample_data"
CLASSES = 7
Labels = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where a part runs, how large, and where it writes."""

    device: str
    """A torch device."""
    is_quick: bool
    """Small networks and scenes: a rehearsal of the script, whose speeds mean nothing."""
    folder: Path
    """For scenes and outputs; it goes at the end."""
    part: str
    """Name of the part."""

    @property
    def is_cuda(self) -> bool:
        """True on a GPU."""
        return self.device.startswith("cuda")

    @property
    def tile_size(self) -> int:
        """Pixels of a tile along each axis."""
        return 128 if self.is_quick else 512

    @property
    def overlap(self) -> int:
        """Pixels that tiles share."""
        return self.tile_size // 4

    @property
    def backbone(self) -> str:
        """Of the networks with random weights."""
        return "mobilenet_v3_small" if self.is_quick else "resnet50"

    @property
    def half(self) -> str:
        """The precision that speed is measured in."""
        return "bf16" if self.is_cuda else "fp32"

    def record(self, what: str, *, holds: bool | None = None, **facts: object) -> None:
        """Write a fact down at once, so that a part that is cut off has told what it found.

        Args:
            what: its name.
            holds: whether what must be so is so; None where nothing must be.
            facts: numbers and words.
        """
        line = {"what": what, "holds": holds, "facts": facts}
        with open(self.folder / f"{self.part}.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line, default=str) + "\n")

    def side(self, tiles: int) -> int:
        """Give the side in pixels of a scene of so many tiles along each axis."""
        return tiles * (self.tile_size - self.overlap) + self.overlap

    def contract(self) -> Contract:
        """Describe the networks with random weights."""
        return Contract(
            name="check",
            architecture={},
            classes=tuple(ModelClass(id=i, name=f"class {i}", color=(30 * i, 0, 0)) for i in range(1, CLASSES + 1)),
            bands=tuple(ModelBand(name=band, mean=110.0, std=50.0) for band in ("red", "green", "blue")),
            tile_size=self.tile_size,
            overlap=self.overlap,
        )

    def network(self, *, pointrend: bool = False) -> nn.Module:
        """Build DeepLabV3 at output stride 16 with random weights, whose logits differ from place to place."""
        torch.manual_seed(0)
        network = build_model(backbone=self.backbone, num_classes=CLASSES, in_channels=3, pointrend=pointrend).eval()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_var.fill_(0.5)  # type: ignore[union-attr]
                module.weight.data.uniform_(0.8, 1.2)
        last = [one for one in network.classifier.modules() if isinstance(one, nn.Conv2d) and one.bias is not None][-1]
        with torch.no_grad():  # no class is ahead of the others on the whole
            coarse, _ = network.coarse_and_fine(torch.randn(2, 3, 128, 128))
            assert last.bias is not None, "as chosen"
            last.bias -= coarse.mean((0, 2, 3))
        return network

    def engine(self, network: nn.Module, *, precision: str, batch_size: int, device: str | None = None) -> Engine:
        """Put an engine together, as `segment` does."""
        place = pick_device(device or self.device, precision)
        forward = Forward(network, Normalisation(self.contract()), device=place, batch_size=batch_size)
        return Engine(forward, Decision(class_ids=tuple(range(1, CLASSES + 1))))

    def scene(self, side: int) -> Path:
        """Write the sample scene, repeated, as a square with `side` pixels a side; once for a size."""
        path = self.folder / f"scene-{side}.tif"
        if path.exists():
            return path
        with rasterio.open(SAMPLE / "scene.tif") as src:
            chip = src.read([1, 2, 3])[:, :512, :512]
        profile = {"driver": "GTiff", "width": side, "height": side, "count": 3, "dtype": "uint8", "photometric": "rgb"}
        blocks = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "zstd", "interleave": "pixel"}
        place = {"crs": "EPSG:32633", "transform": Affine(1, 0, 500_000, 0, -1, 5_000_000), "num_threads": "all_cpus"}
        times = -(-side // 512)
        with rasterio.open(path, "w", **profile, **blocks, **place) as dst:
            dst.write(np.tile(chip, (1, times, times))[:, :side, :side])
        return path

    def labels(
        self,
        engine: Engine,
        path: Path,
        *,
        shard: Shard | None = None,
        facts: RunFacts | None = None,
        tile: tuple[int, int] | None = None,
    ) -> Labels:
        """Segment a scene, or a shard of it, in memory; `tile` is its size and overlap where it is another."""
        with open_scene(path) as scene:
            size, overlap = tile or (self.tile_size, self.overlap)
            lattice = Lattice(shape=scene.shape, tile_size=size, overlap=overlap)
            return np.concatenate([rows.labels for rows in engine.iter_rows(scene, lattice, shard=shard, facts=facts)])

    def wait(self) -> None:
        """Wait for the GPU."""
        if self.is_cuda:
            torch.cuda.synchronize(self.device)

    def seconds(self, call: Callable[[], object], *, times: int = 1, warm_up: int = 1) -> float:
        """Give the seconds of a call, once warm, with the GPU's work done."""
        for _ in range(warm_up):
            call()
        self.wait()
        started = time.perf_counter()
        for _ in range(times):
            call()
        self.wait()
        return (time.perf_counter() - started) / times
