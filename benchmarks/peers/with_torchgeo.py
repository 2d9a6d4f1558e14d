"""torchgeo's `GridGeoSampler` with a DataLoader, as its documentation shows; labels are cut in the middle of overlaps.

torchgeo gives tiles with their bounds and leaves the joining to its user: here each tile's middle is written as soon as
it is there. Its grid starts at the lower left; tiles past the scene's upper and right edge are filled with zeros, and
by the rounding of map coordinates there may be a row of tiles that is not needed. A scene smaller than a tile gives
none.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import rasterio
import torch
from rasterio.windows import Window
from torch.utils.data import DataLoader
from torchgeo.datasets import RasterDataset, stack_samples  # type: ignore[import-not-found]
from torchgeo.samplers import GridGeoSampler  # type: ignore[import-not-found]

sys.path.insert(0, str(Path(__file__).parents[1]))
from peer_lattices import kept
from peer_run import RawModel, Settings, Starts, output_profile, run


def load(settings: Settings) -> Callable[[], Starts]:
    """Load the model; the work is dataset, sampler, loader and loop."""
    model = RawModel(settings)
    size = settings.tile_size

    def work() -> Starts:
        dataset = RasterDataset(settings.scene)
        sampler = GridGeoSampler(dataset, size=size, stride=size - settings.overlap)
        loader = DataLoader(
            dataset,
            batch_size=settings.batch_size,
            sampler=sampler,
            num_workers=settings.workers,
            collate_fn=stack_samples,
        )
        with rasterio.open(settings.scene) as src:
            profile, transform = output_profile(src.profile), src.transform
            height, width = src.shape

        def place(x: slice, y: slice) -> tuple[int, int]:
            """Give the first column and row of a tile from its bounds."""
            col, row = ~transform @ (x.start, y.stop)
            return round(col), round(row)

        places = [place(x, y) for x, y, _ in sampler]
        if not places:
            raise SystemExit("GridGeoSampler gives no tile of this size for this scene")
        cols, rows = (sorted(set(starts)) for starts in zip(*places, strict=True))
        with rasterio.open(settings.output, "w", **profile) as dst:
            for batch in loader:
                labels = model(batch["image"][:, :3]).argmax(1).to(torch.uint8).numpy() + 1
                for (x, y, _), tile in zip(batch["bounds"], labels, strict=True):
                    col, row = place(x, y)
                    top, bottom = kept(rows, rows.index(row), size, height)
                    left, right = kept(cols, cols.index(col), size, width)
                    middle = tile[top - row : bottom - row, left - col : right - col]
                    dst.write(middle, 1, window=Window(left, top, right - left, bottom - top))
        return rows, cols

    return work


if __name__ == "__main__":
    run(load)
