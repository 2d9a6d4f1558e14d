"""A labelled scene at another pixel size."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geodeeplab.raster import Band, Grid, Pixels, ScaledSource
from geodeeplab.training.scenes.labelled import LabelledPixels, LabelledScene

BLOCK = 256


class ZoomedScene:
    """Another labelled scene with larger or smaller pixels; see `LabelledScene`.

    Pixels are averaged by area or interpolated (see `ScaledSource`); a label is that of the pixel at the centre.
    """

    def __init__(self, scene: LabelledScene, factor: tuple[Fraction, Fraction]) -> None:
        """Take a scene and the new pixels per old one, along rows and columns."""
        self._scene, self._factor = scene, factor
        self._scaled = ScaledSource(_PixelSource(scene), factor)
        self.name, self.group, self.files = scene.name, scene.group, scene.files
        self.bands: tuple[Band, ...] = scene.bands
        self.grid: Grid = self._scaled.grid

    def read(self, window: Window) -> LabelledPixels:
        """Read a window, see `LabelledScene.read`."""
        pixels = self._scaled.read(window, [*range(1, len(self.bands) + 1)])
        part, at = self._centres(window)
        return LabelledPixels(array=pixels.array, valid=pixels.valid, labels=self._scene.read(part).labels[at])

    def read_objects(self, window: Window) -> npt.NDArray[np.int32] | None:
        """Give the numbers of the objects of a window, or None, see `LabelledScene.read_objects`."""
        part, at = self._centres(window)
        objects = self._scene.read_objects(part)
        return None if objects is None else objects[at]

    def _centres(self, window: Window) -> tuple[Window, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
        """Give the window of old pixels that hold the centres of new ones, and where in it these lie."""
        rows, cols = (
            _nearest(start, count, factor, length)
            for start, count, factor, length in zip(
                (window.row_off, window.col_off),
                (window.height, window.width),
                self._factor,
                self._scene.grid.shape,
                strict=True,
            )
        )
        part = Window(int(cols[0]), int(rows[0]), int(cols[-1] - cols[0]) + 1, int(rows[-1] - rows[0]) + 1)
        return part, ((rows - rows[0])[:, None], (cols - cols[0])[None, :])

    def close(self) -> None:
        """Close the scene."""
        self._scene.close()


class _PixelSource:
    """The pixels of a labelled scene as a source; see `Source`."""

    driver = "labelled"
    least_rows = BLOCK

    def __init__(self, scene: LabelledScene) -> None:
        self._scene = scene
        self.path, self.grid, self.files = scene.name, scene.grid, scene.files
        self.tags: dict[str, str] = {}
        self.bands = tuple(replace(band, number=number) for number, band in enumerate(scene.bands, start=1))

    def block_shape(self, numbers: Sequence[int]) -> tuple[int, int]:
        """Give the height and width of windows that are worth reading."""
        return min(BLOCK, self.grid.height), min(BLOCK, self.grid.width)

    def read(self, window: Window, numbers: Sequence[int]) -> Pixels:
        """Read bands of a window."""
        pixels = self._scene.read(window)
        return Pixels(array=pixels.array[[number - 1 for number in numbers]], valid=pixels.valid)

    def is_all_valid(self, numbers: Sequence[int]) -> bool:
        """Give False: nobody knows."""
        return False

    def close(self) -> None:
        """Close the scene."""
        self._scene.close()


def _nearest(start: int, count: int, factor: Fraction, length: int) -> npt.NDArray[np.int64]:
    """Give the old pixels at the centres of new ones."""
    centres = 2 * np.arange(start, start + count, dtype=np.int64) + 1
    return (centres * factor.denominator // (2 * factor.numerator)).clip(max=length - 1)
