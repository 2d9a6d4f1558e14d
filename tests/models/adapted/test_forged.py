"""Files of adapted models whose header was forged: one line, before anything is built."""

from pathlib import Path
from typing import Any

import pytest
import torch

from geodeeplab.errors import ModelError
from geodeeplab.models import AdaptedArchitecture, AdaptedNetwork, Contract, load_model, round_weights, save_model
from tests.models.files.test_untrusted import VALUES, forge, is_one_line

NUMBERS: dict[str, Any] = {
    "num_classes": 2,
    "in_channels": 1,
    "encoders": [{"backbone": "efficientnet_lite0", "channels": [0, 0, 0], "components": 2}],
    "hidden": [8],
}


@pytest.fixture(scope="module")
def network() -> AdaptedNetwork:
    network = AdaptedNetwork(AdaptedArchitecture.from_mapping(NUMBERS)).eval()
    round_weights(network)
    return network


@pytest.fixture(scope="module")
def saved(network: AdaptedNetwork, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("saved") / "m.safetensors"
    save_model(network, Contract.from_mapping(VALUES | {"architecture": network.architecture}), path)
    return path.read_bytes()


def test_what_is_rounded_is_saved_to_the_bit(saved: bytes, network: AdaptedNetwork, tmp_path: Path) -> None:
    loaded = load_model(forge(saved, tmp_path / "m.safetensors"))
    image = torch.randn(1, 1, 40, 33)
    with torch.inference_mode():
        assert torch.equal(loaded.network(image), network(image))


@pytest.mark.parametrize(
    ("architecture", "match"),
    [
        ({"weights": "/etc/hostname"}, "has no key 'weights'"),
        ({"arch": "fcn"}, "has no key 'encoders'"),
        ({"in_channels": 2}, "the network reads 2 bands, the contract names 1"),
        ({"encoders": []}, "do not fit the architecture"),
        ({"encoders": NUMBERS["encoders"] * 5}, "up to 4 encoders"),
        ({"encoders": [{"backbone": "timm:hf-hub:somebody/model"}]}, "whole number from 0 to 0|cannot be built"),
        ({"encoders": [{"backbone": "timm:hf-hub:a/b", "channels": [0]}]}, "cannot be built|need the package timm"),
        ({"encoders": [{"backbone": "efficientnet_lite0", "channels": [0], "components": 16_000}]}, "do not fit"),
        ({"hidden": [16_000] * 8}, "do not fit the architecture"),
        ({"hidden": [8] * 100_000}, "8 hidden layers"),
        ({"pairs": [[0, 1]]}, "the number of a band is a whole number from 0 to 0, not 1"),
    ],
)
def test_a_forged_architecture_is_one_line(
    saved: bytes, tmp_path: Path, architecture: dict[str, Any], match: str
) -> None:
    with pytest.raises(ModelError, match=match) as caught:
        load_model(forge(saved, tmp_path / "m.safetensors", **architecture))
    assert is_one_line(str(caught.value))
