"""Classes by windows: a label raster, or polygons burned, as the class indices of an evaluation."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geodeeplab.errors import OptionError
from geodeeplab.raster import Grid, LabelClass, Overlap, PolygonLayer, Source, burn
from geodeeplab.raster.polygons.class_text import class_text, listed

UNKNOWN = 255
"""Class index of pixels that have no class, or whose class is to be ignored."""

MOST_SHOWN = 20
"""Classes that a message lists."""


class ClassWindows(Protocol):
    """Class indices that can be read by windows of a grid."""

    grid: Grid
    """Its pixels on the ground."""

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Read a window (H, W): class indices, 255 where there is none."""
        ...


class RasterClasses:
    """Class indices of one band of integers.

    Values that the given function knows no index for are read as 255 and kept: `check` refuses them all at once.

    Args:
        source: the raster, on the grid that is read by.
        number: 1-based number of the band.
        index_of: class index of a value, or None if it has none.
    """

    def __init__(self, source: Source, number: int, index_of: Callable[[int], int | None]) -> None:
        self.grid = source.grid
        self._source, self._number, self._index_of = source, number, index_of
        self._known: dict[int, int] = {}
        self.unknown: set[int] = set()

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Read a window, see `ClassWindows`."""
        pixels = self._source.read(window, [self._number])
        values, valid = pixels.array[0], pixels.valid
        indices = np.full(values.shape, UNKNOWN, dtype=np.uint8)
        if valid.any():
            found, position = np.unique(values[valid], return_inverse=True)
            indices[valid] = np.array([self._lookup(int(one)) for one in found], dtype=np.uint8)[position]
        return indices

    def check(self, *, what: str, classes: Sequence[LabelClass], hint: str) -> None:
        """Refuse values that have no class, of all windows read so far.

        Raises:
            OptionError: there are some.
        """
        if self.unknown:
            raise OptionError(
                f"{what} '{self._source.path}' holds values that are no class, "
                f"{listed([str(one) for one in sorted(self.unknown)])}; the classes are {classes_text(classes)}: {hint}"
            )

    def _lookup(self, value: int) -> int:
        if value not in self._known:
            index = self._index_of(value)
            if index is None:
                self.unknown.add(value)
            self._known[value] = UNKNOWN if index is None else index
        return self._known[value]


class BurnedClasses:
    """Class indices of polygons, burned window by window.

    Args:
        polygons: the layer, in the CRS of the grid.
        grid: the pixels that it is burned into.
        background: class index of ground that no polygon covers.
        all_touched: see `raster.burn`.
        on_overlap: see `raster.burn`.
    """

    def __init__(
        self,
        polygons: PolygonLayer,
        grid: Grid,
        *,
        background: int = UNKNOWN,
        all_touched: bool = False,
        on_overlap: Overlap = "last",
    ) -> None:
        self.grid = grid
        self._polygons, self._background = polygons, background
        self._all_touched, self._on_overlap = all_touched, on_overlap

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Read a window, see `ClassWindows`."""
        return burn(
            self._polygons,
            window,
            self.grid,
            all_touched=self._all_touched,
            background=self._background,
            on_overlap=self._on_overlap,
        )


class ClassNames:
    """Finds the class that a truth means: by what the caller says, then by name, then by id.

    Args:
        classes: the classes of the labels, in the order of their indices.
        said: classes, by name or id, of values of the truth, by name or number.
        ignore: values of the truth, by name or number, whose ground is to be ignored.

    Raises:
        OptionError: a class that is said does not exist.
    """

    def __init__(
        self, classes: Sequence[LabelClass], *, said: Mapping[str | int, str | int], ignore: Iterable[str | int]
    ) -> None:
        self.classes = tuple(classes)
        self._by_name = {_folded(one.name): index for index, one in enumerate(classes)}
        self._by_id = {str(one.id): index for index, one in enumerate(classes)}
        self._said = {_folded(class_text(value)): self.index(wanted) for value, wanted in said.items()}
        self._said |= {_folded(class_text(value)): UNKNOWN for value in ignore}

    def index(self, wanted: str | int) -> int:
        """Give the index of a class that is named, or given by its id.

        Raises:
            OptionError: the labels have no such class.
        """
        index = self._of_class(class_text(wanted))
        if index is None:
            raise OptionError(f"the labels have no class '{wanted}': choose among {classes_text(self.classes)}")
        return index

    def find(self, value: object, *, name: str | None = None) -> int | None:
        """Give the class index of a value of the truth, 255 if it is to be ignored; None if nothing says.

        Where the value has a name, the class is found by that name only: the truth may number its classes its own way.
        """
        for text in (class_text(value), name):
            if text is not None and _folded(text) in self._said:
                return self._said[_folded(text)]
        return self._of_class(class_text(value)) if name is None else self._by_name.get(_folded(name))

    def _of_class(self, text: str) -> int | None:
        return self._by_name.get(_folded(text), self._by_id.get(text))


def classes_text(classes: Sequence[LabelClass]) -> str:
    """List classes for a message, no more than fit."""
    shown = ", ".join(f"{one.id} {one.name}" for one in classes[:MOST_SHOWN])
    return f"{shown} and {len(classes) - MOST_SHOWN} more" if len(classes) > MOST_SHOWN else shown


def _folded(text: str) -> str:
    return text.strip().casefold()
