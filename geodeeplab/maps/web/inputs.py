"""What the layers of a map are made of: files, arrays, open scenes, tables."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any

import numpy as np
import numpy.typing as npt

from geodeeplab.errors import GeoDeepLabWarning, OptionError
from geodeeplab.maps.web.frame import Frame
from geodeeplab.maps.web.pictures import read_on_grid
from geodeeplab.raster import (
    LabelClass,
    Scene,
    SceneLike,
    as_label_scene,
    is_vector,
    label_nodata,
    open_scene,
    read_classes,
)
from geodeeplab.raster.classes import some_color

CLASS_COLORS = (
    (0, 114, 178), (230, 159, 0), (0, 158, 115), (213, 94, 0), (204, 121, 167), (86, 180, 233), (240, 228, 66),
    (90, 90, 90),
)  # fmt: skip
"""For classes that nothing gives a colour to; told apart by whoever sees no red or no green (Okabe and Ito, 2008)."""
MOST_CLASSES = 200
CONFIDENCE_NODATA = 255


@dataclass(frozen=True, kw_only=True)
class Kinds:
    """What results are, by what is in them."""

    scene: str | None = None
    """A raster to look at."""
    labels: str | None = None
    """A label raster."""
    confidence: str | None = None
    """A raster of confidence."""
    polygons: str | None = None
    """A vector layer."""


def tell_kinds(paths: Sequence[str | PathLike[str]]) -> Kinds:
    """Tell which file is the scene, which are labels, confidence and polygons.

    Raises:
        OptionError: two are of one kind.
        SceneError: a file cannot be opened.
    """
    found: dict[str, str] = {}
    for path in [fspath(one) for one in paths]:
        kind = "polygons" if is_vector(path) else _kind_of_raster(path)
        if kind in found:
            options = "--scene, --labels, --confidence, --polygons and --truth say what a file is"
            raise OptionError(f"'{found[kind]}' and '{path}' both look like {_NAMES[kind]}: {options}")
        found[kind] = path
    return Kinds(**found)


_NAMES = {"scene": "a scene", "labels": "labels", "confidence": "confidence", "polygons": "polygons"}


def _kind_of_raster(path: str) -> str:
    with opened(path, allow_palette=True) as scene:
        if not shows_labels(scene):
            return "scene"
        return "confidence" if scene.bands[0].nodata == CONFIDENCE_NODATA and not _has_palette(scene) else "labels"


def shows_labels(scene: Scene) -> bool:
    """Tell whether an open raster is one of labels: of whole numbers in one band, which have names or colours."""
    return len(scene.bands) == 1 and scene.dtype.kind in "iu" and bool(read_classes(scene))


def _has_palette(scene: Scene) -> bool:
    return scene.bands[0].colorinterp == "palette"


@contextmanager
def opened(scene: SceneLike, *, allow_palette: bool = False) -> Iterator[Scene]:
    """Lend a scene, open; one that is open already stays so. That it has no CRS can be seen on the map."""
    if isinstance(scene, Scene):
        yield scene
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GeoDeepLabWarning)
        found = open_scene(scene, allow_palette=allow_palette)
    with found:
        yield found


def read_labels(scene: Scene, frame: Frame, *, max_size: int) -> tuple[npt.NDArray[np.int32], list[LabelClass]]:
    """Read labels onto the pictures' grid, -1 where there is none, and their classes.

    Raises:
        OptionError: it is no label raster.
    """
    labels = as_label_scene(scene.select([scene.bands[0].number]))
    nodata = label_nodata(labels)
    pixels = read_on_grid(labels, frame.reduced(max_size), resampling="nearest")
    found = np.where(pixels.valid, pixels.array[0].astype(np.int32), np.int32(-1))
    classes = read_classes(labels, nodata=0 if nodata is None else nodata)
    if classes:
        return found, classes
    values = [value for value in np.unique(found).tolist() if value not in (-1, nodata)]
    if len(values) > MOST_CLASSES:
        raise OptionError(f"'{scene.path}' holds {len(values)} values and is no label raster: show it as the scene")
    return found, [LabelClass(id=value, name=str(value), color=some_color(value)) for value in values]


def colors_for(names: Iterable[str], known: Iterable[LabelClass]) -> dict[str, tuple[int, int, int]]:
    """Give each class its own colour, or one that is told apart from others'."""
    colors = {item.name: item.color for item in known}
    free = iter(one for one in CLASS_COLORS if one not in colors.values())
    for number, name in enumerate(names):
        if name not in colors:
            colors[name] = next(free, some_color(number))
    return colors


def css(color: tuple[int, int, int]) -> str:
    """Write a colour as CSS has it."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def short_name(source: Any) -> str:  # noqa: ANN401 - a path, or anything else
    """Name a layer for the page."""
    from pathlib import PurePath

    if isinstance(source, Scene):
        return PurePath(source.path).name
    return PurePath(fspath(source)).name if isinstance(source, str | PathLike) else ""
