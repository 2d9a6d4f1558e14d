"""The classes of features as text: numbers, dates and nulls of any type, and text in a wrong encoding."""

import datetime
import warnings
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from geodeeplab.errors import GeoDeepLabWarning, OptionError
from geodeeplab.text import to_plain

SHOWN = 12
"""Values and fields that a message lists at most."""
ENCODING_OPTIONS = "`labels_encoding=`, of a truth `truth_encoding=`"
LOST = "\ufffd" + "".join(map(chr, range(0x80, 0xA0)))
"""What stands for characters that could not be read, and what nobody writes but many code pages have letters for."""


def class_text(value: object) -> str:
    """Give a class's name or number as text.

    Whole numbers have no point, dates no midnight, and control characters, which no XML file can hold, are blanks.
    Null of any kind (None, NaN, pandas' NA and NaT), empty and blank text are all "": no class.
    """
    if isinstance(value, str):
        return to_plain(value)
    if value is None:
        return ""
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, float | np.floating | Decimal):
        if value != value:
            return ""
        return str(int(value)) if value == value // 1 else str(value)
    if isinstance(value, bytes):
        return class_text(value.decode("utf-8", "replace"))
    if _is_null(value):
        return ""
    if isinstance(value, datetime.datetime) and value.time() == datetime.time.min:
        return value.date().isoformat()
    return class_text(str(value))


def class_texts(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Give the classes of all features as text, see `class_text`."""
    if values.dtype.kind == "M":  # `tolist` would make numbers of nanoseconds
        values = values.astype("datetime64[us]").astype(object)
    return np.array([class_text(one) for one in values.tolist()], dtype=object)


def check_encoding(values: Iterable[object], *, what: str, field: str, is_stated: bool, may_state: bool) -> None:
    """Look for text that was read in another encoding than it was written in.

    Args:
        values: of a class field, as they were read.
        what: how messages name the layer.
        field: how messages name the field.
        is_stated: whether the file or the caller says which encoding it is.
        may_state: whether the caller can still say it, and the file would be read anew.

    Warns:
        GeoDeepLabWarning: some text has been damaged for good, or nothing says its encoding.

    Raises:
        OptionError: the caller has to say it.
    """
    foreign = sorted({one for one in values if isinstance(one, str) and not one.isascii()})
    damaged = [text for text in foreign if any(one in LOST for one in text) or _is_misread(text)]
    shown = listed([to_plain(text) for text in damaged or foreign])
    if damaged and may_state:
        raise OptionError(
            f"{what} has text in '{field}' that is in another encoding than the file says ({shown}): give "
            f"the one it is in, e.g. {'utf-8' if any(map(_is_misread, damaged)) else 'cp1252'} ({ENCODING_OPTIONS})"
        )
    if damaged:
        warnings.warn(
            f"{what} has text in '{field}' that was once read in a wrong encoding ({shown}), and these are "
            "names of classes now: correct them at their source",
            GeoDeepLabWarning,
            stacklevel=4,
        )
    elif foreign and not is_stated:
        warnings.warn(
            f"{what} does not say in which encoding its text is; as ISO-8859-1 '{field}' holds {shown}: if "
            f"that is wrong, give the one it is in ({ENCODING_OPTIONS})",
            GeoDeepLabWarning,
            stacklevel=4,
        )


def listed(texts: Sequence[str]) -> str:
    """Write values down for a message, no more than fit."""
    shown = ", ".join("(no value)" if text == "" else f"'{text}'" for text in texts[:SHOWN])
    return f"{shown}, and {len(texts) - SHOWN} more" if len(texts) > SHOWN else shown or "none"


def by_number(text: str) -> tuple[float, str]:
    """Sort numbers by size and before names."""
    try:
        number = float(text)
    except ValueError:
        return float("inf"), text
    return (number if number == number else float("inf")), text


def _is_null(value: object) -> bool:
    import pandas as pd

    return pd.api.types.is_scalar(value) and bool(pd.isna(value))  # type: ignore[call-overload] # any object


def _is_misread(text: str) -> bool:
    """Tell UTF-8 that was read as Latin-1 or Windows-1252; other text is practically never valid UTF-8 by chance."""
    for encoding in ("latin-1", "cp1252"):
        try:
            if not text.encode(encoding).decode("utf-8").isascii():
                return True
        except UnicodeError:
            continue
    return False
