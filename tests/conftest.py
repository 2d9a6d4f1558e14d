"""Settings and fixtures that all tests share."""

import dataclasses
import gc
import os

if "PYTEST_XDIST_WORKER" in os.environ:  # one process for each core, so one thread for each process
    for name in ("OMP", "MKL", "OPENBLAS", "NUMBA"):
        os.environ.setdefault(f"{name}_NUM_THREADS", "1")

import warnings
from collections.abc import Callable, Iterator
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
settings.register_profile("full", deadline=None, derandomize=True)
settings.register_profile("quick", settings.get_profile("full"), max_examples=15)
settings.load_profile("quick")  # unless pytest is given --hypothesis-profile


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one process run all tests that use the Dask workers, which are then started once; that takes a while."""
    for item in items:
        if "two_workers" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("dask"))
            item.add_marker(pytest.mark.workers)


def pytest_collection_finish() -> None:
    """Take what all imports made out of the garbage collector's rounds: it lives as long as the process."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a CUDA device where there is none; torch is imported for marked tests only."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")


@pytest.fixture(scope="session", autouse=True)
def unsynced() -> Iterator[None]:
    """Do not wait for the disk: what a test writes need not outlive a power cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


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


@pytest.fixture
def blocks() -> Callable[..., npt.NDArray[np.uint8]]:
    """Give a function that draws an image (C, H, W) of squares of random grey levels, with noise; seeded."""

    def draw(height: int, width: int, *, bands: int = 3, side: int = 24, seed: int = 0) -> npt.NDArray[np.uint8]:
        rng = np.random.default_rng(seed)
        coarse = rng.integers(30, 220, (bands, -(-height // side), -(-width // side)))
        image = coarse.repeat(side, axis=1).repeat(side, axis=2)[:, :height, :width]
        return (image + rng.integers(-25, 26, image.shape)).astype(np.uint8)

    return draw


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file of three classes with random weights: quick, and images of `blocks` get all of its classes."""
    import torch
    from torch import nn

    from geodeeplab.models import Contract, ModelBand, ModelClass, Normalisation, build_model, save_model

    architecture = {
        "arch": "deeplabv3",
        "backbone": "mobilenet_v2",
        "num_classes": 3,
        "in_channels": 3,
        "pointrend": True,
    }
    architecture |= {"aspp_channels": 16, "point_channels": 16}
    colors = {"field": (220, 200, 90), "wood": (30, 110, 50), "roof": (200, 60, 50)}
    contract = Contract(
        name="tiny",
        architecture=architecture,
        classes=tuple(ModelClass(id=i, name=name, color=rgb) for i, (name, rgb) in enumerate(colors.items(), start=1)),
        bands=tuple(ModelBand(name=name, mean=125.0, std=60.0) for name in ("red", "green", "blue")),
        tile_size=128,
        overlap=32,
        licence="CC0-1.0",
    )
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(6)  # of which no class is rare
        network = build_model(**architecture)  # type: ignore[arg-type]
        noise = torch.randint(30, 220, (4, 3, 8, 8)).repeat_interleave(16, 2).repeat_interleave(16, 3)
        images = Normalisation(contract)(noise, torch.ones(4, 128, 128, dtype=torch.bool))
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None  # the mean of all batches, of which there is one
        network.train().coarse_and_fine(images)  # so that what is seen far down depends on the image
        coarse, _ = network.eval().coarse_and_fine(images)
        last = network.classifier[-1]  # type: ignore[index]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        mean, spread = coarse.mean(dim=(0, 2, 3)), coarse.std(dim=(0, 2, 3))
        last.bias.copy_((last.bias - mean) / spread)  # no class is ahead everywhere
        last.weight /= spread.view(-1, 1, 1, 1)
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    save_model(network, contract, path)
    return path


@pytest.fixture(scope="session")
def separating(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with an output of boundaries, whose weights are random."""
    import torch

    from geodeeplab.models import build_model, load_model, save_model

    source = load_model(tiny_model)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = build_model(**source.contract.architecture, boundary=True)
        network.load_state_dict(source.network.state_dict(), strict=False)
        assert network.boundary_head is not None
        torch.nn.init.normal_(network.boundary_head.predictor.weight, std=1.0)
    contract = dataclasses.replace(source.contract, architecture=network.architecture, instances=("roof",))
    path = tmp_path_factory.mktemp("separating") / "separating.safetensors"
    save_model(network.eval(), contract, path)
    return path
