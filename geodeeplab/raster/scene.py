"""A scene: one virtual raster with named bands, read by windows together with the mask of its valid pixels."""

from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

from geodeeplab.errors import SceneError
from geodeeplab.raster.bands import Band, find_bands
from geodeeplab.raster.grid import Grid
from geodeeplab.raster.sources.opening import check_place, refuse_palette
from geodeeplab.raster.sources.source import Pixels, Source


class Scene:
    """A source with the bands selected to be read; a context manager, made by `open_scene`.

    Not safe to read from two threads at once.
    """

    def __init__(
        self, source: Source, *, bands: Sequence[str | int] | None = None, allow_palette: bool = False
    ) -> None:
        """Take a source, which is closed with the scene.

        Args:
            source: where the pixels come from.
            bands: names or 1-based numbers, in the order to read them; default all that are not alpha.
            allow_palette: read palette indices too (a label raster); an image has to be expanded first.

        Raises:
            SceneError: a band is not there, or holds palette indices; or the source lies where its CRS is not defined.
        """
        if bands is None:
            bands = [band.number for band in source.bands if not band.is_alpha]
            if not bands:
                raise SceneError(
                    f"scene '{source.path}' has alpha bands only: name one by its number to read it as data"
                )
        self.source = source
        self.bands: tuple[Band, ...] = tuple(map(_as_data, find_bands(source.bands, bands, path=source.path)))
        self.dtype: np.dtype[Any] = np.result_type(*(band.dtype for band in self.bands))
        self._allow_palette = allow_palette
        self._numbers = [band.number for band in self.bands]
        if not allow_palette:
            refuse_palette(self.bands, source.path)
        check_place(source.grid, source.path)

    def __enter__(self) -> "Scene":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        names = ", ".join(band.name for band in self.bands)
        return f"<Scene '{self.path}' {self.shape[0]} x {self.shape[1]} {self.dtype}: {names}>"

    @property
    def path(self) -> str:
        """How messages name the scene: its file, or what it was made of."""
        return self.source.path

    @property
    def grid(self) -> Grid:
        """Its pixels on the ground."""
        return self.source.grid

    @property
    def all_bands(self) -> tuple[Band, ...]:
        """All bands of the source, selected or not."""
        return self.source.bands

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.grid.shape

    @property
    def transform(self) -> Affine:
        """From pixel corner (col, row) to CRS coordinates (x, y)."""
        return self.grid.transform

    @property
    def crs(self) -> CRS | None:
        """The coordinate reference system, or None."""
        return self.grid.crs

    @property
    def block_shape(self) -> tuple[int, int]:
        """(height, width) of the blocks that the selected bands are decoded by; the largest where they differ."""
        return self.source.block_shape(self._numbers)

    @property
    def is_all_valid(self) -> bool:
        """True where every pixel is sure to be valid in the selected bands."""
        return self.source.is_all_valid(self._numbers)

    def select(self, wanted: Sequence[str | int]) -> "Scene":
        """Give the same open source with other bands, by name or 1-based number; closing one closes both.

        Raises:
            SceneError: a band is not there, or holds palette indices.
        """
        return Scene(self.source, bands=wanted, allow_palette=self._allow_palette)

    def read(self, window: Window) -> Pixels:
        """Read a window (integer offsets, within the scene).

        Raises:
            SceneError: the window does not lie within the scene, or the file is damaged there.
        """
        _check_within(window, self.shape)
        return self.source.read(window, self._numbers)

    def close(self) -> None:
        """Close the source."""
        self.source.close()


def _as_data(band: Band) -> Band:
    """Give a band that is read: an alpha band that somebody names is data like any other."""
    if not band.is_alpha:
        return band
    name = str(band.number) if band.name == "alpha" else band.name
    return replace(band, name=name, colorinterp="undefined", was_alpha=True)


def _check_within(window: Window, shape: tuple[int, int]) -> None:
    row, col = window.row_off, window.col_off
    if not (0 <= row and 0 <= col and row + window.height <= shape[0] and col + window.width <= shape[1]):
        raise SceneError(f"a window must lie within the scene's {shape[0]} x {shape[1]} pixels, got {window}")
