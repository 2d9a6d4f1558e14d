"""A labelled scene: pixels, which of them are valid, and the class of each, read by windows."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geodeeplab.raster import Band, Grid


@dataclass(frozen=True, kw_only=True)
class LabelledPixels:
    """Pixels of a window with their labels."""

    array: npt.NDArray[Any]
    """(C, H, W), as stored; invalid pixels hold whatever the file holds."""
    valid: npt.NDArray[np.bool_]
    """(H, W), True where valid."""
    labels: npt.NDArray[np.uint8]
    """(H, W), class indices from 0, or `IGNORE_INDEX` where nothing was labelled; invalid pixels may have a label."""


class LabelledScene(Protocol):
    """A scene with labels on its grid: a large one, or a chip of a folder of them.

    It can be pickled at any time; what it opens, it opens on the first read in each process and thread. Law: a pixel
    does not depend on the window that it is read with.
    """

    @property
    def name(self) -> str:
        """How messages and tables name it."""
        ...

    @property
    def grid(self) -> Grid:
        """Its pixels on the ground; without a CRS only its shape counts."""
        ...

    @property
    def bands(self) -> tuple[Band, ...]:
        """The bands that are read, in this order."""
        ...

    @property
    def group(self) -> str | None:
        """Scenes of one group are never split; None where nobody said."""
        ...

    @property
    def files(self) -> tuple[str, ...]:
        """Files of pixels and labels, for provenance."""
        ...

    def read(self, window: Window) -> LabelledPixels:
        """Read a window that lies within the grid.

        Raises:
            SceneError: a file is missing or damaged.
        """
        ...

    def read_objects(self, window: Window) -> npt.NDArray[np.int32] | None:
        """Give the number (H, W) of the object that labels each pixel of a window, −1 where there is none.

        None where labels are classes alone, as in a label raster.
        """
        ...

    def close(self) -> None:
        """Close what this process opened; the scene can be read again."""
        ...
