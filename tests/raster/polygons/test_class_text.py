"""Values of class fields as text."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from geodeeplab.errors import GeoDeepLabWarning, OptionError
from geodeeplab.raster.polygons.class_text import check_encoding, class_text, class_texts


@pytest.mark.parametrize("null", [None, np.nan, np.float32("nan"), pd.NA, pd.NaT, Decimal("nan"), "", "  ", "\t\n"])
def test_nulls(null: object) -> None:
    assert class_text(null) == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"), (3.0, "3"), (np.float32(3), "3"), (np.int8(3), "3"), (Decimal("3.00"), "3"), ("3", "3"), (2.5, "2.5"),
        (-4.0, "-4"), (True, "true"), (np.bool_(False), "false"), (datetime.date(2020, 1, 2), "2020-01-02"),
        (pd.Timestamp(2020, 1, 2), "2020-01-02"), (pd.Timestamp(2020, 1, 2, 3), "2020-01-02 03:00:00"),
        (" wood ", "wood"), ("a\x00b\nc\x7f", "a b c"), ("a\ud800\ufffeb", "a  b"), ("Straße 水", "Straße 水"),
        (b"wood", "wood"), ((1, 2), "(1, 2)"), (float("inf"), "inf"),
    ],
)  # fmt: skip
def test_values(value: object, text: str) -> None:
    assert class_text(value) == text


def test_times_to_the_nanosecond_are_no_numbers() -> None:
    times = np.array(["2020-01-01", "NaT", "2020-01-01T06:00"], dtype="datetime64[ns]")
    assert class_texts(times).tolist() == ["2020-01-01", "", "2020-01-01 06:00:00"]


def check(*texts: str, is_stated: bool = True, may_state: bool = False) -> None:
    check_encoding(texts, what="layer 'x'", field="k", is_stated=is_stated, may_state=may_state)


@pytest.mark.parametrize("text", ["Straße", "水", "forêt", "лес", "wood", "ÄÖ", "naïve"])
def test_text_in_any_language_passes(text: str) -> None:
    check(text, may_state=True)


@pytest.mark.parametrize("text", ["Straße", "水", "forêt", "лес"])
@pytest.mark.parametrize("wrong", ["latin-1", "cp1252"])
def test_utf8_that_was_read_as_something_else(text: str, wrong: str) -> None:
    try:
        misread = text.encode().decode(wrong)
    except UnicodeDecodeError:
        pytest.skip("has no such letters")
    with pytest.raises(OptionError, match=r"give the one it is in, e\.g\. utf-8 \(`labels_encoding=`"):
        check("wood", misread, may_state=True)
    with pytest.warns(GeoDeepLabWarning, match="was once read in a wrong encoding"):
        check("wood", misread)


def test_letters_that_are_lost() -> None:
    with pytest.raises(OptionError, match="another encoding than the file says"):
        check("Stra\ufffde", may_state=True)
    with pytest.raises(OptionError, match=r"give the one it is in, e\.g\. cp1252"):
        check("Stra\x9ae", may_state=True)
    with pytest.warns(GeoDeepLabWarning, match="correct them at their source"):
        check("Stra\ufffde")


def test_an_encoding_that_nothing_states() -> None:
    check("wood", is_stated=False)
    with pytest.warns(GeoDeepLabWarning, match="as ISO-8859-1 'k' holds 'Straße': if that is wrong"):
        check("wood", "Straße", is_stated=False, may_state=True)
