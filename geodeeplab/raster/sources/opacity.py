"""Whether a band that is flagged alpha tells how opaque pixels are, or holds what was measured.

GDAL and rasterio flag the fourth band of any 8-bit file as alpha, so near infrared often bears that name. The pixels
tell the two apart: an alpha band says "opaque" of most of what it shows, and between that and 0 are the few levels of
feathered edges.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

import numpy as np
import numpy.typing as npt
from rasterio import DatasetReader
from rasterio.windows import Window

from geodeeplab.errors import GeoDeepLabWarning
from geodeeplab.raster.bands import Band
from geodeeplab.raster.decoding import GDAL_ERRORS, small_block_cache

MANY = 16
"""Levels between transparent and opaque from which on a band can be data."""
WHOLE_PIXELS = 1 << 20
"""A band, or an overview of it, of up to so many pixels is looked at whole."""
WINDOWS, WINDOW_SIZE = 6, 128
"""Of others, so many windows of so many pixels along each axis, spread evenly."""


def is_measured(values: npt.NDArray[np.generic]) -> bool:
    """Tell whether pixels of a band flagged alpha are data.

    They are where there are many levels below the greatest value, and that covers less than half of what is not 0.
    """
    levels, counts = np.unique(values[values != 0], return_counts=True)
    return len(levels) > MANY and 2 * int(counts[-1]) < int(counts.sum())


def measured_alphas(src: DatasetReader, numbers: Iterable[int]) -> frozenset[int]:
    """Give those of the bands (1-based) that are data; the same ones whoever opens the file."""
    return frozenset(number for number in numbers if is_measured(sample_band(src, number)))


def sample_band(src: DatasetReader, number: int) -> npt.NDArray[np.generic]:
    """Read some pixels (n,) of a band, always the same: all, those of an overview, or windows spread evenly.

    What cannot be decoded is left out: whoever reads the file will say so.
    """
    height, width = src.shape
    shapes = [(-(-height // factor), -(-width // factor)) for factor in (1, *src.overviews(number))]
    small = next((shape for shape in shapes if shape[0] * shape[1] <= WHOLE_PIXELS), None)
    found = []
    with small_block_cache():
        for window in [Window(0, 0, width, height)] if small else _spread(height, width):
            shape = small or (window.height, window.width)
            try:
                found.append(src.read(number, window=window, out_shape=shape).ravel())
            except GDAL_ERRORS:
                _forget_error(src)
    return np.concatenate(found) if found else np.empty(0, dtype=src.dtypes[number - 1])


def warn_of_measured(bands: Sequence[Band], path: str, *, stacklevel: int) -> None:
    """Warn of bands that are flagged alpha and are taken for data."""
    for band in bands:
        if band.was_alpha:
            warnings.warn(
                f"band {band.number} of scene '{path}' is flagged alpha, but holds many values between 0 and its "
                "greatest, so it is data and hides no pixel; say so in the file: gdal_edit.py "
                f"-colorinterp_{band.number} undefined",
                GeoDeepLabWarning,
                stacklevel=stacklevel + 1,
            )


def _forget_error(src: DatasetReader) -> None:
    """Have rasterio forget a read that failed: it raises that error once more where it asks GDAL for a number."""
    with suppress(*GDAL_ERRORS):
        _ = src.colorinterp


def _spread(height: int, width: int) -> Iterator[Window]:
    """Yield windows spread evenly over a raster, both ends included."""
    rows, cols = (
        np.unique(np.linspace(0, max(0, length - WINDOW_SIZE), WINDOWS).astype(int)).tolist()
        for length in (height, width)
    )
    for row in rows:
        for col in cols:
            yield Window(col, row, min(WINDOW_SIZE, width - col), min(WINDOW_SIZE, height - row))
