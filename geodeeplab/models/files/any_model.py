"""Any network as a model: a bundled one, a model file, an ONNX file, or a module from elsewhere with a contract."""

import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from geodeeplab.errors import ModelError, OptionError
from geodeeplab.models.files.contract import Contract, read_contract_file
from geodeeplab.models.files.model_file import ONNX_SUFFIX, Model, find_model, load_model
from geodeeplab.models.files.onnx_model import OnnxNetwork, load_onnx
from geodeeplab.models.heads.aspp import resize
from geodeeplab.models.network import SegmentationNetwork

OUTPUT_KEYS = ("out", "logits")
"""Where networks that give a dictionary keep their logits: torchvision's, and transformers'."""

ModelLike = str | os.PathLike[str] | nn.Module | Model
ContractLike = Contract | str | os.PathLike[str] | Mapping[str, Any]


class ForeignNetwork(nn.Module):
    """A network from elsewhere behind our interface, its output checked in every forward."""

    def __init__(self, module: nn.Module, *, num_classes: int, name: str) -> None:
        """Take the network.

        Args:
            module: is called with images (N, C, H, W), and with `valid` (N, H, W) if its forward has a parameter of
                that name; gives logits (N, K, h, w) of any resolution, or a dictionary with them under `out` or
                `logits`.
            num_classes: K, as the contract says.
            name: how messages name it.
        """
        super().__init__()
        self.module = module
        self.num_classes, self.name = num_classes, name
        self.takes_valid = _takes_valid(module)

    def forward(self, images: Tensor, valid: Tensor | None = None) -> Tensor:
        """Give logits (N, K, H, W), float32, of normalised images (N, C, H, W), upsampled bilinearly.

        Raises:
            ModelError: if the network gives something else than logits of these classes.
        """
        logits = _pick_logits(self.module(images, valid=valid) if self.takes_valid else self.module(images), self.name)
        if logits.ndim != 4 or logits.shape[:2] != (len(images), self.num_classes):
            raise ModelError(
                f"model '{self.name}' has {self.num_classes} classes by its contract, so it gives logits "
                f"({len(images)}, {self.num_classes}, h, w), not {tuple(logits.shape)}: correct the contract's classes"
            )
        logits = logits.float()
        return logits if logits.shape[2:] == images.shape[2:] else resize(logits, images.shape[2:])


def as_model(model: ModelLike, contract: ContractLike | None = None) -> Model:
    """Give a model of whatever can be one.

    A network from elsewhere is tried on one tile of zeros. It is put into evaluation mode, and stays the caller's.

    Args:
        model: a bundled model's name, the path of a model file or of an ONNX file, a network, or a model.
        contract: what a network or an ONNX file from elsewhere was trained on: a contract, the values of one (name,
            classes, bands; see `Contract.from_mapping`), or the path of a JSON file with them. The others carry theirs.

    Raises:
        ModelError: if the file is missing or broken, a contract is needed, or it and the network do not agree.
        OptionError: if a contract is given beside a model that carries its own; for an ONNX file without the extra.
    """
    stated = _to_contract(contract)
    if isinstance(model, nn.Module):
        return _of_module(model, stated)
    if isinstance(model, Model):
        _refuse_second(stated, f"model '{model.contract.name}'")
        return model
    path = find_model(model)
    if path.suffix.lower() != ONNX_SUFFIX:
        _refuse_second(stated, str(path))
        return load_model(path)
    loaded = load_onnx(path, stated)
    _try_one_tile(loaded)
    assert isinstance(loaded.network, OnnxNetwork)
    loaded.network.forget_sessions()  # it will run with other threads
    return loaded


def _to_contract(contract: ContractLike | None) -> Contract | None:
    if contract is None or isinstance(contract, Contract):
        return contract
    return Contract.from_mapping(contract) if isinstance(contract, Mapping) else read_contract_file(Path(contract))


def _refuse_second(contract: Contract | None, name: str) -> None:
    if contract is not None:
        raise OptionError(f"{name} carries its own contract: leave out the other one")


def _of_module(module: nn.Module, contract: Contract | None) -> Model:
    """Give a model of a network and its contract."""
    if contract is None:
        raise ModelError(
            f"a network such as {type(module).__name__} needs a contract that names its classes and bands: "
            "pass contract="
        )
    network = module
    if not isinstance(module, SegmentationNetwork):
        network = ForeignNetwork(module, num_classes=len(contract.classes), name=contract.name)
    model = Model(network=network.eval(), contract=contract)
    _try_one_tile(model)
    return model


@torch.inference_mode()
def _try_one_tile(model: Model) -> None:
    """Forward one tile of zeros, where the network is, and check what it gives.

    Raises:
        ModelError: if the network does not take it, or gives something else than the contract says.
    """
    contract, size = model.contract, model.settle_tile_size(None)
    device = next((t.device for t in (*model.network.parameters(), *model.network.buffers())), torch.device("cpu"))
    images = torch.zeros(model.fixed_batch or 1, len(contract.bands), size, size, device=device)
    valid = torch.ones(len(images), size, size, dtype=torch.bool, device=device)
    try:
        logits = model.network(images, valid)
    except (ModelError, OptionError):
        raise
    except Exception as error:  # whatever a network from elsewhere may raise
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"model '{contract.name}' does not take {tuple(images.shape)} float32, a tile as its contract has it "
            f"({type(error).__name__}: {reason}): correct the contract's bands or tile_size, or the network"
        ) from error
    wanted = (len(images), len(contract.classes), size, size)
    if tuple(logits.shape) != wanted:
        raise ModelError(
            f"model '{contract.name}' gives {tuple(logits.shape)} where its contract says {wanted}: "
            "correct the contract's classes"
        )


def _takes_valid(module: nn.Module) -> bool:
    """Tell whether the network's forward has a parameter `valid`."""
    try:
        return "valid" in inspect.signature(module.forward).parameters
    except (TypeError, ValueError):  # compiled code has no signature
        return False


def _pick_logits(output: object, name: str) -> Tensor:
    """Give the logits among what a network gives."""
    found = output
    if isinstance(output, Mapping):
        found = next((output[key] for key in OUTPUT_KEYS if key in output), output)
    if not isinstance(found, Tensor) or not found.is_floating_point():
        kind = f"{found.dtype} tensor" if isinstance(found, Tensor) else type(found).__name__
        raise ModelError(
            f"model '{name}' gives a {kind} where logits are expected (a float tensor, or a dictionary with one under "
            f"{' or '.join(OUTPUT_KEYS)}): wrap the network in one that gives them"
        )
    return found
