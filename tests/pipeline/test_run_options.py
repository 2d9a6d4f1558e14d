"""The options of a run are stated once, and all who take them show the same."""

import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import geodeeplab as gdl
from geodeeplab.cli.run_options import OPTIONS
from geodeeplab.models import load_model
from geodeeplab.models.crf import DenseCRF
from geodeeplab.pipeline.request import Request
from geodeeplab.pipeline.run_options import RunOptions, make_request, stated_options

Blocks = Callable[..., npt.NDArray[np.uint8]]
NOT_OF_USERS = {"scene", "with_confidence", "probabilities", "with_boundary"}
"""Fields of a request that follow from other arguments."""


def test_options_are_the_fields_of_a_request() -> None:
    assert set(RunOptions.__annotations__) == {one.name for one in fields(Request)} - NOT_OF_USERS


@pytest.mark.parametrize("function", [gdl.segment, gdl.preflight, gdl.DeepLab.predict])
def test_whoever_takes_them_shows_them_with_their_defaults(function: object) -> None:
    shown = inspect.signature(function).parameters  # type: ignore[arg-type]
    defaults = {one.name: one.default for one in fields(Request)} | {"crf": False}
    assert {name: shown[name].default for name in RunOptions.__annotations__} == {
        name: defaults[name] for name in RunOptions.__annotations__
    }
    assert all(one.kind is not inspect.Parameter.VAR_KEYWORD for one in shown.values())


def test_the_command_line_has_all_of_them() -> None:
    def with_options() -> None: ...

    for option in OPTIONS:
        with_options = option(with_options)
    names = {one.name for one in with_options.__click_params__}  # type: ignore[attr-defined]
    assert names == set(RunOptions.__annotations__) - {"model", "local_only"} | {"crf_params"}


def test_the_default_model_is_that_of_load_model() -> None:
    assert inspect.signature(load_model).parameters["name_or_path"].default == Request(scene="a.tif").model


def test_the_crf_by_true_by_its_parameters_or_not_at_all() -> None:
    assert make_request("a.tif", {"crf": True}).crf == DenseCRF()
    assert make_request("a.tif", {"crf": DenseCRF(sxy=9)}).crf == DenseCRF(sxy=9)
    assert make_request("a.tif", {"crf": False}).crf is make_request("a.tif", {}).crf is None


def test_an_unknown_keyword_is_named_with_the_nearest() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'tile_sise'; did you mean tile_size"):
        gdl.segment("a.tif", "a.gpkg", tile_sise=64)  # type: ignore[call-arg]


def test_what_is_stated_is_what_differs_from_the_defaults() -> None:
    options: RunOptions = {"blend": "hann", "tile_size": 64, "crf": False, "classes": ["a"], "min_confidence": 0.0}
    assert stated_options(options) == ["tile_size", "classes"]


def test_outputs_by_their_former_names_still_work(
    tmp_path: Path, make_raster: Callable[..., Path], blocks: Blocks, tiny_model: Path
) -> None:
    scene = make_raster(blocks(40, 50), photometric="rgb")
    with pytest.warns(DeprecationWarning, match="now called label_raster"):
        gdl.segment(scene, labels=tmp_path / "a.tif", model=tiny_model)  # type: ignore[call-arg]
    assert (tmp_path / "a.tif").exists()


def test_options_of_polygons_in_the_place_of_their_path() -> None:
    with pytest.raises(gdl.OptionError, match="goes into `polygon_options=`"):
        gdl.segment("a.tif", polygons=gdl.PolygonOptions(smooth=True, tolerance_px=1))  # type: ignore[arg-type]
