"""Settings and fixtures that all tests share."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from hypothesis import settings
from rasterio.errors import NotGeoreferencedWarning

# The same examples in every run, and no time limit on one: a shared machine may pause for seconds.
settings.register_profile("geodeeplab", deadline=None, derandomize=True)
settings.load_profile("geodeeplab")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a CUDA device where there is none; torch is imported for marked tests only."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real imagery that is not part of the repository; tests that need it are skipped where it is absent."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("GEODEEPLAB_SHARED_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"needs the imagery in {folder}, or wherever GEODEEPLAB_SHARED_DATA says")
    return folder


@pytest.fixture
def make_raster(tmp_path: Path) -> Callable[..., Path]:
    """Give a function that writes an array (C, H, W) to a raster file and gives its path.

    North-up with 1 m pixels in UTM zone 33 unless stated; keywords as `rasterio.open` takes them.
    """

    def make(
        array: npt.NDArray[Any],
        name: str = "scene.tif",
        *,
        names: tuple[str, ...] = (),
        colorinterp: tuple[str, ...] = (),
        mask: npt.NDArray[np.bool_] | None = None,
        **options: Any,  # noqa: ANN401 - whatever GDAL takes
    ) -> Path:
        path = tmp_path / name
        profile = {"driver": "GTiff", "crs": "EPSG:32633", "transform": Affine(1, 0, 500_000, 0, -1, 5_000_000)}
        profile |= {"count": len(array), "height": array.shape[1], "width": array.shape[2], "dtype": array.dtype}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path, "w", **profile | options) as dst:
                if names:
                    dst.descriptions = names
                if colorinterp:  # before the pixels: a TIFF writes its header with them
                    dst.colorinterp = [rasterio.enums.ColorInterp[one] for one in colorinterp]
                dst.write(array)
                if mask is not None:
                    dst.write_mask(mask)
        return path

    return make
