"""What the runners in `peers/` share: their settings, the model as they take it, and what is measured of a run.

A runner is a program that takes one `Settings` as JSON, segments a scene, and prints one line of JSON.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from geodeeplab.models import Normalisation, load_model
from process_memory import read_status, reset_peak


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One run."""

    scene: str
    """An RGB uint8 raster."""
    output: str
    """The label raster to write."""
    tile_size: int
    """Pixels of a tile along each axis."""
    overlap: int
    """Pixels that neighbouring tiles share."""
    batch_size: int = 4
    """Tiles per forward."""
    precision: str = "bf16"
    """`fp32`, or `bf16` by autocast."""
    channels_last: bool = True
    """Whether weights and images are laid out so."""
    threads: int = 0
    """Threads of torch; 0 for its default."""
    workers: int = 0
    """Processes of a DataLoader."""


class RawModel(nn.Module):
    """The bundled model on raw pixels: normalised, at the precision asked for."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        model = load_model()
        layout = torch.channels_last if settings.channels_last else torch.contiguous_format
        self.network = model.network.eval().to(memory_format=layout)
        self.normalise = Normalisation(model.contract)
        self._layout, self._is_bf16 = layout, settings.precision == "bf16"

    def forward(self, pixels: Tensor) -> Tensor:
        """Give logits (N, K, H, W), float32, of pixels (N, C, H, W); all of them count as valid."""
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=self._is_bf16):
            images = self.normalise(pixels, pixels.new_ones((), dtype=torch.bool).expand(pixels[:, 0].shape))
            logits: Tensor = self.network(images.contiguous(memory_format=self._layout))
        return logits.float()


Starts = tuple[Sequence[int], Sequence[int]]
"""First row and first column of each tile row and tile column, in pixels of the scene."""


def run(load: Callable[[Settings], Callable[[], Starts]]) -> None:
    """Load the model, then measure the work: from opening the scene to the closed label raster.

    Args:
        load: takes the settings and gives the work, which in turn gives where the tiles lay.
    """
    settings = Settings(**json.loads(sys.argv[1]))
    if settings.threads:
        torch.set_num_threads(settings.threads)
    work = load(settings)
    baseline = read_status("VmRSS")
    reset_peak()
    started = time.perf_counter()
    rows, cols = work()
    seconds = time.perf_counter() - started
    found = {"seconds": seconds, "baseline": baseline, "peak": read_status("VmHWM")}
    print(json.dumps(found | {"row_starts": list(rows), "col_starts": list(cols)}))


def output_profile(scene_profile: dict[str, object]) -> dict[str, object]:
    """Give the profile of a label raster on a scene's grid: uint8, tiled, DEFLATE, 0 for nodata."""
    kept_keys = ("crs", "transform", "height", "width")
    layout = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate"}
    fixed = {"driver": "GTiff", "count": 1, "dtype": "uint8", "nodata": 0}
    return {key: scene_profile[key] for key in kept_keys} | fixed | layout
