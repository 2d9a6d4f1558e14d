"""Label rasters that people have: whole numbers in any type, and compression that changed them."""

import warnings
from collections.abc import Collection

import numpy as np

from geodeeplab.errors import GeoDeepLabWarning, SceneError
from geodeeplab.raster.rows import RowReader
from geodeeplab.raster.scene import Scene
from geodeeplab.raster.scene_opening import SceneLike, open_scene
from geodeeplab.raster.sources.lossy import lossy_compression
from geodeeplab.raster.sources.whole_numbers import as_labels

SCANNED_ROWS = 512
MOST_LISTED = 12
MOST_VALUES = 1000
"""Different values after which a scan ends."""


def open_label_scene(labels: SceneLike, *, band: int = 1) -> Scene:
    """Open a label raster: one band of integers of at most 32 bits, or of whole numbers in a wider type.

    Raises:
        SceneError: it cannot be opened; that a number is no whole one is found where it is read.
    """
    return as_label_scene(open_scene(labels, bands=[band], allow_palette=True))


def as_label_scene(scene: Scene) -> Scene:
    """Give an open scene as labels, see `open_label_scene`; closing one closes both."""
    numbers = [band.number for band in scene.bands]
    source = as_labels(scene.source, numbers)
    return scene if source is scene.source else Scene(source, bands=numbers, allow_palette=True)


def label_nodata(scene: Scene) -> int | None:
    """Give the nodata value of a label raster; None where it states none that a label can have."""
    stated = scene.bands[0].nodata
    return None if stated is None or not np.isfinite(stated) or stated % 1 else int(stated)


def check_lossless(scene: Scene, *, known: Collection[int]) -> None:
    """Refuse labels that compression has changed; of labels that it may have changed, tell the values.

    Args:
        scene: a label raster of one band.
        known: values that are classes, or nodata; empty where nothing says which are.

    Warns:
        GeoDeepLabWarning: it is compressed with loss, and all values are known, or none is.

    Raises:
        SceneError: it is compressed with loss, and holds other values than those, or more than a dozen nameless ones.
    """
    name = lossy_compression(scene.source.files)
    if name is None:
        return
    values = _values(scene)
    again = "make it again without loss, from the original: gdal_translate -co COMPRESS=DEFLATE"
    strange = [value for value in values if value not in known]
    if strange and (known or len(values) > MOST_LISTED):  # so many, and nobody named one
        raise SceneError(
            f"label raster '{scene.path}' is compressed with loss ({name}), which changed its class numbers: it holds "
            f"{_listed(strange)}, which are no classes; {again}"
        )
    warnings.warn(
        f"label raster '{scene.path}' is compressed with loss ({name}), which changes class numbers: it holds "
        f"{_listed(values)}; if these are not its classes, {again}",
        GeoDeepLabWarning,
        stacklevel=3,
    )


def _values(scene: Scene) -> list[int]:
    """Give the values of valid pixels, in their order; not much more than `MOST_VALUES`."""
    reader, values, height = RowReader(scene), set[int](), scene.shape[0]
    for start in range(0, height, SCANNED_ROWS):
        pixels = reader.read(start, min(start + SCANNED_ROWS, height))
        values |= set(np.unique(pixels.array[0][pixels.valid]).tolist())
        if len(values) > MOST_VALUES:
            break
    return sorted(values)


def _listed(values: list[int]) -> str:
    more = f" and {len(values) - MOST_LISTED} more" if len(values) > MOST_LISTED else ""
    count = f"{len(values)} values" if len(values) != 1 else "one value"
    return f"{count} ({', '.join(map(str, values[:MOST_LISTED]))}{more})"
