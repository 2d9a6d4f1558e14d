"""Requests that travel to workers."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from geodeeplab.cluster.portable import to_absolute, to_portable
from geodeeplab.errors import OptionError
from geodeeplab.models import load_model
from geodeeplab.pipeline.request import Request
from geodeeplab.raster import open_scene


def test_files_become_absolute_and_all_else_stays(
    scene: Path, request_for: Callable[..., Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(scene.parent)
    one, several = (
        to_portable(request_for(scene.name)),
        to_portable(request_for([scene.name, "https://x.example/a.tif"])),
    )
    assert one.scene == str(scene)
    assert several.scene == [str(scene), "https://x.example/a.tif"]
    assert pickle.loads(pickle.dumps(one)) == one
    assert to_absolute("EPSG:4326") == "EPSG:4326"
    assert to_absolute(None) is None


def test_a_stac_item_travels_as_it_is(request_for: Callable[..., Request]) -> None:
    assert to_portable(request_for({"type": "Feature"})).scene == {"type": "Feature"}


def test_a_loaded_model_travels_by_its_file(scene: Path, request_for: Callable[..., Request], tiny_model: Path) -> None:
    assert to_portable(request_for(scene, model=load_model(tiny_model))).model == str(tiny_model)
    assert to_portable(request_for(scene, model=load_model())).model == "landcover-aerial"
    assert to_portable(request_for(scene, model="landcover-aerial")).model == "landcover-aerial"


def test_what_is_only_in_this_process_is_refused(
    scene: Path, request_for: Callable[..., Request], tiny_model: Path
) -> None:
    with pytest.raises(OptionError, match=r"path or URL, not a ndarray .* write it to a file"):
        to_portable(request_for(np.zeros((3, 9, 9), np.uint8)))
    with open_scene(scene) as opened, pytest.raises(OptionError, match="not a Scene in this process"):
        to_portable(request_for(opened))
    with pytest.raises(OptionError, match=r"load the model from its file, not a .* in this process: save it"):
        to_portable(request_for(scene, model=load_model(tiny_model).network))
