"""Requests that travel: what another process, perhaps on another machine, can open by itself."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

from torch import nn

from geodeeplab.errors import OptionError
from geodeeplab.models import Contract, Model, find_model, iter_bundled
from geodeeplab.pipeline.request import Request
from geodeeplab.raster import Mask, MaskLike, SceneLike, mask_rasters, to_masks

Value = TypeVar("Value")
ContractLike = Contract | str | os.PathLike[str] | Mapping[str, Any]


def to_portable(request: Request) -> Request:
    """Give the same request for a process with another working folder: paths are absolute, models are files.

    Raises:
        OptionError: for an array, an open scene, or a network that is in no file.
    """
    model, contract = portable_model(request.model, request.contract)
    return replace(
        request,
        scene=_scene(request.scene),
        mask=portable_masks(request.mask),
        aoi=to_absolute(request.aoi),
        model=model,
        contract=to_absolute(contract),
    )


def to_absolute(value: Value) -> Value | str:
    """Make the path of a file or folder that is there absolute; leave URLs, names and everything else as they are."""
    if not isinstance(value, str | os.PathLike):
        return value
    path = os.fspath(cast(str, value))
    return os.path.abspath(path) if os.path.exists(path) else path


def portable_masks(mask: MaskLike | None) -> tuple[Mask, ...] | None:
    """Give masks with absolute paths.

    Raises:
        OptionError: for an array.
    """
    if mask is None:
        return None
    for one in mask_rasters(mask):
        if not isinstance(one, str | os.PathLike):
            raise OptionError(
                f"Dask workers open a mask by its path or URL, not a {type(one).__name__} in this process: "
                "write it to a file first, or leave Dask out"
            )
    return tuple(replace(one, raster=_mask_path(one)) for one in to_masks(mask))


def _mask_path(mask: Mask) -> str:
    """Make the path of a mask absolute, one that stands for several too; leave names of bands, and URLs."""
    path = os.fspath(mask.raster)
    is_relative = mask.has_places and not path.startswith("{folder}") and "://" not in path and path[:4] != "/vsi"
    return os.path.abspath(path) if is_relative else str(to_absolute(path))


def _scene(scene: SceneLike) -> SceneLike:
    if isinstance(scene, str | os.PathLike):
        return to_absolute(scene)
    if isinstance(scene, Sequence):
        return [to_absolute(path) for path in scene]
    if isinstance(scene, Mapping):  # a STAC item
        return scene
    raise OptionError(
        f"Dask workers open the scene by its path or URL, not a {type(scene).__name__} in this process: "
        "write it to a file first, or leave Dask out"
    )


def portable_model(
    model: str | os.PathLike[str] | nn.Module | Model, contract: ContractLike | None
) -> tuple[str, ContractLike | None]:
    """Give the model's name or absolute path, and the contract that has to go with it.

    Raises:
        OptionError: for a network that is in no file.
    """
    if isinstance(model, Model) and model.path is not None:
        is_foreign = model.path.suffix.lower() == ".onnx" and model.input == "normalised"
        return _name(model.path), model.contract if is_foreign else None
    if isinstance(model, str | os.PathLike):
        path = os.fspath(model)
        return (path if path in iter_bundled() else to_absolute(path)), contract
    raise OptionError(
        f"Dask workers load the model from its file, not a {type(model).__name__} in this process: "
        "save it as .safetensors or .onnx, or leave Dask out"
    )


def _name(path: Path) -> str:
    """Name a loaded model as workers find it: a bundled one may lie elsewhere there."""
    if path.stem in iter_bundled() and path == find_model(path.stem):
        return path.stem
    return str(path.absolute())
