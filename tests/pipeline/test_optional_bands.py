"""A scene without the bands that a model can do without."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from torch import Tensor, nn

import geodeeplab as gdl
from geodeeplab.errors import ContractError
from geodeeplab.models import Contract, Model, ModelBand, ModelClass
from geodeeplab.raster import open_array

MEAN = 1000


class Brighter(nn.Module):
    """Tells whether a pixel is brighter in red or in the two other bands."""

    def forward(self, images: Tensor) -> Tensor:
        return images[:, :2] + images[:, 2:]


@pytest.fixture
def model() -> Model:
    bands = (ModelBand(name="red", mean=MEAN, std=1), ModelBand(name="nir", mean=MEAN, std=1))
    swir = ModelBand(name="swir1", mean=MEAN, std=1, is_optional=True)
    contract = Contract(
        name="brighter",
        classes=(ModelClass(id=1, name="red", color=(9, 9, 9)), ModelClass(id=2, name="other", color=(1, 1, 1))),
        bands=(*bands, swir),
        dtype="uint16",
        value_range=(0.0, 2000.0),
        tile_size=32,
        overlap=8,
    )
    return gdl.as_model(Brighter(), contract)


def test_it_is_as_if_they_had_their_means(model: Model, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 2000, (3, 50, 70)).astype("uint16")
    image[2] = MEAN
    labels = []
    for bands in (["red", "nir", "swir1"], ["red", "nir"]):
        path = tmp_path / f"{len(bands)}.tif"
        scene = open_array(image[: len(bands)], bands=bands, crs="EPSG:32633", transform=Affine(30, 0, 0, 0, -30, 0))
        done = gdl.segment(scene, label_raster=path, model=model)
        with rasterio.open(path) as src:
            labels.append(src.read(1))
    assert np.array_equal(*labels)
    assert len(np.unique(labels[0])) == 2
    told = "the scene lacks swir1, which model 'brighter' can do without"
    assert told in done.facts["notes"]
    facts = gdl.preflight(scene, model=model)
    assert told in facts.notes
    assert facts.model is not None
    assert facts.model.reads == ("red", "nir")


def test_an_exported_network_needs_them(model: Model, tmp_path: Path) -> None:
    exported = dataclasses.replace(model, input="raw")
    scene = open_array(np.ones((2, 40, 40), dtype="uint16"), bands=["red", "nir"])
    with pytest.raises(ContractError, match=r"lacks swir1, which .*as a model file only, .*red, nir, swir1"):
        gdl.segment(scene, label_raster=tmp_path / "a.tif", model=exported)
