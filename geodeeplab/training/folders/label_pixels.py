"""The pixels of a label file as codes: values, or colours of a palette or of red, green and blue."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geodeeplab.errors import SceneError
from geodeeplab.raster import Source
from geodeeplab.raster.sources.opening import open_dataset
from geodeeplab.raster.sources.remote import gdal_path, open_file
from geodeeplab.raster.sources.whole_numbers import whole_numbers
from geodeeplab.training.folders.label_code import color_code, describe_code
from geodeeplab.training.scenes.class_table import list_counts

MOST_CODES = 1000
"""Different codes after which a survey ends: so many are no classes."""


class LabelFile:
    """An open label file."""

    def __init__(self, path: str, *, is_color: bool) -> None:
        """Open it.

        Args:
            path: the file.
            is_color: whether its colours count, rather than its values.

        Raises:
            SceneError: it is missing or damaged, or its pixels cannot be codes of this kind.
        """
        self.source = open_file(path, measured=())  # how opaque a drawn label is, is no class
        self._is_color = is_color
        try:
            self._numbers = _code_bands(self.source, is_color=is_color)
            self._palette = _palette(path) if is_color and _has_palette(self.source) else None
        except BaseException:
            self.source.close()
            raise

    def read(self, window: Window) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Read codes (H, W) of a window, and where the file says that there is one (no nodata, not transparent).

        Raises:
            SceneError: the file is damaged there, or holds numbers that are no codes.
        """
        pixels = self.source.read(window, self._numbers)
        array = pixels.array
        if not self._is_color:
            whole = whole_numbers(array, pixels.valid, path=self.source.path, fills=[0])
            return whole[0].astype(np.int64), pixels.valid
        if self._palette is not None:
            return self._palette[array[0]], pixels.valid
        red, green, blue = array.astype(np.int64) if len(array) == 3 else array.astype(np.int64).repeat(3, axis=0)
        return red << 16 | green << 8 | blue, pixels.valid

    def close(self) -> None:
        """Close the file."""
        self.source.close()


def has_colors(path: str) -> bool:
    """Tell whether a label file has a palette, or red, green and blue.

    Raises:
        SceneError: it cannot be opened.
    """
    source = open_file(path, measured=())
    try:
        return _has_palette(source) or len(_data_bands(source)) > 1
    finally:
        source.close()


def count_codes(paths: Iterable[str], *, is_color: bool) -> Counter[int]:
    """Count the pixels of each code in label files; not much further than `MOST_CODES` different ones.

    Raises:
        SceneError: a file cannot be read.
    """
    counts: Counter[int] = Counter()
    for path in paths:
        file = LabelFile(path, is_color=is_color)
        try:
            height, width = file.source.grid.shape
            codes, there = file.read(Window(0, 0, width, height))
        finally:
            file.close()
        counts.update(dict(zip(*(a.tolist() for a in np.unique(codes[there], return_counts=True)), strict=True)))
        if len(counts) > MOST_CODES:
            break
    return counts


def describe_counts(counts: Counter[int], *, is_color: bool) -> str:
    """List codes with their pixels for a message, the most frequent ones first."""
    if len(counts) > MOST_CODES:
        what = "colours" if is_color else "values"
        return f"more than {MOST_CODES} different {what}: such a file is an image, or was compressed with loss"
    texts = {code: describe_code(code, is_color=is_color) for code in counts}
    return list_counts({f"({texts[code]})" if is_color else texts[code]: pixels for code, pixels in counts.items()})


def _data_bands(source: Source) -> list[int]:
    return [band.number for band in source.bands if not band.is_alpha]


def _has_palette(source: Source) -> bool:
    return source.bands[0].colorinterp == "palette"


def _code_bands(source: Source, *, is_color: bool) -> list[int]:
    """Choose the bands that hold codes.

    Raises:
        SceneError: there are none.
    """
    numbers = _data_bands(source)
    if not is_color:
        if len(numbers) != 1:
            raise SceneError(
                f"label '{source.path}' has {len(numbers)} bands, so its colours count: give `class_mapping=` with "
                "colours, such as {(60, 16, 152): 'building'}, or labels of one band"
            )
        return numbers
    by_color = {band.colorinterp: band.number for band in source.bands}
    if len(numbers) >= 3:
        numbers = [by_color.get(name, number) for name, number in zip(("red", "green", "blue"), numbers, strict=False)]
    if len(numbers) == 2 or any(source.bands[number - 1].dtype != np.uint8 for number in numbers):
        dtypes = ", ".join(str(source.bands[number - 1].dtype) for number in numbers)
        raise SceneError(
            f"label '{source.path}' has no colours (bands of {dtypes}), which are one or three bands of uint8: give "
            "`class_mapping=` with label values"
        )
    return numbers


def _palette(path: str) -> npt.NDArray[np.int64]:
    """Read the colour of each palette index as a code."""
    with open_dataset(gdal_path(path)) as src:
        entries = src.colormap(1)
    table = np.zeros(256, dtype=np.int64)
    for index, color in entries.items():
        table[index] = color_code(color[:3])
    return table
