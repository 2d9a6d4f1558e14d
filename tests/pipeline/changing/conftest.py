"""Two maps of one place."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

from geodeeplab.raster import LabelClass, classes_tag

MakeRaster = Callable[..., Path]
Labels = NDArray[np.uint8]
CLASSES = [LabelClass(id=i, name=name, color=(i, 0, 0)) for i, name in ((1, "field"), (2, "wood"), (3, "roof"))]
TO = Affine(1, 0, 500_000, 0, -1, 5_000_000)


@pytest.fixture
def write(make_raster: MakeRaster) -> Callable[..., Path]:
    """Give a function that writes a map."""

    def make(labels: Labels, name: str, classes: list[LabelClass] = CLASSES, transform: Affine = TO) -> Path:
        path = make_raster(labels[None].astype(np.uint8), name, nodata=0, transform=transform)
        with rasterio.open(path, "r+") as dst:
            dst.update_tags(**classes_tag(classes))
        return path

    return make


def fields() -> tuple[Labels, Labels]:
    """A field with a wood on its right; later a house stands on the field, and the wood has grown by six columns."""
    before = np.ones((40, 60), dtype=np.uint8)
    before[:, 40:] = 2
    after = before.copy()
    after[5:15, 5:15] = 3
    after[:, 34:] = 2
    before[0, 0] = after[0, 1] = 0
    return before, after
