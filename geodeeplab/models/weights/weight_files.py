"""Where pretrained weights lie: bundled, torchvision's, timm's and models by name, any other by the path of a file."""

import http.client
import logging
import os
import pickle
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from geodeeplab.errors import ModelError
from geodeeplab.models.backbones.timm_models import PREFIX as TIMM
from geodeeplab.models.backbones.timm_models import create_features
from geodeeplab.models.contract import HEADER_KEY, Contract
from geodeeplab.models.files.header import BUNDLED_FOLDER, find_model, iter_bundled
from geodeeplab.models.weights.inflate import RGB
from geodeeplab.text import parse_json

WEIGHTS_KEY = "weights"
"""Where a file of weights alone says what they are of."""
SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".tar")
IMAGENET, DEFAULT = "imagenet", "DEFAULT"
"""Names that every backbone's weights have."""
BUNDLED_WEIGHTS = {"efficientnet_lite0": BUNDLED_FOLDER / "weights" / "efficientnet_lite0.safetensors"}
"""Weights on ImageNet that come with GeoDeepLab, by backbone; they read red, green and blue."""
WHOLE_NETWORKS = ("deeplabv3", "fcn")
"""Architectures of ours that torchvision has weights of, on some backbones."""
OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])(?=\.)")
"""torchvision's DenseNet files are older than its module names: `norm.1` in the file is `norm1` in the network."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The tensors of one file, under the file's own keys."""

    source: str
    """What to call them in a report."""
    tensors: Mapping[str, Tensor]
    """On the CPU; what lies in nested dictionaries has its keys joined by dots."""
    bands: tuple[str, ...] | None = None
    """Names of the bands that the first convolution reads, where the source says so."""


def find_weights(weights: str | os.PathLike[str], *, arch: str | None, backbone: str | None) -> Weights:
    """Read weights by the backbone's or torchvision's name, by the name of a bundled model, or by path.

    Args:
        weights: see `load_pretrained`; a member of torchvision's enumerations does as its name does.
        arch: architecture of the network that they are for; None where it is unknown.
        backbone: its backbone, likewise.

    Raises:
        ModelError: if there are none of that name, or the file is missing or cannot be read.
    """
    name = str(weights)
    if name in (IMAGENET, DEFAULT) and backbone in BUNDLED_WEIGHTS:
        return _bundled(backbone)
    if name in (IMAGENET, DEFAULT) and backbone is not None and backbone.startswith(TIMM):
        return _from_timm(backbone)
    if name == IMAGENET:
        return _from_torchvision(_best_of_backbone(backbone))
    if name in iter_bundled() or Path(name).is_file():
        return _read(find_model(name))
    if Path(name).suffix.lower() in SUFFIXES:
        raise ModelError(f"no file of weights is called {name!r}: check the path")
    return _from_torchvision(_choose(name, arch, backbone))


def _bundled(backbone: str) -> Weights:
    """Read the weights of a backbone that come with GeoDeepLab."""
    path = BUNDLED_WEIGHTS[backbone]
    if not path.is_file():
        raise ModelError(
            f"the weights of {backbone} are not where the package should have them ({path}): install GeoDeepLab again, "
            "or give the path of a file of weights"
        )
    return Weights(source=f"{IMAGENET} ({path.name})", tensors=_read(path).tensors, bands=RGB)


def _from_timm(backbone: str) -> Weights:
    """Let timm read the weights that it has of a backbone, from its cache of downloads or by a download into it."""
    from timm.models import get_pretrained_cfg

    name = backbone.removeprefix(TIMM)
    found = get_pretrained_cfg(name, allow_unregistered=True)
    if found is None or not found.has_weights:
        raise ModelError(f"timm has no weights of {name!r}: give the path of a file of weights")
    source = found.hf_hub_id or found.url
    hub = logging.getLogger("huggingface_hub")
    level = hub.level
    hub.setLevel(logging.ERROR)  # without a network it would tell of every retry
    try:
        tensors = create_features(name, pretrained=True).state_dict()
    except ModelError:
        raise
    except Exception as error:  # whatever the hub raises without a network
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"{backbone} is not on this machine and cannot be downloaded ({reason}): pass the path of its file as "
            f"weights; it comes from {source}"
        ) from error
    finally:
        hub.setLevel(level)
    return Weights(source=f"timm's {source}", tensors=tensors, bands=RGB)


def _best_of_backbone(backbone: str | None) -> Any:  # noqa: ANN401 - torchvision has no types
    """Give torchvision's best weights of a backbone alone."""
    from torchvision.models import get_model_weights, list_models

    if backbone not in list_models():
        raise ModelError(f"torchvision has no weights of {backbone}: give the path of a file of weights")
    return get_model_weights(backbone).DEFAULT


def _choose(name: str, arch: str | None, backbone: str | None) -> Any:  # noqa: ANN401 - torchvision has no types
    """Find the torchvision weights of a name, with or without the class before the dot.

    The class of the whole network comes first, then the backbone's, then other whole networks' on that backbone.
    """
    from torchvision.models import get_model_weights, list_models

    networks = [f"{whole}_{backbone}" for whole in WHOLE_NETWORKS]
    order = [own for own in networks if own == f"{arch}_{backbone}"] + [str(backbone), *networks]
    known = set(list_models())
    classes = [get_model_weights(network) for network in dict.fromkeys(order) if network in known]
    class_name, _, member = name.rpartition(".")
    for weights in classes:
        if class_name in ("", weights.__name__) and member in weights.__members__:  # DEFAULT is a member too
            return weights[member]
    there = [DEFAULT, *(str(item) for weights in classes for item in weights)] if classes else []
    there = [IMAGENET] if backbone in BUNDLED_WEIGHTS else there
    raise ModelError(
        f"no file, no model and no weights for {arch} on {backbone} are called {name!r}: "
        + (f"choose one of {', '.join(there)}, or give" if there else "torchvision has none, give")
        + " the path of a state dict (.pth, .pt, .safetensors)"
    )


def _from_torchvision(chosen: Any) -> Weights:  # noqa: ANN401 - torchvision has no types
    path = _fetch(chosen)
    return Weights(source=f"{chosen} ({path.name})", tensors=_read(path).tensors, bands=RGB)


def _fetch(weights: Any) -> Path:  # noqa: ANN401 - torchvision has no types
    """Give the file of torchvision weights: torch's cache of downloads, else a download into it."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / str(weights.url).rpartition("/")[2]
    if path.is_file():
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        hash_prefix = path.stem.rpartition("-")[2]
        torch.hub.download_url_to_file(weights.url, str(path), hash_prefix=hash_prefix, progress=False)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise ModelError(
            f"{weights} is not on this machine and cannot be downloaded ({error}): put the file {path.name} into the "
            f"folder {folder}, or pass its path as weights; it comes from {weights.url}"
        ) from error
    return path


def _read(path: Path) -> Weights:
    """Read a file of tensors; nothing else in it is ever unpickled.

    Raises:
        ModelError: if it is damaged, or holds more than tensors and plain values.
    """
    header: str | None = None
    said: str | None = None
    try:
        if path.suffix.lower() == ".safetensors":
            with safe_open(path, framework="pt") as file:
                tensors = {key: file.get_tensor(key) for key in file.keys()}
                header, said = ((file.metadata() or {}).get(key) for key in (HEADER_KEY, WEIGHTS_KEY))
        else:
            tensors = dict(_flatten(torch.load(path, map_location="cpu", weights_only=True)))
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path} is damaged, or holds Python objects beside tensors, which are not loaded: copy it again, "
            "or save its state dict alone where you trust it"
        ) from error
    except Exception as error:  # whatever torch raises of bytes that are no weights
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{path} is not a readable file of weights ({reason}): copy or save it again") from error
    tensors = {OLD_DENSENET.sub(r"\1\2", key): tensor for key, tensor in tensors.items()}
    try:
        bands = Contract.from_json(header).band_names if header else _stated_bands(said)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    return Weights(source=str(path), tensors=tensors, bands=bands)


def _stated_bands(said: str | None) -> tuple[str, ...] | None:
    """Give the bands that a file of weights alone says it reads; None where it says nothing that is a list of names."""
    try:
        content = parse_json(said) if said else None
    except ValueError:
        return None
    bands = content.get("bands") if isinstance(content, Mapping) else None
    if not isinstance(bands, list) or not all(isinstance(name, str) for name in bands):
        return None
    return tuple(bands) or None


def _flatten(content: object, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of nested dictionaries with their keys joined by dots."""
    if isinstance(content, Tensor):
        yield prefix, content
    elif isinstance(content, Mapping):
        for key, item in content.items():
            yield from _flatten(item, f"{prefix}.{key}" if prefix else str(key))
