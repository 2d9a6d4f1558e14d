"""The raster of objects' boundaries: beside labels that do not change by it."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

import geodeeplab as gdl
from geodeeplab.errors import OptionError
from geodeeplab.models import Model, load_model


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as src:
        pixels: np.ndarray = src.read()
    return pixels


@pytest.mark.filterwarnings("ignore:CRF. sxy reduced")
@pytest.mark.parametrize("options", [{}, {"tta": "flips"}, {"crf": True}, {"non_finite": "nodata"}], ids=str)
def test_labels_are_the_same_with_and_without_it(
    separating: Path,
    make_raster: Callable[..., Path],
    blocks: Callable[..., np.ndarray],
    tmp_path: Path,
    options: dict[str, object],
) -> None:
    scene = make_raster(blocks(150, 210))
    layers = ("label_raster", "confidence", "probabilities")
    found = {}
    for name, more in (("with", {"boundary": tmp_path / "boundary.tif"}), ("without", {})):
        outputs = {layer: tmp_path / f"{name}-{layer}.tif" for layer in layers}
        run = gdl.segment(scene, **outputs, **more, model=separating, **options)  # type: ignore[arg-type]
        found[name] = [read(path) for path in outputs.values()]
        assert run.boundary_path == more.get("boundary")
    for one, other in zip(found["with"], found["without"], strict=True):
        np.testing.assert_array_equal(one, other)
    with rasterio.open(tmp_path / "boundary.tif") as src:
        assert (src.count, src.dtypes, src.nodata, src.shape) == (1, ("uint8",), None, (150, 210))
        boundary = src.read(1)
    assert len(np.unique(boundary)) > 10


def test_it_is_the_blended_logit_s_probability(
    separating: Path, make_raster: Callable[..., Path], blocks: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    image = blocks(64, 64)
    image[:, :8] = 0
    scene = make_raster(image, nodata=0)
    gdl.segment(scene, boundary=tmp_path / "b.tif", model=separating, tile_size=64, overlap=0, precision="fp32")
    model = load_model(separating)
    valid = torch.from_numpy((image != 0).any(0))[None]
    with torch.inference_mode():
        logits = model.network.eval()(model.preparation()(torch.from_numpy(image)[None], valid), valid)
    expected = np.where(valid[0].numpy(), (255 * logits[0, 3].sigmoid()).round().numpy(), 0)
    assert np.abs(read(tmp_path / "b.tif")[0] - expected).max() <= 1


def test_models_without_it_and_int8_are_refused(
    tiny: Model, separating: Path, make_raster: Callable[..., Path], blocks: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    scene = make_raster(blocks(64, 64))
    with pytest.raises(OptionError, match="was not trained to separate objects"):
        gdl.segment(scene, boundary=tmp_path / "b.tif", model=tiny)
    source = load_model(separating)
    measured = dataclasses.replace(source.contract, int8_ranges={"backbone.0": (0.0, 1.0)})
    prepared = Model(network=source.network, contract=measured)
    pytest.importorskip("openvino")
    with pytest.raises(OptionError, match="int8 is for the classes alone"):
        gdl.segment(scene, boundary=tmp_path / "b.tif", model=prepared, precision="int8")
    assert not (tmp_path / "b.tif").exists()
