"""Fitting the values of a scene to a model."""

import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

from geodeeplab.errors import ContractError, OptionError
from geodeeplab.models import Contract, ModelBand, ModelClass, Normalisation, RawPixels
from geodeeplab.pipeline.fit import (
    Rescale,
    lacking_note,
    parse_scale,
    rescale_limits,
    rescale_note,
    select_bands,
    value_map,
)
from geodeeplab.raster import Scene, open_scene

OpenScaled = Callable[..., Scene]
SENTINEL = (1e-4, -0.1)
"""Of Sentinel-2 since 2022: reflectance = number × 0.0001 − 0.1."""
LANDSAT = (2.75e-5, -0.2)


def make_contract(*scaling: tuple[float, float], dtype: str = "uint16") -> Contract:
    """A model of one band for each (scale, offset)."""
    names = ("red", "green", "blue")
    return Contract(
        name="model",
        classes=(ModelClass(id=1, name="land", color=(1, 2, 3)),),
        bands=tuple(
            ModelBand(name=name, mean=1000.0, std=500.0, scale=scale, offset=offset)
            for name, (scale, offset) in zip(names, scaling, strict=False)
        ),
        dtype=dtype,
        value_range=(0.0, 10000.0),
    )


@pytest.fixture
def open_scaled(make_raster: Callable[..., Path]) -> OpenScaled:
    """Give a function that opens a scene of bands that state (scale, offset)."""

    def make(*scaling: tuple[float, float], dtype: str = "uint16") -> Scene:
        array = np.arange(900, 900 + 16 * len(scaling)).reshape(-1, 4, 4).astype(dtype)
        path = make_raster(array, names=("red", "green", "blue")[: len(scaling)])
        with rasterio.open(path, "r+") as dst:
            dst.scales, dst.offsets = zip(*scaling, strict=True)
        return open_scene(path)

    return make


def mapped(scene: Scene, contract: Contract) -> np.ndarray:
    """The model's numbers of all pixels (C, H, W)."""
    pixels = scene.read(rasterio.windows.Window(0, 0, 4, 4))
    values = value_map(scene, contract, None)
    array = torch.from_numpy(pixels.array.astype(np.float32))[None]
    numbers: np.ndarray = RawPixels(values)(array, torch.from_numpy(pixels.valid)[None])[0].numpy()
    return numbers


def test_sentinel_2_with_its_offset_for_a_model_without(open_scaled: OpenScaled) -> None:
    scene, contract = open_scaled(SENTINEL), make_contract((1e-4, 0.0))
    values = value_map(scene, contract, None)
    assert values.pairs[0] == pytest.approx((1.0, -1000.0))
    assert values.clip is None
    assert values.note == "values mapped by scale and offset: red × 1 − 1000"
    assert values.limits is not None
    assert values.limits[0] == pytest.approx((1000.0, 11000.0))
    assert np.array_equal(mapped(scene, contract), np.arange(-100, -84, dtype=np.float32).reshape(1, 4, 4))
    normalised = Normalisation(contract, values=values)(
        torch.full((1, 1, 1, 1), 2500), torch.ones(1, 1, 1, dtype=torch.bool)
    )
    assert float(normalised) == 1.0


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_the_same_physical_values_whatever_the_type(open_scaled: OpenScaled, dtype: str) -> None:
    scene, contract = open_scaled(LANDSAT, SENTINEL, dtype=dtype), make_contract(SENTINEL, SENTINEL)
    numbers = scene.read(rasterio.windows.Window(0, 0, 4, 4)).array.astype(np.float64)
    for got, number, (scale, offset) in zip(mapped(scene, contract), numbers, (LANDSAT, SENTINEL), strict=True):
        assert np.allclose(got * 1e-4 - 0.1, number * scale + offset, atol=1e-6)
    assert rescale_note(scene, contract) is None


def test_equal_scales_change_nothing(open_scaled: OpenScaled) -> None:
    values = value_map(open_scaled(SENTINEL), make_contract(SENTINEL), None)
    assert (values.is_identity, values.note, values.limits) == (True, None, None)


def test_no_scales_and_the_same_type(open_scaled: OpenScaled) -> None:
    values = value_map(open_scaled((1.0, 0.0)), make_contract((1.0, 0.0)), None)
    assert (values.is_identity, values.note, values.limits) == (True, None, None)


@pytest.mark.parametrize(
    ("scene_scaling", "model_scaling", "note"),
    [
        ((1.0, 0.0), SENTINEL, "the model states a scale or offset that the scene does not (red)"),
        (SENTINEL, (1.0, 0.0), "the scene states a scale or offset that the model does not (red)"),
    ],
)
def test_where_one_side_states_a_scale_the_type_decides_and_it_is_said(
    open_scaled: OpenScaled,
    make_raster: Callable[..., Path],
    scene_scaling: tuple[float, float],
    model_scaling: tuple[float, float],
    note: str,
) -> None:
    contract = make_contract(model_scaling)
    values = value_map(open_scaled(scene_scaling), contract, None)
    assert values.is_identity
    assert values.note == f"{note}: the uint16 values are taken as they are"
    with pytest.raises(ContractError, match=r"needs rescaling: .* reads uint16, the scene is float32.*: pass"):
        value_map(open_scaled(scene_scaling, dtype="float32"), contract, None)


def test_bands_are_settled_one_by_one(open_scaled: OpenScaled) -> None:
    scene, contract = open_scaled(SENTINEL, (1.0, 0.0), SENTINEL), make_contract((1e-4, 0.0), SENTINEL, (1.0, 0.0))
    values = value_map(scene, contract, None)
    assert [pair[0] for pair in values.pairs] == [1.0, 1.0, 1.0]
    assert values.note is not None
    for part in ("red × 1 − 1000", "the scene states .* \\(blue\\)", "the model states .* \\(green\\)"):
        assert re.search(part, values.note)


def test_numbers_that_fall_as_the_models_rise_are_refused(open_scaled: OpenScaled) -> None:
    with pytest.raises(ContractError, match=r"scene '.*' and model 'model': .*rise with the model's"):
        value_map(open_scaled((-1e-4, 0.0)), make_contract((1e-4, 0.0)), None)


@pytest.mark.parametrize(
    "rescale", [Rescale(low=0, high=3000), Rescale(low=2, high=98, is_percentile=True)], ids=["values", "percentiles"]
)
def test_what_was_asked_for_goes_first(open_scaled: OpenScaled, rescale: Rescale) -> None:
    scene, contract = open_scaled(SENTINEL), make_contract((1e-4, 0.0))
    values = value_map(scene, contract, rescale)
    limits: Sequence[tuple[float, float]] | None = rescale_limits(scene, contract, rescale)
    assert limits is not None
    assert values.limits == tuple(limits)
    assert values.clip == contract.value_range
    pixel = torch.tensor([limits[0][0], limits[0][1], 99999.0]).view(1, 1, 1, 3)
    numbers = RawPixels(values)(pixel, torch.ones(1, 1, 3, dtype=torch.bool)).flatten()
    assert torch.allclose(numbers, torch.tensor([0.0, 10000.0, 10000.0]), atol=0.01)


def test_a_stated_scale_goes_before_what_the_scene_says(open_scaled: OpenScaled) -> None:
    contract = make_contract((1e-4, 0.0), dtype="int16")
    for scaling, dtype in (((1.0, 0.0), "uint16"), (SENTINEL, "float32")):
        scene = open_scaled(scaling, dtype=dtype)
        assert value_map(scene, contract, None, SENTINEL).pairs[0] == pytest.approx((1.0, -1000.0))
        assert value_map(scene, contract, None, LANDSAT).pairs[0] == pytest.approx((0.275, -2000.0))
    assert value_map(scene, contract, None, (1.0, 0.0)).pairs == ((1e4, 0.0),)  # reflectance from 0 to 1
    with pytest.raises(ContractError, match=r"reads int16, the scene is uint16 and .*pass `scale='SCALE,"):
        value_map(open_scaled((1.0, 0.0)), contract, None)
    with pytest.raises(ContractError, match="trained on plain numbers"):
        value_map(scene, make_contract((1.0, 0.0)), None, SENTINEL)
    with pytest.raises(OptionError, match="leave one of them out"):
        value_map(scene, contract, Rescale(low=0, high=1), SENTINEL)


def test_scales_are_read_from_text_and_numbers() -> None:
    assert parse_scale("0.0001,-0.1") == parse_scale((0.0001, -0.1)) == SENTINEL
    assert (parse_scale("2"), parse_scale(None)) == ((2.0, 0.0), None)
    for wrong in ("a", "", "0", "-1,0", "1,2,3", "1,nan", "inf"):
        with pytest.raises(OptionError, match=f"scale is a factor above 0.*not '{wrong}': try 0.0001,-0.1"):
            parse_scale(wrong)


def with_optional(contract: Contract, *names: str) -> Contract:
    bands = (dataclasses.replace(band, is_optional=band.name in names) for band in contract.bands)
    return dataclasses.replace(contract, bands=tuple(bands))


def test_optional_bands_that_a_scene_lacks_are_their_means(open_scaled: OpenScaled) -> None:
    contract = make_contract(LANDSAT, SENTINEL, SENTINEL)
    red, green, blue = contract.bands
    contract = with_optional(dataclasses.replace(contract, bands=(green, blue, red)), "blue")
    scene = open_scaled(LANDSAT, SENTINEL, SENTINEL)
    assert [band.name for band in select_bands(scene, contract, None).bands] == ["green", "blue", "red"]
    assert lacking_note(scene, contract) is None
    fitted = select_bands(open_scaled(LANDSAT, SENTINEL), contract, None)
    assert [band.name for band in fitted.bands] == ["green", "red"]
    assert [band.name for band in select_bands(scene, contract, ["blue", "red"]).bands] == ["blue", "red"]
    assert lacking_note(fitted, contract) == "the scene lacks blue, which model 'model' can do without"
    values = value_map(fitted, contract, None)
    assert values.is_identity
    pixels, valid = torch.full((1, 2, 4, 4), 1500.0), torch.ones(1, 4, 4, dtype=torch.bool)
    valid[0, 0, 0] = False
    images = Normalisation(contract, values=values)(pixels, valid)
    assert images[0, :, 1, 1].tolist() == [1.0, 0.0, 1.0]
    assert images[0, :, 0, 0].tolist() == [0.0, 0.0, 0.0]


def test_what_is_not_optional_is_needed(open_scaled: OpenScaled) -> None:
    contract = with_optional(make_contract(SENTINEL, SENTINEL, SENTINEL), "blue")
    scene = open_scaled(SENTINEL)
    with pytest.raises(ContractError, match=r"model 'model' needs red, green: pass `bands=`"):
        select_bands(scene, contract, None)
    with pytest.raises(ContractError, match=r"reads 3 bands \(red, green, blue\), or 2 without blue, .*names 1"):
        select_bands(scene, contract, ["red"])
