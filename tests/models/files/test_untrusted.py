"""Model files, contracts and ONNX files, forged or damaged: one line each, and nothing followed."""

import json
import math
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from geodeeplab.errors import ModelError
from geodeeplab.models import Contract, as_model, build_model, load_model, read_contract, save_model
from geodeeplab.models.architecture import Architecture

VALUES: dict[str, Any] = {
    "name": "forged",
    "classes": [{"id": 1, "name": "land", "color": [1, 2, 3]}, {"id": 2, "name": "water", "color": [4, 5, 6]}],
    "bands": [{"name": "red", "mean": 100, "std": 50}],
    "tile_size": 32,
    "overlap": 8,
}
JUNK: list[Any] = [
    None,
    True,
    -1,
    0,
    10**9,
    10**400,
    math.nan,
    math.inf,
    -1e300,
    "x",
    "",
    "\ud800",
    [],
    [[1]],
    {"a": {}},
    {},
]


def refusal(values: Any) -> str:  # noqa: ANN401
    """Say how a contract is refused; nothing where it is taken."""
    try:
        Contract.from_json(json.dumps(values)).to_json().encode()
    except ModelError as error:
        return str(error)
    return ""


def is_one_line(message: str) -> bool:
    return "\n" not in message and len(message) < 700


@pytest.mark.parametrize(
    "key", ["classes", "bands", *VALUES, "dtype", "value_range", "gsd_m", "architecture", "metrics"]
)
def test_junk_in_a_contract_is_one_line(key: str) -> None:
    for junk in JUNK:
        assert is_one_line(refusal(VALUES | {key: junk}))
    for junk in JUNK:
        for inner in ("id", "name", "color", "mean", "std", "scale", "unknown"):
            for part in ("classes", "bands"):
                changed = [VALUES[part][0] | {inner: junk}, *VALUES[part][1:]]
                assert is_one_line(refusal(VALUES | {part: changed}))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"tile_size": 10**9}, "at most 8192, and share"),
        ({"tile_size": True, "overlap": 0}, "tile_size is a whole number, not True"),
        ({"gsd_m": -1}, "gsd_m is metres above 0, up to 1000000, not -1"),
        ({"gsd_m": "x"}, "gsd_m is a number, not 'x'"),
        ({"dtype": "complex64"}, "such as uint8 or float32, not 'complex64'"),
        ({"name": 5}, "the model's name is text, not 5"),
        ({"name": "  "}, "text of 1 to 200 characters"),
        ({"value_range": [0, 10**400]}, "two finite numbers"),
        ({"metrics": 5}, "metrics is an object of keys and values, not 5"),
        ({"output": "probs"}, "output is logits or probabilities, not 'probs'"),
        ({"positive": "fire"}, "positive names one of the one or two classes"),
        ({"architecture": ["x"]}, "architecture is an object"),
        ({"architecture": {"num_classes": 2, "weights": "/etc/passwd"}}, "has no key 'weights'"),
        ({"bands": [{"name": "red", "mean": 1e300, "std": 1}]}, "finite numbers"),
        ({"bands": [{"name": "red", "mean": 0, "std": 1e-60}]}, "above 0"),
        ({"classes": [VALUES["classes"][0], VALUES["classes"][0] | {"id": 2}]}, "every class has a name of its own"),
        ({"classes": [VALUES["classes"][0] | {"name": "\ud800"}]}, "have no control characters"),
        ({"classes": [VALUES["classes"][0] | {"id": True}]}, "the id of class 'land' is a whole number, not True"),
    ],
)
def test_key_value_and_range_are_named(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ModelError, match=match):
        Contract.from_mapping(VALUES | changes)


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000, '{"a":', "", "null", '"x"'])
def test_json_that_is_no_contract(text: str) -> None:
    with pytest.raises(ModelError, match="not readable"):
        Contract.from_json(text)


@given(
    st.dictionaries(
        st.sampled_from([*Architecture.__dataclass_fields__, "weights", "x"]),
        st.one_of(st.sampled_from(JUNK), st.integers(), st.floats(), st.lists(st.integers(-3, 10**6), max_size=4)),
    )
)
def test_an_architecture_is_what_it_can_be_or_one_line(values: dict[str, Any]) -> None:
    try:
        numbers = Architecture.from_mapping({"num_classes": 3} | values)
    except ModelError as error:
        message = str(error)
        assert is_one_line(message)
    else:
        assert Architecture.from_mapping(numbers.to_mapping()) == numbers


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A model file of a small network."""
    path = tmp_path_factory.mktemp("saved") / "m.safetensors"
    network = build_model(arch="fcn", backbone="mobilenet_v2", num_classes=2, in_channels=1)
    save_model(network, Contract.from_mapping(VALUES | {"architecture": network.architecture}), path)
    return path.read_bytes()


def forge(saved: bytes, path: Path, **architecture: Any) -> Path:  # noqa: ANN401
    size = struct.unpack("<Q", saved[:8])[0]
    header = json.loads(saved[8 : 8 + size])
    contract = json.loads(header["__metadata__"]["geodeeplab"])
    contract["architecture"] |= architecture
    header["__metadata__"]["geodeeplab"] = json.dumps(contract)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + saved[8 + size :])
    return path


@pytest.mark.parametrize(
    ("architecture", "match"),
    [
        ({"weights": "/etc/hostname"}, "has no key 'weights'"),
        ({"weights": "DEFAULT"}, "has no key 'weights'"),
        ({"bands": ["red"]}, "has no key 'bands'"),
        ({"arch": "deeplabv3", "aspp_dropout": -1}, "aspp_dropout is a share from 0 to 1, not -1"),
        ({"arch": "deeplabv3", "aspp_channels": 10**9}, "aspp_channels is a whole number from 1 to 16384"),
        ({"arch": "deeplabv3", "aspp_channels": 16_000}, "do not fit the architecture"),
        ({"pointrend": True, "point_channels": 16_000}, "do not fit the architecture .*is missing"),
        ({"backbone": "timm:hf-hub:somebody/model"}, "cannot be built|need the package timm"),
        ({"num_classes": "2"}, "a model has 2 to 255 classes, not '2'"),
        ({"scales": [1, math.nan]}, "scales begin with 1"),
    ],
)
def test_a_forged_header_is_refused_before_anything_is_opened_or_built(
    saved: bytes, tmp_path: Path, architecture: dict[str, Any], match: str
) -> None:
    path = forge(saved, tmp_path / "m.safetensors", **architecture)
    opened: list[str] = []
    is_listening = True

    def listen(event: str, arguments: tuple[Any, ...]) -> None:
        if is_listening and event in ("open", "socket.getaddrinfo") and "hostname" in str(arguments[0]):
            opened.append(str(arguments[0]))

    sys.addaudithook(listen)
    with pytest.raises(ModelError, match=match):
        load_model(path)
    is_listening = False
    assert opened == []


def test_damaged_bytes_are_one_line(saved: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    size = struct.unpack("<Q", saved[:8])[0]
    header = json.loads(saved[8 : 8 + size])
    first, second = [key for key in header if key != "__metadata__"][:2]
    header[first]["data_offsets"] = header[second]["data_offsets"]
    overlapping = json.dumps(header).encode()
    damaged = {
        "empty": b"",
        "short": saved[:5],
        "cut off": saved[: len(saved) // 2],
        "huge header": struct.pack("<Q", 2**60) + saved[8:],
        "noise": saved[:8] + bytes(size) + saved[8 + size :],
        "overlap": struct.pack("<Q", len(overlapping)) + overlapping + saved[8 + size :],
    }
    for content in damaged.values():
        path.write_bytes(content)
        for read in (load_model, read_contract):
            with pytest.raises(ModelError, match="not a readable safetensors file"):
                read(path)


def test_weights_that_are_not_finite_are_refused(saved: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(saved[:-2] + b"\x00\x7e")  # a half that is NaN, or a part of a float32
    size = struct.unpack("<Q", saved[:8])[0]
    header = json.loads(saved[8 : 8 + size])
    halves = [one["data_offsets"] for key, one in header.items() if one.get("dtype") == "F16"]
    start = 8 + size + halves[0][0]
    path.write_bytes(saved[:start] + b"\x00\x7e" + saved[start + 2 :])
    with pytest.raises(ModelError, match="is not finite: the file is damaged"):
        load_model(path)


@pytest.mark.parametrize("location", ["../outside.bin", "/etc/hostname", "link.bin"])
def test_weights_outside_of_the_folder_are_not_followed(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "outside.bin").write_bytes(bytes(8))
    (folder / "link.bin").symlink_to(tmp_path / "outside.bin")
    weight = numpy_helper.from_array(np.zeros((2, 1, 1, 1), np.float32), "w")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["out"], kernel_shape=[1, 1])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 1, "h", "w_"))],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [weight],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (folder / "a.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match=r"weights outside of its folder, .* which are not followed"):
        as_model(folder / "a.onnx", VALUES)


def test_a_graph_of_huge_tiles_or_batches_is_refused(tmp_path: Path) -> None:
    for shape in ((1, 1, 10**8, 10**8), (10**8, 1, 32, 32)):
        graph = helper.make_graph(
            [helper.make_node("Concat", ["x", "x"], ["out"], axis=1)],
            "graph",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        )
        path = tmp_path / "a.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
        with pytest.raises(ModelError, match="size is 1 to"):
            as_model(path, VALUES)
