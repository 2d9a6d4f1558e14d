"""What the tests of the pipeline share."""

import dataclasses
from pathlib import Path

import pytest

import geodeeplab as gdl
from geodeeplab.models import Model


@pytest.fixture(scope="session")
def tiny(tiny_model: Path) -> Model:
    return gdl.load_model(tiny_model)


@pytest.fixture(scope="session")
def separating(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with an output of boundaries, whose weights are random."""
    import torch

    from geodeeplab.models import build_model, load_model, save_model

    source = load_model(tiny_model)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = build_model(**source.contract.architecture, boundary=True)
        network.load_state_dict(source.network.state_dict(), strict=False)
        assert network.boundary_head is not None
        torch.nn.init.normal_(network.boundary_head.predictor.weight, std=1.0)
    contract = dataclasses.replace(source.contract, architecture=network.architecture, instances=("roof",))
    path = tmp_path_factory.mktemp("separating") / "separating.safetensors"
    save_model(network.eval(), contract, path)
    return path
