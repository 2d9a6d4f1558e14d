"""Text in any Unicode encoding, and letters that no file of ours can hold."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodeeplab.errors import SceneError
from geodeeplab.text import decode_text, is_plain, is_wide, parse_json, read_json, to_plain

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


@pytest.mark.parametrize(
    "content",
    [b"[" * 100_000, b'{"a":' * 100_000, b"[" * 500 + b"]" * 500, b"9" * 5000, b"{", b"\xff\xfe\xff", b"", b"[1,]"],
)
def test_what_is_no_json_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        parse_json(content)
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(SceneError, match=r"^'.*a\.json' is no JSON that can be read \([^\n]+\): give another$"):
        read_json(tmp_path / "a.json", dict, error=SceneError, step="give another")


def test_json_is_read_in_any_encoding_and_is_what_it_should_be(tmp_path: Path) -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32-le"):
        assert parse_json('{"ä": [1]}'.encode(encoding)) == {"ä": [1]}
    path = tmp_path / "a.json"
    path.write_text("[1]")
    assert read_json(path, list, error=SceneError, step="") == [1]
    assert read_json(path, object, error=SceneError, step="") == [1]
    with pytest.raises(SceneError, match="is not a JSON object: give another"):
        read_json(path, dict, error=SceneError, step="give another")
    with pytest.raises(SceneError, match=r"cannot be read .*: give another"):
        read_json(tmp_path / "none.json", dict, error=SceneError, step="give another")


@pytest.mark.parametrize("value", [None, 5, ["text"], {"a": "b"}])
def test_what_is_no_text_is_no_plain_text(value: object) -> None:
    assert not is_plain(value)
