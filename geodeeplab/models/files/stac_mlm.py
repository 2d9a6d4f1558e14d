"""A model as a STAC item with the machine-learning extension, so that catalogues list it and other programs find it.

STAC 1.1, MLM 1.6: https://github.com/stac-extensions/mlm. The item says what the contract says, and where the file is.
"""

import hashlib
import json
import os
import re
from pathlib import Path, PurePath
from typing import Any

from safetensors import safe_open

from geodeeplab.atomic import write_output
from geodeeplab.models.contract import Contract
from geodeeplab.models.files.header import ONNX_SUFFIX, find_model, read_contract

EXTENSIONS = {"mlm": "v1.6.0", "classification": "v2.0.0", "file": "v2.1.0"}
"""The extensions that an item uses, with their versions."""
SHA256_PREFIX = "1220"
"""What a SHA-256 begins with as a multihash, as the file extension wants it."""
LICENCES = ("Apache-2.0", "MIT", "BSD-3-Clause", "CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0")
"""Licences that are given by their SPDX identifier; of others the item says `other`."""
ALWAYS = {"datetime": None, "start_datetime": "1900-01-01T00:00:00Z", "end_datetime": "9999-12-31T23:59:59Z"}
"""The time that a model is good for, where nobody says."""


def write_stac_item(model: str | os.PathLike[str], dst_path: str | os.PathLike[str]) -> None:
    """Write a STAC item of a model file under a temporary name, then rename it.

    Args:
        model: a bundled model's name, or the path of a model file or of an exported ONNX file.
        dst_path: a path that ends in .json; replaced if it exists. The item names the model file relative to it.

    Raises:
        ModelError: if the file is missing or is not a GeoDeepLab model.
        OptionError: for an ONNX file without the extra `onnx`.
        OutputError: if the item cannot be written.
    """
    path = find_model(model)
    item = stac_item(read_contract(path), path, folder=Path(dst_path).parent)
    write_output(dst_path, json.dumps(item, ensure_ascii=False, indent=2, allow_nan=False).encode() + b"\n")


def stac_item(contract: Contract, path: Path, *, folder: Path) -> dict[str, Any]:
    """Give a model as a STAC item, which states no place: a contract knows none.

    Args:
        contract: of the model.
        path: its file.
        folder: where the item will lie.
    """
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [
            f"https://stac-extensions.github.io/{name}/{version}/schema.json" for name, version in EXTENSIONS.items()
        ],
        "id": contract.name,
        "geometry": None,
        "properties": ALWAYS | _properties(contract, path),
        "links": [],
        "assets": {"model": _asset(contract, path, folder)},
    }


def _properties(contract: Contract, path: Path) -> dict[str, Any]:
    stated: dict[str, Any] = {
        "description": f"Land cover from {', '.join(contract.band_names)}: {_class_list(contract)}",
        "license": contract.licence if contract.licence in LICENCES else "other",
        "bands": [{"name": name} for name in contract.band_names],
        "mlm:name": contract.name,
        "mlm:architecture": str(contract.architecture.get("arch", "network from elsewhere")),
        "mlm:tasks": ["semantic-segmentation"],
        "mlm:framework": "ONNX" if _is_onnx(path) else "pytorch",
        "mlm:file_size": path.stat().st_size,
        "mlm:accelerator": None,
        "mlm:accelerator_constrained": False,
        "mlm:pretrained": True,
        "mlm:input": [_input(contract, _scaling(contract, path))],
        "mlm:output": [_output(contract, "probabilities" if _divisor(path) != 1 else "logits")],
    }
    if contract.architecture:
        stated["mlm:hyperparameters"] = dict(contract.architecture)
    if contract.gsd_m is not None:
        stated["gsd"] = contract.gsd_m
    if not _is_onnx(path):
        stated["mlm:total_parameters"] = _count_weights(path)
    return stated


def _input(contract: Contract, scaling: list[dict[str, Any]]) -> dict[str, Any]:
    """Say what the network reads, and how it wants its values."""
    size = contract.tile_size
    return {
        "name": "images",
        "bands": list(contract.band_names),
        "input": {
            "shape": [-1, len(contract.bands), size, size],
            "dim_order": ["batch", "bands", "height", "width"],
            "data_type": "float32",
        },
        "value_scaling": scaling or None,
        "pre_processing_function": None,
    }


def _scaling(contract: Contract, path: Path) -> list[dict[str, Any]]:
    """Give what has to be done to values, one entry for each band or for all; ONNX files of ours standardise inside."""
    if not _is_onnx(path):
        return [{"type": "z-score", "mean": band.mean, "stddev": band.std} for band in contract.bands]
    divisor = _divisor(path)
    return [] if divisor == 1 else [{"type": "min-max", "minimum": 0, "maximum": divisor}]


def _divisor(path: Path) -> int:
    if not _is_onnx(path):
        return 1
    from geodeeplab.models.files.onnx_graph import read_graph

    return read_graph(path).divisor


def _output(contract: Contract, name: str) -> dict[str, Any]:
    """Say what the network gives: one channel a class in the order of the classes listed, and then a boundary's."""
    size = contract.tile_size
    return {
        "name": name,
        "tasks": ["semantic-segmentation"],
        "result": {
            "shape": [-1, len(contract.classes) + bool(contract.instances), size, size],
            "dim_order": ["batch", "class", "height", "width"],
            "data_type": "float32",
        },
        "classification:classes": [
            {
                "value": item.id,
                "name": _short_name(item.name, item.id),
                "description": item.name,
                "color_hint": "".join(f"{part:02X}" for part in item.color),
            }
            for item in contract.classes
        ],
        "post_processing_function": None,
    }


def _asset(contract: Contract, path: Path, folder: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "href": _href(path, folder),
        "title": f"{contract.name}, weights and input contract",
        "type": f"application/octet-stream; application={'onnx' if _is_onnx(path) else 'safetensors'}",
        "roles": ["mlm:model", "mlm:weights", "data"],
        "mlm:artifact_type": "ONNX" if _is_onnx(path) else "safetensors",
        "file:size": path.stat().st_size,
        "file:checksum": SHA256_PREFIX + checksum,
    }


def _href(path: Path, folder: Path) -> str:
    """Give the file's place as seen from the item's; as a URL where they are on different drives."""
    try:
        relative = PurePath(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:
        return path.resolve().as_uri()
    return relative if relative.startswith("..") else f"./{relative}"


def _short_name(name: str, class_id: int) -> str:
    """Give a class's name as the classification extension takes it: letters, digits, - and _."""
    return re.sub(r"[^0-9A-Za-z_-]+", "-", name).strip("-") or f"class-{class_id}"


def _class_list(contract: Contract) -> str:
    return ", ".join(item.name for item in contract.classes)


def _is_onnx(path: Path) -> bool:
    return path.suffix.lower() == ONNX_SUFFIX


def _count_weights(path: Path) -> int:
    """Count the numbers in a safetensors file, by its header alone."""
    total = 0
    with safe_open(path, framework="np") as file:
        for key in file.keys():
            count = 1
            for side in file.get_slice(key).get_shape():
                count *= side
            total += count
    return total
