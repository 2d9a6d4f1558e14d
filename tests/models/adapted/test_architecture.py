"""The numbers of adapted networks, as model files state them: there and back, or one line."""

import json
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geodeeplab.errors import ModelError
from geodeeplab.models import AdaptedArchitecture, AdaptedNetwork, EncoderNumbers
from geodeeplab.models.adapted.architecture import read_architecture
from geodeeplab.models.architecture import Architecture

NETWORK = Architecture(arch="fcn", backbone="resnet18", num_classes=4)
LITE: dict[str, Any] = {"backbone": "efficientnet_lite0", "channels": [0, 1, 2], "components": 8}
VALUES: dict[str, Any] = {
    "arch": "adapted",
    "in_channels": 4,
    "num_classes": 3,
    "encoders": [LITE],
    "pairs": [[3, 0]],
    "hidden": [16],
}


@given(
    st.builds(
        AdaptedArchitecture,
        num_classes=st.integers(2, 255),
        in_channels=st.integers(4, 20),
        encoders=st.lists(
            st.one_of(
                st.builds(
                    EncoderNumbers, backbone=st.just("resnet18"), channels=st.just((3, 0)), components=st.just(2)
                ),
                st.builds(EncoderNumbers, network=st.just(NETWORK), components=st.integers(1, 9)),
            ),
            max_size=4,
        ).map(tuple),
        pairs=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=5).map(tuple),
        hidden=st.lists(st.integers(1, 300), max_size=3).map(tuple),
    )
)
def test_there_and_back(numbers: AdaptedArchitecture) -> None:
    values = json.loads(json.dumps(numbers.to_mapping()))
    assert AdaptedArchitecture.from_mapping(values) == numbers
    assert read_architecture(values) == numbers


def test_a_plain_architecture_is_read_as_one() -> None:
    assert read_architecture(NETWORK.to_mapping()) == NETWORK


def refusal(values: Any) -> str:  # noqa: ANN401 - junk
    """Say how an architecture is refused, in one line; nothing where it is taken."""
    try:
        AdaptedArchitecture.from_mapping(values)
    except ModelError as error:
        message = str(error)
    else:
        return ""
    assert "\n" not in message
    assert len(message) < 700
    return message


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"weights": "/etc/passwd"}, "has no key 'weights'"),
        ({"in_channels": 0}, "in_channels is a whole number from 1"),
        ({"in_channels": "4"}, "in_channels is a whole number"),
        ({"num_classes": 1}, "num_classes is a whole number from 2 to 255, not 1"),
        ({"num_classes": True}, "num_classes is a whole number"),
        ({"pairs": [[3, 4]]}, "the number of a band is a whole number from 0 to 3, not 4"),
        ({"pairs": [[0, -1]]}, "the number of a band is a whole number from 0 to 3, not -1"),
        ({"pairs": [[0, 1, 2]]}, "a pair of bands has two numbers"),
        ({"pairs": [5]}, "a pair of bands is a list, not 5"),
        ({"pairs": "ab"}, "pairs is a list, not 'ab'"),
        ({"pairs": [[0, 1]] * 65}, "64 pairs of bands and 8 hidden layers, not 1, 65 and 1"),
        ({"encoders": [LITE] * 5}, "up to 4 encoders, 64 pairs of bands and 8 hidden layers, not 5, 1 and 1"),
        ({"encoders": 7}, "encoders is a list, not 7"),
        ({"encoders": [7]}, "an encoder is an object"),
        ({"encoders": [LITE | {"network": NETWORK.to_mapping()}]}, "a backbone or a network, one of the two"),
        ({"encoders": [{"channels": [0, 1, 2]}]}, "a backbone or a network, one of the two"),
        ({"encoders": [LITE | {"path": "x"}]}, "an encoder has no key 'path'"),
        ({"encoders": [LITE | {"channels": [0, 1, 4]}]}, "the number of a band is a whole number from 0 to 3, not 4"),
        ({"encoders": [LITE | {"channels": ["red"]}]}, "the number of a band is a whole number"),
        ({"encoders": [LITE | {"channels": []}]}, "channels of an encoder"),
        ({"encoders": [LITE | {"components": 0}]}, "the components of an encoder is a whole number from 1"),
        ({"encoders": [LITE | {"backbone": 5}]}, "the backbone of an encoder is text"),
        ({"encoders": [{"network": {"num_classes": 2, "weights": "x"}}]}, "has no key 'weights'"),
        ({"hidden": [0]}, "each of hidden is a whole number from 1"),
        ({"hidden": [10**9]}, "each of hidden is a whole number from 1"),
        ({"hidden": [8] * 10_000}, "8 hidden layers, not 1, 1 and 10000"),
        ({"encoders": [{"network": NETWORK.to_mapping(), "channels": [0]}]}, "reads 3 bands, and its channels are 1"),
        ({"hidden": 8}, "hidden is a list, not 8"),
    ],
)
def test_what_is_wrong_is_one_line(changes: dict[str, Any], match: str) -> None:
    assert refusal(VALUES) == ""
    assert match in refusal(VALUES | changes)


def test_the_number_of_classes_is_stated() -> None:
    assert "states num_classes" in refusal({"arch": "adapted"})


JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(list(LITE)), inner)),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*VALUES, "x"]), JUNK))
def test_junk_is_taken_for_what_it_is_or_one_line(values: dict[str, Any]) -> None:
    assert "\n" not in refusal(VALUES | values | {"arch": "adapted"})


def test_shapes() -> None:
    network = AdaptedNetwork(AdaptedArchitecture.from_mapping(VALUES)).eval()
    image = torch.randn(2, 4, 33, 46)
    with torch.inference_mode():
        features, logits = network.features(image), network(image, torch.ones(2, 33, 46, dtype=torch.bool))
    assert features.shape == (2, network.feature_count, 17, 23)
    assert logits.shape == (2, 3, 33, 46)
    assert network.architecture == VALUES
