"""Text as people have it: which Unicode encoding it is in, JSON, and letters that no file of ours can hold."""

import codecs
import json
import os
import unicodedata
from pathlib import Path
from typing import Any, TypeVar

from geodeeplab.errors import GeoDeepLabError

T = TypeVar("T")

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks; those of UTF-32 come first, as they begin like those of UTF-16."""
DEEPEST = 100
"""Objects and lists within one another in JSON; whoever goes through them has a stack with an end."""


def decode_text(data: bytes, *, encoding: str | None = None) -> str:
    """Decode a JSON, TOML, CSV or XML text: UTF-8, UTF-16 or UTF-32, with a byte order mark or without.

    Args:
        data: the bytes; they begin with an ASCII character, or a mark.
        encoding: what it is in where nothing tells, by default UTF-8.

    Raises:
        UnicodeDecodeError: it is in none of them.
    """
    return data.decode(_marked(data) or encoding or "utf-8")


def parse_json(content: bytes | str) -> Any:  # noqa: ANN401 - any JSON
    """Read JSON that may come from anybody, in any encoding that `decode_text` knows.

    Raises:
        ValueError: it is no JSON, is deeper than `DEEPEST`, or has a number too long for Python; says so in one line.
    """
    text = content if isinstance(content, str) else decode_text(content)
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(f"more than {DEEPEST} objects and lists within one another") from None
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [item for one in level if isinstance(one, dict | list) for item in _items(one)]
        if not level:
            return value
    raise ValueError(f"more than {DEEPEST} objects and lists within one another")


def read_json(path: str | os.PathLike[str], expected: type[T], *, error: type[GeoDeepLabError], step: str) -> T:
    """Read a JSON file that may come from anybody; see `parse_json`.

    Args:
        path: of the file.
        expected: what its outermost value is: `dict` for an object, `list`, or `object` for anything.
        error: what to raise.
        step: the end of a message: what to do next.

    Raises:
        GeoDeepLabError: of the type asked for; it cannot be read, is no JSON, or is something else than expected.
    """
    try:
        value = parse_json(Path(path).read_bytes())
    except OSError as reason:
        raise error(f"'{os.fspath(path)}' cannot be read ({reason.strerror or reason}): {step}") from reason
    except ValueError as reason:
        raise error(f"'{os.fspath(path)}' is no JSON that can be read ({reason}): {step}") from reason
    if not isinstance(value, expected):
        kind = "list" if expected is list else "object"
        raise error(f"'{os.fspath(path)}' is not a JSON {kind}: {step}")
    return value


def is_wide(head: bytes) -> bool:
    """Tell from the first bytes of a text that it is in UTF-16 or UTF-32."""
    return (_marked(head) or "utf-8").startswith(("utf-16", "utf-32"))


def is_plain(text: object) -> bool:
    """Tell whether a value is text that can stand in every file that we write.

    XML 1.0 (section 2.2) has neither control characters nor halves of surrogate pairs, U+FFFE or U+FFFF.
    """
    return isinstance(text, str) and not any(_is_foreign(one) for one in text)


def to_plain(text: str) -> str:
    """Put blanks in place of characters that not every file can hold, and cut blanks off both ends."""
    if text.isprintable():  # nearly all
        return text.strip()
    return "".join(" " if _is_foreign(one) else one for one in text).strip()


def _items(value: dict[str, Any] | list[Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value


def _is_foreign(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs") or character in "\ufffe\uffff"


def _marked(data: bytes) -> str | None:
    """Give the encoding that a mark, or the zeros beside the first character, tell; None for neither."""
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return encoding
    zeros = "".join("0" if byte == 0 else "x" for byte in data[:4])
    return {"x000": "utf-32-le", "000x": "utf-32-be", "x0x0": "utf-16-le", "0x0x": "utf-16-be"}.get(zeros)
