"""What `geodeeplab train` is told: a TOML file, options on top of it, defaults below."""

import inspect
import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from geodeeplab.errors import OptionError
from geodeeplab.text import decode_text

Tables = dict[str, dict[str, Any]]
"""Values by table and name: `data`, `learner`, `fit`, `model`."""

NOT_TOLD = {"network", "checkpoint", "progress", "after_step", "announce", "resume", "overwrite", "data", "path"}
"""Arguments that no file gives, or that the command line alone does."""
MODEL_KEYS = {"output": None, "name": None, "licence": "", "int8": False}
LEARNER_KEYS = {"from_model": None, "freeze": False, "lr_find": False}
KEY_TYPES: Tables = {
    "data": {},
    "learner": {"from_model": str, "freeze": bool, "lr_find": bool},
    "fit": {},
    "model": {**dict.fromkeys(MODEL_KEYS, str), "int8": bool},
}
"""Types of the keys that are no arguments' names."""


def known_keys() -> Tables:
    """Give every key with its default: the arguments of `prepare_data`, `DeepLab` and `DeepLab.fit`."""
    from geodeeplab.learner import DeepLab
    from geodeeplab.training.prepare import prepare_data

    return {
        "data": {"chips": None} | _defaults(prepare_data),
        "learner": LEARNER_KEYS | _defaults(DeepLab),
        "fit": _defaults(DeepLab.fit),
        "model": dict(MODEL_KEYS),
    }


def known_types() -> Tables:
    """Give the annotated type of every key."""
    from geodeeplab.learner import DeepLab
    from geodeeplab.training.prepare import prepare_data

    def annotations(function: Callable[..., object]) -> dict[str, Any]:
        return {name: one.annotation for name, one in inspect.signature(function).parameters.items()}

    data = annotations(prepare_data)
    data["chips"] = data["path"]
    told: Tables = {"data": data, "learner": annotations(DeepLab), "fit": annotations(DeepLab.fit), "model": {}}
    return {table: told[table] | types for table, types in KEY_TYPES.items()}


def read_config(path: Path, known: Tables) -> Tables:
    """Read a TOML file.

    Raises:
        OptionError: if it cannot be read, has a key that nobody knows, or a value of another type than its argument.
    """
    try:
        tables = tomllib.loads(decode_text(path.read_bytes()))
    except (OSError, ValueError, RecursionError) as error:  # ValueError: of text, TOML, or too many digits
        raise OptionError(f"the configuration {path} cannot be read ({error}): give the path of a TOML file") from error
    for table, values in tables.items():
        if table not in known or not isinstance(values, dict):
            raise OptionError(
                f"{path} has {table!r}, where tables are {', '.join(known)}: put its keys into one of them"
            )
        for key in values:
            if key not in known[table]:
                keys = ", ".join(known[table])
                raise OptionError(f"{path} has the key {key!r} in [{table}], which has {keys}: correct or remove it")
    _check_types(tables, path)
    return tables


def _check_types(tables: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Check values against the annotations of the arguments that they are for.

    Raises:
        OptionError: if one does not fit.
    """
    from geodeeplab.cli.config_types import described, fits
    from geodeeplab.models.checks import shown

    known = known_types()
    for table, values in tables.items():
        for key, value in values.items():
            if not fits(value, known[table][key]):
                raise OptionError(
                    f"{path} has {key} = {shown(value)} in [{table}], which is {described(known[table][key])}: "
                    "correct it"
                )


def merge(known: Tables, *told: Mapping[str, Mapping[str, Any]]) -> Tables:
    """Put values together, later ones on top; None is not told."""
    merged = {table: dict(values) for table, values in known.items()}
    for tables in told:
        for table, values in tables.items():
            merged[table] |= {key: value for key, value in values.items() if value is not None}
    return merged


def to_toml(tables: Tables) -> str:
    """Write values as TOML; None, which TOML does not have, is left out, and is the default of its key."""
    parts = []
    for table, values in tables.items():
        lines = [f"{key} = {_toml(value)}" for key, value in values.items() if value is not None]
        parts.append("\n".join([f"[{table}]", *lines]))
    return "\n\n".join(parts) + "\n"


def _toml(value: object) -> str:
    """Write one value: JSON's spelling is TOML's, but for tables."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(key))} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)


def _defaults(function: Callable[..., object]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters
    return {
        name: None if parameter.default is inspect.Parameter.empty else parameter.default
        for name, parameter in parameters.items()
        if name not in NOT_TOLD | {"self"}
    }
