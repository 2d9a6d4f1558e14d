"""terratorch's `tiled_inference`, called as its guide does: the whole scene as one tensor, blended overlaps.

Everything but the tile size, the overlap and the batch is its default: 8 px cut from each tile's border (`delta`),
cosine blending, reflected padding. Its writer is `rasterio` with the whole array, LZW.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import rasterio
import torch
from terratorch.tasks.tiled_inference import tiled_inference  # type: ignore[import-not-found]

sys.path.insert(0, str(Path(__file__).parents[1]))
from peer_lattices import padded_starts
from peer_run import RawModel, Settings, Starts, output_profile, run

DELTA = 8
"""Its default: pixels cut from each tile's border, and padded around the scene."""


def load(settings: Settings) -> Callable[[], Starts]:
    """Load the model; the work is one call."""
    model = RawModel(settings)
    stride = settings.tile_size - settings.overlap

    def work() -> Starts:
        with rasterio.open(settings.scene) as src:
            image, profile = torch.from_numpy(src.read([1, 2, 3])).float(), src.profile
        logits = tiled_inference(
            model,
            image[None],
            crop=settings.tile_size,
            stride=stride,
            delta=DELTA,
            batch_size=settings.batch_size,
        )
        labels = logits[0].argmax(0).to(torch.uint8).numpy() + 1
        with rasterio.open(settings.output, "w", **output_profile(profile) | {"compress": "lzw"}) as dst:
            dst.write(labels, 1)
        rows, cols = (padded_starts(length, settings.tile_size, settings.overlap, DELTA) for length in image.shape[1:])
        return rows, cols

    return work


if __name__ == "__main__":
    run(load)
