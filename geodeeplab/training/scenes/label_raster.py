"""Labels from a raster: any integers, a palette, or colours, warped to the scene's grid by nearest."""

import copy
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geodeeplab.errors import OptionError
from geodeeplab.raster import Grid, LabelClass, Scene, SceneLike, as_label_scene, read_classes
from geodeeplab.raster.sources.lossy import lossy_compression
from geodeeplab.raster.sources.warped import WarpedSource
from geodeeplab.training.chip import IGNORE_INDEX
from geodeeplab.training.scenes.class_table import FoundValue, value_text
from geodeeplab.training.scenes.scene_pixels import OpenedHere, ScenePixels

SCAN_PIXELS = 1 << 20
"""Pixels of a label raster that are looked at in one go."""


@dataclass(frozen=True, kw_only=True)
class LabelRaster:
    """A label raster as it is given: one band of values, or three of colours."""

    raster: SceneLike
    """What `open_scene` opens."""
    is_colored: bool = False
    """Read red, green and blue of three bands as one value."""

    @property
    def name(self) -> str:
        """How messages name it."""
        return fspath(self.raster) if isinstance(self.raster, str | PathLike) else ScenePixels(scene=self.raster).name

    def open(self, grid: Grid, *, own_grid: Grid) -> Scene:
        """Open it on the grid of its scene.

        Args:
            grid: of the scene as it is read, at whatever pixel size that is.
            own_grid: of the scene at its own pixel size, which labels of the same shape without georeference lie on.

        Raises:
            SceneError: it cannot be opened, or brought onto the grid.
            OptionError: there are no three bands of colours.
        """
        scene = self._open()
        source, bands = scene.source, [band.number for band in scene.bands]
        if source.grid.crs is None and source.grid.transform.is_identity and scene.shape == own_grid.shape:
            source = copy.copy(source)  # pixel for pixel: an array, or a PNG beside its image
            source.grid = own_grid
        if source.grid != grid:
            source = WarpedSource(source, grid, resampling="nearest")
        return Scene(source, bands=bands, allow_palette=True)

    def find_values(self) -> list[FoundValue]:
        """Count the pixels of each value, and give the values in their order with names and colours."""
        with self._open() as scene:
            known = {} if self.is_colored else {item.id: item for item in read_classes(scene, nodata=-1)}
            rows = max(1, SCAN_PIXELS // scene.grid.width)
            counts: Counter[int] = Counter()
            for row in range(0, scene.grid.height, rows):
                window = Window(0, row, scene.grid.width, min(rows, scene.grid.height - row))
                pixels = scene.read(window)
                values, pixels_of = np.unique(_compact(pixels.array)[pixels.valid], return_counts=True)
                counts.update(dict(zip(values.tolist(), pixels_of.tolist(), strict=True)))
        return [self._found(value, counts[value], known.get(value)) for value in sorted(counts)]

    def loss(self) -> str | None:
        """Name the compression with loss that has changed the values; None where none is known to."""
        with self._open() as scene:
            return lossy_compression(scene.source.files)

    def _found(self, value: int, count: int, known: LabelClass | None) -> FoundValue:
        if self.is_colored:
            color = value >> 16, value >> 8 & 255, value & 255
            return FoundValue(
                value=value_text(color), name=value_text(color), color=color, count=count, where=self.name
            )
        if known is not None:
            return FoundValue(value=str(value), name=known.name, color=known.color, count=count, where=self.name)
        return FoundValue(value=str(value), name=str(value), count=count, where=self.name)

    def _open(self) -> Scene:
        pixels = ScenePixels(scene=self.raster)
        scene = pixels.open_labels(bands=(1, 2, 3) if self.is_colored else (1,))
        if not self.is_colored:
            return as_label_scene(scene)
        if scene.dtype != np.uint8:
            raise OptionError(
                f"label raster '{self.name}' has bands of {scene.dtype}, and colours are of uint8: give "
                "`class_mapping=` with label values, or a raster of colours"
            )
        return scene


class RasterLabels:
    """Class indices read from a label raster on a scene's grid; see `LabelReader`."""

    def __init__(
        self,
        raster: LabelRaster,
        grid: Grid,
        *,
        index_of: Mapping[str, int],
        own_grid: Grid,
        background: int = IGNORE_INDEX,
    ) -> None:
        """Take a raster and what its values mean.

        Args:
            raster: the labels.
            grid: of the scene, as it is read.
            index_of: class index of each value; others are ignored.
            own_grid: of the scene at its own pixel size, for labels without a georeference.
            background: class index of nodata and of a nameless 0.
        """
        self.name = raster.name
        self._raster, self._grid, self._own_grid, self._background = raster, grid, own_grid, background
        pairs = {_value(text): index for text, index in index_of.items() if _value(text) is not None}
        pairs.setdefault(0, background)
        self._values = np.array(sorted(value for value in pairs if value is not None), dtype=np.int64)
        self._indices = np.array([pairs[value] for value in self._values.tolist()], dtype=np.uint8)
        self._opened = OpenedHere(self._open)

    @property
    def files(self) -> tuple[str, ...]:
        """The files of the labels."""
        return tuple(self._opened.get().source.files)

    def read(self, window: Window) -> npt.NDArray[np.uint8]:
        """Give the class index of each pixel of a window."""
        pixels = self._opened.get().read(window)
        labels = self._look_up(pixels.array)
        labels[~pixels.valid] = self._background
        return labels

    def _look_up(self, array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Give the class index of each pixel of a window (1 or 3, H, W)."""
        if len(array) == 1 and array.dtype.itemsize <= 2:  # a table of all values there are is quicker than a search
            unsigned = np.dtype(f"u{array.dtype.itemsize}")
            values = np.arange(np.iinfo(unsigned).max + 1).astype(unsigned).view(array.dtype)
            labels: npt.NDArray[np.uint8] = self._indices_of(values)[np.ascontiguousarray(array[0]).view(unsigned)]
            return labels
        return self._indices_of(label_values(array))

    def _indices_of(self, values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        at = np.searchsorted(self._values, values).clip(max=len(self._values) - 1)
        return np.where(self._values[at] == values, self._indices[at], np.uint8(IGNORE_INDEX))

    def read_polygons(self, window: Window) -> None:
        """Give None: a raster has no polygons."""

    def boxes(self) -> None:
        """Give None: a raster has no polygons."""

    def close(self) -> None:
        """Close the raster."""
        opened = self._opened.pop()
        if opened is not None:
            opened.close()

    def _open(self) -> Scene:
        return self._raster.open(self._grid, own_grid=self._own_grid)


def label_values(array: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """Give (H, W) values of one band, or of three with red as the highest byte."""
    if len(array) == 1:
        values: npt.NDArray[np.int64] = array[0].astype(np.int64)
        return values
    red, green, blue = array.astype(np.int64)
    packed: npt.NDArray[np.int64] = (red << 16) | (green << 8) | blue
    return packed


def _compact(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Give (H, W) values in as few bytes as they come in."""
    return array[0] if len(array) == 1 else label_values(array)


def _value(text: str) -> int | None:
    """Give the pixel's value for a text; None if no pixel can say it."""
    parts = text.split(",")
    try:
        numbers = [int(part) for part in parts]
    except ValueError:
        return None
    return numbers[0] if len(numbers) == 1 else (numbers[0] << 16) | (numbers[1] << 8) | numbers[2]
