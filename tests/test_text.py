"""Text in any Unicode encoding, and letters that no file of ours can hold."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodeeplab.text import decode_text, is_plain, is_wide, to_plain

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("text", ['{"name": "вода 水"}', "[data]\nname = 'ß'", "{}"])
def test_it_is_decoded(encoding: str, text: str) -> None:
    data = text.encode(encoding)
    assert decode_text(data) == text
    assert is_wide(data) == encoding.startswith(("utf-16", "utf-32"))


def test_what_nothing_tells_can_be_stated() -> None:
    assert decode_text("ß".encode("cp1252"), encoding="cp1252") == "ß"
    with pytest.raises(UnicodeDecodeError):
        decode_text("ß".encode("cp1252"))


@given(st.text(alphabet=st.characters(exclude_categories=[])))
def test_plain_text_stands_in_xml(text: str) -> None:
    plain = to_plain(text)
    assert is_plain(plain)
    element = ElementTree.Element("name")
    element.text = plain
    assert ElementTree.fromstring(ElementTree.tostring(element, encoding="utf-8")).text == (plain or None)
    assert to_plain(plain) == plain
