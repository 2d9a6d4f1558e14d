"""What the tests of the cluster share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio

from geodeeplab.cluster import Dask
from geodeeplab.pipeline.request import Request


@pytest.fixture(scope="session")
def two_workers() -> Iterator[Dask]:
    """Two local workers, kept for all tests: to start them takes seconds."""
    with Dask(2, threads=1, shard_size=200) as dask:
        yield dask


@pytest.fixture
def scene(make_raster: Callable[..., Path], blocks: Callable[..., np.ndarray]) -> Path:
    """A scene of 300 × 400 pixels: 3 × 4 tiles of 128 with 32 shared."""
    return make_raster(blocks(300, 400), photometric="rgb")


@pytest.fixture
def request_for(tiny_model: Path) -> Callable[..., Request]:
    """Give a function that asks for a scene with the tiny model, on the CPU."""

    def ask(scene: object, **options: object) -> Request:
        return Request(**{"scene": scene, "model": tiny_model, "device": "cpu", "precision": "fp32"} | options)  # type: ignore[arg-type]

    return ask


@pytest.fixture
def read_labels() -> Callable[[Path], np.ndarray]:
    def read(path: Path) -> np.ndarray:
        with rasterio.open(path) as src:
            labels: np.ndarray = src.read(1)
        return labels

    return read
