"""A raster scene with labels from polygons or from a label raster."""

from typing import Protocol

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geodeeplab.raster import Aoi, Grid, Scene
from geodeeplab.raster.polygons.burn import Overlap, burn, burn_numbers
from geodeeplab.raster.polygons.layer import PolygonLayer
from geodeeplab.training.chip import IGNORE_INDEX
from geodeeplab.training.scenes.labelled import LabelledPixels
from geodeeplab.training.scenes.scene_pixels import OpenedHere, ScenePixels


class LabelReader(Protocol):
    """Class indices on a scene's grid, by windows; can be pickled."""

    @property
    def files(self) -> tuple[str, ...]:
        """Files that the labels are read from."""
        ...

    def read(self, window: Window) -> npt.NDArray[np.uint8]:
        """Give the class index (H, W) of each pixel of a window, `IGNORE_INDEX` where there is none."""
        ...

    def read_polygons(self, window: Window) -> npt.NDArray[np.int32] | None:
        """Give the number (H, W) of the polygon that labels each pixel, −1 where there is none; None of a raster."""
        ...

    def boxes(self) -> npt.NDArray[np.float64] | None:
        """Give the box (n, 4) of each polygon: first row and column, last row and column; None of a raster."""
        ...

    def close(self) -> None:
        """Close the files."""
        ...


class PolygonLabels:
    """Polygons burned onto a grid; see `LabelReader`."""

    def __init__(
        self,
        polygons: PolygonLayer,
        grid: Grid,
        *,
        background: int = IGNORE_INDEX,
        on_overlap: Overlap = "last",
        all_touched: bool = False,
        files: tuple[str, ...] = (),
    ) -> None:
        """Take polygons in the grid's CRS; for the options see `burn`."""
        self.files = files
        self._polygons, self._grid = polygons, grid
        self._background, self._on_overlap, self._all_touched = background, on_overlap, all_touched

    def read(self, window: Window) -> npt.NDArray[np.uint8]:
        """Burn a window."""
        return burn(
            self._polygons,
            window,
            self._grid,
            all_touched=self._all_touched,
            background=self._background,
            on_overlap=self._on_overlap,
        )

    def read_polygons(self, window: Window) -> npt.NDArray[np.int32] | None:
        """Burn the polygons' numbers."""
        return burn_numbers(
            self._polygons, window, self._grid, all_touched=self._all_touched, on_overlap=self._on_overlap
        )

    def boxes(self) -> npt.NDArray[np.float64] | None:
        """Give the polygons' boxes in pixels."""
        import shapely

        left, bottom, right, top = shapely.bounds(self._polygons.polygons).T
        inverse = ~self._grid.transform
        corners = [(x, y) for x in (left, right) for y in (bottom, top)]
        cols = np.stack([inverse.a * x + inverse.b * y + inverse.c for x, y in corners])
        rows = np.stack([inverse.d * x + inverse.e * y + inverse.f for x, y in corners])
        return np.column_stack([rows.min(axis=0), cols.min(axis=0), rows.max(axis=0), cols.max(axis=0)])

    def close(self) -> None:
        """Do nothing: the polygons are in memory."""


class LabelledRaster:
    """A scene and its labels; see `LabelledScene`."""

    def __init__(
        self, pixels: ScenePixels, labels: LabelReader, *, labelled: Aoi | None = None, group: str | None = None
    ) -> None:
        """Take the two; both are opened once, to see that they can be.

        Args:
            pixels: how the scene is opened.
            labels: on the grid of the opened scene.
            labelled: what was labelled, in the scene's CRS; outside of it labels are ignored.
            group: the caller's split.

        Raises:
            SceneError: the scene cannot be opened.
        """
        self._opened = OpenedHere(pixels.open)
        self._labels, self._labelled = labels, labelled
        scene = self._scene
        self.name, self.group = pixels.name, group
        self.grid, self.bands = scene.grid, scene.bands
        self.files = tuple(dict.fromkeys((*scene.source.files, *labels.files)))

    @property
    def _scene(self) -> Scene:
        return self._opened.get()

    @property
    def block_shape(self) -> tuple[int, int]:
        """(height, width) of the blocks that the scene is decoded by."""
        return self._scene.block_shape

    def read(self, window: Window) -> LabelledPixels:
        """Read a window, see `LabelledScene.read`."""
        pixels = self._scene.read(window)
        labels = self._labels.read(window)
        if self._labelled is not None:
            labels[~self._labelled.mask(window, self.grid)] = IGNORE_INDEX
        return LabelledPixels(array=pixels.array, valid=pixels.valid, labels=labels)

    def read_objects(self, window: Window) -> npt.NDArray[np.int32] | None:
        """Give the numbers of the polygons of a window; None of a label raster."""
        return self._labels.read_polygons(window)

    def close(self) -> None:
        """Close both."""
        opened = self._opened.pop()
        if opened is not None:
            opened.close()
        self._labels.close()
