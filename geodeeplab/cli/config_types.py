"""Whether a value of a TOML file is of a type that an argument takes, by the argument's annotation."""

import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields
from os import PathLike
from typing import Any, Literal, Union

from geodeeplab.training.augmentation import Augmentation

PLAIN = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
"""What TOML has, by Python's type."""
MOST = 1 << 63
"""Whole numbers from here on are none of an argument's: no library holds them."""


def fits(value: object, annotation: Any) -> bool:  # noqa: ANN401 - whatever stands at an argument
    """Tell whether a value from TOML, or within one, is of the annotated type.

    A list stands for any sequence, text for a path or one of several words (whoever takes it knows which), a table for
    a mapping or an `Augmentation`. True is no number, nor is what is not finite, and text has no character of value 0.
    """
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(fits(value, part) for part in parts)
    if origin is Literal or annotation is str or (origin or annotation) is PathLike:
        return isinstance(value, str) and "\0" not in value
    if annotation is bool:
        return isinstance(value, bool)
    if annotation is int:
        return type(value) is int and -MOST < value < MOST
    if annotation is float:
        return fits(value, int) or (isinstance(value, float) and math.isfinite(value))
    if annotation is Augmentation:
        return isinstance(value, dict) and all(
            fits(value[one.name], one.type) for one in fields(Augmentation) if one.name in value
        )
    if origin is tuple and Ellipsis not in parts:
        return isinstance(value, list) and len(value) == len(parts) and all(map(fits, value, parts))
    if _is_kind(origin, Mapping):
        return isinstance(value, dict) and all(fits(one, parts[1]) for one in value.values())
    if _is_kind(origin, Sequence):
        return isinstance(value, list) and all(fits(one, parts[0]) for one in value)
    return False  # an object of Python's, which TOML cannot hold


def described(annotation: Any) -> str:  # noqa: ANN401 - whatever stands at an argument
    """Say for a message which values of TOML an argument takes."""
    return " or ".join(dict.fromkeys(_kinds(annotation))) or "nothing that TOML can hold"


def _kinds(annotation: Any) -> list[str]:  # noqa: ANN401 - whatever stands at an argument
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, types.UnionType):
        kinds = [kind for part in parts for kind in _kinds(part)]
        return [kind for kind in kinds if not kind.startswith("a list")] + _longest(kinds)
    if origin is Literal or (origin or annotation) is PathLike:
        return [PLAIN[str]]
    if annotation in PLAIN:
        return [PLAIN[annotation]]
    if _is_kind(origin, Mapping) or annotation is Augmentation:
        return ["a table"]
    if origin is tuple or _is_kind(origin, Sequence):
        inner = " or ".join(dict.fromkeys(kind for part in parts for kind in _kinds(part)))
        return [f"a list ({inner})" if inner else "a list"]
    return ["anything"] if annotation is Any else []


def _longest(kinds: Sequence[str]) -> list[str]:
    """Give the one of the kinds of lists that says most."""
    return sorted((kind for kind in kinds if kind.startswith("a list")), key=len)[-1:]


def _is_kind(origin: object, kind: type) -> bool:
    return isinstance(origin, type) and issubclass(origin, kind)
