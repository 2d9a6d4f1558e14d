import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from geodeeplab.raster import open_scene, read_classes
from geodeeplab.raster.classes import CLASSES_TAG

ROOF = {"id": 1, "name": "roof", "color": [1, 2, 3]}


@pytest.mark.parametrize(
    "stated",
    [
        "[" * 5000, "5", '"text"', "null", "{}", json.dumps([5]), json.dumps([ROOF | {"id": "x"}]),
        json.dumps([ROOF | {"id": {}}]), json.dumps([ROOF | {"color": 5}]), json.dumps([ROOF | {"color": [1, 2]}]),
        json.dumps([ROOF | {"color": [1, 2, [3]]}]), '[{"id": 1e999, "name": "a", "color": [1, 2, 3]}]',
    ],
)  # fmt: skip
def test_a_table_of_somebody_elses_is_passed_over(make_raster: Callable[..., Path], stated: str) -> None:
    path = make_raster(np.ones((1, 8, 8), dtype=np.uint8))
    with rasterio.open(path, "r+") as dst:
        dst.update_tags(**{CLASSES_TAG: stated})
    with open_scene(path) as scene:
        assert read_classes(scene) == []


def test_the_table_that_we_write_is_read(make_raster: Callable[..., Path]) -> None:
    path = make_raster(np.ones((1, 8, 8), dtype=np.uint8))
    told: list[dict[str, Any]] = [ROOF, ROOF | {"id": 2, "name": "tree\n"}]
    with rasterio.open(path, "r+") as dst:
        dst.update_tags(**{CLASSES_TAG: json.dumps(told)})
    with open_scene(path) as scene:
        assert [(one.id, one.name, one.color) for one in read_classes(scene)] == [
            (1, "roof", (1, 2, 3)),
            (2, "tree", (1, 2, 3)),
        ]
