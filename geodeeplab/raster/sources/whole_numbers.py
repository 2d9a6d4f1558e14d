"""Label rasters in types that are wider than class numbers are: floating-point numbers, long integers."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geodeeplab.errors import SceneError
from geodeeplab.raster.bands import Band
from geodeeplab.raster.sources.source import Pixels, Source

LABEL_DTYPE = np.dtype(np.int32)
NO_LABEL = int(np.iinfo(LABEL_DTYPE).min)
"""Stands for a nodata value that is no label itself, such as NaN or −3.4e38."""
MOST_SHOWN = 5


class WholeNumbers:
    """A source of labels as integers of 32 bits, exactly; see `Source`.

    Rasters of classes come as floating-point numbers from GIS tools that know no other type. Their whole numbers are
    labels as they are, and what is nodata or NaN stays invalid; anything else is refused where it is read.

    Args:
        source: of real numbers of any type; closed with this one.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.path = source.path
        self.grid = source.grid
        self.bands = tuple(map(_label_band, source.bands))
        self.driver = source.driver
        self.tags = source.tags
        self.least_rows = source.least_rows
        self.files = source.files

    def block_shape(self, numbers: Sequence[int]) -> tuple[int, int]:
        """Give (height, width) of the blocks, see `Source.block_shape`."""
        return self._source.block_shape(numbers)

    def read(self, window: Window, numbers: Sequence[int]) -> Pixels:
        """Read bands of a window, see `Source.read`.

        Raises:
            SceneError: a valid pixel is no whole number, or none of 32 bits.
        """
        pixels = self._source.read(window, numbers)
        fills = [0 if band.nodata is None else int(band.nodata) for band in (self.bands[n - 1] for n in numbers)]
        return Pixels(array=whole_numbers(pixels.array, pixels.valid, path=self.path, fills=fills), valid=pixels.valid)

    def is_all_valid(self, numbers: Sequence[int]) -> bool:
        """Tell whether every pixel is sure to be valid, see `Source.is_all_valid`."""
        return self._source.is_all_valid(numbers)

    def close(self) -> None:
        """Close the source."""
        self._source.close()


def as_labels(source: Source, numbers: Sequence[int]) -> Source:
    """Give a source whose bands are labels: itself if they fit into integers of 32 bits, else as whole numbers."""
    return (
        source if all(_is_label_dtype(source.bands[number - 1].dtype) for number in numbers) else WholeNumbers(source)
    )


def whole_numbers(
    array: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_], *, path: str, fills: Sequence[int]
) -> npt.NDArray[np.int32]:
    """Give pixels (C, H, W) as integers; invalid ones are those of `fills`, by band.

    Raises:
        SceneError: a valid one (H, W) is no whole number, or none of 32 bits.
    """
    labels = np.empty(array.shape, dtype=LABEL_DTYPE)
    for plane, out, fill in zip(array, labels, fills, strict=True):
        values = plane[valid]
        limits = np.iinfo(LABEL_DTYPE)
        with np.errstate(invalid="ignore"):
            wrong = (values != np.floor(values)) | ~((values > limits.min) & (values <= limits.max))
        if wrong.any():
            raise SceneError(_not_whole(values[wrong], path))
        out[:] = fill
        out[valid] = values.astype(LABEL_DTYPE)
    return labels


def _is_label_dtype(dtype: np.dtype[np.generic]) -> bool:
    return dtype.kind in "iu" and np.can_cast(dtype, LABEL_DTYPE)


def _label_band(band: Band) -> Band:
    """State a band's nodata value as a label that no pixel has, if it is none."""
    if band.nodata is None:
        return replace(band, dtype=LABEL_DTYPE)
    limits = np.iinfo(LABEL_DTYPE)
    is_label = np.isfinite(band.nodata) and limits.min <= band.nodata <= limits.max and band.nodata % 1 == 0
    return replace(band, dtype=LABEL_DTYPE, nodata=float(band.nodata) if is_label else float(NO_LABEL))


def _not_whole(values: npt.NDArray[np.generic], path: str) -> str:
    found = np.unique(values)
    shown = ", ".join(f"{value:.6g}" for value in found[:MOST_SHOWN].tolist())
    more = f" and {len(found) - MOST_SHOWN} more" if len(found) > MOST_SHOWN else ""
    return (
        f"labels are whole numbers of at most 32 bits, '{path}' holds {shown}{more}: give the raster of classes, not "
        "one of measures or of shares, or one that was resampled"
    )
