"""A labelled scene that is kept in memory where it is small enough, with its numbers brought to those of others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geodeeplab.errors import SceneError
from geodeeplab.raster import Band, Grid
from geodeeplab.training.scenes.labelled import LabelledPixels, LabelledScene

READ_PIXELS = 1 << 21
"""Pixels of a scene that are read in one go."""


@dataclass(frozen=True, kw_only=True)
class Gain:
    """How the numbers of a scene become those of the first: pixel × gain + bias, for each band."""

    gain: tuple[float, ...]
    """1 where the scene states the scale of the first."""
    bias: tuple[float, ...]
    """In the numbers of the first."""

    @property
    def is_identity(self) -> bool:
        """True where there is nothing to do."""
        return all(one == 1 for one in self.gain) and all(one == 0 for one in self.bias)

    def apply(self, array: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Give (C, h, w) in the numbers of the first scene."""
        if self.is_identity:
            return array
        gain, bias = (np.array(one, dtype=np.float32)[:, None, None] for one in (self.gain, self.bias))
        return array * gain + bias


def gain_between(first: Sequence[Band], bands: Sequence[Band]) -> Gain:
    """Give the gain that brings bands with a scale and an offset to the numbers of the first scene's."""
    pairs = list(zip(first, bands, strict=True))
    return Gain(
        gain=tuple(band.scale / wanted.scale for wanted, band in pairs),
        bias=tuple((band.offset - wanted.offset) / wanted.scale for wanted, band in pairs),
    )


class HeldScene:
    """A labelled scene; read from memory once it is held.

    What is held does not travel to other processes by pickling: they
    read it again, on first use.
    """

    def __init__(self, scene: LabelledScene, *, gain: Gain) -> None:
        """Take a scene and the gain that belongs to it."""
        self.scene, self.gain = scene, gain
        self.name, self.group, self.files = scene.name, scene.group, scene.files
        self.grid: Grid = scene.grid
        self.bands: tuple[Band, ...] = scene.bands
        self.is_held = False
        self._pixels: LabelledPixels | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the whole scene in memory."""
        item = np.result_type(*(band.dtype for band in self.bands)).itemsize
        return self.grid.height * self.grid.width * (len(self.bands) * item + 2)

    def hold(self) -> None:
        """Keep the whole scene in memory from the next read on."""
        self.is_held = True

    def read(self, window: Window) -> LabelledPixels:
        """Read a window; views of what is held, which must not be written to."""
        if not self.is_held:
            return self.scene.read(window)
        if self._pixels is None:
            self._pixels = self._read_all()
            self.scene.close()
        rows, cols = window.toslices()
        held = self._pixels
        return LabelledPixels(
            array=held.array[:, rows, cols], valid=held.valid[rows, cols], labels=held.labels[rows, cols]
        )

    def read_objects(self, window: Window) -> npt.NDArray[np.int32] | None:
        """Give the numbers of the objects of a window, or None; they are never held."""
        return self.scene.read_objects(window)

    def _read_all(self) -> LabelledPixels:
        """Read the whole scene, some rows at a time."""
        height, width = self.grid.shape
        step = max(1, READ_PIXELS // width)
        dtype = np.result_type(*(band.dtype for band in self.bands))
        array = np.empty((len(self.bands), height, width), dtype=dtype)
        valid, labels = np.empty((height, width), dtype=np.bool_), np.empty((height, width), dtype=np.uint8)
        for row in range(0, height, step):
            rows = slice(row, min(height, row + step))
            part = self.scene.read(Window(0, row, width, rows.stop - row))
            array[:, rows], valid[rows], labels[rows] = part.array, part.valid, part.labels
        return LabelledPixels(array=array, valid=valid, labels=labels)

    def close(self) -> None:
        """Close the scene and let go of what is held."""
        self._pixels = None
        self.scene.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pixels": None}


def hold_scenes(scenes: Sequence[LabelledScene], *, limit: int) -> tuple[HeldScene, ...]:
    """Bring scenes to the first one's numbers, and hold those that fit into `limit` bytes, in their order.

    Raises:
        SceneError: scenes differ in their bands, or in the sort of their numbers.
    """
    first = scenes[0]
    held = []
    for scene in scenes:
        _check_bands(first, scene)
        one = HeldScene(scene, gain=gain_between(first.bands, scene.bands))
        if one.nbytes <= limit:
            limit -= one.nbytes
            one.hold()
        held.append(one)
    return tuple(held)


def _check_bands(first: LabelledScene, scene: LabelledScene) -> None:
    if len(scene.bands) != len(first.bands):
        raise SceneError(
            f"training scenes have the same bands, but '{first.name}' has {len(first.bands)} and '{scene.name}' "
            f"{len(scene.bands)}: choose those in common with bands"
        )
    names = [[band.name.casefold() for band in one.bands] for one in (first, scene)]
    if names[0] != names[1]:
        raise SceneError(
            f"training scenes have the same bands, but '{first.name}' has {', '.join(names[0])} and '{scene.name}' "
            f"{', '.join(names[1])}: choose them by name or number with bands"
        )
    for wanted, band in zip(first.bands, scene.bands, strict=True):
        stated = all((one.scale, one.offset) != (1.0, 0.0) for one in (wanted, band))
        if _sort(wanted.dtype) != _sort(band.dtype) and not stated:
            raise SceneError(
                f"training scenes have numbers of one sort, but band '{band.name}' is {wanted.dtype} in '{first.name}' "
                f"and {band.dtype} in '{scene.name}', and no scale is stated: convert one"
            )


def _sort(dtype: np.dtype[Any]) -> str:
    return "8-bit" if dtype.itemsize == 1 else "floating" if dtype.kind == "f" else "integer"
