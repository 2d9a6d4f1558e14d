"""Where models lie, and what a model file says of itself in its header; read without torch."""

import os
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError, safe_open

from geodeeplab.errors import ModelError
from geodeeplab.models.contract import HEADER_KEY, Contract
from geodeeplab.models.files.esri_model import find_definition, read_esri_model

BUNDLED_FOLDER = Path(__file__).parents[2] / "bundled"
DEFAULT_MODEL = "landcover-aerial"
MODEL_SUFFIXES = (".safetensors",)
ONNX_SUFFIX = ".onnx"


def iter_bundled() -> Iterator[str]:
    """Yield the names of the models that come with GeoDeepLab."""
    yield from sorted(path.stem for path in BUNDLED_FOLDER.glob("*.safetensors"))


def find_model(name_or_path: str | os.PathLike[str]) -> Path:
    """Find the file of a bundled model by its name, or of any other by its path.

    Raises:
        ModelError: if there is neither, or the model is one of Esri's.
    """
    bundled = BUNDLED_FOLDER / f"{name_or_path}.safetensors"
    if bundled.is_file():
        return bundled
    definition = find_definition(name_or_path)
    if definition is not None:
        raise read_esri_model(definition).refusal()
    if not Path(name_or_path).is_file():
        raise ModelError(
            f"no bundled model and no file is called {str(name_or_path)!r}: "
            f"choose one of {', '.join(iter_bundled())}, or give the path of a .safetensors or .onnx file"
        )
    return Path(name_or_path)


def read_contract(name_or_path: str | os.PathLike[str]) -> Contract:
    """Read the contract of a model file, or of an exported ONNX file, without building the network.

    Raises:
        ModelError: if the file is missing or is not a GeoDeepLab model.
        OptionError: for an ONNX file without the extra `onnx`.
    """
    path = find_model(name_or_path)
    if path.suffix.lower() == ONNX_SUFFIX:
        from geodeeplab.models.files.onnx_graph import read_onnx_contract

        return read_onnx_contract(path)
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is not a readable safetensors file ({error}): download or save it again") from error
    if HEADER_KEY not in metadata:
        raise ModelError(f"{path} carries no GeoDeepLab contract: save it with geodeeplab.models.save_model")
    try:
        return Contract.from_json(metadata[HEADER_KEY])
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
