"""What `change` reads beside two maps: scenes that become maps first, and confidence."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geodeeplab.errors import OptionError
from geodeeplab.pipeline.changing.transitions import BAND_ROWS
from geodeeplab.raster import Grid, open_scene
from geodeeplab.raster.sources.warped import on_grid

if TYPE_CHECKING:
    from geodeeplab.raster import AoiLike

FilePath = str | os.PathLike[str]


def segment_both(
    stack: ExitStack,
    before: FilePath,
    after: FilePath,
    *,
    model: FilePath,
    bands: Sequence[str | int] | None,
    aoi: "AoiLike | None",
) -> tuple[tuple[Path, Path], tuple[Path, Path]]:
    """Segment both scenes into a temporary folder; give their labels and confidences."""
    from geodeeplab.pipeline.segment import segment

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="geodeeplab-")))
    labels, sure = [], []
    for name, scene in (("before", before), ("after", after)):
        labels.append(folder / f"{name}.tif")
        sure.append(folder / f"{name}-confidence.tif")
        segment(scene, label_raster=labels[-1], confidence=sure[-1], model=model, bands=bands, aoi=aoi)
    return (labels[0], labels[1]), (sure[0], sure[1])


def least_confidence(
    stack: ExitStack, confidence: tuple[FilePath, FilePath], grid: Grid
) -> Iterator[NDArray[np.uint8]]:
    """Yield bands of the lesser of two confidences, 255 where either is missing.

    Raises:
        OptionError: a raster holds no bytes; before the first band.
        SceneError: one cannot be read.
    """
    sources = []
    for path in confidence:
        scene = stack.enter_context(open_scene(path, bands=[1]))
        if scene.dtype != np.uint8:
            raise OptionError(f"confidence is uint8 from 0 to 100, '{path}' holds {scene.dtype.name}: convert it")
        sources.append((on_grid(scene.source, grid), scene.bands[0].number))

    def bands() -> Iterator[NDArray[np.uint8]]:
        for start in range(0, grid.height, BAND_ROWS):
            window = Window(0, start, grid.width, min(BAND_ROWS, grid.height - start))
            least = np.full((int(window.height), grid.width), 100, dtype=np.uint8)
            missing = np.zeros(least.shape, dtype=np.bool_)
            for source, number in sources:
                pixels = source.read(window, [number])
                missing |= ~pixels.valid | (pixels.array[0] > 100)
                least = np.minimum(least, pixels.array[0])
            yield np.where(missing, np.uint8(255), least)

    return bands()
