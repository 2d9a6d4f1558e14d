"""Classes and bands of a contract: what they need, and what is refused of them."""

from typing import Any

import pytest

from geodeeplab.errors import ModelError
from geodeeplab.models import Contract, ModelBand, ModelClass
from geodeeplab.models.contract_parts import read_band, read_class

LAND = {"id": 1, "name": "land", "color": [1, 2, 3]}
RED = {"name": "red", "mean": 0, "std": 1}


def test_plain_values_become_what_they_say() -> None:
    assert read_class(LAND) == ModelClass(id=1, name="land", color=(1, 2, 3))
    assert read_band(RED) == ModelBand(name="red", mean=0, std=1, scale=1, offset=0)
    assert not read_band(RED).is_scaled
    assert read_band(RED | {"offset": -1}).is_scaled
    for read, item in ((read_class, read_class(LAND)), (read_band, read_band(RED))):
        assert read(item) is item


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"color": [1, 2, 300]}, r"from 0 to 255, not \(1, 2, 300\) as of 'land'"),
        ({"color": [1, 2]}, "red, green, blue from 0 to 255"),
        ({"color": [1, 2, True]}, "red, green, blue from 0 to 255"),
        ({"color": "red"}, "not readable .*a colour is a list"),
        ({"id": True}, "not readable .*the id of class 'land' is a whole number"),
        ({"name": "a\nb"}, "names of classes have no control characters"),
        ({"kind": 1}, "not readable .*'kind'"),
    ],
)
def test_what_is_no_class_is_refused(change: dict[str, Any], match: str) -> None:
    with pytest.raises(ModelError, match=match):
        Contract.from_mapping({"name": "foreign", "classes": [LAND | change], "bands": [RED]})


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"gain": 2}, "not readable .*'gain'"),
        ({"mean": "low"}, "not readable"),
        ({"mean": float("nan")}, "of band 'red' are finite numbers"),
        ({"is_optional": 1}, "is_optional of band 'red' is true or false, not 1"),
        ({"scale": 0}, "its scale is not 0, not 1 and 0"),
        ({"std": -1}, "above 0 and its scale is not 0, not -1 and 1"),
    ],
)
def test_what_is_no_band_is_refused(change: dict[str, Any], match: str) -> None:
    with pytest.raises(ModelError, match=match):
        Contract.from_mapping({"name": "foreign", "classes": [LAND], "bands": [RED | change]})


@pytest.mark.parametrize(("key", "values"), [("classes", LAND), ("bands", RED)])
def test_what_is_missing_is_named(key: str, values: dict[str, Any]) -> None:
    plain = {"name": "foreign", "classes": [LAND], "bands": [RED]}
    for missing in values:
        left = {name: value for name, value in values.items() if name != missing}
        with pytest.raises(ModelError, match=f"not readable .*'{missing}' is missing"):
            Contract.from_mapping(plain | {key: [left]})
