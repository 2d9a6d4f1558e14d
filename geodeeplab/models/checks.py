"""Checks of single values that come from a file: whole numbers, numbers, text. What is wrong is said in one line."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from geodeeplab.errors import ModelError
from geodeeplab.text import is_plain

LARGEST = float(np.finfo(np.float32).max)
"""Networks compute in float32: what is larger is infinite there."""
LONGEST_NAME = 200


def check_whole(value: object, what: str, low: int, high: int) -> None:
    """Refuse what is no whole number of a range.

    Raises:
        TypeError: if it is of another type (True is no number).
        ModelError: if it is out of the range.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} is a whole number from {low} to {high}, not {shown(value)}")
    if not low <= value <= high:
        raise ModelError(f"{what} is a whole number from {low} to {high}, not {shown(value)}: correct it")


def check_number(value: object, what: str) -> None:
    """Refuse what is no number; whether it is finite is another matter.

    Raises:
        TypeError: if it is of another type.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{what} is a number, not {shown(value)}")


def is_finite(value: float) -> bool:
    """Tell whether a number is finite in float32, too."""
    return abs(value) <= LARGEST if isinstance(value, int) else math.isfinite(value) and abs(value) <= LARGEST


def check_flag(value: object, what: str) -> None:
    """Refuse what is neither True nor False.

    Raises:
        TypeError: for such a value.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{what} is true or false, not {shown(value)}")


def check_text(value: object, what: str) -> None:
    """Refuse what is no text.

    Raises:
        TypeError: if it is of another type.
    """
    if not isinstance(value, str):
        raise TypeError(f"{what} is text, not {shown(value)}")


def check_name(value: object, what: str) -> None:
    """Refuse what cannot be a name in every output: empty, too long, or with characters that files cannot hold.

    Raises:
        TypeError: if it is no text.
        ModelError: if it cannot be a name.
    """
    check_text(value, what)
    text = str(value)
    if not text.strip() or len(text) > LONGEST_NAME:
        raise ModelError(f"{what} is text of 1 to {LONGEST_NAME} characters, not {shown(text)}: give it a name")
    if not is_plain(text):
        raise ModelError(f"{what} has no control characters, but {shown(text)} has: name it anew")


def check_sequence(value: object, what: str, most: int) -> None:
    """Refuse what is no list, or one of too many values.

    Raises:
        TypeError: if it is no list.
        ModelError: if it is empty or too long.
    """
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(f"{what} is a list, not {shown(value)}")
    if not 1 <= len(value) <= most:
        raise ModelError(f"{what} is a list of 1 to {most} values, not of {len(value)}: correct it")


def check_mapping(value: object, what: str) -> None:
    """Refuse what is no JSON object.

    Raises:
        TypeError: for such a value.
    """
    if not isinstance(value, Mapping):
        raise TypeError(f"{what} is an object of keys and values, not {shown(value)}")


def refuse_unknown(values: Mapping[Any, Any], what: str, known: Sequence[str]) -> None:
    """Refuse keys that nobody knows.

    Raises:
        TypeError: if there is one.
    """
    for key in values:
        if key not in known:
            raise TypeError(f"{what} has no key {shown(key)}: the keys are {', '.join(known)}")


def shown(value: object) -> str:
    """Show a value in a message: on one line, cut off, whatever it is."""
    try:
        text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, or a nest
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."
