"""Any network as a model: a bundled one, a model file, an ONNX file, or a module from elsewhere with a contract."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from torch import nn

from geodeeplab.errors import ModelError, OptionError
from geodeeplab.models.adapted.network import AdaptedNetwork
from geodeeplab.models.contract import Contract, read_contract_file, with_tile_size
from geodeeplab.models.files.foreign import ForeignNetwork, settle_output
from geodeeplab.models.files.header import ONNX_SUFFIX, find_model
from geodeeplab.models.files.model import Model
from geodeeplab.models.files.model_file import load_model
from geodeeplab.models.files.onnx_graph import read_graph
from geodeeplab.models.files.onnx_model import OnnxNetwork
from geodeeplab.models.files.trial import TileRefusedError, is_out_of_memory, refuse_size, try_tile
from geodeeplab.models.network import SegmentationNetwork

ModelLike = str | os.PathLike[str] | nn.Module | Model
ContractLike = Contract | str | os.PathLike[str] | Mapping[str, Any]


def as_model(model: ModelLike, contract: ContractLike | None = None) -> Model:
    """Give a model of whatever can be one.

    A network from elsewhere is tried on one tile. It is put into evaluation mode, and stays the caller's. One of a
    single channel, of a sigmoid, tells one class from the rest: the contract names that class, or both with it last
    (or as `positive`). The model's contract has both; the rest is called `background` where it has no name.

    Args:
        model: a bundled model's name, the path of a model file or of an ONNX file, a network, or a model.
        contract: what a network or an ONNX file from elsewhere was trained on: a contract, the values of one (name,
            classes, bands; see `Contract.from_mapping`), or the path of a JSON file with them. The others carry theirs.

    Raises:
        ModelError: if the file is missing or broken, a contract is needed, it and the network do not agree, or nobody
            can tell whether the network gives logits or probabilities.
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
    loaded = _tried(_load_onnx(path, stated))
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
            "pass `contract=`"
        )
    network = module
    if not isinstance(module, SegmentationNetwork | AdaptedNetwork):
        network = ForeignNetwork(module, num_classes=len(contract.classes), name=contract.name)
    return _tried(Model(network=network.eval(), contract=contract))


def _tried(model: Model) -> Model:
    """Try a model on one tile, and settle what its network gives.

    Raises:
        ModelError: if the network does not take it, or gives something else than the contract says.
    """
    network, contract = model.network, model.contract
    size = model.settle_tile_size(None)
    try:
        raw, images, activation = try_tile(model, tile_size=size)
    except TileRefusedError as refused:
        raise refuse_size(model, size, str(refused)) from refused
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise ModelError(
            f"there is not enough memory to try model '{contract.name}' on a tile of {size} px: state a smaller "
            "tile_size in its contract"
        ) from error
    if isinstance(network, ForeignNetwork | OnnxNetwork):
        is_exported = model.input == "raw"  # by us: its output needs no guess
        stated = _as_exported(contract, activation) if is_exported else contract
        settled, network.form = settle_output(stated, raw, images, activation=activation)
        return replace(model, contract=contract if is_exported else settled)
    wanted = (len(images), len(contract.classes), size, size)
    if tuple(raw.shape) != wanted:
        raise ModelError(
            f"model '{contract.name}' gives {tuple(raw.shape)} where its contract says {wanted}: "
            "correct the contract's classes"
        )
    return model


def _as_exported(contract: Contract, activation: str | None) -> Contract:
    """Give the contract of a file of ours, with what its graph gives: logits, or probabilities for another program."""
    output: Literal["logits", "probabilities"] = "probabilities" if activation == "softmax" else "logits"
    return replace(contract, architecture={}, output=output)


def _load_onnx(path: Path, contract: Contract | None) -> Model:
    """Load an ONNX file: an exported one with the contract that it carries, any other with the contract given.

    A tile size that is fixed in the graph replaces the contract's.

    Raises:
        ModelError: if the file is broken, is no segmentation network, or does not fit the contract; if it needs one.
        OptionError: if it carries its own contract and another is given; without the extra `onnx`.
    """
    graph = read_graph(path)
    if graph.contract is not None and contract is not None:
        raise OptionError(f"{path} carries its own contract: leave out the other one")
    chosen = graph.contract or contract
    if chosen is None:
        raise ModelError(
            f"{path} carries no GeoDeepLab contract: pass one that names its classes and bands, such as a JSON "
            "file, with `contract=`"
        )
    if graph.channels not in (None, len(chosen.bands)):
        raise ModelError(
            f"{path} reads {graph.channels} bands, the contract names {len(chosen.bands)} "
            f"({', '.join(chosen.band_names)}): correct the contract, or export the network with channels first"
        )
    if graph.tile_size is not None:
        chosen = with_tile_size(chosen, graph.tile_size)
    return Model(
        network=OnnxNetwork(path, graph, num_classes=len(chosen.classes), name=chosen.name).eval(),
        contract=chosen,
        path=path,
        input="normalised" if graph.contract is None else "raw",
        fixed_tile_size=graph.tile_size,
        fixed_batch=graph.batch,
        precisions=("fp32",),
    )
