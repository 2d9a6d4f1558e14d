"""The files of one chip: an image, a label, and what says where they lie."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from geodeeplab.errors import OptionError, SceneError
from geodeeplab.models import ModelClass
from geodeeplab.quiet import ignore_warnings
from geodeeplab.raster import NODATA_LABEL, Band, Grid
from geodeeplab.raster.validity import nodata_range, valid_pixels
from geodeeplab.text import read_json
from geodeeplab.training.folders.label_code import ListedClass
from geodeeplab.training.writing.chip_tiles import CutChip

ImageFormat = Literal["tif", "png", "jpg"]
IMAGE_FORMATS: tuple[ImageFormat, ...] = ("tif", "png", "jpg")

DRIVERS = {"tif": "GTiff", "png": "PNG", "jpg": "JPEG"}
CREATION: dict[str, dict[str, str | int]] = {"tif": {"compress": "lzw"}, "png": {}, "jpg": {"quality": 95}}
WORLD_SUFFIXES = {"png": ".pgw", "jpg": ".jgw"}
"""Of the world file, for programs that do not read GDAL's `.aux.xml`; a TIFF holds its georeference itself."""
DTYPES = {"png": ("uint8", "uint16"), "jpg": ("uint8",)}
BAND_COUNTS = (1, 3)
"""Of PNG and JPEG: with 2 or 4, the last one would be transparency."""


@dataclass(frozen=True, kw_only=True)
class ChipFiles:
    """How chips of some bands are written."""

    bands: tuple[Band, ...]
    """The bands, in order."""
    image_format: ImageFormat
    """`tif` holds everything, `png` 1 or 3 bands of integers without sign, `jpg` those of 8 bits, with loss."""

    def __post_init__(self) -> None:
        """Check that the format can hold the bands.

        Raises:
            OptionError: it cannot.
        """
        if self.image_format not in IMAGE_FORMATS:
            raise OptionError(f"`image_format=` is one of {', '.join(IMAGE_FORMATS)}, not {self.image_format!r}")
        if self.image_format == "tif":
            return
        known, count = DTYPES[self.image_format], len(self.bands)
        if str(self.dtype) not in known or count not in BAND_COUNTS:
            raise OptionError(
                f"a {self.image_format} image has 1 or 3 bands of {' or '.join(known)}, not {count} of {self.dtype}: "
                "write tif, or choose bands"
            )

    @property
    def dtype(self) -> np.dtype[Any]:
        """The common type of the bands."""
        return np.result_type(*(band.dtype for band in self.bands))

    @property
    def label_format(self) -> ImageFormat:
        """The format of the labels: TIFF beside TIFF, else PNG, which keeps every value."""
        return "tif" if self.image_format == "tif" else "png"

    @property
    def nodata(self) -> float | None:
        """The value that marks pixels without data, where all bands have the same one and the type can hold it."""
        values = {band.nodata for band in self.bands}
        value = values.pop() if len(values) == 1 else None
        return value if nodata_range(value, self.dtype) is not None else None

    def write(self, chip: CutChip, image: Path, label: Path, *, ids: npt.NDArray[np.uint8]) -> CutChip:
        """Write a chip.

        Args:
            chip: the chip.
            image: path of the image.
            label: path of the label.
            ids: (256,) label value of each class index.

        Returns:
            The chip as it was written: pixels outside of the scene are nodata.
        """
        array, nodata = self._filled(chip), self.nodata
        ranges = [nodata_range(nodata, self.dtype)] * len(self.bands)
        mask = None if (valid_pixels(array, ranges) == chip.valid).all() else chip.valid
        profile: dict[str, Any] = {"nodata": nodata}
        if self.image_format == "tif":
            is_rgb = [band.name.lower() for band in self.bands[:3]] == [
                "red",
                "green",
                "blue",
            ] and self.dtype.kind == "u"
            profile |= {"photometric": "rgb" if is_rgb else "minisblack", "interleave": "pixel", "alpha": "no"}
        self._write(image, array, chip.grid, self.image_format, profile, bands=self.bands, mask=mask)
        labels = ids[chip.labels][None]
        self._write(label, labels, chip.grid, self.label_format, {"nodata": NODATA_LABEL})
        return CutChip(array=array, valid=chip.valid, labels=chip.labels, grid=chip.grid)

    def _filled(self, chip: CutChip) -> npt.NDArray[Any]:
        """Give the pixels with nodata where there are none, as far as the format can say so."""
        array = np.ascontiguousarray(chip.array)
        if self.nodata is None or chip.valid.all():
            return array
        return np.where(chip.valid, array, self.dtype.type(self.nodata))

    def _write(
        self,
        path: Path,
        array: npt.NDArray[Any],
        grid: Grid,
        image_format: ImageFormat,
        profile: Mapping[str, Any],
        *,
        bands: Sequence[Band] = (),
        mask: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        count, height, width = array.shape
        whole: dict[str, Any] = {"driver": DRIVERS[image_format], "count": count, "height": height, "width": width}
        whole |= {"dtype": array.dtype, "crs": grid.crs, "transform": grid.transform, **CREATION[image_format]}
        without_grid = ignore_warnings(NotGeoreferencedWarning)  # so are the chips, if the scene is
        with without_grid, rasterio.Env(GDAL_TIFF_INTERNAL_MASK="YES"):
            with rasterio.open(path, "w", **whole, **profile) as dst:
                if bands:
                    dst.descriptions = [band.name for band in bands]
                    if any((band.scale, band.offset) != (1, 0) for band in bands):
                        dst.scales = [band.scale for band in bands]
                        dst.offsets = [band.offset for band in bands]
                dst.write(array)
                if mask is not None:
                    dst.write_mask(mask)
        if image_format in WORLD_SUFFIXES and not grid.transform.is_identity:
            path.with_suffix(WORLD_SUFFIXES[image_format]).write_text(world_file(grid), encoding="ascii")


def world_file(grid: Grid) -> str:
    """Give the text of a world file: a, d, b, e, and the centre of the first pixel."""
    t = grid.transform
    x, y = t @ (0.5, 0.5)
    return "".join(f"{value!r}\n" for value in map(float, (t.a, t.d, t.b, t.e, x, y)))


INDEX_NAME = "chips.json"


@dataclass(frozen=True, kw_only=True)
class ChipIndex:
    """What it says."""

    classes: tuple[ListedClass, ...]
    """The classes by label value."""
    band_names: tuple[str, ...]
    """Name of each band of the images."""


def read_index(folder: Path) -> ChipIndex | None:
    """Read it; None where there is none, or a file of that name is somebody else's.

    Raises:
        SceneError: it is damaged.
    """
    path = folder / INDEX_NAME
    if not path.is_file():
        return None
    step = "write the chips again, or remove it"
    content = read_json(path, object, error=SceneError, step=step)
    if not isinstance(content, dict) or content.get("layout") != "pairs":
        return None
    try:
        classes = tuple(
            ListedClass(value=int(item["id"]), name=str(item["name"]), color=tuple(item["color"]))
            for item in content["classes"]
        )
        return ChipIndex(classes=classes, band_names=tuple(map(str, content["bands"])))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise SceneError(f"'{path}' is damaged ({error!r}): {step}") from error


def write_index(folder: Path, classes: Sequence[ModelClass], band_names: Sequence[str]) -> None:
    """Write it."""
    listed = [{"id": item.id, "name": item.name, "color": list(item.color)} for item in classes]
    content = {"layout": "pairs", "classes": listed, "bands": list(band_names)}
    (folder / INDEX_NAME).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
