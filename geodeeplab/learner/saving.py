"""What a model file is called, what it says of its training, and which files a network can take the weights of."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geodeeplab.errors import ModelError
from geodeeplab.models import MODEL_SUFFIXES, Contract, build_model, iter_bundled
from geodeeplab.training.data import TrainingData
from geodeeplab.training.loop.model_facts import versions
from geodeeplab.training.loop.objective import Objective


def provenance_facts(
    data: TrainingData, objective: Objective, *, start: str, fits: Sequence[Mapping[str, Any]], epochs: int, seed: int
) -> dict[str, Any]:
    """Say where a model comes from: data, start, loss, fits, versions; of files the names, not the folders."""
    return {
        "data": dict(data.provenance),
        "start": Path(start).name if Path(start).is_file() else start,
        "loss": dataclasses.asdict(objective),
        "fits": list(fits),
        "epochs": epochs,
        "seed": seed,
        "versions": versions(),
    }


def named_file(name_or_path: str | os.PathLike[str]) -> Path:
    """Give the path of a model file: a name without a suffix stands for the file of that name."""
    path = Path(name_or_path)
    return path if path.suffix or not path.name else path.with_name(path.name + MODEL_SUFFIXES[0])


def find_saved(name_or_path: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """Give the path of the model file that was saved under a name; bundled models' and other files' as they are."""
    path = named_file(name_or_path)
    is_other = str(name_or_path) in iter_bundled() or Path(name_or_path).is_file()
    return path if path.is_file() and not is_other else name_or_path


def check_same(here: Contract, there: Contract, path: str | os.PathLike[str]) -> None:
    """Refuse a model of another network, or of other classes or bands.

    Raises:
        ModelError: for such a one.
    """
    ours, theirs = _identity(here), _identity(there)
    for what, value in ours.items():
        if theirs[what] != value:
            raise ModelError(
                f"{path} has another {what}, {theirs[what]}, not {value}: use DeepLab.from_model to go on from it"
            )


def _identity(contract: Contract) -> dict[str, Any]:
    """Give what two models must share for one to take the other's weights."""
    network = build_model(**contract.architecture).architecture
    return {
        "architecture": dict(network),
        "list of classes": [item.name for item in contract.classes],
        "list of bands": list(contract.band_names),
        "list of classes whose objects are told apart": list(contract.instances),
    }
