"""A chip of a folder as a labelled scene."""

import os
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.crs import CRS
from rasterio.windows import Window

from geodeeplab.errors import SceneError
from geodeeplab.models import ModelClass
from geodeeplab.raster import Band, Grid, Source
from geodeeplab.raster.bands import common_name, find_bands
from geodeeplab.raster.sources.opacity import warn_of_measured
from geodeeplab.raster.sources.opening import refuse_palette
from geodeeplab.raster.sources.remote import measured_in_all, open_file
from geodeeplab.training.folders.chip_pairs import ChipPair
from geodeeplab.training.folders.label_code import LabelCode
from geodeeplab.training.folders.label_pixels import LabelFile, count_codes, describe_counts
from geodeeplab.training.scenes.class_table import unknown_values
from geodeeplab.training.scenes.labelled import LabelledPixels

MOST_OPEN = 8
"""Chips that a thread keeps open: windows of one chip are often read after each other, and a folder has thousands."""
LARGEST_SHIFT = 0.5
"""Pixels by which the georeference of a label may differ from its image's."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ChipReading:
    """What all chips of a folder have in common."""

    code: LabelCode
    """What the labels mean."""
    classes: tuple[ModelClass, ...]
    """In the order of the label indices."""
    wanted: tuple[str | int, ...] | None
    """Bands to read, by name or 1-based number; None for all that are not alpha."""
    band_names: tuple[str, ...]
    """Names for bands whose files give them none, as many as there are bands; or none."""
    images: tuple[str, ...]
    """Some of the images, which show whether a band that they call alpha holds data."""
    labels: tuple[str, ...]
    """All label files, to say how many pixels are of a value that has no class."""
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    """What tells it from others: files may be written anew before a folder is opened again."""

    @cached_property
    def measured(self) -> frozenset[int]:
        """Bands that are data though the images may call them alpha: named otherwise, or by the pixels of some images.

        Warns:
            GeoDeepLabWarning: the pixels show it.
        """
        if self.band_names:
            return frozenset(n for n, name in enumerate(self.band_names, start=1) if common_name(name) != "alpha")
        measured = measured_in_all(self.images)
        if measured:
            source = open_file(self.images[0], measured=measured)
            source.close()
            warn_of_measured(source.bands, source.path, stacklevel=2)
        return measured


class ChipScene:
    """A chip: one image file and one label file, read when they are needed. See `LabelledScene`."""

    def __init__(self, pair: ChipPair, reading: ChipReading, *, group: str | None = None) -> None:
        """Take the paths; nothing is opened.

        Args:
            pair: its files.
            reading: how they are read.
            group: the folder it is of, where there are several.
        """
        self.name = pair.name
        self.group = group
        self.files: tuple[str, ...] = (pair.image, pair.label)
        self._reading = reading

    @cached_property
    def grid(self) -> Grid:
        """Its pixels on the ground; read from the image's header on first use."""
        return self._header[0]

    @cached_property
    def bands(self) -> tuple[Band, ...]:
        """The bands that are read; see `grid`."""
        return self._header[1]

    def read(self, window: Window) -> LabelledPixels:
        """Read a window, see `LabelledScene.read`.

        Raises:
            SceneError: a file is missing or damaged, image and label do not fit, or a label value has no class.
        """
        with quick_opening():
            opened = _open_here(self._key)
            pixels = opened.image.read(window, [band.number for band in self.bands])
            codes, there = opened.label.read(window)
        code = self._reading.code
        labels, unknown = code.decode(codes)
        labels[unknown & ~there] = code.background
        if not code.ignores_unknown and (unknown & there).any():
            raise self._unknown_codes()
        return LabelledPixels(array=pixels.array, valid=pixels.valid, labels=labels)

    def read_objects(self, window: Window) -> None:
        """Give None: labels are classes."""

    def close(self) -> None:
        """Close what this thread has open of it."""
        opened = _open_chips().pop(self._key, None)
        if opened is not None:
            opened.close()

    @property
    def _key(self) -> "_Key":
        reading = self._reading
        return reading.token, self.files[0], self.files[1], reading.code.is_color, reading.measured

    @cached_property
    def _header(self) -> tuple[Grid, tuple[Band, ...]]:
        with quick_opening():
            source = open_file(self.files[0], measured=self._reading.measured)
            try:
                return _share(source.grid), _share_bands(self._choose(source))
            finally:
                source.close()

    def _choose(self, source: Source) -> tuple[Band, ...]:
        names = self._reading.band_names
        data = [band for band in source.bands if not band.is_alpha]
        if len(names) == len(data):
            renamed = {b.number: common_name(name) for b, name in zip(data, names, strict=True) if _is_nameless(b)}
            data = [replace(band, name=renamed.get(band.number, band.name)) for band in data]
        chosen = tuple(data)
        if self._reading.wanted is not None:
            by_number = {band.number: band for band in data}
            everything = [by_number.get(band.number, band) for band in source.bands]
            chosen = find_bands(everything, self._reading.wanted, path=source.path)
        refuse_palette(chosen, source.path)
        return chosen

    def _unknown_codes(self) -> SceneError:
        """Say which values have no class, in all of the folder."""
        code = self._reading.code
        counts = count_codes(self._reading.labels, is_color=code.is_color)
        for known in code.codes.tolist():
            counts.pop(known, None)
        return unknown_values(
            describe_counts(counts, is_color=code.is_color),
            self._reading.classes,
            first_in=self.files[1],
            what="colours" if code.is_color else "values",
        )


_crs_of_wkt: dict[str, CRS] = {}


def _share(grid: Grid) -> Grid:
    """Give the same grid with a CRS that others have, too: one of its own takes 50 kB, and chips are thousands."""
    if grid.crs is None:
        return grid
    return replace(grid, crs=_crs_of_wkt.setdefault(grid.crs.to_wkt(), grid.crs))


@lru_cache(maxsize=64)
def _share_bands(bands: tuple[Band, ...]) -> tuple[Band, ...]:
    """Give equal bands, once for all chips."""
    return bands


@contextmanager
def quick_opening() -> Iterator[None]:
    """Keep GDAL from listing the folder of every file that it opens, which takes longer than to open it."""
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="TRUE"):
        yield


@dataclass(frozen=True, kw_only=True)
class _OpenChip:
    image: Source
    label: LabelFile

    def close(self) -> None:
        self.image.close()
        self.label.close()


_Key = tuple[str, str, str, bool, frozenset[int]]
"""Which opening of the folder, image, label, whether the label's colours count, bands that are data."""
_here = threading.local()


def _open_chips() -> OrderedDict[_Key, _OpenChip]:
    """Give what this thread of this process has open; a fork leaves alone what its parent opened."""
    if getattr(_here, "pid", None) != os.getpid():
        _here.pid, _here.chips = os.getpid(), OrderedDict()
    chips: OrderedDict[_Key, _OpenChip] = _here.chips
    return chips


def _open_here(key: _Key) -> _OpenChip:
    """Open the two files of a chip, or give what is open; the one that was not used for longest is closed."""
    chips = _open_chips()
    if key not in chips:
        while len(chips) >= MOST_OPEN:
            chips.popitem(last=False)[1].close()
        chips[key] = _open(*key[1:])
    chips.move_to_end(key)
    return chips[key]


def _open(image_path: str, label_path: str, is_color: bool, measured: frozenset[int]) -> _OpenChip:
    image = open_file(image_path, measured=measured)
    try:
        label = LabelFile(label_path, is_color=is_color)
    except BaseException:
        image.close()
        raise
    opened = _OpenChip(image=image, label=label)
    try:
        _check_same_pixels(image, label.source)
    except BaseException:
        opened.close()
        raise
    return opened


def _check_same_pixels(image: Source, label: Source) -> None:
    """Refuse a label that is not of its image's pixels.

    Raises:
        SceneError: the shapes differ, or both are georeferenced and the places differ.
    """
    if image.grid.shape != label.grid.shape:
        (height, width), (label_height, label_width) = image.grid.shape, label.grid.shape
        raise SceneError(
            f"image '{image.path}' has {height} x {width} pixels and its label '{label.path}' {label_height} x "
            f"{label_width}: labels have the pixels of their image, make them again"
        )
    if image.grid.transform.is_identity or label.grid.transform.is_identity:
        return
    corners: list[tuple[float, float]] = [(0, 0), (image.grid.width, 0), (0, image.grid.height)]
    there: npt.NDArray[np.float64] = np.array([~image.grid.transform @ (label.grid.transform @ one) for one in corners])
    shift = np.abs(there - corners).max()
    if shift > LARGEST_SHIFT:
        raise SceneError(
            f"label '{label.path}' lies elsewhere than its image '{image.path}' (by {shift:.1f} "
            "pixels): they are no pair, or one is georeferenced wrongly"
        )


def _is_nameless(band: Band) -> bool:
    return band.name in (str(band.number), "gray")
