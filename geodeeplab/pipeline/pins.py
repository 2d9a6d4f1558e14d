"""The pins: all that the pixels of a run depend on, written into its outputs and compared when it is resumed."""

import hashlib
import os
from contextlib import suppress
from dataclasses import astuple
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, cast
from xml.etree import ElementTree

import torch

import geodeeplab
from geodeeplab.raster.sources.mask import to_masks
from geodeeplab.raster.sources.side_file import SUFFIX, digest_side_file

if TYPE_CHECKING:
    from geodeeplab.pipeline.plan import Plan
    from geodeeplab.raster import Scene


def pins_of(plan: "Plan") -> dict[str, Any]:
    """List what the pixels depend on, ready for JSON."""
    request, forward, values = plan.request, plan.engine.forward, plan.values
    device = forward.device
    contract = plan.model.contract.to_json()
    return {
        "geodeeplab": geodeeplab.__version__,
        "torch": torch.__version__,
        "torchvision": version("torchvision"),
        "openvino": openvino_facts() if device.precision == "int8" else None,
        "cudnn": cudnn_version() if device.torch_device.type == "cuda" else None,
        "scene": plan.scene.path,
        "scene_files": files_of(plan.scene),
        "shape": list(plan.grid.shape),
        "scene_shape": list(plan.scene.shape),
        "crop": None if plan.crop is None else list(astuple(plan.crop.extent)),
        "bands": [band.name for band in plan.scene.bands],
        "rescale": None if values.clip is None or values.limits is None else [list(pair) for pair in values.limits],
        "values": None if values.is_identity else [list(pair) for pair in values.pairs],
        "gsd_m": plan.zoom.gsd_m if plan.zoom else None,
        "mask": [one.facts for one in to_masks(request.mask)],
        "aoi": plan.aoi.fingerprint if plan.aoi else None,
        "model": plan.model.contract.name,
        "model_checksum": plan.model.checksum,
        "contract_checksum": hashlib.sha256(contract.encode()).hexdigest(),
        "device": device_name(device.torch_device),
        "precision": device.precision,
        "batch_size": forward.batch_size,
        "threads": device.threads,
        "compiled": request.compiled,
        "tile_size": plan.lattice.tile_size,
        "overlap": plan.lattice.overlap,
        "blend": plan.engine.blend,
        "tta": request.tta,
        "crf": plan.crf.facts if plan.crf else None,
        "classes": None if request.classes is None else [item.name for item in plan.classes],
        "min_confidence": request.min_confidence,
        "other": request.other,
    }


def device_name(device: torch.device) -> str:
    """Name the device by what decides its arithmetic: the GPU's model, the CPU's vector units."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu {torch.backends.cpu.get_cpu_capability()}" if device.type == "cpu" else device.type


def openvino_facts() -> list[str | bool]:
    """Give OpenVINO's version, and whether the CPU has VNNI, without which sums of int8 are cut off here and there."""
    has_vnni = getattr(torch.cpu, "_is_vnni_supported", None)
    return [version("openvino"), has_vnni is not None and bool(has_vnni())]


def cudnn_version() -> int | None:
    """Give the version of cuDNN, whose algorithms decide the last bits of convolutions; None without it."""
    with suppress(RuntimeError):  # of a GPU that is too old for it, which torch tells the first time only
        return cast("int | None", torch.backends.cudnn.version())
    return cast("int | None", torch.backends.cudnn.version())


def files_of(scene: "Scene") -> list[list[str | int]]:
    """Name the scene's files with size and time of the last change (ns); of what is not on a disk only the name.

    A side file of GDAL's counts by what it says beside statistics: a program that shows the scene changes no pixel.
    """
    found: list[list[str | int]] = []
    for file in map(str, scene.source.files):
        with suppress(OSError, ElementTree.ParseError):  # one that cannot be read counts as others do
            if file.endswith(SUFFIX):
                digest = digest_side_file(file)
                found.extend([] if digest is None else [[file, digest]])
                continue
        try:
            status = os.stat(file)
            found.append([file, status.st_size, status.st_mtime_ns])
        except OSError:
            found.append([file])
    return found
