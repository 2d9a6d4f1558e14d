"""The contract: what it needs, what it writes, what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest

from geodeeplab.errors import ModelError
from geodeeplab.models import Contract, read_contract, read_contract_file

MINIMAL: dict[str, Any] = {
    "name": "foreign",
    "classes": [{"id": 1, "name": "land", "color": [1, 2, 3]}, {"id": 2, "name": "water", "color": [4, 5, 6]}],
    "bands": [{"name": "red", "mean": 0, "std": 1}],
}


def test_name_classes_and_bands_are_enough() -> None:
    contract = Contract.from_mapping(MINIMAL)
    assert (contract.band_names, contract.dtype, contract.value_range) == (("red",), "uint8", (0.0, 255.0))
    assert (contract.tile_size, contract.overlap, dict(contract.architecture)) == (512, 128, {})
    assert not contract.bands[0].is_scaled


@pytest.mark.parametrize(("stated", "overlap"), [({}, 112), ({"overlap": 16}, 16)])
def test_small_tiles_share_half_at_most_unless_stated(stated: dict[str, int], overlap: int) -> None:
    assert Contract.from_mapping(MINIMAL | {"tile_size": 224} | stated).overlap == overlap


def test_scale_and_offset_come_back_and_are_left_out_where_there_are_none() -> None:
    bands = [{"name": "red", "mean": 0.0, "std": 1.0}, {"name": "nir", "mean": 0.0, "std": 1.0, "scale": 1e-4}]
    contract = Contract.from_mapping(MINIMAL | {"bands": bands})
    assert [(band.scale, band.offset, band.is_scaled) for band in contract.bands] == [
        (1.0, 0.0, False),
        (1e-4, 0.0, True),
    ]
    assert json.loads(contract.to_json())["bands"] == [bands[0], bands[1] | {"offset": 0.0}]
    assert Contract.from_json(contract.to_json()) == contract


def test_optional_bands_come_back_and_are_left_out_where_there_are_none() -> None:
    bands = [{"name": "red", "mean": 0.0, "std": 1.0}, {"name": "nir", "mean": 0.0, "std": 1.0, "is_optional": True}]
    contract = Contract.from_mapping(MINIMAL | {"bands": bands})
    assert json.loads(contract.to_json())["bands"] == bands
    assert Contract.from_json(contract.to_json()) == contract
    assert [contract.channels_of(count) for count in (0, 1, 2, 3)] == [None, (0,), (0, 1), None]
    with pytest.raises(ModelError, match="at least one band that is not optional"):
        Contract.from_mapping(MINIMAL | {"bands": bands[1:]})


def test_a_contract_from_before_scales_is_written_as_it_was() -> None:
    written = read_contract("landcover-aerial").to_json()
    assert '"scale":' not in written
    assert Contract.from_json(written) == read_contract("landcover-aerial")


def test_a_temperature_comes_back_and_is_left_out_where_nobody_measured_it() -> None:
    assert Contract.from_mapping(MINIMAL).temperature == 1
    assert "temperature" not in Contract.from_mapping(MINIMAL).to_json()
    warm = Contract.from_mapping(MINIMAL | {"temperature": 1.7})
    assert Contract.from_json(warm.to_json()) == warm


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"classes": None}, "contract is not readable"),
        ({"classes": []}, "has classes and bands, not 0 and 1"),
        ({"value_range": [255, 0]}, "the lower one first, not 255, 0"),
        ({"value_range": [0]}, "not readable"),
        ({"dtype": "byte8"}, "such as uint8 or float32, not 'byte8'"),
        ({"tile_size": 64, "overlap": 33}, "share at most half of them, not 33 of 64"),
        ({"tile_size": 0}, "at least 1 pixel"),
        ({"tile_size": "64"}, "not readable"),
        ({"colour": 1}, "not readable .*'colour'"),
        ({"format_version": 2}, "format 1, not 2"),
        ({"temperature": 0}, "a temperature lies within 0.01 to 100, not 0: leave it out"),
        ({"temperature": float("nan")}, "a temperature lies within"),
        ({"temperature": "warm"}, "not readable"),
    ],
)
def test_what_is_no_contract_is_refused(changes: dict[str, object], match: str) -> None:
    with pytest.raises(ModelError, match=match):
        Contract.from_mapping(MINIMAL | changes)


def test_a_json_file(tmp_path: Path) -> None:
    path = tmp_path / "contract.json"
    path.write_text(json.dumps(MINIMAL), encoding="utf-8")
    assert read_contract_file(path) == Contract.from_mapping(MINIMAL)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match=r"contract\.json' is no JSON that can be read"):
        read_contract_file(path)
    path.write_text("[1]", encoding="utf-8")
    with pytest.raises(ModelError, match="is not a JSON object"):
        read_contract_file(path)
    with pytest.raises(ModelError, match=r"cannot be read .*: give the path of a contract, a JSON file"):
        read_contract_file(tmp_path / "none.json")
