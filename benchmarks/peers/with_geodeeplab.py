"""GeoDeepLab at its defaults, apart from the tile size and the overlap that all share."""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from geodeeplab.models import load_model
from geodeeplab.pipeline.segment import segment
from geodeeplab.tiling import Axis
from peer_run import Settings, Starts, run


def load(settings: Settings) -> Callable[[], Starts]:
    """Load the bundled model; the work is `segment` with labels only."""
    warnings.simplefilter("ignore")
    model = load_model()

    def work() -> Starts:
        done = segment(
            settings.scene,
            label_raster=settings.output,
            model=model,
            tile_size=settings.tile_size,
            overlap=settings.overlap,
            overwrite=True,
        )
        axes = [
            Axis(length=length, tile_size=settings.tile_size, overlap=settings.overlap)
            for length in done.facts["shape"]
        ]
        rows, cols = ([axis.start(index) for index in range(axis.count)] for axis in axes)
        return rows, cols

    return work


if __name__ == "__main__":
    run(load)
