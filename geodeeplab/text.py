"""Text as people have it: which Unicode encoding it is in, and letters that no file of ours can hold."""

import codecs
import unicodedata

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks; those of UTF-32 come first, as they begin like those of UTF-16."""


def decode_text(data: bytes, *, encoding: str | None = None) -> str:
    """Decode a JSON, TOML, CSV or XML text: UTF-8, UTF-16 or UTF-32, with a byte order mark or without.

    Args:
        data: the bytes; they begin with an ASCII character, or a mark.
        encoding: what it is in where nothing tells, by default UTF-8.

    Raises:
        UnicodeDecodeError: it is in none of them.
    """
    return data.decode(_marked(data) or encoding or "utf-8")


def is_wide(head: bytes) -> bool:
    """Tell from the first bytes of a text that it is in UTF-16 or UTF-32."""
    return (_marked(head) or "utf-8").startswith(("utf-16", "utf-32"))


def is_plain(text: str) -> bool:
    """Tell whether text can stand in every file that we write.

    XML 1.0 (section 2.2) has neither control characters nor halves of surrogate pairs, U+FFFE or U+FFFF.
    """
    return not any(_is_foreign(one) for one in text)


def to_plain(text: str) -> str:
    """Put blanks in place of characters that not every file can hold, and cut blanks off both ends."""
    if text.isprintable():  # nearly all
        return text.strip()
    return "".join(" " if _is_foreign(one) else one for one in text).strip()


def _is_foreign(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs") or character in "\ufffe\uffff"


def _marked(data: bytes) -> str | None:
    """Give the encoding that a mark, or the zeros beside the first character, tell; None for neither."""
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return encoding
    zeros = "".join("0" if byte == 0 else "x" for byte in data[:4])
    return {"x000": "utf-32-le", "000x": "utf-32-be", "x0x0": "utf-16-le", "0x0x": "utf-16-be"}.get(zeros)
