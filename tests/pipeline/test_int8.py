"""Scenes in int8: the laws of the engine hold, and what cannot run so is refused."""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from numpy.typing import NDArray

import geodeeplab as gdl
from geodeeplab.inference.lanes import torch_threads
from geodeeplab.models import Model, Normalisation, SegmentationNetwork, as_model, load_model, save_model
from geodeeplab.models.int8.calibrate import measure_ranges
from geodeeplab.pipeline.executor import InThisProcess

MakeRaster = Callable[..., Path]
Blocks = Callable[..., NDArray[np.uint8]]
OPTIONS: dict[str, Any] = {"tile_size": 64, "overlap": 16, "precision": "int8", "device": "cpu"}


@pytest.fixture(scope="module")
def prepared(tiny: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with its ranges on noise, as a file."""
    assert isinstance(tiny.network, SegmentationNetwork)
    pixels = torch.randint(30, 220, (2, 1, 3, 8, 8), generator=torch.Generator().manual_seed(0)).repeat_interleave(8, 3)
    pixels = pixels.repeat_interleave(8, 4)
    images = [Normalisation(tiny.contract)(one, torch.ones(1, 64, 64, dtype=torch.bool)) for one in pixels]
    path = tmp_path_factory.mktemp("int8") / "prepared.safetensors"
    ranges = measure_ranges(tiny.network, images)
    save_model(tiny.network, dataclasses.replace(tiny.contract, int8_ranges=ranges), path)
    return path


@pytest.fixture
def scene(make_raster: MakeRaster, blocks: Blocks) -> Path:
    return make_raster(blocks(150, 200), photometric="rgb")


def test_labels_are_the_same_however_they_were_cut(scene: Path, prepared: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    model = load_model(prepared)
    whole = _read(scene, model, tmp_path / "whole.tif")
    assert len(np.unique(whole)) == 3
    with torch_threads(3):  # three lanes in place of one
        assert np.array_equal(_read(scene, model, tmp_path / "cut.tif", executor=InThisProcess(memory_limit=1)), whole)
    with rasterio.open(tmp_path / "cut.tif") as src:
        assert '"precision": "int8"' in src.tags()["GEODEEPLAB"]


@pytest.mark.slow
def test_a_run_that_was_cut_off_goes_on(scene: Path, prepared: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    model = load_model(prepared)
    whole = _read(scene, model, tmp_path / "whole.tif")
    calls = iter([False, False, True])

    def cut(done: int, total: int) -> None:
        if done and next(calls):
            raise KeyboardInterrupt

    columns = InThisProcess(memory_limit=1)
    with pytest.raises(KeyboardInterrupt):
        _read(scene, model, tmp_path / "off.tif", executor=columns, progress=cut)
    assert np.array_equal(_read(scene, model, tmp_path / "off.tif", executor=columns, resume=True), whole)
    fp32 = _read(scene, model, tmp_path / "fp32.tif", precision="fp32")
    assert 0.6 < (fp32 == whole).mean() < 1  # of random weights


def test_by_itself_no_run_is_in_int8(scene: Path, prepared: Path) -> None:
    assert gdl.preflight(scene, model=prepared, device="cpu").run.precision != "int8"  # type: ignore[union-attr]


def test_what_cannot_run_so_is_refused(
    scene: Path, tiny: Model, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(model: Any, match: str, **options: Any) -> None:  # noqa: ANN401 - whatever a model can be
        with pytest.raises(gdl.OptionError, match=match):
            _read(scene, model, tmp_path / "a.tif", **options)

    refused(tiny, "'tiny' carries no ranges for int8: save it with `int8=True` beside its training data")
    foreign = as_model(torch.nn.Conv2d(3, 3, 1), dataclasses.replace(tiny.contract, architecture={}))
    refused(foreign, "was not made by build_model, and int8 is for those: leave the precision at auto")
    refused(prepared, "leave out `compiled=True`", compiled=True)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "openvino", None)
        refused(prepared, r"int8 runs with OpenVINO: pip install 'geodeeplab\[openvino\]'")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    refused(
        prepared, "int8 runs on a CPU, not on mps: pass `device='cpu'`, or leave the precision at auto", device="mps"
    )
    assert list(tmp_path.iterdir()) == [scene]


def _read(scene: Path, model: Any, path: Path, **options: Any) -> NDArray[np.uint8]:  # noqa: ANN401
    gdl.segment(scene, label_raster=path, model=model, **(OPTIONS | options))
    with rasterio.open(path) as src:
        labels: NDArray[np.uint8] = src.read(1)
    return labels
